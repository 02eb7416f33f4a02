"""What to do next in a running transfer: let it go on, or stop it. Pure.

The transfer process folds every sample into a `Course` and asks `next_action`.
"""

from dataclasses import dataclass

from godwit.model.migrate_data import Guard
from godwit.model.progress import Progress, TransferPhase


@dataclass(frozen=True)
class Limits:
    """What a transfer may do before it is stopped."""

    stall_timeout_s: float
    guard: Guard = Guard.PAUSED


@dataclass(frozen=True)
class Course:
    """The transfer so far: how much it has moved, and since when it has not moved more."""

    moved_bytes: int
    since_s: float
    phase: TransferPhase = TransferPhase.PREPARING


@dataclass(frozen=True)
class KeepGoing:
    """Nothing is to be done."""


@dataclass(frozen=True)
class Abort:
    """Ask the hypervisor to stop the job: it has moved nothing for `stalled_s`."""

    stalled_s: float


Action = KeepGoing | Abort


def begun(at_s: float) -> Course:
    """The course of a transfer that begins now."""
    return Course(moved_bytes=0, since_s=at_s)


def followed(course: Course, progress: Progress | None, at_s: float) -> Course:
    """The course after one more sample (`None`: there was none to be had)."""
    if progress is None:
        return course
    if progress.moved_bytes > course.moved_bytes or progress.phase is not course.phase:
        moved = max(progress.moved_bytes, course.moved_bytes)
        return Course(moved_bytes=moved, since_s=at_s, phase=progress.phase)
    return course


def next_action(course: Course, at_s: float, limits: Limits) -> Action:
    """Stop what has moved nothing for `stall_timeout_s`.

    Never at the switch, where everything is sent already, and never with the guard `postcopy`,
    where the guest may run at the destination already.
    """
    stalled_s = at_s - course.since_s
    if course.phase is TransferPhase.SWITCHING or limits.guard is Guard.POSTCOPY:
        return KeepGoing()
    return Abort(stalled_s) if stalled_s >= limits.stall_timeout_s else KeepGoing()
