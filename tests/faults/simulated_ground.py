"""Three simulated hosts in virtual time and one guest, for the table of steps and faults."""

import math
from typing import cast

from tests.faults.seams import Door, Seam
from tests.faults.stage import Stage
from tests.faults.table import Tale
from tests.saga.house import GUEST, A, B, C, a_guest, host_settings

from godwit.compute.fence_keepers import MemoryFenceKeeper
from godwit.compute.managers import simulated_transfer_driver
from godwit.compute.transfers import TaskTransfers
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import StartTransfer
from godwit.runtime.settings import Settings, SimulatedHostSettings
from godwit.virt.driver import ComputeDriver, TransferDriver
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.faults import TransferFault
from godwit.virt.simulated.fleet import SimulatedFleet

SETTINGS = Settings(hosts={host: host_settings(transfer_s=2.0) for host in (A, B, C)})

BROKEN = {
    Tale.UNDONE: TransferFault.HALF_LEFT_OVER,
    Tale.HANDED_OVER: TransferFault.HANDED_OVER,
    Tale.UNFINISHED: TransferFault.HANDED_OVER_UNFINISHED,
}


class SimulatedGround:
    """See `Ground`. The guest starts with its host, and has no copy of itself on any disk."""

    def __init__(self) -> None:
        hosts = {h: s for h, s in SETTINGS.hosts.items() if isinstance(s, SimulatedHostSettings)}
        self.settings = SETTINGS
        self.patience_max_s = math.inf
        self.guest = GUEST
        self.fleet = SimulatedFleet(hosts)
        self.fleet.add_guest(A, a_guest(autostart=True))

    def driver(self, host: HostName) -> ComputeDriver:
        """See `Ground`."""
        return SimulatedDriver(self.fleet, host)

    def transfers(self, stage: Stage, host: HostName) -> TaskTransfers:
        """See `Ground`."""

        def make_driver(ask: StartTransfer) -> TransferDriver:
            driver = simulated_transfer_driver(self.fleet, host, ask)
            return cast("TransferDriver", Door(driver, Seam.DRIVER, host, stage.crossed))

        return TaskTransfers(tasks=stage.tasks, make_driver=make_driver, stall_timeout_s=60.0)

    def keeper(self, host: HostName) -> MemoryFenceKeeper:
        """See `Ground`."""
        return MemoryFenceKeeper()

    async def prepare(self, _stage: Stage, tale: Tale) -> None:
        """See `Ground`."""
        if tale in BROKEN:
            self.fleet.break_transfer(self.guest, BROKEN[tale])
        for host in (B, C) if tale is Tale.NOWHERE else ():
            self.fleet.refuse(host, reason(Code.BRIDGE_MISSING, host=host, bridge="br9"))

    async def end_tale(self) -> None:
        """See `Ground`."""
        for host in self.fleet.hosts():
            self.fleet.refuse(host)

    async def problems(self, at: HostName) -> list[str]:
        """See `Ground`."""
        said = list(self.fleet.violations())
        if self.fleet.running_at(self.guest) != (at,):
            said.append(f"runs at {self.fleet.running_at(self.guest)}, not at {at}")
        for host in self.fleet.hosts():
            half = self.fleet.half(host, self.guest)
            if self.fleet.is_prepared(host, self.guest):
                said.append(f"room is left at {host}")
            if host != at and half is not None:
                said.append(f"{half.state} at {host}")
            if host == at and half is not None and (half.job or half.took_back):
                said.append(f"a trace of its move at {host}: {half}")
            if host == at and half is not None and not half.guest.autostart:
                said.append(f"no longer starts with {host}")
            if host == at and half is not None and not half.guest.persistent:
                said.append(f"is not permanent at {host}")
        return said
