"""The evidence as data: every row was read from real libvirt hosts in a fault run, and says which
word each end must be given. Used by the sighting tests here and by those of the verdict table.
"""

from dataclasses import dataclass, field

from msgspec.structs import replace

from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.virt.driver import SeenEnd, TransferEvidence
from godwit.virt.libvirt.abi import MIGRATION_OUT, Paused, Running, Shutoff, State
from godwit.virt.libvirt.sighting import Reading

S, D = SourceWord, DestinationWord


@dataclass(frozen=True)
class NoAnswer:
    """That libvirtd did not answer."""


@dataclass(frozen=True)
class Absent:
    """That libvirtd answered: there is no such domain."""


Seen = Reading | Absent | NoAnswer
NO_ANSWER = NoAnswer()
ABSENT = Absent()
AS_RUNNING = LibvirtLiveMigrateData(
    state_before=(State.RUNNING, Running.BOOTED), qemu_status_before="none"
)
AS_PAUSED = LibvirtLiveMigrateData(
    state_before=(State.PAUSED, Paused.USER), was_paused=True, qemu_status_before="none"
)
BEGAN = TransferEvidence(began=True)


@dataclass(frozen=True)
class Row:
    """One row: its number, what was read at both ends, and the words for it."""

    number: str
    source: Seen
    destination: Seen
    source_word: SourceWord
    destination_word: DestinationWord
    note: str = ""
    migrate_data: LibvirtLiveMigrateData = AS_RUNNING
    evidence: TransferEvidence = field(default=BEGAN)

    @property
    def guard(self) -> Guard:
        """What keeps the guest from running twice in this row."""
        return self.migrate_data.guard


def running(reason: int = Running.BOOTED, *, job: int = 0, qemu: str = "none") -> Reading:
    """A domain that runs."""
    return Reading(State.RUNNING, reason, job=job, qemu_status=qemu)


def paused(reason: int, *, job: int = 0, qemu: str = "none") -> Reading:
    """A domain that is paused."""
    return Reading(State.PAUSED, reason, job=job, qemu_status=qemu)


def shut_off(reason: int) -> Reading:
    """A domain that is defined and shut off."""
    return Reading(State.SHUTOFF, reason)


def there(state: int, reason: int) -> Reading:
    """A domain at the destination, of which neither job nor QEMU's status is read."""
    return Reading(state, reason, job=None)


HALF = there(State.PAUSED, Paused.MIGRATION)
WAITS = there(State.PAUSED, Paused.USER)
RUNS_THERE = there(State.RUNNING, Running.MIGRATED)
HANDED_OVER = paused(Paused.MIGRATION, qemu="completed")
CANCELED = running(Running.MIGRATION_CANCELED, qemu="completed")
RESUMED_BY_HAND = running(Running.UNPAUSED, qemu="completed")
KEPT_PAUSED = paused(Paused.USER, qemu="cancelled")
TRANSIENT = LibvirtLiveMigrateData(
    state_before=(State.RUNNING, Running.BOOTED), qemu_status_before="none", persistent=False
)
STOPPED_AS_MIGRATED = TransferEvidence(began=True, stopped_as_migrated=True)


def under(guard: Guard) -> LibvirtLiveMigrateData:
    """A running guest whose move is not guarded by the flag PAUSED."""
    return replace(AS_RUNNING, guard=guard)


