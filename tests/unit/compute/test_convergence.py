"""What is done with a transfer that runs: decided from its course alone.

The copies are those of the simulated hypervisor's model, sampled as a transfer process does.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random  # noqa: TID251 - each with its own seed

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from godwit.compute.convergence import (
    GIVE_UP_ROUNDS,
    GIVE_UP_S,
    Abort,
    Action,
    KeepGoing,
    Limit,
    Policy,
    SwitchToPostCopy,
    downtime_steps,
    first_limits,
    next_action,
)
from godwit.compute.course import Course, begun, followed, limited, told
from godwit.model.migrate_data import Guard
from godwit.model.progress import NO_WAY_BACK, Progress, TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.steering import Force, ForceKind, Steering, TransferLimits
from godwit.virt.simulated import copying as model
from godwit.virt.simulated.copying import Writes

MIB = 2**20
POLICY = Policy(stall_timeout_s=30.0)
SAMPLE_S = 0.25
LINK = 100 * MIB
"""Bytes per second."""


def stalled(for_s: float) -> Abort:
    return Abort(reason(Code.TRANSFER_STALLED, stalled_s=for_s))


def sample(moved: int, phase: TransferPhase = TransferPhase.COPYING_MEMORY) -> Progress:
    return Progress(phase=phase, memory_processed_bytes=moved)


def course_of(*samples: tuple[float, Progress | None]) -> Course:
    course = begun(0.0, first_limits(POLICY))
    for at_s, progress in samples:
        course = followed(course, progress, at_s)
    return course


# --- a transfer that moves nothing ----------------------------------------------------------------


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
    assert next_action(course_of((29.0, disks)), 50.0, POLICY) == KeepGoing()


def test_a_new_phase_starts_the_clock_again() -> None:
    course = course_of((5.0, sample(100)), (29.0, sample(0, TransferPhase.COPYING_DISKS)))
    assert next_action(course, 50.0, POLICY) == KeepGoing()


def test_a_disk_that_was_sent_ahead_of_its_pace_has_not_stalled_until_that_is_paid_off() -> None:
    paced = Progress(phase=TransferPhase.COPYING_DISKS, limit_bytes_per_s=MIB)
    sent = structs.replace(paced, disk_processed_bytes=100 * MIB, disk_total_bytes=100 * MIB)
    course = course_of((1.0, paced), (2.0, sent))
    assert next_action(course, 130.9, POLICY) == KeepGoing()
    assert next_action(course, 131.0, POLICY) == stalled(30.0)


def test_nothing_is_stopped_at_the_switch() -> None:
    course = course_of((5.0, sample(100, TransferPhase.SWITCHING)))
    assert next_action(course, 1_000.0, POLICY) == KeepGoing()


@pytest.mark.parametrize("phase", sorted(NO_WAY_BACK))
def test_post_copy_is_never_stopped_and_what_comes_before_it_is(phase: TransferPhase) -> None:
    policy = Policy(stall_timeout_s=30.0, guard=Guard.POSTCOPY)
    assert isinstance(next_action(begun(0.0), 1_000.0, policy), Abort)
    course = followed(begun(0.0), Progress(phase=phase), 1.0)
    assert next_action(course, 1_000.0, policy) == KeepGoing()


def test_what_must_not_end_in_pre_copy_is_given_no_limits_of_ours() -> None:
    held_back = Policy(stall_timeout_s=30.0, guard=Guard.POSTCOPY, hold_back=True)
    assert first_limits(held_back) == TransferLimits()
    wished = replace(held_back, steering=Steering(bandwidth_mib_per_s=900, max_downtime_ms=9_000))
    assert next_action(course_of((5.0, sample(100))), 5.0, wished) == KeepGoing()


@given(st.lists(st.integers(0, 1_000), min_size=1))
def test_what_was_moved_never_shrinks_however_the_samples_come(moved: list[int]) -> None:
    course = course_of(*((float(at_s), sample(each)) for at_s, each in enumerate(moved)))
    assert course.moved_bytes == max(moved)


# --- copies of guests that write ------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """One sample of a copy: when, what was shown, what was done."""

    at_s: float
    shown: Progress
    course: Course
    action: Action


@dataclass(frozen=True)
class Guest:
    """A guest on its way over a link."""

    memory_mib: int = 1024
    writes: Writes = model.QUIET
    link: float = LINK

    def terms(self, course: Course, steering: Steering) -> model.Terms:
        limit = (course.limits.bandwidth_mib_per_s or 0) * MIB
        return model.Terms(
            rate_bytes_per_s=min(self.link, limit or self.link),
            downtime_ms=course.limits.max_downtime_ms or 0,
            auto_converge=steering.auto_converge,
        )


def turns(guest: Guest, policy: Policy, *, at_most_s: float = 20_000.0) -> Iterator[Turn]:
    """The copy, steered, until it is whole, stopped or switched."""
    copying = model.begun(guest.memory_mib * MIB)
    at_s, course = 0.0, begun(0.0, first_limits(policy))
    while not copying.is_whole and at_s < at_most_s:
        at_s += SAMPLE_S
        terms = guest.terms(course, policy.steering)
        copying = model.copied(copying, SAMPLE_S, terms, guest.writes)
        if copying.is_whole:
            return
        shown = shown_of(copying, terms)
        course = followed(course, shown, at_s)
        action = next_action(course, at_s, policy)
        yield Turn(at_s, told(course, shown), course, action)
        if isinstance(action, Abort | SwitchToPostCopy):
            return
        if isinstance(action, Limit):
            course = limited(course, action.limits, at_s)


def shown_of(copying: model.Copying, terms: model.Terms) -> Progress:
    pause_ms = int(copying.pause_ms(terms.rate_bytes_per_s)) if copying.iteration > 1 else None
    return Progress(
        phase=TransferPhase.COPYING_MEMORY,
        memory_processed_bytes=int(copying.sent_bytes),
        memory_remaining_bytes=int(copying.remaining_bytes),
        rate_bytes_per_s=int(terms.rate_bytes_per_s),
        iteration=copying.iteration,
        expected_downtime_ms=pause_ms,
        throttle_percent=copying.throttle_percent,
    )


def ended(guest: Guest, policy: Policy) -> Turn | None:
    """The last turn of a copy that was stopped or switched; None: it came to its end."""
    last = deque(turns(guest, policy), maxlen=1)
    is_end = last and isinstance(last[0].action, Abort | SwitchToPostCopy)
    return last[0] if is_end else None


def code_of(turn: Turn | None) -> Code | None:
    return turn.action.why.code if turn and isinstance(turn.action, Abort) else None


BUSY = Guest(writes=Writes(bytes_per_s=4 * LINK, working_set_bytes=80 * MIB))
"""Writes faster than the link: 800 ms are needed at the switch, for ever."""


def test_a_guest_that_outruns_the_link_is_given_up_early_with_the_numbers() -> None:
    turn = ended(BUSY, POLICY)
    assert turn is not None
    assert isinstance(turn.action, Abort)
    assert turn.action.why.code is Code.MEMORY_NOT_CONVERGING
    assert "800 ms, 500 ms are allowed (tried: a pause of 500 ms)" in turn.action.why.words
    first_pass_s = BUSY.memory_mib * MIB / LINK
    assert turn.at_s < first_pass_s + 4 * GIVE_UP_S
    assert not turn.shown.converging


@pytest.mark.parametrize(
    "steering",
    [Steering(max_downtime_ms=900), Steering(auto_converge=True)],
    ids=["a longer pause", "auto-converge"],
)
def test_the_same_guest_comes_to_its_end_with_what_would_help(steering: Steering) -> None:
    assert ended(BUSY, replace(POLICY, steering=steering)) is None


def test_the_pause_that_is_allowed_rises_only_as_far_as_is_needed() -> None:
    steering = Steering(max_downtime_ms=4_500, downtime_steps=10)
    limits = [
        turn.action.limits
        for turn in turns(BUSY, replace(POLICY, steering=steering))
        if isinstance(turn.action, Limit)
    ]
    assert [each.max_downtime_ms for each in limits] == [900]


def test_post_copy_is_for_its_guard_alone_and_comes_once_rounds_do_not_gain() -> None:
    turn = ended(BUSY, replace(POLICY, guard=Guard.POSTCOPY))
    assert turn is not None
    assert turn.action == SwitchToPostCopy()
    assert not any(isinstance(turn.action, SwitchToPostCopy) for turn in turns(BUSY, POLICY))


def test_time_that_cannot_be_kept_is_known_long_before_it_is_over() -> None:
    huge = Guest(memory_mib=100_000)
    turn = ended(huge, replace(POLICY, steering=Steering(completion_timeout_s=100.0)))
    assert code_of(turn) is Code.TRANSFER_TOO_SLOW
    assert turn is not None
    assert turn.at_s < 10.0


def test_time_that_is_over_ends_the_transfer() -> None:
    busy = Guest(writes=Writes(bytes_per_s=0.99 * LINK, working_set_bytes=1024 * MIB))
    turn = ended(busy, replace(POLICY, steering=Steering(completion_timeout_s=30.0)))
    assert code_of(turn) is Code.TRANSFER_TOO_SLOW
    assert turn is not None
    assert turn.at_s == pytest.approx(30.0, abs=1.0)


def test_a_forced_pause_is_allowed_at_once_and_no_longer_one() -> None:
    forced = Steering(force=Force(kind=ForceKind.PAUSE, pause_ms=1_500))
    course = course_of((5.0, sample(100)))
    action = next_action(course, 5.0, replace(POLICY, steering=forced))
    assert isinstance(action, Limit)
    assert action.limits.max_downtime_ms == 1_500
    assert ended(BUSY, replace(POLICY, steering=forced)) is None


@pytest.mark.parametrize(("longest_ms", "given_up"), [(0, True), (150, True), (1_500, False)])
def test_a_forced_pause_that_turns_out_too_short_is_raised_as_far_as_allowed(
    longest_ms: int, given_up: bool
) -> None:
    force = Force(kind=ForceKind.PAUSE, pause_ms=100, longest_ms=longest_ms)
    turn = ended(BUSY, replace(POLICY, steering=Steering(max_downtime_ms=50, force=force)))
    assert (turn is not None) is given_up
    assert downtime_steps(Steering(force=force))[-1] == max(100, longest_ms)


@pytest.mark.parametrize("guard", list(Guard))
def test_forced_post_copy_needs_its_guard(guard: Guard) -> None:
    forced = Steering(force=Force(kind=ForceKind.POST_COPY))
    course = course_of((5.0, sample(100)))
    action = next_action(course, 5.0, Policy(30.0, guard=guard, steering=forced))
    assert (action == SwitchToPostCopy()) == (guard is Guard.POSTCOPY)


def test_a_changed_limit_is_set_once() -> None:
    course = course_of((5.0, sample(100)))
    policy = replace(POLICY, steering=Steering(bandwidth_mib_per_s=8, max_downtime_ms=50))
    action = next_action(course, 5.0, policy)
    assert isinstance(action, Limit)
    assert (action.limits.bandwidth_mib_per_s, action.limits.max_downtime_ms) == (8, 50)
    assert next_action(limited(course, action.limits, 5.0), 5.0, policy) == KeepGoing()


def test_disks_that_are_written_as_fast_as_they_are_copied_are_given_up_with_the_numbers() -> None:
    course, action = course_of(), None
    for second in range(200):
        left = 50 * MIB if second > 3 else (100 - second) * MIB
        shown = Progress(
            phase=TransferPhase.COPYING_DISKS,
            disk_total_bytes=100 * MIB + second * 10 * MIB,
            disk_processed_bytes=second * 10 * MIB,
            disk_remaining_bytes=left,
        )
        course = followed(course, shown, float(second))
        action = next_action(course, float(second), POLICY)
        if isinstance(action, Abort):
            break
    assert isinstance(action, Abort)
    assert action.why.code is Code.DISKS_NOT_CONVERGING
    assert "50.0 MiB were left, at 10.0 MiB/s" in action.why.words
    assert second < 60


def in_rounds(*pauses_ms: int) -> Course:
    """The course of a copy whose rounds, ten seconds each, would have needed these pauses."""
    course = begun(0.0, first_limits(POLICY))
    for number, pause_ms in enumerate(pauses_ms, start=2):
        shown = Progress(
            phase=TransferPhase.COPYING_MEMORY,
            memory_processed_bytes=number * MIB,
            iteration=number,
            expected_downtime_ms=pause_ms,
        )
        course = followed(course, shown, 10.0 * number)
    return course


def test_the_limit_it_began_under_is_not_taken_for_a_measured_pause() -> None:
    first_ms = downtime_steps(POLICY.steering)[0]
    assert in_rounds(first_ms).least_pause_ms is None
    assert in_rounds(first_ms, first_ms).least_pause_ms == first_ms
    assert in_rounds(first_ms, 9_000).least_pause_ms == 9_000


def test_one_round_that_was_short_by_chance_does_not_make_the_others_look_stuck() -> None:
    shrinking = [int(9_000 * 0.95**number) for number in range(30)]
    assert in_rounds(700, *shrinking).rounds_without_gain == 0
    assert in_rounds(700, *[9_000] * 30).rounds_without_gain == 30
    for rounds in range(1, 30):
        assert in_rounds(700, *shrinking[:rounds]).rounds_without_gain < GIVE_UP_ROUNDS


@pytest.mark.parametrize("seed", range(20))
def test_rounds_that_differ_by_chance_alone_do_not_look_like_gains_for_ever(seed: int) -> None:
    chance = Random(seed)
    rounds = [max(1, int(chance.gauss(900, 90))) for _ in range(60)]
    ran = (in_rounds(*rounds[:number]).rounds_without_gain for number in range(1, 61))
    assert any(without_gain >= GIVE_UP_ROUNDS for without_gain in ran)


# --- for every guest and every steering -----------------------------------------------------------

few = settings(max_examples=100)
GUESTS = st.builds(
    Guest,
    memory_mib=st.integers(16, 256),
    writes=st.builds(
        Writes,
        bytes_per_s=st.floats(0, 3 * LINK),
        working_set_bytes=st.floats(0, 256 * MIB),
    ),
    link=st.floats(20 * MIB, LINK),
)
STEERINGS = st.builds(
    Steering,
    bandwidth_mib_per_s=st.just(0) | st.integers(20, 200),
    max_downtime_ms=st.integers(1, 5_000),
    downtime_steps=st.integers(1, 10),
    auto_converge=st.booleans(),
)


@few
@given(GUESTS, STEERINGS)
def test_no_transfer_is_stopped_that_gains_by_itself(guest: Guest, steering: Steering) -> None:
    """A guest that writes less than is sent needs a shorter pause after each round."""
    limit = steering.bandwidth_mib_per_s * MIB or LINK
    slow = replace(guest.writes, bytes_per_s=min(guest.writes.bytes_per_s, 0.9 * guest.link))
    slow = replace(slow, bytes_per_s=min(slow.bytes_per_s, 0.9 * limit))
    calm = replace(guest, writes=slow)
    assert ended(calm, replace(POLICY, steering=steering)) is None


@few
@given(GUESTS, STEERINGS, st.sampled_from(list(Guard)))
def test_the_allowed_pause_only_rises_and_never_above_what_is_allowed(
    guest: Guest, steering: Steering, guard: Guard
) -> None:
    policy = Policy(30.0, guard=guard, steering=steering)
    allowed = [
        turn.course.limits.max_downtime_ms or 0 for turn in turns(guest, policy, at_most_s=300.0)
    ]
    assert all(sooner <= later for sooner, later in pairwise(allowed))
    assert all(each <= max(steering.max_downtime_ms, 1) for each in allowed)


@few
@given(GUESTS, STEERINGS)
def test_what_is_given_up_was_allowed_the_longest_pause_and_needs_a_longer_one(
    guest: Guest, steering: Steering
) -> None:
    turn = ended(guest, replace(POLICY, steering=steering))
    if code_of(turn) is Code.MEMORY_NOT_CONVERGING:
        assert turn is not None
        assert turn.course.limits.max_downtime_ms == downtime_steps(steering)[-1]
        assert turn.course.needed_pause_ms >= downtime_steps(steering)[-1]


@few
@given(GUESTS, STEERINGS)
def test_every_transfer_comes_to_an_end(guest: Guest, steering: Steering) -> None:
    policy, bound_s = replace(POLICY, steering=steering), 5_000.0
    last = deque(turns(guest, policy, at_most_s=bound_s), maxlen=1)
    assert not last or last[0].at_s < bound_s
