"""The two drivers where they weigh what libvirt shows and says: at the source of a move.

On libvirt's own `test:///default` hypervisor, which needs no libvirtd and has one running guest.
"""

import asyncio
from collections.abc import Iterator

import libvirt
import pytest

from godwit.model.errors import Refused
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Disk, Instance, PowerState, VmState
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.reasons import Code, reason
from godwit.model.steering import UNSTEERED
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.driver import SeenEnd, TransferOutcome
from godwit.virt.libvirt.abi import Event, Libvirt, Stopped
from godwit.virt.libvirt.driver import LibvirtDriver
from godwit.virt.libvirt.migration import End, LibvirtTransferDriver

HERE, THERE = HostName("host-a"), HostName("host-b")
SETTINGS = LibvirtHostSettings(uri="test:///default")
NOBODY = InstanceUuid("6a1c2a4c-7c5c-4c36-9d0e-1f6c9f6f7b11")
DISK = Disk(device="vda", path="/default-pool/vm1.img", format="raw", size_bytes=2**23)
STOPPED_SHUTDOWN, STOPPED_DESTROYED = 0, 1
STOPPED_DESTROYED = 1


@pytest.fixture
def host() -> Iterator[libvirt.virConnect]:
    """The hypervisor. It lives as long as this process: what a test does to it is undone."""
    connection = libvirt.open(SETTINGS.uri)
    yield connection
    guest = connection.lookupByName("test")
    guest.setAutostart(0)
    if not guest.isActive():
        guest.create()
    for volume in connection.storagePoolLookupByName("default-pool").listAllVolumes():
        volume.delete()
    connection.close()


def guest_of(host: libvirt.virConnect) -> InstanceUuid:
    """The guest that runs there."""
    return InstanceUuid(host.lookupByName("test").UUIDString())


def record_of(uuid: InstanceUuid) -> Instance:
    return Instance(
        uuid=uuid,
        name="test",
        host=HERE,
        node="a",
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        vcpus=2,
        memory_mib=8,
        disks=(DISK,),
    )


# --- the host's driver ----------------------------------------------------------------------------


def a_driver() -> LibvirtDriver:
    return LibvirtDriver(HERE, SETTINGS, {})


def make_the_disk(host: libvirt.virConnect) -> None:
    """A file that is written to, as one is while it is copied."""
    size = "<capacity>8388608</capacity><allocation>8388608</allocation>"
    pool = host.storagePoolLookupByName("default-pool")
    pool.createXML(f"<volume><name>vm1.img</name>{size}</volume>")


def files_at(host: libvirt.virConnect) -> list[str]:
    pool = host.storagePoolLookupByName("default-pool")
    return [volume.path() for volume in pool.listAllVolumes()]


@pytest.mark.slow
@pytest.mark.parametrize("had_it", [True, False])
def test_a_rollback_gives_the_guest_at_the_source_its_autostart_again(
    host: libvirt.virConnect, had_it: bool
) -> None:
    async def test() -> None:
        driver = a_driver()
        agreed = LibvirtLiveMigrateData(autostart=had_it)
        for _ in range(2):
            await driver.rollback_live_migration_at_source(record_of(guest_of(host)), agreed)
        await driver.close()

    asyncio.run(test())
    assert bool(host.lookupByName("test").autostart()) is had_it


@pytest.mark.slow
def test_the_disks_of_a_guest_that_has_not_left_are_not_deleted_at_the_source(
    host: libvirt.virConnect,
) -> None:
    make_the_disk(host)
    agreed = LibvirtLiveMigrateData(disks_to_copy=("vda",))

    async def test() -> None:
        driver = a_driver()
        with pytest.raises(Refused, match="RUNNING"):
            await driver.post_live_migration_at_source(record_of(guest_of(host)), agreed)
        assert files_at(host) == [DISK.path]
        await driver.post_live_migration_at_source(record_of(NOBODY), agreed)
        await driver.close()

    asyncio.run(test())
    assert files_at(host) == [], "of one that has left, they are"


@pytest.mark.slow
def test_a_disk_that_was_not_copied_is_not_deleted_at_the_source(host: libvirt.virConnect) -> None:
    make_the_disk(host)

    async def test() -> None:
        driver = a_driver()
        agreed = LibvirtLiveMigrateData(disks_to_copy=("vdb",))
        await driver.post_live_migration_at_source(record_of(NOBODY), agreed)
        await driver.close()

    asyncio.run(test())
    assert files_at(host) == [DISK.path]