ROWS: tuple[Row, ...] = (
    Row("1", running(job=MIGRATION_OUT, qemu="active"), HALF, S.COPYING, D.RECEIVING),
    Row("1", running(job=MIGRATION_OUT), ABSENT, S.COPYING, D.GONE, "libvirt prepares"),
    Row(
        "1",
        running(job=MIGRATION_OUT),
        there(State.PAUSED, Paused.STARTING_UP),
        S.COPYING,
        D.RECEIVING,
        "the other QEMU starts",
    ),
    Row("2", running(qemu="cancelled"), ABSENT, S.KEPT, D.GONE),
    Row("2", running(qemu="failed"), HALF, S.KEPT, D.RECEIVING),
    Row("2", running(qemu="cancelled"), NO_ANSWER, S.KEPT, D.UNREACHABLE),
    Row("2", running(), ABSENT, S.KEPT, D.GONE, "never begun"),
    Row("3", ABSENT, RUNS_THERE, S.GONE, D.RUNS),
    Row("3", shut_off(Shutoff.MIGRATED), RUNS_THERE, S.GONE, D.RUNS),
    Row("3", shut_off(Shutoff.MIGRATED), there(State.RUNNING, Running.UNPAUSED), S.GONE, D.RUNS),
    Row(
        "3",
        shut_off(Shutoff.MIGRATED),
        there(State.PAUSED, Paused.IOERROR),
        S.GONE,
        D.RUNS,
        "it ran there until its disk failed",
    ),
    Row("4", ABSENT, WAITS, S.GONE, D.READY),
    Row("4", shut_off(Shutoff.MIGRATED), WAITS, S.GONE, D.READY),
    Row("4", ABSENT, WAITS, S.ENDED, D.READY, "transient, without record", TRANSIENT),
    Row(
        "4",
        ABSENT,
        WAITS,
        S.GONE,
        D.READY,
        "transient, seen to leave",
        TRANSIENT,
        STOPPED_AS_MIGRATED,
    ),
    Row("4", shut_off(Shutoff.UNKNOWN), WAITS, S.ENDED, D.READY, "the source has booted since"),
    Row("4", ABSENT, WAITS, S.GONE, D.READY, "its operator had paused it", AS_PAUSED),
    Row(
        "5",
        paused(Paused.MIGRATION, job=MIGRATION_OUT, qemu="completed"),
        HALF,
        S.IN_WINDOW,
        D.RECEIVING,
    ),
    Row(
        "5",
        paused(Paused.MIGRATION, job=MIGRATION_OUT, qemu="device"),
        NO_ANSWER,
        S.IN_WINDOW,
        D.UNREACHABLE,
    ),
    Row("6", HANDED_OVER, RUNS_THERE, S.HANDED_OVER, D.RUNS),
    Row("6b", HANDED_OVER, WAITS, S.HANDED_OVER, D.READY),
    Row("7", HANDED_OVER, ABSENT, S.HANDED_OVER, D.GONE),
    Row("8", HANDED_OVER, NO_ANSWER, S.HANDED_OVER, D.UNREACHABLE),
    Row("9", HANDED_OVER, HALF, S.HANDED_OVER, D.RECEIVING),
    Row("10", CANCELED, ABSENT, S.TOOK_BACK, D.GONE),
    Row("10", CANCELED, shut_off(Shutoff.FAILED), S.TOOK_BACK, D.OFF),
    Row("10", RESUMED_BY_HAND, ABSENT, S.TOOK_BACK, D.GONE, "QEMU: completed, and it runs"),
    Row("11", CANCELED, RUNS_THERE, S.TOOK_BACK, D.RUNS),
    Row("12", CANCELED, WAITS, S.TOOK_BACK, D.READY),
    Row("13", CANCELED, NO_ANSWER, S.TOOK_BACK, D.UNREACHABLE),
    Row("14", shut_off(Shutoff.CRASHED), ABSENT, S.ENDED, D.GONE),
    Row("14", shut_off(Shutoff.SHUTDOWN), ABSENT, S.ENDED, D.GONE),
    Row("14", shut_off(Shutoff.DESTROYED), ABSENT, S.ENDED, D.GONE),
    Row(
        "14",
        ABSENT,
        ABSENT,
        S.ENDED,
        D.GONE,
        "persistent, destroyed and undefined",
        evidence=TransferEvidence(began=True, seen_to_end=SeenEnd.WANTED),
    ),
    Row(
        "14",
        ABSENT,
        ABSENT,
        S.ENDED,
        D.GONE,
        "persistent, crashed and undefined",
        evidence=TransferEvidence(began=True, seen_to_end=SeenEnd.CRASHED),
    ),
    Row(
        "3",
        ABSENT,
        RUNS_THERE,
        S.GONE,
        D.RUNS,
        "seen to leave goes before seen to end",
        evidence=TransferEvidence(began=True, stopped_as_migrated=True, seen_to_end=SeenEnd.WANTED),
    ),
    Row("15", NO_ANSWER, ABSENT, S.UNREACHABLE, D.GONE),
    Row("16", NO_ANSWER, HALF, S.UNREACHABLE, D.RECEIVING),
    Row("17", NO_ANSWER, RUNS_THERE, S.UNREACHABLE, D.RUNS),
    Row(
        "18",
        paused(Paused.POSTCOPY, job=MIGRATION_OUT, qemu="postcopy-active"),
        there(State.RUNNING, Running.POSTCOPY),
        S.POSTCOPY,
        D.POSTCOPY,
    ),
    Row(
        "19",
        paused(Paused.POSTCOPY_FAILED, qemu="postcopy-active"),
        there(State.RUNNING, Running.POSTCOPY),
        S.POSTCOPY,
        D.POSTCOPY,
    ),
    Row(
        "20",
        paused(Paused.POSTCOPY_FAILED, qemu="postcopy-paused"),
        there(State.RUNNING, Running.POSTCOPY_FAILED),
        S.POSTCOPY_BROKEN,
        D.POSTCOPY_BROKEN,
    ),
    Row(
        "20",
        paused(Paused.POSTCOPY_FAILED, job=MIGRATION_OUT, qemu="postcopy-paused"),
        there(State.RUNNING, Running.POSTCOPY),
        S.POSTCOPY_BROKEN,
        D.POSTCOPY,
        "the destination has not noticed",
    ),
    Row(
        "19",
        paused(Paused.POSTCOPY_FAILED, qemu="postcopy-recover"),
        there(State.RUNNING, Running.POSTCOPY),
        S.POSTCOPY,
        D.POSTCOPY,
        "resumed, although the call said it failed",
    ),
    Row(
        "21",
        paused(Paused.POSTCOPY_FAILED, qemu="postcopy-paused"),
        shut_off(Shutoff.CRASHED),
        S.POSTCOPY_BROKEN,
        D.OFF,
    ),
    Row(
        "21",
        paused(Paused.POSTCOPY_FAILED, qemu="postcopy-paused"),
        ABSENT,
        S.POSTCOPY_BROKEN,
        D.GONE,
    ),
    Row(
        "22",
        shut_off(Shutoff.CRASHED),
        there(State.RUNNING, Running.POSTCOPY_FAILED),
        S.ENDED,
        D.POSTCOPY_BROKEN,
    ),
    Row("23", ABSENT, ABSENT, S.GONE, D.GONE, "persistent: forgotten after the switch"),
    Row("23", ABSENT, ABSENT, S.ENDED, D.GONE, "transient: any end forgets it", TRANSIENT),
    Row(
        "1 paused",
        paused(Paused.USER, job=MIGRATION_OUT, qemu="active"),
        HALF,
        S.COPYING,
        D.RECEIVING,
        migrate_data=AS_PAUSED,
    ),
    *(
        row
        for guard in (Guard.LOCKS, Guard.POSTCOPY)
        for row in (
            Row("3", ABSENT, RUNS_THERE, S.GONE, D.RUNS, guard, under(guard)),
            Row("6", HANDED_OVER, RUNS_THERE, S.HANDED_OVER, D.RUNS, guard, under(guard)),
            Row("7 no flag", HANDED_OVER, ABSENT, S.HANDED_OVER, D.GONE, guard, under(guard)),
            Row("9 no flag", HANDED_OVER, HALF, S.HANDED_OVER, D.RECEIVING, guard, under(guard)),
            Row("11", CANCELED, RUNS_THERE, S.TOOK_BACK, D.RUNS, guard, under(guard)),
            Row("13 no flag", CANCELED, NO_ANSWER, S.TOOK_BACK, D.UNREACHABLE, guard, under(guard)),
        )
    ),
    Row("2 paused", KEPT_PAUSED, ABSENT, S.KEPT, D.GONE, migrate_data=AS_PAUSED),
    Row("2 paused", KEPT_PAUSED, NO_ANSWER, S.KEPT, D.UNREACHABLE, migrate_data=AS_PAUSED),
    Row(
        "10 paused",
        paused(Paused.USER, qemu="completed"),
        ABSENT,
        S.TOOK_BACK,
        D.GONE,
        migrate_data=AS_PAUSED,
    ),
)
