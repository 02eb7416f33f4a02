"""Acts end, resume and delete only what they are for, whatever state they meet."""

from itertools import product
from typing import Any, cast

import pytest
from tests.unit.virt.libvirt.fake_libvirt import (
    EVERY_STATE,
    WAITS_THERE,
    FakeLibvirt,
    FakeVolume,
)

from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, PowerState, VmState
from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.model.reasons import Code, Reason
from godwit.model.steering import TransferLimits
from godwit.virt.libvirt import acts, volumes
from godwit.virt.libvirt.abi import (
    MIGRATION_OUT,
    SPEED_UNLIMITED,
    Domain,
    Libvirt,
    Paused,
    Shutoff,
    State,
)
from godwit.virt.libvirt.pool_volumes import as_files
from godwit.virt.libvirt.rollback import roll_back
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.storages import NewImage
from godwit.virt.libvirt.xml import domain_facts

UUID = InstanceUuid("u1")
MIB = 2**20
HOST = HostName("host-b")
IMAGE = NewImage("/srv/local/vm1.qcow2", "qcow2", 64 * MIB)
INSTANCE = Instance(
    uuid=UUID,
    name="guest-1",
    host=HostName("host-a"),
    node=HostName("host-a"),
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=64,
)
HALVES = {(State.PAUSED, Paused.MIGRATION), (State.PAUSED, Paused.STARTING_UP)}
OFF = {(State.SHUTOFF, reason) for reason in range(15)} - {(State.SHUTOFF, Shutoff.SHUTDOWN)}


def real(host: FakeLibvirt) -> Libvirt:
    """The fake, in the place of the real one."""
    return cast(Libvirt, host)  # it has just the calls that acts and volumes make


@pytest.mark.parametrize(
    ("limits", "done"),
    [
        (TransferLimits(), []),
        (TransferLimits(bandwidth_mib_per_s=8), ["speed 8"]),
        (TransferLimits(bandwidth_mib_per_s=0), [f"speed {SPEED_UNLIMITED}"]),
        (TransferLimits(max_downtime_ms=400), ["downtime 400"]),
    ],
)
def test_a_limit_that_is_not_named_is_left_as_it_is(
    limits: TransferLimits, done: list[str]
) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, (State.RUNNING, 1))
    acts.limit_transfer(real(host), UUID, limits)
    assert domain.done == done


@pytest.mark.parametrize("job", [0, 3, 4, MIGRATION_OUT, 6])
def test_no_job_but_a_migration_out_of_here_is_stopped(job: int) -> None:
    """A dump, a snapshot or a backup is somebody else's."""
    host = FakeLibvirt()
    domain = host.add(UUID, (State.RUNNING, 1))
    domain.job = job
    assert acts.abort_job(real(host), UUID) is (job == MIGRATION_OUT)
    assert domain.done == (["abort"] if job == MIGRATION_OUT else [])


@pytest.mark.parametrize("arrives_paused", [True, False])
@pytest.mark.parametrize("at", EVERY_STATE)
def test_a_rollback_removes_only_what_has_never_run_here(
    at: tuple[int, int], arrives_paused: bool
) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, at)
    may_go = HALVES | (OFF | {WAITS_THERE} if arrives_paused else set())
    seen = acts.remove_half(real(host), UUID, arrives_paused=arrives_paused)
    assert (seen == "") == (at in may_go) == (UUID not in host.domains)
    assert bool(domain.done) == (at in may_go)


def rolled_back(host: FakeLibvirt, guard: Guard, *, may_have_run: bool) -> str:
    agreed = LibvirtLiveMigrateData(guard=guard, created_disks=(IMAGE.path,))
    return roll_back(real(host), INSTANCE, agreed, may_have_run=may_have_run)


@pytest.mark.parametrize("guard", Guard)
@pytest.mark.parametrize("at", EVERY_STATE)
def test_where_it_may_have_run_only_half_a_guest_goes_and_its_disks_with_it(
    at: tuple[int, int], guard: Guard
) -> None:
    host = FakeLibvirt()
    host.add(UUID, at)
    host.files[IMAGE.path] = FakeVolume(host, IMAGE.path, IMAGE.capacity_bytes)
    seen = rolled_back(host, guard, may_have_run=True)
    assert (seen == "") == (at in HALVES) == (UUID not in host.domains)
    assert (IMAGE.path in host.files) == (at not in HALVES)


