"""Every step of the story meets every fault, at every call that it makes; afterwards all is well.

The table is `tests/faults/table.py`. What a step calls is seen in a story that is told without
trouble, and in one that is undone: nothing here names a step.
"""

import pytest
from tests.faults.seams import Point, Seam
from tests.faults.stage import Stage, a_stage
from tests.faults.strikes import BLOWS, Strike
from tests.faults.table import MEANINGLESS, OF_AN_UNDO, Fault, Way, ends_of, steps_of
from tests.saga.simulated_ground import SETTINGS, SimulatedGround

from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.reasons import Code
from godwit.sim.loop import VirtualClock, run

S = MigrationStatus
STEPS = steps_of(LIVE_MIGRATION)
WHY = {
    Seam.RPC: {Code.NO_ANSWER},
    Seam.STORE: {Code.STORE_UNAVAILABLE},
    Seam.READS: {Code.STORE_UNAVAILABLE},
    Seam.DRIVER: {Code.HYPERVISOR_ERROR, Code.HYPERVISOR_UNAVAILABLE, Code.NO_ANSWER},
}
"""What is said of a move that has failed because a call did not come through there."""
OF_THE_PIVOT = {Code.TRANSFER_FAILED, Code.TRANSFER_STALLED}


def points_of(way: Way) -> list[Point]:
    """Every call that a story makes, in one that arrives or in one that is undone."""

    async def story() -> list[Point]:
        ground = SimulatedGround()
        async with a_stage(ground, SETTINGS, VirtualClock()) as stage:
            if way is Way.UNDO:
                ground.fail_transfer()
            await stage.end_of(await stage.ask())
            return [point for point in stage.seen if point.part.way is way]

    return run(story())


POINTS = [*points_of(Way.DO), *points_of(Way.UNDO)]
ACTING = {point.part for point in POINTS if point.seam is not Seam.READS}


def can_meet(fault: Fault, point: Point) -> bool:
    """What only reads stands for its step where nothing else does; but any read may fail."""
    if fault in OF_AN_UNDO and point.part.way is Way.DO:
        return False
    if point.seam is Seam.READS and point.part in ACTING and fault is not Fault.FAILS:
        return False
    return BLOWS[fault].can_strike(point)


CASES = [(fault, point) for fault in Fault for point in POINTS if can_meet(fault, point)]


def test_each_pair_of_step_and_fault_is_either_run_or_listed_as_meaningless() -> None:
    run_pairs = {(point.part.step, fault) for fault, point in CASES}
    assert set(MEANINGLESS) <= {(step, fault) for step in STEPS for fault in Fault}
    left_out = {(step, fault) for step in STEPS for fault in Fault} - run_pairs
    assert left_out == set(MEANINGLESS), "list it in tests/faults/table.py, with the reason"


@pytest.mark.parametrize(("fault", "point"), CASES, ids=str)
def test_whatever_strikes_a_step_leaves_one_guest_and_no_trace(fault: Fault, point: Point) -> None:
    async def story() -> None:
        ground = SimulatedGround()
        async with a_stage(ground, SETTINGS, VirtualClock()) as stage:
            for_good = fault is Fault.UNDO_FAILS_FOR_GOOD
            stage.strike = strike = Strike(stage, BLOWS[fault], point, for_good=for_good)
            if point.part.way is Way.UNDO:
                ground.fail_transfer()
            ended = await stage.end_of(await stage.ask())
            assert strike.has_struck
            assert_ended_as_it_may(ended, fault, point)
            if for_good:
                await assert_what_is_owed_stops_nobody(stage)
            await stage.mend()
            await stage.assert_sound()

    run(story())


def assert_ended_as_it_may(ended: Migration, fault: Fault, point: Point) -> None:
    """Its status is one that the table allows, with a reason that names what has struck."""
    assert ended.status in ends_of(LIVE_MIGRATION, point.part, fault)
    code = ended.reason.code if ended.reason else None
    if ended.status is S.COMPLETED:
        assert code is None
    elif ended.status is S.CANCELLED:
        assert code is Code.CANCELLED_BY_REQUEST
    elif point.part.way is Way.UNDO:
        assert code is Code.TRANSFER_FAILED
    elif point.part.step == LIVE_MIGRATION.pivot.name:
        assert code in WHY[point.seam] | OF_THE_PIVOT
    elif fault is Fault.BUS_DROPS:
        assert code in {Code.NO_ANSWER, Code.NO_VALID_HOST, *OF_THE_PIVOT}
    else:
        assert code in WHY[point.seam]


async def assert_what_is_owed_stops_nobody(stage: Stage) -> None:
    """The guest moves again, while what the move before could not undo is still owed."""
    [owed] = await stage.store.queries.debts()
    assert owed.undo
    again = await stage.end_of(await stage.ask())
    assert again.status is S.COMPLETED
