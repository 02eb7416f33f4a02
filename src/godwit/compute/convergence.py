"""What to do next in a running transfer: let it go on, help it, or stop it. Pure.

Whoever watches a transfer folds every sample into a `Course` and asks `next_action`.
"""

from dataclasses import dataclass, replace

from godwit.model.migrate_data import Guard
from godwit.model.progress import NO_WAY_BACK, Progress, TransferPhase
from godwit.model.reasons import Code, Reason, reason
from godwit.model.steering import UNSTEERED, Steering, TransferLimits


@dataclass(frozen=True)
class Policy:
    """What a transfer may do before it is helped or stopped."""

    stall_timeout_s: float
    guard: Guard = Guard.PAUSED
    hold_back: bool = False
    """Pre-copy must not end by itself: it becomes a post-copy at once, or is stopped."""
    steering: Steering = UNSTEERED


@dataclass(frozen=True)
class Course:
    """The transfer so far: how much it has moved, and since when it has not moved more."""

    moved_bytes: int
    since_s: float
    phase: TransferPhase = TransferPhase.PREPARING
    in_post_copy: bool = False
    """It was switched to post-copy: the guest may run at the destination, nothing is stopped."""


@dataclass(frozen=True)
class KeepGoing:
    """Nothing is to be done."""


@dataclass(frozen=True)
class Limit:
    """Hold the job within other limits."""

    limits: TransferLimits


@dataclass(frozen=True)
class SwitchToPostCopy:
    """Let the guest run at the destination now. Only ever with the guard `postcopy`."""


@dataclass(frozen=True)
class Abort:
    """Ask the hypervisor to stop the job."""

    why: Reason


Action = KeepGoing | Limit | SwitchToPostCopy | Abort


def begun(at_s: float) -> Course:
    """The course of a transfer that begins now."""
    return Course(moved_bytes=0, since_s=at_s)


def followed(course: Course, progress: Progress | None, at_s: float) -> Course:
    """The course after one more sample (`None`: there was none to be had)."""
    if progress is None:
        return course
    if progress.moved_bytes > course.moved_bytes or progress.phase is not course.phase:
        return replace(
            course,
            moved_bytes=max(progress.moved_bytes, course.moved_bytes),
            since_s=at_s,
            phase=progress.phase,
            in_post_copy=course.in_post_copy or progress.phase in NO_WAY_BACK,
        )
    return course


def done(course: Course, action: Action) -> Course:
    """The course once the hypervisor has done what was asked."""
    if isinstance(action, SwitchToPostCopy):
        return replace(course, in_post_copy=True)
    return course


def next_action(course: Course, at_s: float, policy: Policy) -> Action:
    """Stop what has moved nothing for `stall_timeout_s`.

    Never at the switch, where everything is sent already, and never in post-copy, where the guest
    runs at the destination.
    """
    stalled_s = at_s - course.since_s
    if course.phase is TransferPhase.SWITCHING or course.in_post_copy:
        return KeepGoing()
    if stalled_s >= policy.stall_timeout_s:
        return Abort(reason(Code.TRANSFER_STALLED, stalled_s=stalled_s))
    return KeepGoing()
