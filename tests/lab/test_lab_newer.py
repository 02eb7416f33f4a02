"""Hosts of another version, and a guest with a network stack: only after `godwit lab fetch`."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from godwit.lab.errors import LabUsageError
from godwit.lab.guest import (
    DiskPlace,
    GuestDisk,
    GuestSpec,
    create_disk,
    domain_state,
    start_guest,
)
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import Network, Software
from godwit.lab.linux_guest import ECHO_PORT, start_linux_guest
from godwit.lab.processes import run

GUEST_ADDRESS = "10.98.2.10"
OWN_ADDRESS = "10.98.2.254/24"
MOVE = ["virsh", "-q", "migrate", "--live", "--p2p", "--tls", "--persistent", "--undefinesource"]


@pytest.fixture
def outside_address(lab: Lab) -> Iterator[None]:
    """An address for this test in the guests' network, where the control plane has none."""
    place = [OWN_ADDRESS, "dev", Network.GUESTS.bridge]
    run(["ip", "address", "add", *place])
    yield
    run(["ip", "address", "delete", *place])


def version(host: LabHost) -> str:
    """The QEMU of a host, as its libvirt reports it."""
    return host.run("virsh", "-q", "version").stdout.splitlines()[-1]


def test_a_guest_moves_to_a_newer_host_and_back(lab: Lab) -> None:
    older, newer = lab.hosts[:2]
    newer.change_software(Software.NEWER)
    assert version(older) != version(newer)
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(older, GuestSpec("vm1"))
        heartbeats.wait("vm1", older.name)
        for source, destination in ((older, newer), (newer, older)):
            source.run(*MOVE, "vm1", destination.peer_uri)
            heartbeats.wait("vm1", destination.name)
        assert heartbeats.check_ran_once("vm1") == []
    assert domain_state(newer, "vm1") == "absent"


def test_a_local_disk_is_copied_to_a_newer_host(lab: Lab) -> None:
    older, newer = lab.hosts[:2]
    newer.change_software(Software.NEWER)
    disk = GuestDisk("vm1.qcow2", DiskPlace.LOCAL)
    create_disk(older, disk)
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(older, GuestSpec("vm1", disks=(disk,)))
        heartbeats.wait("vm1", older.name)
        older.run(*MOVE, "--copy-storage-all", "vm1", newer.peer_uri)
        heartbeats.wait("vm1", newer.name)
        assert heartbeats.check_ran_once("vm1") == []


@pytest.mark.usefixtures("outside_address")
def test_a_connection_into_a_linux_guest_survives_its_migration(lab: Lab) -> None:
    source, destination = lab.hosts[:2]
    for host in (source, destination):
        host.change_software(Software.NEWER)
    with Heartbeats(lab, ["linux"]) as heartbeats:
        start_linux_guest(source, GuestSpec("linux"), address=f"{GUEST_ADDRESS}/24")
        heartbeats.wait("linux", source.name, timeout_s=120.0)
        with socket.create_connection((GUEST_ADDRESS, ECHO_PORT), timeout=30.0) as peer:
            peer.sendall(b"before")
            assert peer.recv(6) == b"before"
            source.run(*MOVE, "linux", destination.peer_uri, timeout_s=120.0)
            heartbeats.wait("linux", destination.name)
            peer.sendall(b"after")
            assert peer.recv(5) == b"after"
        assert heartbeats.check_ran_once("linux") == []


def test_a_linux_guest_is_not_started_where_a_migration_would_break_it(lab: Lab) -> None:
    with pytest.raises(LabUsageError, match="would break a Linux guest"):
        start_linux_guest(lab.hosts[0], GuestSpec("linux"), address=f"{GUEST_ADDRESS}/24")
