import pytest

from godwit.conductor.tasks.persons_word import Choice, carry_out
from godwit.conductor.tasks.whereabouts import Verdict
from godwit.model.sighting import DestinationWord as D
from godwit.model.sighting import SourceWord as S

V = Verdict
PAIRS = [(source, destination) for source in S for destination in D]

UNDOING = {V.UNDO, V.RESUME_SOURCE}
GOING_FORWARD = {
    V.FORWARD,
    V.END_SOURCE,
    V.RESUME_DESTINATION,
    V.END_SOURCE_RESUME_DESTINATION,
}


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_a_choice_is_carried_out_in_its_own_direction_or_waits(source: S, destination: D) -> None:
    assert carry_out(Choice.AT_SOURCE, source, destination) in {None, *UNDOING}
    assert carry_out(Choice.AT_DESTINATION, source, destination) in {None, *GOING_FORWARD}
    assert carry_out(Choice.LOST, source, destination) is V.LOST


@pytest.mark.parametrize("source", S)
def test_a_guest_that_runs_at_the_destination_is_not_undone(source: S) -> None:
    for destination in (D.RUNS, D.POSTCOPY, D.POSTCOPY_BROKEN):
        assert carry_out(Choice.AT_SOURCE, source, destination) is None


@pytest.mark.parametrize("destination", D)
def test_a_guest_that_may_run_at_the_source_is_not_ended(destination: D) -> None:
    for source in (S.COPYING, S.KEPT, S.TOOK_BACK, S.IN_WINDOW):
        assert carry_out(Choice.AT_DESTINATION, source, destination) is None


@pytest.mark.parametrize("destination", set(D) - {D.RUNS, D.READY})
def test_the_paused_half_at_the_source_is_kept_unless_the_destination_has_the_whole_guest(
    destination: D,
) -> None:
    assert carry_out(Choice.AT_DESTINATION, S.HANDED_OVER, destination) is None


@pytest.mark.parametrize("source", [S.GONE, S.ENDED, S.UNREACHABLE])
def test_the_whole_half_at_the_destination_is_kept_unless_the_source_has_the_guest(
    source: S,
) -> None:
    assert carry_out(Choice.AT_SOURCE, source, D.READY) is None


def test_a_dead_source_and_a_running_destination_go_forward() -> None:
    assert carry_out(Choice.AT_DESTINATION, S.UNREACHABLE, D.RUNS) is V.FORWARD


def test_a_dead_destination_and_a_kept_source_are_undone() -> None:
    assert carry_out(Choice.AT_SOURCE, S.KEPT, D.UNREACHABLE) is V.UNDO


@pytest.mark.parametrize("destination", [D.GONE, D.RECEIVING])
def test_a_silent_source_keeps_the_guest_that_the_destination_does_not_have(
    destination: D,
) -> None:
    assert carry_out(Choice.AT_DESTINATION, S.UNREACHABLE, destination) is None


@pytest.mark.parametrize("source", S)
@pytest.mark.parametrize("destination", [D.POSTCOPY, D.POSTCOPY_BROKEN])
def test_a_half_of_a_post_copy_is_not_taken_for_the_guest(source: S, destination: D) -> None:
    assert carry_out(Choice.AT_DESTINATION, source, destination) is None
