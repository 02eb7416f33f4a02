"""Every step of the story meets every fault, at every call that it makes; afterwards all is well.

The table is `tests/faults/table.py`.
"""

import pytest
from tests.faults.cases import CASES, Case, endure
from tests.faults.simulated_ground import SimulatedGround
from tests.faults.stage import a_stage
from tests.faults.table import MEANINGLESS, Fault, Tale, steps_of

from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.sim.loop import VirtualClock, run

STEPS = steps_of(LIVE_MIGRATION)


def test_each_pair_of_step_and_fault_is_either_run_or_listed_as_meaningless() -> None:
    assert set(MEANINGLESS) <= {(step, fault) for step in STEPS for fault in Fault}
    left_out = {(step, fault) for step in STEPS for fault in Fault}
    left_out -= {(case.point.part.step, case.fault) for case in CASES}
    assert left_out == set(MEANINGLESS), "list it in tests/faults/table.py, with the reason"


def test_each_tale_has_calls_of_its_own() -> None:
    assert {case.tale for case in CASES} == set(Tale)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whatever_strikes_a_step_leaves_one_guest_and_no_trace(case: Case) -> None:
    async def story() -> None:
        async with a_stage(SimulatedGround(), VirtualClock()) as stage:
            await endure(stage, case)

    run(story())
