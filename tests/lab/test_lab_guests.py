"""What the lab's guests promise: they move like any guest, and what goes wrong with them shows."""

from __future__ import annotations

import pytest
from tests.lab.last_requests import last_requests

from godwit.lab.certificates import issue, lay_out_pki, make_authority
from godwit.lab.errors import LabCommandFailed
from godwit.lab.guest import (
    DiskPlace,
    GuestDisk,
    GuestSpec,
    create_disk,
    domain_state,
    set_dirty_rate,
    start_guest,
    type_line,
)
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.processes import wait_until

SHARED = GuestDisk("vm1.qcow2", DiskPlace.SHARED)
LOCAL = GuestDisk("vm1.qcow2", DiskPlace.LOCAL)
GAP_MAX_S = 10.0
"""A busy box lets any guest stand still for a second or two."""
LIMIT_S = 60.0


def migrate(source: LabHost, destination: LabHost, *options: str) -> None:
    """Move vm1 as an operator would, between libvirtds, encrypted."""
    moves = ["--live", "--p2p", "--tls", "--persistent", "--undefinesource"]
    source.run("virsh", "-q", "migrate", *moves, *options, "vm1", destination.peer_uri)


def is_copying(source: LabHost) -> bool:
    """Does vm1's QEMU at the source send memory right now?"""
    question = '{"execute": "query-migrate"}'
    answer = source.run("virsh", "-q", "qemu-monitor-command", "vm1", question).stdout
    return '"status":"active"' in answer


@pytest.mark.parametrize(
    ("disks", "options"),
    [((), ()), ((SHARED,), ("--unsafe",)), ((LOCAL,), ("--copy-storage-all",))],
    ids=["no disk", "shared disk", "local disk"],
)
def test_a_guest_moves_over_tls_and_loses_nothing(
    lab: Lab, disks: tuple[GuestDisk, ...], options: tuple[str, ...]
) -> None:
    source, destination, _ = lab.hosts[:3]
    for disk in disks:
        create_disk(source, disk)
        if disk.place is DiskPlace.LOCAL:
            create_disk(destination, disk)
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(source, GuestSpec("vm1", dirty_pages_per_s=500, disks=disks))
        heartbeats.wait("vm1", source.name)
        migrate(source, destination, *options)
        beat = heartbeats.wait("vm1", destination.name)
        assert heartbeats.check_ran_once("vm1") == []
        assert heartbeats.hosts_of("vm1") == [source.name, destination.name]
        assert heartbeats.longest_gap_s("vm1") < GAP_MAX_S
    assert (beat.dirtied_pages > 0, beat.disk_writes > 0) == (True, bool(disks))
    assert domain_state(source, "vm1") == "absent"
    assert domain_state(destination, "vm1") == "running (migrated)"


def test_memory_is_not_sent_to_a_host_with_a_strangers_certificate(lab: Lab) -> None:
    source, destination, _ = lab.hosts[:3]
    folder = destination.layout.folder
    issue(make_authority(folder / "bad-authority"), folder / "bad", name="host-b", alternatives=[])
    lay_out_pki(folder / "bad", folder / "bad-pki")
    start_guest(source, GuestSpec("vm1"))
    destination.run("mkdir", "/run/good")
    destination.run("cp", "-a", "/etc/pki/qemu", "/run/good/")
    try:
        for file in sorted((folder / "bad-pki/qemu").iterdir()):
            (folder / "etc/pki/qemu" / file.name).write_bytes(file.read_bytes())
        with pytest.raises(LabCommandFailed, match="certificate"):
            migrate(source, destination)
    finally:
        destination.run("cp", "-a", "/run/good/qemu", "/etc/pki/")
    assert domain_state(source, "vm1").startswith("running")
    assert domain_state(destination, "vm1") == "absent"


def test_a_guest_writes_memory_as_fast_as_it_is_told_to(lab: Lab) -> None:
    host = lab.hosts[0]
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(host, GuestSpec("vm1"))
        assert heartbeats.wait("vm1").dirtied_pages == 0
        set_dirty_rate(host, "vm1", 5000)
        wait_until(
            lambda: heartbeats.wait("vm1").dirtied_pages > 0, what="vm1 to write", timeout_s=LIMIT_S
        )
        first = heartbeats.wait("vm1")
        wait_until(
            lambda: heartbeats.wait("vm1").sequence >= first.sequence + 25,
            what="vm1 to write for half a second of its own",
            timeout_s=LIMIT_S,
        )
        last = heartbeats.wait("vm1")
    # By the guest's own clock: on a busy box it stands behind ours.
    passed_s = (last.sequence - first.sequence) * GuestSpec("vm1").heartbeat_ms / 1000
    assert 4000 < (last.dirtied_pages - first.dirtied_pages) / passed_s < 6000


