"""The course of a transfer: what its samples have shown so far. Pure; read by `convergence`.

A round of the memory's copy sends what the guest wrote during the round before. What counts is the
pause that would be needed if the guest were stopped now: it shrinks from round to round where the
copy outruns the guest. Disks have no rounds: there a round counts as over when as much was sent as
was left at the last gain.
"""

from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from msgspec import structs

from godwit.model.progress import NO_WAY_BACK, Progress, TransferPhase
from godwit.model.steering import TransferLimits

NO_LIMITS: Final = TransferLimits()
TREND_ROUNDS: Final = 10
"""Over so many rounds it is looked at whether a transfer comes closer to its end: the newer half of
them is held against the older one.
"""
PLATEAU_ROUNDS: Final = 2
"""So many rounds without a considerable gain are a plateau."""
CONSIDERABLE: Final = 0.9
"""A round gains considerably if it needs less than such a part of the pause needed before."""
DISK_ROUND_MIN_BYTES: Final = 4 * 2**20
DISK_ROUNDS_MAX: Final = 100
"""Disks: a round is never less than this, nor than such a part of all disks: a guest that touches
the same few blocks for ever does not keep its copy from ending.
"""


@dataclass(frozen=True)
class Course:
    """The transfer so far. Times are the event loop's, in seconds."""

    began_s: float
    moved_at_s: float
    """Since when nothing more was moved."""
    gained_at_s: float
    """Since when it has come no closer to its end."""
    phase: TransferPhase = TransferPhase.PREPARING
    phase_began_s: float = 0.0
    moved_before_phase_bytes: int = 0
    pace_bytes_per_s: int = 0
    """Disks: the limit their copy began under; it cannot be changed later. 0: none."""
    moved_bytes: int = 0
    remaining_bytes: int = 0
    least_remaining_bytes: int | None = None
    """Disks: the least that was ever left, and what was moved by then."""
    moved_at_gain_bytes: int = 0
    iteration: int = 0
    needed_pause_ms: int = 0
    """Memory: for so long the guest would have to pause, as of the newest round."""
    least_pause_ms: int | None = None
    recent_pauses_ms: tuple[int, ...] = ()
    """Of the newest rounds, the oldest first."""
    rounds_without_gain: int = 0
    """Rounds in which it has come no closer at all."""
    slow_rounds: int = 0
    """Rounds in which it has not come considerably closer."""
    slow_since_ms: int | None = None
    """The pause needed when it last had."""
    throttle_percent: int = 0
    rate_bytes_per_s: int = 0
    fastest_bytes_per_s: int = 0
    dirty_rate_bytes_per_s: int = 0
    first_downtime_ms: int | None = None
    """The pause that was allowed when it began."""
    was_doubted: bool = False
    limits: TransferLimits = NO_LIMITS
    """What is in force by our doing."""
    in_post_copy: bool = False
    """The guest runs at the destination already."""


def begun(at_s: float, limits: TransferLimits = NO_LIMITS) -> Course:
    """The course of a transfer that begins now, within `limits`."""
    return Course(
        began_s=at_s,
        moved_at_s=at_s,
        gained_at_s=at_s,
        first_downtime_ms=limits.max_downtime_ms,
        limits=limits,
    )


def followed(course: Course, progress: Progress | None, at_s: float) -> Course:
    """The course after one more sample (`None`: there was none to be had)."""
    if progress is None:
        return course
    course = _moved(course, progress, at_s)
    match progress.phase:
        case TransferPhase.COPYING_DISKS:
            return _with_disks(course, progress, at_s)
        case TransferPhase.COPYING_MEMORY:
            return _with_memory(course, progress, at_s)
        case _:
            return course


def limited(course: Course, limits: TransferLimits, at_s: float) -> Course:
    """The course once the hypervisor has taken these limits: it may gain again from now on."""
    given = {name: value for name, value in structs.asdict(limits).items() if value is not None}
    return _hopeful(replace(course, limits=structs.replace(course.limits, **given)), at_s)


def stalled_s(course: Course, at_s: float) -> float:
    """How long nothing was moved that could have been.

    A hypervisor that is held to a pace may send a piece of a disk at once, and then nothing until
    that piece is paid off.
    """
    since_s = course.moved_at_s
    if course.phase is TransferPhase.COPYING_DISKS and course.pace_bytes_per_s:
        sent_bytes = course.moved_bytes - course.moved_before_phase_bytes
        since_s = max(since_s, course.phase_began_s + sent_bytes / course.pace_bytes_per_s)
    return at_s - since_s


def is_on_plateau(course: Course) -> bool:
    """It does not come considerably closer to its end by itself."""
    return course.slow_rounds >= PLATEAU_ROUNDS


