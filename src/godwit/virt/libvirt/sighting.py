"""From what libvirt and QEMU say of a guest at one end to the neutral words of `model.sighting`.

Pure: the driver reads, these functions name what was read. The evidence is a table of real fault
runs (`tests/unit/virt/libvirt/evidence_rows.py`); what cannot be told apart safely is named
UNREACHABLE, which makes the story ask again.
"""

from dataclasses import dataclass
from typing import Final

from godwit.model.instance import PowerState
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    GuestEnd,
    SourceSighting,
    SourceWord,
)
from godwit.virt.driver import SeenEnd, TransferEvidence
from godwit.virt.libvirt.abi import MIGRATION_OUT, Paused, Running, Shutoff, State

NEVER_RUNS_THERE: Final = frozenset({"cancelled", "failed"})
"""QEMU at the source gave the migration up: the destination's half can never become whole."""
SENT: Final = "completed"
NO_MIGRATION: Final = "none"
"""This QEMU has sent nothing (and whatever it once received is over)."""
BUSY: Final = frozenset(
    {"setup", "active", "device", "pre-switchover", "wait-unplug", "cancelling", "colo"}
)
POSTCOPY_GOES_ON: Final = frozenset(
    {"postcopy-active", "postcopy-recover", "postcopy-recover-setup", SENT}
)


ON_PURPOSE: Final = frozenset({Shutoff.SHUTDOWN, Shutoff.DESTROYED, Shutoff.SAVED})
NO_LONGER: Final = "it is no longer there"


@dataclass(frozen=True)
class Reading:
    """One look at a domain of a libvirtd that answered."""

    state: int
    reason: int
    persistent: bool = True
    job: int | None = 0
    """The operation of the running job, 0 if none runs, None if that could not be read."""
    qemu_status: str | None = None
    """`query-migrate`'s status (see `qemu_status`), None if that could not be read."""

    @property
    def account(self) -> str:
        """The reading in libvirt's words, for people."""
        text = state_name(self.state, self.reason)
        if self.job:
            text += f", job {self.job}"
        return text + (f", QEMU says {self.qemu_status}" if self.qemu_status else "")


def qemu_status(answer: dict[str, object]) -> str:
    """The status in a `query-migrate` answer, as far as it speaks of a migration out of here.

    A QEMU that was itself migrated in says `completed` and nothing else; one that has sent a guest
    away says how much.
    """
    status = str(answer.get("status", NO_MIGRATION))
    return NO_MIGRATION if status == SENT and "ram" not in answer else status


def source_sighting(
    reading: Reading | None, migrate_data: LibvirtLiveMigrateData, evidence: TransferEvidence
) -> SourceSighting:
    """The word for the source. `reading` is None where libvirtd answered: no such domain."""
    if reading is None:
        word = _source_absent(migrate_data, evidence)
        if word is not SourceWord.ENDED:
            return SourceSighting(word=word, seen="absent")
        # A persistent guest leaves no host unless somebody removes its definition; but that may
        # have been of one that had crashed.
        wanted = migrate_data.persistent and evidence.seen_to_end is not SeenEnd.CRASHED
        removed = GuestEnd(how=NO_LONGER, power_state=None, on_purpose=wanted)
        return SourceSighting(word=word, seen=NO_LONGER, end=removed)
    word = _source_word(reading, migrate_data, evidence)
    never_begun = word is SourceWord.KEPT and not _gave_up_this_time(reading, migrate_data)
    end = guest_end(reading) if word is SourceWord.ENDED else None
    seen = end.how if end is not None else reading.account
    return SourceSighting(word=word, seen=seen, never_begun=never_begun, end=end)


def destination_sighting(reading: Reading | None) -> DestinationSighting:
    """The word for the destination. `reading` is None where libvirtd answered: no such domain."""
    if reading is None:
        return DestinationSighting(word=DestinationWord.GONE, seen="absent")
    word = _destination_word(reading)
    end = guest_end(reading) if word is DestinationWord.OFF else None
    return DestinationSighting(word=word, seen=reading.account, end=end)


# --- the source ---


def _source_absent(migrate_data: LibvirtLiveMigrateData, evidence: TransferEvidence) -> SourceWord:
    if evidence.ended_by_us or evidence.stopped_as_migrated:
        return SourceWord.GONE
    if evidence.seen_to_end:
        return SourceWord.ENDED
    # libvirt forgets a persistent guest only after the destination has taken it over; a transient
    # one is forgotten by any end.
    return SourceWord.GONE if migrate_data.persistent and evidence.began else SourceWord.ENDED


def _source_word(
    reading: Reading, migrate_data: LibvirtLiveMigrateData, evidence: TransferEvidence
) -> SourceWord:
    match reading.state:
        case State.RUNNING | State.BLOCKED:
            return _as_before_or_taken_back(reading, migrate_data)
        case State.PAUSED:
            return _source_paused(reading, migrate_data)
        case State.SHUTOFF | State.CRASHED:
            left = reading.state == State.SHUTOFF and reading.reason == Shutoff.MIGRATED
            return SourceWord.GONE if left or evidence.ended_by_us else SourceWord.ENDED
        case _:
            return SourceWord.UNREACHABLE


