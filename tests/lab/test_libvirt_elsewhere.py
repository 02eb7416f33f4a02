"""A guest whose disks, bridge and console are called otherwise at its destination."""

from __future__ import annotations

from tests.lab.libvirt_moves import Declared, Move, a_move, begin_copying, expect_an_error, run

from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.ids import HostName
from godwit.runtime.settings import NetworkSettings, StorageSettings

THERE = HostName("host-b")
DECLARED = Declared(
    {"shared": StorageSettings(path="/srv/shared", paths={THERE: "/run/elsewhere"})},
    {"lan": NetworkSettings(bridges={HostName("host-a"): "brvm", THERE: "brother"})},
)
CONSOLE = "<graphics type='vnc' autoport='yes' listen='10.98.0.1'/>"
SERIAL = """<serial type='tcp'><source mode='bind' host='10.98.0.1' service='4555'/>
<protocol type='raw'/><target port='1'/></serial>"""
SECOND_CARD = "<interface type='bridge'><source bridge='brvm'/><model type='e1000'/></interface>"
LOCAL = GuestDisk("vm1.qcow2", DiskPlace.LOCAL, size_mib=4)
SPEC = GuestSpec(
    "vm1",
    memory_mib=64,
    working_set_mib=40,
    disks=(LOCAL, GuestDisk("vm1s.qcow2", DiskPlace.SHARED)),
    devices=(SECOND_CARD, CONSOLE, SERIAL),
    disk_write_ms=400,
)


def test_a_guest_finds_its_disks_bridge_and_console_where_they_are_called_otherwise(
    lab: Lab,
) -> None:
    async def test() -> None:
        make_otherwise(lab.hosts[1])
        try:
            async with a_move(lab, SPEC, DECLARED) as move:
                move.here.run("virsh", "-q", "desc", "vm1", "--config", "next boot")
                await undone(move)
                await moved(move)
        finally:
            lab.hosts[1].run("ip", "link", "set", "brother", "name", "brvm")
            lab.hosts[1].run("umount", "--lazy", "/run/elsewhere")

    run(test())


def make_otherwise(host: LabHost) -> None:
    """Another bridge, the shared folder mounted elsewhere, the local pool on another folder."""
    host.run("ip", "link", "set", "brvm", "name", "brother")
    host.run("mkdir", "-p", "/run/elsewhere", "/srv/local/pool")
    host.run("mount", "--bind", "/srv/shared", "/run/elsewhere")
    host.run("virsh", "-q", "pool-destroy", "local")
    host.run("virsh", "-q", "pool-undefine", "local")
    host.run("virsh", "-q", "pool-create-as", "local", "dir", "--target", "/srv/local/pool")


async def undone(move: Move) -> None:
    """A move that is stopped leaves the disk here alone and none there."""
    move.here.run("virsh", "-q", "migrate-setspeed", "vm1", "2")
    await move.prepare()
    call = await begin_copying(move, sent_mib=2)
    assert files_there(move) == ["vm1.qcow2"]
    await move.moving.abort()
    await expect_an_error(call)
    await move.roll_back()
    assert files_there(move) == []
    assert (move.here.local / LOCAL.name).exists()
    await move.moving.close()
    move.here.run("virsh", "-q", "migrate-setspeed", "vm1", "1000")


async def moved(move: Move) -> None:
    """The guest runs there, and both of its definitions say where everything is."""
    await move.prepare()
    outcome = await move.transfer_and_let_run()
    assert outcome.error == ""
    await move.finish()
    await move.wait_for_beat(move.there)
    move.assert_ran_once()
    assert files_there(move) == ["vm1.qcow2"]
    assert not (move.here.local / LOCAL.name).exists()
    live = move.there.run("virsh", "dumpxml", "vm1").stdout
    next_boot = move.there.run("virsh", "dumpxml", "--inactive", "vm1").stdout
    for text in (live, next_boot):
        for name in ("/srv/local/pool/vm1.qcow2", "/run/elsewhere/vm1s.qcow2", "brother"):
            assert name in text
        assert "10.98.0.2" in text
        assert "10.98.0.1'" not in text
    assert ("next boot" in live, "next boot" in next_boot) == (False, True)
    (guest,) = await move.destination.guests()
    assert [nic.network for nic in guest.nics] == ["lan", "lan"]
    assert [disk.path for disk in guest.disks] == [
        "/srv/local/pool/vm1.qcow2",
        "/run/elsewhere/vm1s.qcow2",
    ]


def files_there(move: Move) -> list[str]:
    """What stands in the destination's local pool."""
    return sorted(path.name for path in (move.there.local / "pool").iterdir())
