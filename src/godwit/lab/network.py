"""The lab's three switches and the cables from them to the hosts: plugged in, cut, slowed.

The switches are bridges in the sandbox's own network namespace; each host's end of a cable is in
the host's namespace. Called by `lab` (switches), `boot` and `host` (cables). The texts for `ip
-batch` are pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from godwit.lab.errors import LabUsageError
from godwit.lab.layout import CONTROL_PLANE_ADDRESS, HostLayout, Network
from godwit.lab.processes import run, wait_until

RATE_PATTERN: Final = re.compile(r"[1-9][0-9]*(kbit|mbit|gbit)")
PORT_DISABLED: Final = "0"
PORT_FORWARDING: Final = "3"
PORT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class CableState:
    """How a cable is: whole or cut (in either way), and its limit, if it has one."""

    is_cut: bool
    limit_bytes_per_s: int | None


class _Port(msgspec.Struct):
    """A line of `bridge -json link show`."""

    ifname: str
    state: str = "disabled"


class _Queue(msgspec.Struct):
    """A line of `tc -json qdisc show`."""

    dev: str
    kind: str
    options: dict[str, object] = {}


def make_switches() -> None:
    """Make the three switches; the control plane gets an address on the management one alone."""
    run(["ip", "-batch", "-"], stdin_text=switches_batch())


def plug_in(host: HostLayout, init_pid: int) -> None:
    """Connect a host that was just switched on to all networks, at full speed."""
    # A host that died without `power_off` leaves its cables to the kernel, which takes its time.
    unplug(host)
    run(["ip", "-batch", "-"], stdin_text=cables_batch(host, init_pid))
    run([*_inside(init_pid), "ip", "-batch", "-"], stdin_text=host_batch(host))


def unplug(host: HostLayout) -> None:
    """Pull all cables of a host out at once; those already gone are no error."""
    deletions = "".join(f"link delete {host.switch_port(network)}\n" for network in Network)
    run(["ip", "-force", "-batch", "-"], stdin_text=deletions, check=False)


def cut(host: HostLayout, network: Network, *, silent: bool) -> None:
    """Stop all traffic: with loss of carrier at both ends or, silent, as a black hole."""
    if silent:
        _set_port_state(host, network, PORT_DISABLED)
    else:
        run(["ip", "link", "set", host.switch_port(network), "down"])


def uncut(host: HostLayout, network: Network) -> None:
    """Undo both kinds of cut; harmless if there was none."""
    run(["ip", "link", "set", host.switch_port(network), "up"])
    # In this order: a port that is down has no state to set, and coming up does not clear
    # "disabled".
    _set_port_state(host, network, PORT_FORWARDING)


def slow(host: HostLayout, init_pid: int, network: Network, rate: str | None) -> None:
    """Limit a cable in both directions to `rate` (such as "50mbit"), or take the limit away."""
    check_rate(rate)
    host_end = [*_inside(init_pid), "tc", "qdisc"]
    for traffic_control, device in (
        (host_end, network.device),
        (["tc", "qdisc"], host.switch_port(network)),
    ):
        run([*traffic_control, "del", "dev", device, "root"], check=False)
        if rate is not None:
            bucket = ["tbf", "rate", rate, "burst", "64k", "latency", "100ms"]
            run([*traffic_control, "add", "dev", device, "root", *bucket])


def check_rate(rate: str | None) -> None:
    """Raise LabUsageError unless this is a rate as tc writes it."""
    if rate is not None and not RATE_PATTERN.fullmatch(rate):
        remedy = "write a number and kbit, mbit or gbit, such as 50mbit, or off"
        raise LabUsageError(f"{rate!r} is not a rate", remedy=remedy)


def read_cables(hosts: Sequence[HostLayout]) -> Mapping[tuple[str, Network], CableState]:
    """The cables of all these hosts that are on, by host name and network."""
    ports = run(["bridge", "-json", "link", "show"]).stdout
    queues = run(["tc", "-json", "qdisc", "show"]).stdout
    return cable_states(hosts, ports, queues)


def cable_states(
    hosts: Sequence[HostLayout], ports_json: str, queues_json: str
) -> dict[tuple[str, Network], CableState]:
    """What the answers of bridge(8) and tc(8) say about the cables of these hosts. Pure."""
    ports = {
        port.ifname: port for port in msgspec.json.decode(ports_json or "[]", type=list[_Port])
    }
    queues = msgspec.json.decode(queues_json or "[]", type=list[_Queue])
    limits = {queue.dev: queue.options.get("rate") for queue in queues if queue.kind == "tbf"}
    states = {}
    for host in hosts:
        for network in Network:
            port = ports.get(host.switch_port(network))
            limit = limits.get(host.switch_port(network))
            if port is not None:
                limit_bytes_per_s = limit if isinstance(limit, int) else None
                is_cut = port.state != "forwarding"
                states[host.name, network] = CableState(is_cut, limit_bytes_per_s)
    return states


def switches_batch() -> str:
    """What `ip -batch` does to make the switches. Pure."""
    lines = ["link set lo up"]
    for network in Network:
        lines += [f"link add {network.bridge} type bridge", f"link set {network.bridge} up"]
    lines.append(f"address add {CONTROL_PLANE_ADDRESS}/24 dev {Network.MANAGEMENT.bridge}")
    return "\n".join(lines) + "\n"


def cables_batch(host: HostLayout, init_pid: int) -> str:
    """What `ip -batch` does in the sandbox to run three cables to the host. Pure."""
    lines = []
    for network in Network:
        port = host.switch_port(network)
        card = f"name {network.device} address {host.mac_address(network)} netns {init_pid}"
        lines.append(f"link add {port} type veth peer {card}")
        lines.append(f"link set {port} master {network.bridge} up")
    return "\n".join(lines) + "\n"


def host_batch(host: HostLayout) -> str:
    """What `ip -batch` does inside the host: addresses, and the bridge its guests use. Pure."""
    guests = Network.GUESTS.device
    lines = [
        "link set lo up",
        f"address add {host.management_address}/24 dev {Network.MANAGEMENT.device}",
        f"address add {host.migration_address}/24 dev {Network.MIGRATION.device}",
        "link add brvm type bridge",
        f"link set {guests} master brvm",
        "link set brvm up",
        *(f"link set {network.device} up" for network in Network),
    ]
    return "\n".join(lines) + "\n"


def _inside(init_pid: int) -> list[str]:
    return ["nsenter", "-t", str(init_pid), "-n"]


def _set_port_state(host: HostLayout, network: Network, state: str) -> None:
    """A port that has just come up has no state to set yet: the kernel tells the switch of it a
    moment later.
    """
    port = host.switch_port(network)
    command = ["bridge", "link", "set", "dev", port, "state", state]
    wait_until(
        lambda: run(command, check=False).returncode == 0,
        what=f"{port} to take the state {state}",
        timeout_s=PORT_TIMEOUT_S,
    )