def test_disks_that_may_be_the_newest_are_left_and_named_until_a_person_has_removed_them() -> None:
    host = FakeLibvirt()
    host.files[IMAGE.path] = FakeVolume(host, IMAGE.path, IMAGE.capacity_bytes)
    assert IMAGE.path in rolled_back(host, Guard.PAUSED, may_have_run=True)
    assert IMAGE.path in host.files
    assert host.pools == []
    del host.files[IMAGE.path]
    assert rolled_back(host, Guard.PAUSED, may_have_run=True) == ""


@pytest.mark.parametrize("created", [(), (IMAGE.path,)])
def test_a_guest_that_is_left_is_told_of_with_disks_made_for_it_or_without(
    created: tuple[str, ...],
) -> None:
    host = FakeLibvirt()
    host.add(UUID, WAITS_THERE)
    agreed = LibvirtLiveMigrateData(guard=Guard.LOCKS, created_disks=created)
    assert roll_back(real(host), INSTANCE, agreed, may_have_run=False) == "PAUSED(USER)"
    assert UUID in host.domains


@pytest.mark.parametrize("at", EVERY_STATE)
def test_only_a_whole_waiting_guest_is_resumed(at: tuple[int, int]) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, at)
    seen = acts.resume_arrived(real(host), UUID)
    assert (domain.done == ["resume"]) == (at == WAITS_THERE)
    assert (seen == "") == (at == WAITS_THERE or at[0] == State.RUNNING)


@pytest.mark.parametrize("at", EVERY_STATE)
def test_half_a_guest_is_never_resumed(at: tuple[int, int]) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, at, arriving=True)
    acts.resume_either(real(host), UUID)
    assert (domain.done == ["resume"]) == (at == WAITS_THERE)


@pytest.mark.parametrize("at", [at for at in EVERY_STATE if at[0] != State.SHUTOFF])
def test_a_guest_that_is_not_shut_off_is_never_forgotten(at: tuple[int, int]) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, at)
    assert acts.forget_left(real(host), UUID) != ""
    assert domain.done == []


@pytest.mark.parametrize("at", EVERY_STATE)
def test_a_source_whose_qemu_does_not_say_that_all_was_sent_is_not_ended(
    at: tuple[int, int],
) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, at, arriving=True)  # neither job nor QEMU's status can be read
    acts.end_handed_over(real(host), UUID)
    assert "destroy" not in domain.done


@pytest.mark.parametrize("at", [at for at in EVERY_STATE if at[0] != State.SHUTOFF])
def test_a_half_that_may_be_the_only_guest_is_not_ended(at: tuple[int, int]) -> None:
    """One that was handed over while its sending failed, or is still under way, is the guest."""
    statuses = ("completed", "cancelled", "failed", "active", "none", None)
    for job, status in product((0, MIGRATION_OUT, None), statuses):
        domain = FakeLibvirt().add(UUID, at)
        reading = Reading(*at, job=job, qemu_status=status)
        seen = acts.end_as_read(cast(Domain, domain), reading)
        sent = (at, job, status) == ((State.PAUSED, Paused.MIGRATION), 0, "completed")
        assert domain.done == (["destroy", "undefine"] if sent else []), (job, status)
        assert seen == ("" if sent else reading.account)


def test_a_guest_that_is_not_there_is_nothing_to_undo() -> None:
    host = FakeLibvirt()
    assert acts.remove_half(real(host), UUID, arrives_paused=True) == ""
    assert acts.forget_left(real(host), UUID) == ""
    assert acts.end_handed_over(real(host), UUID) == ""
    assert acts.resume_arrived(real(host), UUID) == "absent"


@pytest.mark.parametrize("persistent", [True, False])
def test_autostart_is_set_only_where_there_is_a_definition(persistent: bool) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, (State.RUNNING, 1), persistent=persistent)
    acts.set_autostart(real(host), UUID, on=True)
    assert domain.flag is persistent


def test_an_image_whose_making_was_never_answered_is_found_and_removed() -> None:
    host = FakeLibvirt()
    host.add_pool("/srv/local")
    assert volumes.make_images(real(host), HOST, [IMAGE]) is None
    assert volumes.make_images(real(host), HOST, [IMAGE]) is None
    assert list(host.files) == [IMAGE.path]
    volumes.remove_as_new(real(host), [IMAGE])
    volumes.remove_as_new(real(host), [IMAGE])
    assert host.files == {}


