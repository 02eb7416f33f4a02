"""Makes the compute managers of a process, each with what its kind of host needs."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from godwit.compute.disk import Disk
from godwit.compute.fence import Fence
from godwit.compute.fence_keepers import DiskFenceKeeper, MemoryFenceKeeper
from godwit.compute.manager import ComputeManager
from godwit.compute.nursery import Nursery
from godwit.compute.process_transfers import Means, ProcessTransfers
from godwit.compute.transfers import TaskTransfers
from godwit.model.errors import Refused
from godwit.model.ids import HostName
from godwit.model.migrate_data import SimulatedLiveMigrateData
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import StartTransfer
from godwit.runtime.clock import Clock
from godwit.runtime.settings import LibvirtHostSettings, Settings, SimulatedHostSettings
from godwit.virt.driver import TransferDriver
from godwit.virt.registry import compute_driver
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.transfer_driver import SimulatedTransferDriver


class ComputeManagers:
    """Makes managers for the hosts of the settings. Made once per process, closed at its end."""

    def __init__(
        self,
        settings: Settings,
        *,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        fleet: SimulatedFleet,
    ) -> None:
        """`tasks` runs the transfers of simulated hosts; `fleet` holds all simulated hosts."""
        self._settings = settings
        self._tasks = tasks
        self._clock = clock
        self._fleet = fleet
        self._disk = Disk()
        self._births = Disk()
        self._nursery = Nursery()

    def make(self, hosts: Collection[HostName]) -> dict[HostName, ComputeManager]:
        """A manager for each of `hosts`, which the settings must name."""
        if any(isinstance(self._settings.hosts[host], LibvirtHostSettings) for host in hosts):
            self._nursery.start()  # ready when the first move needs it
        return {host: self._manager(host) for host in hosts}

    def close(self) -> None:
        """End the threads that touch the state folder, and the nursery. Managers are closed by
        who made them.
        """
        self._disk.close()
        self._births.close()
        self._nursery.close()

    def _manager(self, host: HostName) -> ComputeManager:
        driver = compute_driver(host, self._settings, self._fleet)
        if isinstance(self._settings.hosts[host], SimulatedHostSettings):
            return ComputeManager(
                host,
                driver=driver,
                transfers=self._task_transfers(host),
                fence=Fence(MemoryFenceKeeper()),
            )
        folder = Path(self._settings.server.state_dir) / "hosts" / host
        keeper = DiskFenceKeeper(folder / "fence", host=host, disk=self._disk, clock=self._clock)
        transfers = ProcessTransfers(
            host=host,
            root=folder / "transfers",
            settings=self._settings,
            means=Means(self._disk, self._births, self._clock, self._nursery),
        )
        return ComputeManager(host, driver=driver, transfers=transfers, fence=Fence(keeper))

    def _task_transfers(self, host: HostName) -> TaskTransfers:
        def make_driver(ask: StartTransfer) -> TransferDriver:
            return simulated_transfer_driver(self._fleet, host, ask)

        return TaskTransfers(
            tasks=self._tasks,
            make_driver=make_driver,
            stall_timeout_s=self._settings.migration.stall_timeout_s,
        )


def simulated_transfer_driver(
    fleet: SimulatedFleet, source: HostName, ask: StartTransfer
) -> SimulatedTransferDriver:
    """The driver of one move between two simulated hosts. Raises `Refused` for any other."""
    if not isinstance(ask.migrate_data, SimulatedLiveMigrateData):
        problem = f"{type(ask.migrate_data).__name__} was given to the simulated host {source}"
        raise Refused(reason(Code.INTERNAL_ERROR, problem=problem))
    return SimulatedTransferDriver(
        fleet,
        source=source,
        destination=ask.destination.name,
        uuid=ask.instance.uuid,
        migrate_data=ask.migrate_data,
        steering=ask.steering,
    )
