"""What the hosts of a lab are doing right now, for `godwit lab status`.

Looks only, and asks the kernel alone: a libvirtd that hangs cannot make it hang.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from godwit.lab.host import LabHost, guest_of
from godwit.lab.lab import Lab
from godwit.lab.layout import Network, Software
from godwit.lab.network import CableState, read_cables
from godwit.lab.processes import arguments_of, state_of


class LibvirtdState(StrEnum):
    """libvirtd as a process."""

    RUNNING = "running"
    FROZEN = "frozen"
    STOPPED = "stopped"


@dataclass(frozen=True)
class HostStatus:
    """One host; `guests` are those whose QEMU runs there, whatever libvirt thinks."""

    name: str
    is_on: bool
    libvirtd: LibvirtdState
    software: Software
    management_address: str
    migration_address: str
    cut: tuple[Network, ...]
    limits_bytes_per_s: Mapping[Network, int]
    guests: tuple[str, ...]
    uri: str


@dataclass(frozen=True)
class LabStatus:
    """One lab and all its hosts."""

    name: str
    base: str
    hosts: tuple[HostStatus, ...]


def read_status(lab: Lab) -> LabStatus:
    """Look at every host of the lab this process stands in."""
    cables = read_cables([host.layout for host in lab.hosts])
    return LabStatus(lab.name, str(lab.base), tuple(_read_host(host, cables) for host in lab.hosts))


def status_lines(status: LabStatus) -> list[str]:
    """The status as a table for people. Pure."""
    rows = [
        ("HOST", "POWER", "LIBVIRTD", "SOFTWARE", "MANAGEMENT", "MIGRATION", "NETWORKS", "GUESTS")
    ]
    rows += [
        (
            host.name,
            "on" if host.is_on else "off",
            host.libvirtd.value if host.is_on else "-",
            host.software.value,
            host.management_address,
            host.migration_address,
            _networks_in_words(host),
            ",".join(host.guests) or "-",
        )
        for host in status.hosts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _networks_in_words(host: HostStatus) -> str:
    if not host.is_on:
        return "-"
    words = [f"{network} cut" for network in host.cut]
    for network, limit in host.limits_bytes_per_s.items():
        words.append(f"{network} {limit * 8 / 1e6:g} Mbit/s")
    return ", ".join(words) or "whole"


def _read_host(host: LabHost, cables: Mapping[tuple[str, Network], CableState]) -> HostStatus:
    own = {
        network: cables[host.name, network] for network in Network if (host.name, network) in cables
    }
    return HostStatus(
        name=host.name,
        is_on=host.is_on,
        libvirtd=_libvirtd_state(host),
        software=host.software,
        management_address=host.management_address,
        migration_address=host.migration_address,
        cut=tuple(network for network, state in own.items() if state.is_cut),
        limits_bytes_per_s={
            network: state.limit_bytes_per_s
            for network, state in own.items()
            if state.limit_bytes_per_s is not None
        },
        guests=tuple(sorted(guest_of(arguments_of(pid)) or "?" for pid in host.qemu_pids())),
        uri=host.uri,
    )


def _libvirtd_state(host: LabHost) -> LibvirtdState:
    pid = host.libvirtd_pid
    if pid is None:
        return LibvirtdState.STOPPED
    return LibvirtdState.FROZEN if state_of(pid) == "T" else LibvirtdState.RUNNING