@pytest.mark.parametrize(
    "there",
    [
        {"capacity": 64 * MIB, "allocated": 30 * MIB},
        {"capacity": 32 * MIB},
        {"capacity": 64 * MIB, "format": "raw"},
    ],
    ids=["written to", "other size", "other format"],
)
def test_a_strangers_file_in_the_way_is_neither_used_nor_removed(there: dict[str, Any]) -> None:
    host = FakeLibvirt()
    host.add_pool("/srv/local")
    host.files[IMAGE.path] = FakeVolume(host, IMAGE.path, **there)
    assert code_of(volumes.make_images(real(host), HOST, [IMAGE])) is Code.DISK_EXISTS
    volumes.remove_as_new(real(host), [IMAGE])
    assert IMAGE.path in host.files


@pytest.mark.parametrize(
    "has",
    [
        {"disks": (IMAGE.path,)},
        {"disks": (f"/srv/shared/overlay<{IMAGE.path}",)},
        {"disks": (IMAGE.path,), "disks_of_next_boot": ()},
        {"disks_of_next_boot": (IMAGE.path,)},
        {"disks": ("local:vm1.qcow2",)},
    ],
    ids=["its disk", "a base", "until the next boot", "after the next boot", "by pool and volume"],
)
def test_a_file_that_any_guest_has_as_its_disk_is_not_deleted(has: dict[str, Any]) -> None:
    host = FakeLibvirt()
    host.add_pool("/srv/local")
    host.files[IMAGE.path] = FakeVolume(host, IMAGE.path, IMAGE.capacity_bytes)
    host.add("another", (State.SHUTOFF, 0), **has)
    volumes.remove_files(real(host), [IMAGE.path])
    volumes.remove_as_new(real(host), [IMAGE])
    assert code_of(volumes.make_images(real(host), HOST, [IMAGE])) is Code.DISK_EXISTS
    assert IMAGE.path in host.files


def test_the_files_in_a_folder_that_no_guest_has_as_its_disk_are_spare() -> None:
    host = FakeLibvirt()
    host.add_pool("/srv/local")
    host.add_pool("/srv/shared")
    names = ("left", "disk", "base", "later")
    for path in (*(f"/srv/local/{name}" for name in names), "/srv/shared/other"):
        host.files[path] = FakeVolume(host, path, MIB)
    host.add("one", (State.RUNNING, 1), disks=("/srv/local/disk</srv/local/base",))
    host.add("two", (State.SHUTOFF, 0), disks_of_next_boot=("/srv/local/later",))
    assert volumes.spare_files(real(host), ["/srv/local", "/srv/none"]) == ("/srv/local/left",)


@pytest.mark.parametrize(
    ("pool", "volume", "path"),
    [
        ("local", "vm1.qcow2", IMAGE.path),
        ("local", "gone.qcow2", "local/gone.qcow2"),
        ("none", "vm1.qcow2", "none/vm1.qcow2"),
    ],
)
def test_a_disk_named_by_pool_and_volume_is_the_file_it_is(
    pool: str, volume: str, path: str
) -> None:
    host = FakeLibvirt()
    host.add_pool("/srv/local")
    host.files[IMAGE.path] = FakeVolume(host, IMAGE.path, IMAGE.capacity_bytes)
    text = (
        f"<domain><devices><disk type='volume'><source pool='{pool}' volume='{volume}'/>"
        "<target dev='vda'/></disk></devices></domain>"
    )
    (disk,) = domain_facts(as_files(real(host), text)).disks
    assert (disk.path, disk.is_file) == (path, path == IMAGE.path)
    assert as_files(real(host), text.replace("volume", "file")) == text.replace("volume", "file")


def test_a_file_in_no_pool_is_deleted_and_no_pool_is_left_behind() -> None:
    host = FakeLibvirt()
    host.files[IMAGE.path] = FakeVolume(host, IMAGE.path, IMAGE.capacity_bytes)
    volumes.remove_files(real(host), [IMAGE.path])
    assert (host.files, host.pools) == ({}, [])


def test_without_a_pool_there_is_no_room() -> None:
    refusal = volumes.make_images(real(FakeLibvirt()), HOST, [IMAGE])
    assert code_of(refusal) is Code.STORAGE_POOL_MISSING


def test_a_folder_is_full_when_its_pool_has_but_crumbs_left() -> None:
    host = FakeLibvirt()
    host.add_pool("/srv/local", free_bytes=MIB - 1)
    host.add_pool("/srv/shared", free_bytes=MIB)
    assert volumes.full_folder(real(host), ["/srv/shared", "/srv/none"]) == ""
    assert volumes.full_folder(real(host), ["/srv/shared", "/srv/local"]) == "/srv/local"


def code_of(refusal: Reason | None) -> Code | None:
    """What stands in the way, in a word."""
    return refusal.code if refusal is not None else None
