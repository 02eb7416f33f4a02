"""What the checks find on real hosts, each with its code; they change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.lab import certificates
from tests.lab.libvirt_moves import Move, a_move, eventually, run

from godwit.lab.guest import (
    DiskPlace,
    GuestDisk,
    GuestSpec,
    create_disk,
    define_guest,
    known_guests,
)
from godwit.lab.lab import Lab
from godwit.model.errors import Refused
from godwit.model.migration import BlockMigration
from godwit.model.reasons import Code
from godwit.model.rehearsal import twin_name

SHARED = GuestDisk("vm1.qcow2", DiskPlace.SHARED)
LOCAL = GuestDisk("vm1.qcow2", DiskPlace.LOCAL)
COPY = "/srv/local/copy.qcow2"
STRANGER = GuestSpec("stranger").uuid


def name_taken(move: Move) -> None:
    define_guest(move.there, GuestSpec("vm1", given_uuid=STRANGER))


def uuid_taken(move: Move) -> None:
    define_guest(move.there, GuestSpec("vm1"))


def bridge_missing(move: Move) -> None:
    (nic,) = move.instance.nics
    move.instance = replace(move.instance, nics=(replace(nic, network="brnone"),))


def machine_unknown(move: Move) -> None:
    platform = move.instance.platform
    assert platform is not None
    platform = replace(platform, machine_type="pc-i440fx-99.0")
    move.instance = replace(move.instance, platform=platform)


def cpu_too_new(move: Move) -> None:
    platform = move.instance.platform
    assert platform is not None
    cpu = platform.cpu.replace("</cpu>", '<feature policy="require" name="avx512-fp16" /></cpu>')
    move.instance = replace(move.instance, platform=replace(platform, cpu=cpu))


def lacks(**taken: object) -> Callable[[Move], None]:
    """The guest's definition takes something that the destination does not have."""

    def spoil(move: Move) -> None:
        platform = move.instance.platform
        assert platform is not None
        move.instance = replace(move.instance, platform=replace(platform, **taken))

    spoil.__name__ = f"lacks {taken}"
    return spoil


def memory_short(move: Move) -> None:
    move.instance = replace(move.instance, memory_mib=2**30)


def disk_exists(move: Move) -> None:
    create_disk(move.there, LOCAL)


def no_pool(move: Move) -> None:
    move.there.run("virsh", "-q", "pool-destroy", "local")


def disk_too_big(move: Move) -> None:
    disks = tuple(
        replace(disk, size_bytes=2**50) if disk.path == LOCAL.path else disk
        for disk in move.instance.disks
    )
    move.instance = replace(move.instance, disks=disks)


def snapshot(move: Move) -> None:
    move.here.run("virsh", "-q", "snapshot-create-as", "vm1", "s1")


def block_job(move: Move) -> None:
    move.here.run("virsh", "-q", "blockcopy", "vm1", "hda", COPY, "--transient-job")


def disks_changed(move: Move) -> None:
    move.instance = replace(move.instance, disks=())


CASES: list[tuple[Callable[[Move], None], tuple[GuestDisk, ...], Code]] = [
    (name_taken, (), Code.NAME_TAKEN),
    (uuid_taken, (), Code.UUID_TAKEN),
    (bridge_missing, (), Code.BRIDGE_MISSING),
    (machine_unknown, (), Code.MACHINE_TYPE_UNSUPPORTED),
    (cpu_too_new, (), Code.INVALID_CPU_INFO),
    (memory_short, (), Code.HOST_MEMORY_SHORT),
    (lacks(huge_pages_kib=(2048,)), (), Code.HUGE_PAGES_SHORT),
    (lacks(huge_pages_kib=(16,)), (), Code.HUGE_PAGES_SHORT),
    (lacks(architecture="s390x", virtualisation="kvm"), (), Code.VIRTUALISATION_MISSING),
    (lacks(emulator="/usr/libexec/qemu-kvm"), (), Code.EMULATOR_MISSING),
    (lacks(pinned_cpus=(0, 4000)), (), Code.PINNED_CPUS_MISSING),
    (lacks(memory_cells=(0, 63)), (), Code.NUMA_CELLS_MISSING),
    (lacks(links=("eth9",)), (), Code.LINK_MISSING),
    (lacks(firmware="/usr/share/OVMF/OVMF_CODE_4M.fd"), (), Code.FIRMWARE_MISSING),
    (lacks(secrets=(str(STRANGER),)), (), Code.SECRET_MISSING),
    (disk_exists, (LOCAL,), Code.DISK_EXISTS),
    (no_pool, (LOCAL,), Code.STORAGE_POOL_MISSING),
    (disk_too_big, (LOCAL,), Code.NOT_ENOUGH_DISK),
    (snapshot, (SHARED,), Code.HAS_SNAPSHOTS),
    (block_job, (SHARED,), Code.BLOCK_JOB_RUNNING),
    (disks_changed, (SHARED,), Code.MIGRATION_PRE_CHECK_ERROR),
]


