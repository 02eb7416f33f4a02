"""What cutting, blackening and slowing one network of a lab host does, and what it leaves alone."""

from __future__ import annotations

import subprocess

import pytest

from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import CONTROL_PLANE_ADDRESS, Network
from godwit.lab.network import read_cables
from godwit.lab.processes import run, wait_until

PATIENCE_S = 30.0
"""For an answer that must come, on a busy box."""
ABSENCE_S = 0.4
"""For one that must not come."""
TRIES = 20
CLOSED_PORT = 9
SENT_BYTES = 512 * 1024


def reaches(command: list[str], address: str, within_s: float = PATIENCE_S) -> bool:
    """Does anyone there answer, if only "connection refused"? `command` runs what follows it."""
    attempt = f"exec 3<>/dev/tcp/{address}/{CLOSED_PORT}"
    answer = run([*command, "timeout", str(within_s), "bash", "-c", attempt], check=False)
    return "refused" in answer.stderr


def carrier(host: LabHost, network: Network) -> str:
    """1 if the host's network card feels a cable."""
    return host.run("cat", f"/sys/class/net/{network.device}/carrier").stdout.strip()


def ways(lab: Lab, network: Network, within_s: float = PATIENCE_S) -> set[bool]:
    """Do the ways of this network between the first host and its peers work?"""
    first, second, _ = lab.hosts[:3]
    if network is Network.MIGRATION:
        return {reaches(first.inside(), second.migration_address, within_s)}
    return {
        reaches(first.inside(), second.management_address, within_s),
        reaches(first.inside(), CONTROL_PLANE_ADDRESS, within_s),
        reaches([], first.management_address, within_s),
    }


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("network", [Network.MANAGEMENT, Network.MIGRATION])
def test_a_cut_stops_one_network_both_ways_and_no_other(
    lab: Lab, network: Network, silent: bool
) -> None:
    host = lab.hosts[0]
    (other,) = {Network.MANAGEMENT, Network.MIGRATION} - {network}
    assert ways(lab, network) | ways(lab, other) == {True}
    host.cut(network, silent=silent)
    assert ways(lab, network, ABSENCE_S) == {False}
    assert ways(lab, other) == {True}
    host.uncut(network)
    # The peers ask again who has the address once a second.
    wait_until(lambda: ways(lab, network) == {True}, what="the way back", timeout_s=120.0)
    assert ways(lab, other) == {True}


@pytest.mark.parametrize("network", list(Network))
def test_only_a_cut_that_is_not_silent_is_felt_at_the_host(lab: Lab, network: Network) -> None:
    host = lab.hosts[0]
    host.cut(network, silent=True)
    assert carrier(host, network) == "1"
    host.uncut(network)
    host.cut(network)
    assert carrier(host, network) == "0"
    host.uncut(network)
    assert carrier(host, network) == "1"


def test_the_control_plane_has_no_way_into_the_migration_network(lab: Lab) -> None:
    assert not reaches([], lab.hosts[0].migration_address, ABSENCE_S)


def test_a_slowed_network_passes_no_more_than_its_rate_in_either_direction(lab: Lab) -> None:
    first, second, _ = lab.hosts[:3]
    first.slow(Network.MIGRATION, "8mbit")
    assert seconds_to_send(first, second) > 0.3
    assert seconds_to_send(second, first) > 0.3
    first.slow(Network.MIGRATION, None)
    assert any(seconds_to_send(first, second) < 0.2 for _ in range(TRIES))


def test_what_was_done_to_the_cables_can_be_read_back(lab: Lab) -> None:
    first, second, third = lab.hosts[:3]
    first.cut(Network.MANAGEMENT)
    second.cut(Network.GUESTS, silent=True)
    third.slow(Network.MIGRATION, "50mbit")
    cables = read_cables([host.layout for host in lab.hosts])
    cut = {place for place, state in cables.items() if state.is_cut}
    limited = {p: s.limit_bytes_per_s for p, s in cables.items() if s.limit_bytes_per_s is not None}
    assert cut == {("host-a", Network.MANAGEMENT), ("host-b", Network.GUESTS)}
    assert limited == {("host-c", Network.MIGRATION): 50_000_000 // 8}


def seconds_to_send(source: LabHost, destination: LabHost) -> float:
    """From connecting to the receiver's last byte."""
    receive = (
        "import socket,sys,time\n"
        "server=socket.create_server((sys.argv[1],5001))\n"
        "print('ready',flush=True)\n"
        "peer,_=server.accept();start=time.monotonic()\n"
        "while peer.recv(65536): pass\n"
        "print(time.monotonic()-start)\n"
    )
    send = f"head -c {SENT_BYTES} /dev/zero > /dev/tcp/{destination.migration_address}/5001"
    with subprocess.Popen(
        destination.inside("python3", "-c", receive, destination.migration_address),
        stdout=subprocess.PIPE,
        text=True,
    ) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        source.run("bash", "-c", send)
        return float(receiver.stdout.readline())
