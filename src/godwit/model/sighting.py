"""What was seen of a guest at one end, in neutral words. Drivers say them, `whereabouts` decides on
them.
"""

from enum import StrEnum

import msgspec

from godwit.model.instance import PowerState


class SourceWord(StrEnum):
    """The guest as seen at the source."""

    COPYING = "copying"
    """As before the start, and a migration job runs."""
    KEPT = "kept"
    """As before the start, no job, and the destination can never run."""
    TOOK_BACK = "took_back"
    """Runs again after the switch."""
    IN_WINDOW = "in_window"
    """Paused by the migration, its job alive."""
    HANDED_OVER = "handed_over"
    """Paused by the migration, the job gone, everything sent."""
    GONE = "gone"
    """Left for the destination: stopped as migrated, or ended by our own recorded act."""
    ENDED = "ended"
    """Shut off, crashed or absent for any other reason."""
    POSTCOPY = "postcopy"
    POSTCOPY_BROKEN = "postcopy_broken"
    UNREACHABLE = "unreachable"
    """No answer, or one that means nothing here."""


class DestinationWord(StrEnum):
    """The guest as seen at the destination."""

    RECEIVING = "receiving"
    """Half a guest, which has never run."""
    READY = "ready"
    """Whole, paused, waiting to be let run."""
    RUNS = "runs"
    """Runs, or was stopped by an I/O error: it has run."""
    OFF = "off"
    """Defined there, shut off or crashed."""
    POSTCOPY = "postcopy"
    POSTCOPY_BROKEN = "postcopy_broken"
    GONE = "gone"
    """The hypervisor answered: it is not there at all."""
    UNREACHABLE = "unreachable"
    """No answer, or one that means nothing here."""


class GuestEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a guest has ended at a host, as the hypervisor shows it. `how` is for people."""

    how: str
    power_state: PowerState | None
    """None: it is no longer there at all."""
    on_purpose: bool = False
    """Its owner, or the guest itself, has ended it."""


class SourceSighting(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the source. `seen` is the hypervisor's own account, for people."""

    word: SourceWord
    seen: str
    never_begun: bool = False
    """KEPT because no transfer was ever begun. Counts only when seen twice, 5 s apart: a hung
    hypervisor may still hold the request."""
    end: GuestEnd | None = None
    """Only of one that has ENDED."""


class DestinationSighting(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the destination. `seen` is the hypervisor's own account, for people."""

    word: DestinationWord
    seen: str
    end: GuestEnd | None = None
    """Only of one that is OFF."""
