"""When a transfer is stopped: decided from its course alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from godwit.compute.convergence import (
    Abort,
    Action,
    Course,
    KeepGoing,
    Policy,
    begun,
    followed,
    next_action,
)
from godwit.model.migrate_data import Guard
from godwit.model.progress import NO_WAY_BACK, Progress, TransferPhase
from godwit.model.reasons import Code, reason

POLICY = Policy(stall_timeout_s=30.0)


def stalled(for_s: float) -> Abort:
    return Abort(reason(Code.TRANSFER_STALLED, stalled_s=for_s))


def sample(moved: int, phase: TransferPhase = TransferPhase.COPYING_MEMORY) -> Progress:
    return Progress(phase=phase, memory_processed_bytes=moved)


def course_of(*samples: tuple[float, Progress | None]) -> Course:
    course = begun(0.0)
    for at_s, progress in samples:
        course = followed(course, progress, at_s)
    return course


@pytest.mark.parametrize(
    ("at_s", "action"), [(39.9, KeepGoing()), (40.0, stalled(30.0)), (50.0, stalled(40.0))]
)
def test_a_transfer_that_moves_nothing_for_the_limit_is_stopped(
    at_s: float, action: Action
) -> None:
    course = course_of((5.0, sample(100)), (10.0, sample(200)), (35.0, sample(200)))
    assert next_action(course, at_s, POLICY) == action


def test_a_transfer_that_never_shows_any_progress_is_stopped_too() -> None:
    assert next_action(course_of((10.0, None)), 30.0, POLICY) == stalled(30.0)


def test_moved_disks_count_as_well() -> None:
    disks = Progress(phase=TransferPhase.COPYING_DISKS, disk_processed_bytes=10)
    course = course_of((29.0, disks))
    assert next_action(course, 50.0, POLICY) == KeepGoing()


def test_a_new_phase_starts_the_clock_again() -> None:
    course = course_of((5.0, sample(100)), (29.0, sample(0, TransferPhase.COPYING_DISKS)))
    assert next_action(course, 50.0, POLICY) == KeepGoing()


def test_nothing_is_stopped_at_the_switch() -> None:
    course = course_of((5.0, sample(100, TransferPhase.SWITCHING)))
    assert next_action(course, 1_000.0, POLICY) == KeepGoing()


@pytest.mark.parametrize("phase", sorted(NO_WAY_BACK))
def test_post_copy_is_never_stopped_and_what_comes_before_it_is(phase: TransferPhase) -> None:
    policy = Policy(stall_timeout_s=30.0, guard=Guard.POSTCOPY)
    assert isinstance(next_action(begun(0.0), 1_000.0, policy), Abort)
    course = followed(begun(0.0), Progress(phase=phase), 1.0)
    assert next_action(course, 1_000.0, policy) == KeepGoing()


@given(st.lists(st.integers(0, 1_000), min_size=1))
def test_what_was_moved_never_shrinks_however_the_samples_come(moved: list[int]) -> None:
    course = course_of(*((float(at_s), sample(each)) for at_s, each in enumerate(moved)))
    assert course.moved_bytes == max(moved)