def test_each_obstacle_is_refused_with_its_code(lab: Lab) -> None:
    async def one(spoil: Callable[[Move], None], move: Move, code: Code) -> None:
        before = move.instance
        assert await move.refusals() == []
        spoil(move)
        assert await move.refusals() == [code], spoil.__name__
        move.instance = before

    async def test() -> None:
        both = (GuestDisk("vm1s.qcow2", DiskPlace.SHARED), LOCAL)
        async with a_move(lab, GuestSpec("vm1", disks=both)) as move:
            undo = {
                name_taken: ("undefine", str(STRANGER)),
                uuid_taken: ("undefine", "vm1"),
                disk_exists: ("vol-delete", LOCAL.path),
                no_pool: ("pool-start", "local"),
            }
            for spoil, _, code in CASES:
                await one(spoil, move, code)
                if spoil in undo:
                    move.there.run("virsh", "-q", *undo[spoil])
                if spoil is snapshot:
                    move.here.run("virsh", "-q", "snapshot-delete", "vm1", "s1")
                if spoil is block_job:
                    move.here.run("virsh", "-q", "blockjob", "vm1", "hda", "--abort")
            assert await move.refusals(BlockMigration.SHARED) == [Code.INVALID_SHARED_STORAGE]
            assert await move.refusals(BlockMigration.BLOCK) == [Code.INVALID_LOCAL_STORAGE]

    run(test())


CERTIFICATES = {
    certificates.of_a_stranger: "not issued by the CA",
    certificates.for_another_address: "made out to host-b, 10.9.9.9, not to 10.98.0.2",
    certificates.expired: "has expired",
}