def told(course: Course, progress: Progress) -> Progress:
    """The sample as others are to see it: with what only the course can say."""
    stuck = is_on_plateau(course)
    return structs.replace(
        progress,
        rate_bytes_per_s=course.rate_bytes_per_s,
        converging=not stuck,
        eta_s=None if stuck else progress.eta_s,
        allowed_downtime_ms=course.limits.max_downtime_ms,
    )


def _moved(course: Course, progress: Progress, at_s: float) -> Course:
    moved_at_s = course.moved_at_s
    if progress.moved_bytes > course.moved_bytes or progress.phase is not course.phase:
        moved_at_s = at_s
    if progress.phase is not course.phase:
        course = replace(
            _hopeful(course, at_s),
            phase_began_s=at_s,
            moved_before_phase_bytes=course.moved_bytes,
            pace_bytes_per_s=progress.limit_bytes_per_s,
        )
    moved_bytes = max(progress.moved_bytes, course.moved_bytes)
    phase_s = at_s - course.phase_began_s
    average = int((moved_bytes - course.moved_before_phase_bytes) / phase_s) if phase_s else 0
    rate = progress.rate_bytes_per_s or average
    return replace(
        course,
        moved_at_s=moved_at_s,
        phase=progress.phase,
        in_post_copy=course.in_post_copy or progress.phase in NO_WAY_BACK,
        moved_bytes=moved_bytes,
        remaining_bytes=progress.memory_remaining_bytes + progress.disk_remaining_bytes,
        rate_bytes_per_s=rate,
        fastest_bytes_per_s=max(rate, course.fastest_bytes_per_s),
        dirty_rate_bytes_per_s=progress.dirty_rate_bytes_per_s,
    )


def _with_disks(course: Course, progress: Progress, at_s: float) -> Course:
    left, least = progress.disk_remaining_bytes, course.least_remaining_bytes
    if least is None or left < least or left == 0:
        gained = replace(course, least_remaining_bytes=left)
        return _hopeful(replace(gained, moved_at_gain_bytes=course.moved_bytes), at_s)
    at_least = max(DISK_ROUND_MIN_BYTES, progress.disk_total_bytes // DISK_ROUNDS_MAX)
    rounds = (course.moved_bytes - course.moved_at_gain_bytes) // max(least, at_least)
    return replace(course, rounds_without_gain=rounds, slow_rounds=rounds)


def _with_memory(course: Course, progress: Progress, at_s: float) -> Course:
    """A round is over when the next one has begun; the first one has nothing to be held against.

    A throttle that has risen is a measure of the hypervisor's own: it may gain again.
    """
    if progress.throttle_percent > course.throttle_percent:
        course = _hopeful(replace(course, throttle_percent=progress.throttle_percent), at_s)
    rounds, needed_ms = progress.iteration - course.iteration, progress.expected_downtime_ms
    if progress.iteration <= 1 or rounds <= 0 or needed_ms is None:
        return replace(course, iteration=max(progress.iteration, course.iteration))
    if needed_ms == course.first_downtime_ms and not course.was_doubted:
        # The limit it began under is shown until there is a figure: a second time it is one.
        return replace(course, iteration=progress.iteration, was_doubted=True)
    course = replace(
        course,
        iteration=progress.iteration,
        needed_pause_ms=needed_ms,
        rounds_without_gain=course.rounds_without_gain + rounds,
        slow_rounds=course.slow_rounds + rounds,
        recent_pauses_ms=(*course.recent_pauses_ms, needed_ms)[-TREND_ROUNDS:],
    )
    if _is_gain(course, needed_ms):
        course = replace(course, rounds_without_gain=0, gained_at_s=at_s)
    course = replace(course, least_pause_ms=min(needed_ms, course.least_pause_ms or needed_ms))
    if course.slow_since_ms is None or needed_ms < course.slow_since_ms * CONSIDERABLE:
        course = replace(course, slow_since_ms=needed_ms, slow_rounds=0)
    return course


def _is_gain(course: Course, needed_ms: int) -> bool:
    """Less than ever before; or considerably less in the newer rounds than in the older ones, as a
    round that was by chance a short one must not make all that follow look like no gain. Medians,
    for of two single rounds that differ by chance one in five would look like a gain.
    """
    if course.least_pause_ms is None or needed_ms < course.least_pause_ms:
        return True
    recent = course.recent_pauses_ms
    older, newer = recent[: TREND_ROUNDS // 2], recent[TREND_ROUNDS // 2 :]
    return len(recent) == TREND_ROUNDS and median(newer) < median(older) * CONSIDERABLE


def _hopeful(course: Course, at_s: float) -> Course:
    return replace(course, rounds_without_gain=0, slow_rounds=0, gained_at_s=at_s)