# --- the transfer's driver ------------------------------------------------------------------------


class ToldTransfer(LibvirtTransferDriver):
    """A transfer whose call does nothing; what libvirt says meanwhile is up to the test."""

    def __init__(self, uuid: InstanceUuid) -> None:
        ends = End(HERE, SETTINGS), End(THERE, SETTINGS)
        agreed = LibvirtLiveMigrateData()
        super().__init__(*ends, record_of(uuid), agreed, steering=UNSTEERED)
        self._guest = uuid

    def hear(self, event: Event, detail: int = 0, *, of: InstanceUuid | None = None) -> None:
        self._source_event(of or self._guest, event, detail)

    def _migrate(self, libvirt: Libvirt) -> None:
        pass


def is_gone(uuid: InstanceUuid, *heard: tuple[Event, int], returned: bool = False) -> bool:
    """Is the source said to be gone after these events, and perhaps the call's return?"""

    async def ask() -> bool:
        transfer = ToldTransfer(uuid)
        for event, detail in heard:
            transfer.hear(event, detail)
        if returned:
            assert (await transfer.transfer()).error == ""
        gone = await transfer.source_is_gone()
        await transfer.close()
        return gone

    return asyncio.run(ask())


LEFT = (Event.STOPPED, Stopped.MIGRATED)


def test_a_source_that_is_still_seen_is_not_gone_whatever_libvirt_has_said(
    host: libvirt.virConnect,
) -> None:
    here = guest_of(host)
    assert not is_gone(here, LEFT)
    assert not is_gone(here, returned=True)
    host.lookupByUUIDString(here).destroy()
    assert not is_gone(here, LEFT), "shut off by anything but the migration"


@pytest.mark.parametrize(
    ("heard", "gone"),
    [
        ((), False),
        ((LEFT,), True),
        (((Event.STOPPED, STOPPED_SHUTDOWN),), False),
        ((LEFT, (Event.RESUMED, 0)), False),
        ((LEFT, (Event.STARTED, 0)), False),
        ((LEFT, (Event.STOPPED, STOPPED_SHUTDOWN)), False),
        (((Event.RESUMED, 0), LEFT), True),
    ],
    ids=[
        "nothing",
        "it has left",
        "it was shut down",
        "left, then resumed",
        "left, then started",
        "left, then shut down",
        "resumed, then left",
    ],
)
def test_an_absent_source_is_gone_only_where_its_last_event_was_that_it_left(
    host: libvirt.virConnect, heard: tuple[tuple[Event, int], ...], gone: bool
) -> None:
    assert is_gone(NOBODY, *heard) is gone


@pytest.mark.parametrize(
    ("detail", "end"),
    [
        (STOPPED_SHUTDOWN, SeenEnd.WANTED),
        (STOPPED_DESTROYED, SeenEnd.WANTED),
        (Stopped.CRASHED, SeenEnd.CRASHED),
        (Stopped.FAILED, SeenEnd.CRASHED),
        (Stopped.MIGRATED, None),
    ],
)
def test_how_an_absent_guest_has_ended_is_told_by_its_last_event(
    host: libvirt.virConnect, detail: int, end: SeenEnd | None
) -> None:
    """Whoever looks later sees nothing: it may have been undefined as well."""

    async def ask() -> SeenEnd | None:
        transfer = ToldTransfer(NOBODY)
        transfer.hear(Event.STOPPED, detail)
        lost = TransferOutcome(error="gone", reason=reason(Code.INTERNAL_ERROR, problem="x"))
        outcome = await transfer.explained(lost)
        await transfer.close()
        return outcome.guest_ended

    assert asyncio.run(ask()) is end


def test_the_calls_return_without_an_error_confirms_the_switch(host: libvirt.virConnect) -> None:
    assert is_gone(NOBODY, returned=True)


def test_the_departure_of_another_guest_proves_nothing(host: libvirt.virConnect) -> None:
    async def ask() -> bool:
        transfer = ToldTransfer(NOBODY)
        transfer.hear(*LEFT, of=InstanceUuid("another"))
        gone = await transfer.source_is_gone()
        await transfer.close()
        return gone

    assert not asyncio.run(ask())
