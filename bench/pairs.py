"""One guest, moved by Godwit and by virsh in turn: wall time and silence of each move."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.real_hosts import RealHosts
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.heartbeat import Heartbeats

ENDS = ("host-a", "host-b")
SETTLE_S = 0.4


def guest_of(name: str, disk: GuestDisk | None = None) -> GuestSpec:
    """A guest that writes a little, and is heard every 10 ms. Its disk is shared, or this one."""
    return GuestSpec(
        name,
        memory_mib=64,
        working_set_mib=32,
        dirty_pages_per_s=200,
        heartbeat_ms=10,
        disks=(disk or GuestDisk(f"{name}.qcow2", DiskPlace.SHARED),),
    )


@dataclass(frozen=True)
class Run:
    """One move."""

    wall_s: float
    gap_s: float


@dataclass(frozen=True)
class Pairs:
    """All moves; the n-th of both were made one after the other."""

    godwit: tuple[Run, ...]
    virsh: tuple[Run, ...]

    @property
    def wall_ratio(self) -> float:
        """The median of the ratios, pair by pair."""
        both = zip(self.godwit, self.virsh, strict=True)
        return median(ours.wall_s / theirs.wall_s for ours, theirs in both)

    @property
    def outage_ratio(self) -> float:
        """How much longer the guest is silent, median by median."""
        return gap_of(self.godwit) / gap_of(self.virsh)

    @property
    def outage_extra_ms(self) -> float:
        """How much longer the guest is silent, median against median."""
        return 1000 * (gap_of(self.godwit) - gap_of(self.virsh))


def gap_of(runs: tuple[Run, ...]) -> float:
    """The median of the longest silences."""
    return median(each.gap_s for each in runs)


def wall_of(runs: tuple[Run, ...]) -> float:
    """The median wall time."""
    return median(each.wall_s for each in runs)


def pairs_of(hosts: RealHosts, guest: GuestSpec, rounds: int) -> Pairs:
    """Both move the guest there and back, in turn; who goes first changes every time.

    There and back, because Godwit takes some 20 s to believe that somebody else has moved a guest.
    """
    godwit: list[Run] = []
    virsh: list[Run] = []
    with (
        Heartbeats(hosts.lab, [guest.name]) as beats,
        hosts.guests(ENDS[0], [guest], beats),
    ):
        for number in range(1 + rounds):
            both = [(godwit, hosts.godwit), (virsh, hosts.virsh)]
            for runs, move in both if number % 2 else reversed(both):
                for source, to in (ENDS, ENDS[::-1]):
                    runs.append(_measured(beats, partial(move, guest.name, source, to), guest, to))
    return Pairs(tuple(godwit[2:]), tuple(virsh[2:]))  # the first round warms both up


def _measured(beats: Heartbeats, move: Callable[[], float], guest: GuestSpec, to: str) -> Run:
    """One move, seen from outside."""
    time.sleep(SETTLE_S)
    began_s = time.monotonic() - SETTLE_S / 2
    wall_s = move()
    beats.wait(guest.name, to)
    return Run(wall_s, beats.longest_gap_s(guest.name, began_s))