def test_a_guest_obeys_in_the_middle_of_its_migration(lab: Lab) -> None:
    source, destination, _ = lab.hosts[:3]
    source.slow("migration", "20mbit")
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(source, GuestSpec("vm1", dirty_pages_per_s=10000))
        heartbeats.wait("vm1", source.name)
        source.run(
            "sh",
            "-c",
            "virsh -q migrate --live --p2p --tls --persistent --undefinesource vm1 "
            f"{destination.peer_uri} >/dev/null 2>&1 </dev/null &",
        )
        wait_until(lambda: is_copying(source), what="the copy", timeout_s=LIMIT_S)
        set_dirty_rate(source, "vm1", 0)
        source.slow("migration", None)
        heartbeats.wait("vm1", destination.name)
        assert heartbeats.check_ran_once("vm1") == []


def test_a_guest_switches_off_when_its_power_button_is_pressed(lab: Lab) -> None:
    host = lab.hosts[0]
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(host, GuestSpec("vm1"))
        heartbeats.wait("vm1")
    host.run("virsh", "-q", "shutdown", "vm1", "--mode", "acpi")
    wait_until(
        lambda: domain_state(host, "vm1") == "shut off (shutdown)",
        what="vm1 to switch off",
        timeout_s=LIMIT_S,
    )


def test_a_disk_that_changed_behind_a_guests_back_shows_in_its_heartbeat(lab: Lab) -> None:
    host = lab.hosts[0]
    disk = GuestDisk("vm1.raw", DiskPlace.LOCAL, size_mib=4, format="raw")
    create_disk(host, disk)
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(host, GuestSpec("vm1", disks=(disk,), disk_write_ms=8))
        wait_until(
            lambda: heartbeats.wait("vm1").disk_writes > 20, what="some writes", timeout_s=LIMIT_S
        )
        with (host.local / disk.name).open("r+b") as file:
            file.seek(64 * 512)
            file.write(bytes(512 * 16))
        wait_until(
            lambda: not heartbeats.wait("vm1").is_well, what="vm1 to notice", timeout_s=LIMIT_S
        )
        assert any("BAD" in problem for problem in heartbeats.check_ran_once("vm1"))


def test_a_guest_that_began_anew_did_not_run_throughout(lab: Lab) -> None:
    host = lab.hosts[0]
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(host, GuestSpec("vm1"))
        wait_until(lambda: heartbeats.wait("vm1").sequence > 5, what="beats", timeout_s=LIMIT_S)
        type_line(host, "vm1", "b")
        wait_until(
            lambda: any("went back" in each for each in heartbeats.check_ran_once("vm1")),
            what="the reset to show",
            timeout_s=LIMIT_S,
        )


def test_the_heartbeats_show_a_guest_that_libvirt_runs_on_two_hosts(lab: Lab) -> None:
    """libvirt's own migration doubles a guest when the destination's last answer is lost."""
    source, destination, _ = lab.hosts[:3]
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(source, GuestSpec("vm1", memory_mib=32, dirty_pages_per_s=3000))
        heartbeats.wait("vm1", source.name)
        source.run(
            "sh",
            "-c",
            "virsh -q migrate --live --p2p --bandwidth 2 --persistent --undefinesource vm1 "
            f"{destination.peer_uri} >/dev/null 2>&1 </dev/null &",
        )
        wait_until(lambda: is_copying(source), what="the copy", timeout_s=LIMIT_S)
        destination.freeze_libvirtd()
        # The rest is sent at once: the source must be done before it misses the frozen one (5 s).
        source.run("virsh", "-q", "migrate-setspeed", "vm1", "2000")
        wait_until(
            lambda: last_requests(source, destination) == 1,
            what="the source to have sent all",
            timeout_s=4.5,
        )
        destination.cut("management", silent=True)
        destination.thaw_libvirtd()
        heartbeats.wait("vm1", destination.name)
        heartbeats.wait("vm1", source.name)
        wait_until(
            lambda: any(
                "the same beat twice" in each or "went back" in each
                for each in heartbeats.check_ran_once("vm1")
            ),
            what="both to show",
            timeout_s=LIMIT_S,
        )