def test_a_certificate_that_fails_is_found_before_anything_is_asked(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1")) as move:
            for shown, words in CERTIFICATES.items():
                with shown(lab, move.there):
                    [refusal] = (await move.check()).refusals
                assert (refusal.code, refusal.host) == (Code.TLS_UNUSABLE, move.there.name)
                assert words in refusal.words
                assert await move.refusals() == []
            with certificates.for_another_address(lab, move.here):
                assert await move.refusals() == [], "nobody looks for the source at its address"
            with certificates.of_a_stranger(lab, move.here):
                [refusal] = (await move.check()).refusals
            assert (refusal.code, refusal.host) == (Code.TLS_UNUSABLE, move.here.name)
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


def test_a_rehearsal_refuses_in_libvirts_words_what_cannot_start_there(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1", disks=(SHARED,))) as move:
            checked = await move.check()
            assert checked.migrate_data is not None
            twin = twin_name(1.8e9, move.instance.uuid)
            definition = await move.source.rehearse_departure(
                move.instance, checked.migrate_data, twin
            )
            await move.destination.rehearse_arrival(definition, twin)
            for known, unknown in (("brvm", "brnone"), ("pc-i440fx-7.2", "pc-i440fx-99.0")):
                with pytest.raises(Refused) as refused:
                    await move.destination.rehearse_arrival(
                        definition.replace(known, unknown), twin
                    )
                assert refused.value.reason.code is Code.REHEARSAL_FAILED
                assert unknown in refused.value.reason.words
            assert await move.destination.guests() == ()
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


def test_a_file_that_appears_after_the_checks_is_neither_used_nor_removed(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1", disks=(LOCAL,))) as move:
            agreed = (await move.check()).migrate_data
            assert agreed is not None
            create_disk(move.there, GuestDisk(LOCAL.name, LOCAL.place, size_mib=3))
            with pytest.raises(Refused) as refused:
                await move.destination.pre_live_migration(move.instance, agreed)
            assert refused.value.reason.code is Code.DISK_EXISTS
            await move.destination.rollback_live_migration_at_destination(
                move.instance, agreed, may_have_run=False
            )
            assert (move.there.local / LOCAL.name).exists()

    run(test())


def test_a_cpu_refusal_names_what_is_missing(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1")) as move:
            cpu_too_new(move)
            (refusal,) = (await move.check()).refusals
            assert "avx512-fp16" in refusal.words

    run(test())


def test_what_ties_a_guest_to_its_host_is_named_by_its_definition_or_by_qemu(lab: Lab) -> None:
    devices = (
        '<serial type="dev"><source path="/dev/tty9"/><target port="1"/></serial>',
        '<shmem name="s" role="peer"><model type="ivshmem-plain"/><size unit="M">1</size></shmem>',
    )

    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1", devices=devices)) as move:
            refusals = {refusal.code: refusal.words for refusal in (await move.check()).refusals}
            assert set(refusals) == {Code.HOST_DEVICE_ATTACHED, Code.MIGRATION_BLOCKED}
            assert "/dev/tty9" in refusals[Code.HOST_DEVICE_ATTACHED]
            assert "ivshmem" in refusals[Code.MIGRATION_BLOCKED]

    run(test())


FIRMWARE = "/usr/share/seabios/bios-256k.bin"


def test_a_guest_that_another_operator_is_moving_is_left_alone(lab: Lab) -> None:
    elsewhere = lab.hosts[2]
    by_hand = ("virsh", "-q", "migrate", "--live", "--p2p", "vm1", elsewhere.peer_uri)

    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1", memory_mib=64, working_set_mib=40)) as move:
            move.here.run("virsh", "-q", "migrate-setspeed", "vm1", "1")
            moving = asyncio.create_task(asyncio.to_thread(move.here.run, *by_hand, check=False))
            await eventually(lambda: elsewhere.name in hosts_with(lab, "vm1"), "half a guest there")
            assert await move.refusals() == [Code.JOB_RUNNING]
            move.here.run("virsh", "-q", "domjobabort", "vm1")
            assert (await moving).returncode != 0
            assert await move.refusals() == []
            move.assert_ran_once()

    run(test())


def hosts_with(lab: Lab, guest: str) -> list[str]:
    """The hosts whose libvirt knows of the guest, or of half of it."""
    return [host.name for host in lab.hosts if guest in known_guests(host)]


VARIABLES = b"what the firmware keeps"
MUCH = GuestSpec(
    "vm1",
    disks=(SHARED,),
    cpu_features=("svm",),
    elements=(
        "<os><loader readonly='yes' type='pflash'>/srv/local/code.fd</loader>"
        "<nvram template='/srv/local/blank.fd'>/srv/local/vars.fd</nvram></os>",
        "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
        "<numatune><memory mode='strict' nodeset='0'/></numatune>",
        "<cputune><vcpupin vcpu='0' cpuset='0-1'/><emulatorpin cpuset='1'/></cputune>",
    ),
    devices=(
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
        "<serial type='pty'><target port='1'/></serial>",
        "<filesystem accessmode='mapped'><source dir='/srv/local'/><target dir='t'/></filesystem>",
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
        "<panic model='isa'/>",
        "<shmem name='m' role='master'><model type='ivshmem-plain'/><size unit='M'>1</size>"
        "</shmem>",
    ),
)


def test_a_guest_moves_with_all_that_the_checks_let_pass(lab: Lab) -> None:
    async def test() -> None:
        for host in lab.hosts[:2]:
            host.run("cp", FIRMWARE, "/srv/local/code.fd")
            host.run("truncate", "--size=540672", "/srv/local/blank.fd")
        (lab.hosts[0].local / "vars.fd").write_bytes(VARIABLES.ljust(540672, b"\0"))
        async with a_move(lab, MUCH) as move:
            platform = move.instance.platform
            assert platform is not None
            assert (platform.pinned_cpus, platform.memory_cells) == ((0, 1), (0,))
            await move.prepare()
            assert (await move.transfer_and_let_run()).error == ""
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()
            assert (move.there.local / "vars.fd").read_bytes().startswith(VARIABLES)
            await move.destination.destroy(move.instance.uuid)
            assert await move.destination.guests() == ()

    run(test())


@pytest.mark.parametrize("disk", [SHARED, LOCAL], ids=["shared disk", "local disk"])
def test_checks_leave_both_hosts_as_they_were(lab: Lab, disk: GuestDisk) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1", disks=(disk,))) as move:
            before = await move.source.guests(), await move.destination.host_facts()
            assert await move.refusals() == []
            after = await move.source.guests(), await move.destination.host_facts()
            assert [guest.uuid for guest in after[0]] == [guest.uuid for guest in before[0]]
            assert [s.id for s in after[1].storages] == [s.id for s in before[1].storages]
            assert await move.destination.guests() == ()

    run(test())
