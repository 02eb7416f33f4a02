"""What one simulated host holds of one guest. During a move there are two halves of it."""

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from godwit.model.instance import Guest, PowerState


class HalfState(StrEnum):
    """The states of libvirt that matter to a move, in plain words."""

    RUNNING = "running"
    PAUSED = "paused"
    """By its operator."""
    RECEIVING = "receiving"
    """At the destination: half a guest, which has never run."""
    ARRIVED = "arrived"
    """At the destination: whole, paused, waits to be let run."""
    HANDED_OVER = "handed over"
    """At the source: paused by the migration, everything sent."""
    POST_COPY = "in post-copy"
    """At the source: the guest runs at the destination, the rest of its memory is still here."""
    MIGRATED = "shut off, migrated"
    OFF = "shut off"


class CopyOutcome(StrEnum):
    """How the newest copy out of this half ended."""

    CANCELLED = "cancelled"
    FAILED = "failed"
    COMPLETED = "completed"


class Stream(StrEnum):
    """How the rest of a guest's memory follows it."""

    FLOWS = "the rest follows"
    BROKEN = "nothing follows"


WHOLE = frozenset(
    {
        HalfState.RUNNING,
        HalfState.PAUSED,
        HalfState.ARRIVED,
        HalfState.HANDED_OVER,
        HalfState.POST_COPY,
    }
)
"""The states that hold a guest's memory: without any such half, the guest is no more."""


@dataclass(frozen=True)
class Half:
    """One host's half. `beat` counts how often the guest's memory has begun to run on."""

    guest: Guest
    state: HalfState
    beat: int = 0
    job: bool = False
    """A copy out of this half is under way."""
    outcome: CopyOutcome | None = None
    took_back: bool = False
    """Resumed here after everything had been sent."""
    stream: Stream | None = None
    """In a post-copy, at both ends: this half needs the other."""

    def as_guest(self) -> Guest:
        """The guest as the host reports it."""
        changes = {
            "power_state": _POWER_STATES[self.state],
            "arriving": self.state in {HalfState.RECEIVING, HalfState.ARRIVED},
        }
        return replace(self.guest, **changes)


_POWER_STATES = {
    HalfState.RUNNING: PowerState.RUNNING,
    HalfState.PAUSED: PowerState.PAUSED,
    HalfState.RECEIVING: PowerState.PAUSED,
    HalfState.ARRIVED: PowerState.PAUSED,
    HalfState.HANDED_OVER: PowerState.PAUSED,
    HalfState.POST_COPY: PowerState.PAUSED,
    HalfState.MIGRATED: PowerState.SHUTDOWN,
    HalfState.OFF: PowerState.SHUTDOWN,
}
