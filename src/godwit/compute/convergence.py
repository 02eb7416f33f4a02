"""What to do next in a running transfer: let it go on, help it, or stop it. Pure.

Whoever watches a transfer folds every sample into a `Course` (`compute/course.py`) and asks
`next_action`. Nothing here is driven by the clock alone: a measure is taken because rounds of the
copy were seen not to gain, and a transfer is given up only when no measure is left or the time that
its operator gave it cannot be kept.
"""

from dataclasses import dataclass
from typing import Final

from godwit.compute.course import Course, is_on_plateau, stalled_s
from godwit.model.migrate_data import Guard
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code, Reason, reason
from godwit.model.steering import UNSTEERED, Force, ForceKind, Steering, TransferLimits

GIVE_UP_ROUNDS: Final = 10
GIVE_UP_S: Final = 10.0
"""After so many rounds, and so long, without a gain and without a measure left, it is given up."""
FASTER_MIGHT_BE: Final = 2.0
"""A transfer is given up before its time is over only if even so many times the fastest rate that
was seen could not keep it.
"""
MEASURED_S: Final = 5.0
"""A rate counts as seen after so long."""
MIB: Final = 2**20


@dataclass(frozen=True)
class Policy:
    """What a transfer may do before it is helped or stopped."""

    stall_timeout_s: float
    guard: Guard = Guard.PAUSED
    hold_back: bool = False
    """Pre-copy must not end by itself: it becomes a post-copy at once, or is stopped."""
    steering: Steering = UNSTEERED


@dataclass(frozen=True)
class KeepGoing:
    """Nothing is to be done."""


@dataclass(frozen=True)
class Limit:
    """Hold the job within these limits from now on."""

    limits: TransferLimits


@dataclass(frozen=True)
class SwitchToPostCopy:
    """Let the guest run at the destination now. Only ever with the guard `postcopy`."""


@dataclass(frozen=True)
class Abort:
    """Ask the hypervisor to stop the job."""

    why: Reason


Action = KeepGoing | Limit | SwitchToPostCopy | Abort


def first_limits(policy: Policy) -> TransferLimits:
    """What a transfer begins under. Without a limit of ours the guest's own one stays."""
    steering = policy.steering
    if policy.hold_back:
        return TransferLimits()  # the driver holds it back by itself, for as long as that takes
    return TransferLimits(
        bandwidth_mib_per_s=steering.bandwidth_mib_per_s or None,
        max_downtime_ms=downtime_steps(steering)[0],
    )


