"""The words of the table of kills: who is hit, when, by what, and what must be so then. Pure.

A `Cell` is one run on real hosts. Its acts are data: `play` does them, at those moments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Target(StrEnum):
    """What can be hit: a process, a cable, or the power of a host."""

    API = "api"
    CONDUCTOR = "conductor"
    """The one that tells the story; there is another."""
    CONDUCTORS = "conductors"
    AGENT_SOURCE = "agent-source"
    AGENT_DESTINATION = "agent-destination"
    TRANSFER = "transfer"
    LIBVIRTD_SOURCE = "libvirtd-source"
    LIBVIRTD_DESTINATION = "libvirtd-destination"
    QEMU_SOURCE = "qemu-source"
    QEMU_DESTINATION = "qemu-destination"
    NATS = "nats"
    POSTGRES = "postgres"
    HOST_SOURCE = "host-source"
    HOST_DESTINATION = "host-destination"
    MANAGEMENT_SOURCE = "management-source"
    MANAGEMENT_DESTINATION = "management-destination"
    MIGRATION_SOURCE = "migration-source"
    MIGRATION_DESTINATION = "migration-destination"


class Moment(StrEnum):
    """How far the move is when it is hit; `moments` holds each open and proves it."""

    CHECKING = "checking"
    PREPARING = "preparing"
    COPYING = "copying"
    SWITCHING = "switching"
    """All memory is sent, the source stands still, the destination has not answered."""
    SWITCHED = "switched"
    """The guest beats at the destination, and the story does not know it."""
    CLEANING = "cleaning"
    """The guest is permanent at the destination, and the source is asked to forget it."""
    POST_COPY = "post-copy"
    """The guest runs at the destination, and its memory follows."""


class Fault(StrEnum):
    """What is done to a process of the matrix."""

    KILL_0 = "kill-0"
    KILL_20 = "kill-20"
    FREEZE_20 = "freeze-20"
    CUT_5 = "cut-5"
    CUT_60 = "cut-60"


class Verb(StrEnum):
    """One act."""

    KILL = "kill"
    END = "end"
    """SIGTERM."""
    START = "start"
    FREEZE = "freeze"
    THAW = "thaw"
    CUT = "cut"
    UNCUT = "uncut"
    ABORT = "abort"
    RELEASE = "release"
    """What held the moment open lets go; not what the cell itself has frozen or cut."""


class Kind(StrEnum):
    """Which guest."""

    PLAIN = "plain"
    SHARED = "shared disk"
    LOCAL = "local disk"
    POST_COPY = "post-copy permitted"


class Place(StrEnum):
    """Where the guest runs in the end, and what the story says of it."""

    THERE = "there"
    """At the destination; `completed`."""
    HERE = "here"
    """At the source; `failed` or `cancelled`."""
    ENDED = "ended"
    """The fault has ended the guest itself; the story is over and says so."""
    PERSON = "person"
    """It cannot be told, or half of the guest is gone: a person is asked, nothing is done."""


@dataclass(frozen=True)
class Act:
    """What is done, to what, how long after the act before it."""

    verb: Verb
    on: Target | None = None
    after_s: float = 0.0


@dataclass(frozen=True)
class Expected:
    """The end states that are right, and how long the guest may be silent."""

    places: frozenset[Place]
    gap_max_s: float | None = None
    """None: as long as in the undisturbed move that follows, and half a second more."""


@dataclass(frozen=True)
class Cell:
    """One run."""

    name: str
    moment: Moment
    acts: tuple[Act, ...]
    expected: Expected
    kind: Kind = Kind.PLAIN
    facts: tuple[str, ...] = field(default=())
    """The rows of the evidence on libvirt that this is."""

    @property
    def takes_over(self) -> bool:
        """Is another conductor to go on while the first one is away?"""
        return any(
            act.on is Target.CONDUCTOR and act.verb in (Verb.KILL, Verb.FREEZE) for act in self.acts
        ) and any(act.after_s >= LONG_S for act in self.acts)


LONG_S: Final = 20.0


def acts_of(target: Target, fault: Fault) -> tuple[Act, ...]:
    """What a fault of the matrix is, act by act."""
    release = Act(Verb.RELEASE)
    match fault:
        case Fault.KILL_0:
            return (Act(Verb.KILL, target), Act(Verb.START, target), release)
        case Fault.KILL_20:
            return (Act(Verb.KILL, target), release, Act(Verb.START, target, LONG_S))
        case Fault.FREEZE_20:
            return (Act(Verb.FREEZE, target), release, Act(Verb.THAW, target, LONG_S))
        case Fault.CUT_5 | Fault.CUT_60:
            away_s = 5.0 if fault is Fault.CUT_5 else 60.0
            cable = CABLE_OF.get(target, target)
            return (Act(Verb.CUT, cable), release, Act(Verb.UNCUT, cable, away_s))


CABLE_OF: Final = {
    Target.AGENT_SOURCE: Target.MANAGEMENT_SOURCE,
    Target.AGENT_DESTINATION: Target.MANAGEMENT_DESTINATION,
    Target.QEMU_DESTINATION: Target.MIGRATION_DESTINATION,
}
"""Which cable a process speaks through."""
