"""What a status means for the guest, what may be asked, and what each line belongs to."""

import pytest
from tests.unit.api.fake_house import HOST_B, a_migration, line

from godwit.api.story import (
    FIRST_ACT,
    PIVOT,
    Kind,
    Outcome,
    allowed_actions,
    choices,
    entry_views,
    outcome_of,
)
from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.model.migration import MigrationStatus
from godwit.model.progress import Progress, TransferPhase
from godwit.model.reasons import Code, Reason
from godwit.saga.log import What

S = MigrationStatus


def test_the_two_steps_known_here_by_name_are_steps_of_the_story() -> None:
    assert LIVE_MIGRATION.pivot.name == PIVOT
    assert [step.name for step in LIVE_MIGRATION.before][-1] == FIRST_ACT


BEFORE = [line("find_destination", What.FAILED)]
PREPARING = [line("pre_live_migration", What.BEGAN)]


def because(code: Code) -> Reason:
    return Reason(code=code, words="w", remedy="r")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (S.ACCEPTED, Outcome.UNDER_WAY),
        (S.QUEUED, Outcome.UNDER_WAY),
        (S.PREPARING, Outcome.UNDER_WAY),
        (S.RUNNING, Outcome.UNDER_WAY),
        (S.POST_MIGRATING, Outcome.UNDER_WAY),
        (S.COMPLETED, Outcome.MOVED),
        (S.FAILED, Outcome.FAILED),
        (S.CANCELLED, Outcome.CANCELLED),
        (S.ERROR, Outcome.PERSON_NEEDED),
    ],
)
def test_every_status_has_an_outcome(status: MigrationStatus, outcome: Outcome) -> None:
    assert outcome_of(a_migration(status=status), PREPARING) is outcome


def test_a_guest_that_ended_where_it_has_moved_to_has_not_simply_moved() -> None:
    migration = a_migration(status=S.COMPLETED, reason=because(Code.GUEST_ENDED_THERE))
    assert outcome_of(migration, PREPARING) is Outcome.MOVED_AND_ENDED
    decided = a_migration(status=S.COMPLETED, reason=because(Code.RESOLVED_BY_A_PERSON))
    assert outcome_of(decided, PREPARING) is Outcome.MOVED


@pytest.mark.parametrize("status", S)
def test_where_a_person_is_needed_no_status_hides_it(status: MigrationStatus) -> None:
    migration = a_migration(status=status, person_needed=True)
    assert outcome_of(migration, []) is Outcome.PERSON_NEEDED
    assert allowed_actions(migration) == ["resolve"]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (Code.NO_VALID_HOST, Outcome.REFUSED),
        (Code.INSTANCE_INVALID_STATE, Outcome.REFUSED),
        (Code.HYPERVISOR_UNAVAILABLE, Outcome.REFUSED),
        (Code.TRANSFER_FAILED, Outcome.FAILED),
        (Code.NO_ANSWER, Outcome.FAILED),
        (Code.INTERNAL_ERROR, Outcome.FAILED),
        (Code.GUEST_ENDED, Outcome.PERSON_NEEDED),
        (Code.GUEST_STOPPED, Outcome.ENDED),
    ],
)
def test_a_failure_before_anything_was_prepared_is_a_refusal_if_a_check_said_no(
    code: Code, outcome: Outcome
) -> None:
    migration = a_migration(status=S.FAILED, reason=because(code))
    assert outcome_of(migration, BEFORE) is outcome


def test_a_failure_after_the_first_act_is_a_failure_whatever_its_code() -> None:
    migration = a_migration(status=S.FAILED, reason=because(Code.BRIDGE_MISSING))
    assert outcome_of(migration, BEFORE) is Outcome.REFUSED
    assert outcome_of(migration, PREPARING) is Outcome.FAILED


@pytest.mark.parametrize("status", S)
def test_only_what_has_not_switched_may_be_aborted_or_steered(status: MigrationStatus) -> None:
    may = status in {S.ACCEPTED, S.QUEUED, S.PREPARING, S.RUNNING}
    assert allowed_actions(a_migration(status=status)) == (["abort", "set"] if may else [])
    assert allowed_actions(a_migration(status=status, abort_requested=True)) == []


@pytest.mark.parametrize("phase", TransferPhase)
def test_only_the_copy_of_memory_may_be_forced(phase: TransferPhase) -> None:
    migration = a_migration(status=S.RUNNING, progress=Progress(phase=phase))
    may = phase is TransferPhase.COPYING_MEMORY
    assert ("force-complete" in allowed_actions(migration)) == may


def test_a_person_may_choose_either_end_or_lost() -> None:
    migration = a_migration(person_needed=True, dest_compute=HOST_B)
    assert [choice["at_host"] for choice in choices(migration)] == ["host-a", "host-b", None]
    assert choices(a_migration(dest_compute=HOST_B)) == []


def test_steps_become_forward_after_the_pivot_and_undone_lines_are_undo() -> None:
    lines = [
        line("check_instance", What.DONE),
        line("pre_live_migration", What.DONE),
        line("live_migration", What.RESOLVED),
        line("record_new_host", What.DONE),
        line("live_migration", What.UNDONE),
        line("pre_live_migration", What.UNDONE),
        line("pre_live_migration", What.OWED),
    ]
    assert [shown["kind"] for shown in entry_views(lines)] == [
        Kind.STEP,
        Kind.STEP,
        Kind.PIVOT,
        Kind.FORWARD,
        Kind.UNDO,
        Kind.UNDO,
        Kind.STEP,
    ]
