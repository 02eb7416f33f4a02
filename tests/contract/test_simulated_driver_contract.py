"""The simulated hypervisor keeps what every driver promises, and its own invariants besides."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
from msgspec.structs import replace
from tests.contract.driver_contract import DriverContract, TwoHosts

from godwit.model.host import HostFacts
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, PowerState
from godwit.model.migrate_data import LiveMigrateData, SimulatedLiveMigrateData
from godwit.runtime.settings import SimulatedHostSettings
from godwit.sim.loop import run
from godwit.virt.driver import TransferDriver
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.guests import simulated_guest
from godwit.virt.simulated.transfer_driver import SimulatedTransferDriver

HERE, THERE = HostName("host-a"), HostName("host-b")


class SimulatedWorld:
    """Two hosts in memory, in virtual time."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self.fleet = fleet
        self._made = 0

    def run(self, claim: Callable[[TwoHosts], Awaitable[None]]) -> None:
        async def main() -> None:
            await claim(TwoHosts(self._driver(HERE), self._driver(THERE)))

        run(main())

    async def make_guest(self, hosts: TwoHosts, *, paused: bool = False) -> InstanceUuid:
        self._made += 1
        guest = simulated_guest(f"guest-{self._made}", networks=("brvm",))
        state = PowerState.PAUSED if paused else PowerState.RUNNING
        self.fleet.add_guest(HERE, replace(guest, power_state=state, autostart=True))
        return guest.uuid

    def transfer_driver(
        self, instance: Instance, migrate_data: LiveMigrateData, destination: HostFacts
    ) -> TransferDriver:
        assert isinstance(migrate_data, SimulatedLiveMigrateData)
        return SimulatedTransferDriver(
            self.fleet,
            source=HERE,
            destination=destination.name,
            uuid=instance.uuid,
            migrate_data=migrate_data,
        )

    def _driver(self, host: HostName) -> SimulatedDriver:
        return SimulatedDriver(self.fleet, host)


class TestSimulatedDriver(DriverContract):
    """The claims, held in memory."""

    @pytest.fixture(params=[0.0, 2.0], ids=["at once", "in two seconds"])
    def world(self, request: pytest.FixtureRequest) -> Iterator[SimulatedWorld]:
        settings = SimulatedHostSettings(transfer_s=request.param)
        world = SimulatedWorld(SimulatedFleet({HERE: settings, THERE: settings}))
        yield world
        assert world.fleet.violations() == ()