def downtime_steps(steering: Steering) -> tuple[int, ...]:
    """The pauses that are allowed one after the other; the last is the longest allowed."""
    if (force := _forced_pause(steering)) is not None:
        return _doubled(force.pause_ms, force.longest_ms)
    count, longest = steering.downtime_steps, steering.max_downtime_ms
    return tuple(max(1, longest * step // count) for step in range(1, count + 1))


def next_action(course: Course, at_s: float, policy: Policy) -> Action:
    """The one thing to do now. Nothing is stopped at the switch, where everything is sent already,
    nor in post-copy, where the guest runs at the destination. Post-copy is asked for until it is
    seen.
    """
    if course.phase is TransferPhase.SWITCHING or course.in_post_copy:
        return KeepGoing()
    why = _why_stop(course, at_s, policy)
    if why is not None:
        return Abort(why)
    if _is_time_for_post_copy(course, policy):
        return SwitchToPostCopy()
    # What is held back must not end in pre-copy: no limit of ours is ever set on it.
    return KeepGoing() if policy.hold_back else _limits_to_set(course, policy.steering)


# --- helping --------------------------------------------------------------------------------------


def _is_time_for_post_copy(course: Course, policy: Policy) -> bool:
    if policy.guard is not Guard.POSTCOPY or course.phase is not TransferPhase.COPYING_MEMORY:
        return False
    force = policy.steering.force
    forced = force is not None and force.kind is ForceKind.POST_COPY
    return forced or (is_on_plateau(course) and _has_longest_pause(course, policy.steering))


def _limits_to_set(course: Course, steering: Steering) -> Action:
    """What differs from the limits in force, if anything does."""
    bandwidth: int | None = steering.bandwidth_mib_per_s
    if bandwidth == (course.limits.bandwidth_mib_per_s or 0):
        bandwidth = None
    downtime: int | None = allowed_downtime_ms(course, steering)
    if downtime == course.limits.max_downtime_ms:
        downtime = None
    if bandwidth is None and downtime is None:
        return KeepGoing()
    return Limit(TransferLimits(bandwidth_mib_per_s=bandwidth, max_downtime_ms=downtime))


def allowed_downtime_ms(course: Course, steering: Steering) -> int:
    """The pause to allow now: the one in force, or on a plateau the smallest step that would do.

    Never more than the steering allows; less than before only if the steering has been changed.
    """
    steps = downtime_steps(steering)
    in_force = min(course.limits.max_downtime_ms or steps[0], steps[-1])
    if _forced_pause(steering) is not None:
        in_force = max(in_force, steps[0])  # at once
    # What is needed is known in whole milliseconds, and rounded down.
    is_reckoned_enough = course.needed_pause_ms < in_force
    if not is_on_plateau(course) or (is_reckoned_enough and not _is_stuck(course)):
        return in_force
    needed = max(course.needed_pause_ms, in_force)
    return next((step for step in steps if step > needed), steps[-1])


def _forced_pause(steering: Steering) -> Force | None:
    force = steering.force
    return force if force is not None and force.kind is ForceKind.PAUSE else None


def _doubled(first_ms: int, longest_ms: int) -> tuple[int, ...]:
    """From the first to the longest: what was expected when it was forced may be too little, for a
    guest does not write evenly, and its copy is not to be given up for that.
    """
    steps = [first_ms]
    while steps[-1] < longest_ms:
        steps.append(min(2 * steps[-1], longest_ms))
    return tuple(steps)


def _is_stuck(course: Course) -> bool:
    """It should have switched long ago, by our own reckoning: the hypervisor reckons otherwise."""
    return course.rounds_without_gain >= GIVE_UP_ROUNDS // 2


def _has_longest_pause(course: Course, steering: Steering) -> bool:
    return (course.limits.max_downtime_ms or 0) >= allowed_downtime_ms(course, steering)


# --- stopping -------------------------------------------------------------------------------------


def _why_stop(course: Course, at_s: float, policy: Policy) -> Reason | None:
    for_s = stalled_s(course, at_s)
    if for_s >= policy.stall_timeout_s:
        return reason(Code.TRANSFER_STALLED, stalled_s=for_s)
    timeout_s = policy.steering.completion_timeout_s
    if timeout_s and _cannot_be_over_in(timeout_s, course, at_s):
        return _too_slow(course, timeout_s, at_s)
    if _gains_no_more(course, at_s) and _nothing_is_left_to_try(course, policy):
        return _not_converging(course, policy.steering)
    return None


def _cannot_be_over_in(timeout_s: float, course: Course, at_s: float) -> bool:
    """True once the time is over, or as soon as what is left could not be sent in it."""
    left_s = timeout_s - (at_s - course.began_s)
    if left_s <= 0:
        return True
    if at_s - course.began_s < MEASURED_S or course.fastest_bytes_per_s == 0:
        return False
    return course.remaining_bytes > left_s * course.fastest_bytes_per_s * FASTER_MIGHT_BE


def _gains_no_more(course: Course, at_s: float) -> bool:
    return course.rounds_without_gain >= GIVE_UP_ROUNDS and at_s - course.gained_at_s >= GIVE_UP_S


def _nothing_is_left_to_try(course: Course, policy: Policy) -> bool:
    """Every limit is where the policy wants it."""
    if course.phase is TransferPhase.COPYING_DISKS:
        return True
    return _limits_to_set(course, policy.steering) == KeepGoing()


def _too_slow(course: Course, timeout_s: float, at_s: float) -> Reason:
    return reason(
        Code.TRANSFER_TOO_SLOW,
        timeout_s=timeout_s,
        elapsed_s=at_s - course.began_s,
        left_mib=course.remaining_bytes / MIB,
        rate_mib_per_s=course.rate_bytes_per_s / MIB,
        dirty_mib_per_s=course.dirty_rate_bytes_per_s / MIB,
    )


def _not_converging(course: Course, steering: Steering) -> Reason:
    if course.phase is TransferPhase.COPYING_DISKS:
        return reason(
            Code.DISKS_NOT_CONVERGING,
            left_mib=(course.least_remaining_bytes or 0) / MIB,
            rate_mib_per_s=course.rate_bytes_per_s / MIB,
        )
    return reason(
        Code.MEMORY_NOT_CONVERGING,
        dirty_mib_per_s=course.dirty_rate_bytes_per_s / MIB,
        rate_mib_per_s=course.rate_bytes_per_s / MIB,
        needed_ms=course.needed_pause_ms,
        allowed_ms=course.limits.max_downtime_ms or 0,
        tried=_tried(course, steering),
    )


def _tried(course: Course, steering: Steering) -> str:
    """What was tried, in words."""
    tried = [f"a pause of {course.limits.max_downtime_ms} ms"]
    if steering.auto_converge:
        tried.append(f"slowing the guest down by {course.throttle_percent} %")
    if steering.parallel_connections > 1:
        tried.append(f"{steering.parallel_connections} connections")
    if steering.bandwidth_mib_per_s:
        tried.append(f"the {steering.bandwidth_mib_per_s} MiB/s that are allowed")
    return ", ".join(tried)
