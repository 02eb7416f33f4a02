"""The libvirt driver keeps what every driver promises, between two real hosts."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.contract.driver_contract import DriverContract, TwoHosts
from tests.lab.libvirt_moves import driver_of, settings_of

from godwit.lab.guest import GuestSpec, start_guest
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.host import HostFacts
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance
from godwit.model.migrate_data import LibvirtLiveMigrateData, LiveMigrateData
from godwit.model.steering import UNSTEERED
from godwit.virt.driver import TransferDriver
from godwit.virt.libvirt.migration import End, LibvirtTransferDriver


class LibvirtWorld:
    """Two lab hosts and small guests without a disk."""

    def __init__(self, lab: Lab) -> None:
        self._here, self._there = lab.hosts[:2]
        self._made = 0

    def run(self, claim: Callable[[TwoHosts], Awaitable[None]]) -> None:
        async def main() -> None:
            async with (
                asyncio.timeout(240),
                driver_of(self._here) as source,
                driver_of(self._there) as destination,
            ):
                await claim(TwoHosts(source, destination))

        asyncio.run(main())

    async def make_guest(self, hosts: TwoHosts, *, paused: bool = False) -> InstanceUuid:
        self._made += 1
        name = f"contract-{self._made}"
        await asyncio.get_running_loop().run_in_executor(None, self._start, name, paused)
        return next(guest.uuid for guest in await hosts.source.guests() if guest.name == name)

    def transfer_driver(
        self, instance: Instance, migrate_data: LiveMigrateData, destination: HostFacts
    ) -> TransferDriver:
        assert isinstance(migrate_data, LibvirtLiveMigrateData)
        assert destination.name == self._there.name
        ends = _end(self._here), _end(self._there)
        return LibvirtTransferDriver(*ends, instance, migrate_data, steering=UNSTEERED)

    def _start(self, name: str, paused: bool) -> None:
        start_guest(self._here, GuestSpec(name, memory_mib=16, working_set_mib=4))
        self._here.run("virsh", "-q", "autostart", name)
        if paused:
            self._here.run("virsh", "-q", "suspend", name)


def _end(host: LabHost) -> End:
    return End(HostName(host.name), settings_of(host))


class TestLibvirtDriver(DriverContract):
    """The claims, held by libvirt and QEMU."""

    @pytest.fixture
    def world(self, lab: Lab) -> LibvirtWorld:
        return LibvirtWorld(lab)
