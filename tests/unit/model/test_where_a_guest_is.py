"""What follows from what every host shows: every pair of hosts and every task, by the rules."""

from itertools import product

import pytest

from godwit.model.ids import HostName
from godwit.model.instance import TaskState
from godwit.model.whereis import ALARMING, HostShows, Place, Shows, conclude

A, B = HostName("host-a"), HostName("host-b")
HAS = {Shows.RUNS, Shows.PAUSED, Shows.OFF}
IN_USE = {Shows.RUNS, Shows.PAUSED}
EVERY = list(product(Shows, Shows, [None, *TaskState]))


def place(at_a: Shows, at_b: Shows, task: TaskState | None = None) -> Place:
    """What follows for a guest that is recorded at host-a."""
    seen = (HostShows(host=A, shows=at_a), HostShows(host=B, shows=at_b))
    return conclude(seen, recorded=A, task_state=task)


@pytest.mark.parametrize(("at_a", "at_b", "task"), EVERY)
def test_it_runs_twice_where_two_hosts_run_it_whatever_the_record_says(
    at_a: Shows, at_b: Shows, task: TaskState | None
) -> None:
    both_run = (at_a, at_b) == (Shows.RUNS, Shows.RUNS)
    assert (place(at_a, at_b, task) is Place.TWICE) == both_run


@pytest.mark.parametrize(("at_a", "at_b", "task"), EVERY)
def test_it_is_nowhere_only_where_every_host_answered_and_nobody_makes_or_removes_it(
    at_a: Shows, at_b: Shows, task: TaskState | None
) -> None:
    nothing = (at_a, at_b) == (Shows.NOTHING, Shows.NOTHING)
    settled = task in {None, TaskState.MIGRATING}
    assert (place(at_a, at_b, task) is Place.NOWHERE) == (nothing and settled)


@pytest.mark.parametrize(("at_a", "at_b"), list(product(Shows, Shows)))
def test_a_guest_in_no_task_is_placed_by_what_the_hosts_that_have_it_show(
    at_a: Shows, at_b: Shows
) -> None:
    found = place(at_a, at_b)
    if found in ALARMING:
        return
    having = {host for host, shows in ((A, at_a), (B, at_b)) if shows in HAS}
    if having == {A}:
        assert found is Place.AS_RECORDED
    elif having == {B}:
        # The recorded host may have it, too, as long as it does not answer.
        silent = at_a is Shows.UNREACHABLE
        assert found is (Place.UNKNOWN if silent else Place.ELSEWHERE)
    elif having == {A, B}:
        alone = (at_a in IN_USE) != (at_b in IN_USE)
        assert found is (Place.LEFT_OVER if alone else Place.UNKNOWN)
    else:
        assert found is Place.UNKNOWN


@pytest.mark.parametrize(("at_a", "at_b", "task"), [each for each in EVERY if each[2]])
def test_a_guest_in_a_task_and_seen_is_left_to_whoever_carries_that_on(
    at_a: Shows, at_b: Shows, task: TaskState
) -> None:
    found = place(at_a, at_b, task)
    if found not in ALARMING and {at_a, at_b} & {*HAS, Shows.ARRIVING}:
        assert found is Place.UNDER_WAY