def _source_paused(reading: Reading, migrate_data: LibvirtLiveMigrateData) -> SourceWord:
    match reading.reason:
        case Paused.POSTCOPY:
            return SourceWord.POSTCOPY
        case Paused.POSTCOPY_FAILED:
            goes_on = reading.qemu_status in POSTCOPY_GOES_ON
            return SourceWord.POSTCOPY if goes_on else SourceWord.POSTCOPY_BROKEN
        case Paused.MIGRATION:
            return _source_paused_by_migration(reading)
        case _ if migrate_data.was_paused:
            return _as_before_or_taken_back(reading, migrate_data)
        case _:
            # Paused meanwhile, by a person or an I/O error. That it was sent completely before
            # cannot be told from a guest that was taken back and then paused.
            word = _as_before_or_taken_back(reading, migrate_data)
            return SourceWord.UNREACHABLE if word is SourceWord.TOOK_BACK else word


def _source_paused_by_migration(reading: Reading) -> SourceWord:
    if reading.job is None or reading.qemu_status is None:
        return SourceWord.UNREACHABLE
    if reading.job == MIGRATION_OUT or reading.qemu_status in BUSY:
        return SourceWord.IN_WINDOW
    if reading.qemu_status == NO_MIGRATION:
        return SourceWord.UNREACHABLE
    return SourceWord.HANDED_OVER


def _as_before_or_taken_back(reading: Reading, migrate_data: LibvirtLiveMigrateData) -> SourceWord:
    """The word for a guest that is not paused by the migration."""
    if reading.job is None or reading.qemu_status is None:
        return SourceWord.UNREACHABLE
    if reading.job == MIGRATION_OUT or reading.qemu_status in BUSY:
        return SourceWord.COPYING
    if reading.state == State.RUNNING and _taken_back_by_libvirt(reading, migrate_data):
        return SourceWord.TOOK_BACK
    return _by_qemu_alone(reading, migrate_data)


def _by_qemu_alone(reading: Reading, migrate_data: LibvirtLiveMigrateData) -> SourceWord:
    """The word where libvirt shows the guest as if nothing had been."""
    if reading.qemu_status == migrate_data.qemu_status_before:
        # Nothing has happened, as far as QEMU knows; but behind another job our request may wait.
        return SourceWord.UNREACHABLE if reading.job else SourceWord.KEPT
    if reading.qemu_status in NEVER_RUNS_THERE:
        return SourceWord.KEPT
    return SourceWord.TOOK_BACK if reading.qemu_status == SENT else SourceWord.UNREACHABLE


def _taken_back_by_libvirt(reading: Reading, migrate_data: LibvirtLiveMigrateData) -> bool:
    """The reason says so, and is not left over from an older attempt."""
    now = (reading.state, reading.reason)
    return reading.reason == Running.MIGRATION_CANCELED and now != migrate_data.state_before


def _gave_up_this_time(reading: Reading, migrate_data: LibvirtLiveMigrateData) -> bool:
    """QEMU began this very migration and gave it up; not what an older one has left behind."""
    status = reading.qemu_status
    return status in NEVER_RUNS_THERE and status != migrate_data.qemu_status_before


# --- the destination ---


def _destination_word(reading: Reading) -> DestinationWord:
    match reading.state:
        case State.RUNNING | State.BLOCKED:
            return _RUNNING_THERE.get(reading.reason, DestinationWord.RUNS)
        case State.PAUSED:
            return _PAUSED_THERE.get(reading.reason, DestinationWord.UNREACHABLE)
        case State.SHUTOFF | State.CRASHED:
            return DestinationWord.OFF
        case _:
            return DestinationWord.UNREACHABLE


_RUNNING_THERE: Final[dict[int, DestinationWord]] = {
    Running.POSTCOPY: DestinationWord.POSTCOPY,
    Running.POSTCOPY_FAILED: DestinationWord.POSTCOPY_BROKEN,
}

_PAUSED_THERE: Final[dict[int, DestinationWord]] = {
    Paused.MIGRATION: DestinationWord.RECEIVING,
    Paused.STARTING_UP: DestinationWord.RECEIVING,
    Paused.USER: DestinationWord.READY,
    Paused.IOERROR: DestinationWord.RUNS,
    Paused.POSTCOPY: DestinationWord.POSTCOPY,
    Paused.POSTCOPY_FAILED: DestinationWord.POSTCOPY_BROKEN,
}


# --- names, for people ---


def guest_end(reading: Reading) -> GuestEnd:
    """How a guest that is shut off or has crashed came to its end."""
    shut_off = reading.state == State.SHUTOFF
    words = _ENDINGS.get(reading.reason, "") if shut_off else ""
    return GuestEnd(
        how=f"{words}: {reading.account}" if words else reading.account,
        power_state=PowerState.SHUTDOWN if shut_off else PowerState.CRASHED,
        on_purpose=shut_off and reading.reason in ON_PURPOSE,
    )


_ENDINGS: Final[dict[int, str]] = {
    Shutoff.SHUTDOWN: "it has shut itself down",
    Shutoff.DESTROYED: "somebody has destroyed it",
    Shutoff.CRASHED: "it has crashed",
    Shutoff.SAVED: "somebody has saved it to a file",
}


def state_name(state: int, reason: int) -> str:
    """Such as `PAUSED(USER)`: libvirt's names, with the number of a reason unknown here."""
    return f"{_name_of_state(state)}({_name_of_reason(state, reason)})"


def _name_of_state(state: int) -> str:
    return next((known.name for known in State if known == state), f"state {state}")


def _name_of_reason(state: int, reason: int) -> str:
    names: dict[int, type[Running | Paused | Shutoff]] = {
        State.RUNNING: Running,
        State.PAUSED: Paused,
        State.SHUTOFF: Shutoff,
    }
    known = names.get(state)
    return next((r.name for r in known or () if r == reason), str(reason))
