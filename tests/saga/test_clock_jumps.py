"""Somebody sets the wall clock of the control plane in the middle of a move: durations are not of
that clock, so nothing is stopped, nothing is taken over, and nobody is given up.
"""

import asyncio

import pytest
from tests.saga.house import GUEST, A, B, C, House, a_house, host_settings

from godwit.model.ids import MigrationUuid
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.saga.course import ASKING_AGAIN
from godwit.sim.loop import run
from godwit.virt.simulated.faults import TransferFault

HOUR_S = 3600.0
JUMPS = [HOUR_S, -HOUR_S, 60.0]
TRANSFER_S = 40.0
SLOW = {name: host_settings(transfer_s=TRANSFER_S) for name in (A, B, C)}


async def asked_about(house: House, uuid: MigrationUuid) -> None:
    """Until the first look at both ends has not decided."""
    for _ in range(1000):
        story = await house.store.story_of(uuid)
        if story is not None and story.resting == ASKING_AGAIN:
            return
        await asyncio.sleep(0.1)
    pytest.fail("it was never wondered where the guest is")


@pytest.mark.parametrize("by_s", JUMPS)
@pytest.mark.parametrize("after_s", [0.01, 1.0, 20.0])
def test_a_move_goes_on_through_a_jump_as_if_nothing_had_been(by_s: float, after_s: float) -> None:
    async def story() -> None:
        async with a_house(hosts=SLOW) as house:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            uuid = (await house.ask()).uuid
            await asyncio.sleep(after_s)
            house.clock.set_by_s += by_s
            moved = await house.end_of(uuid)
            assert (moved.status, moved.reason) == (MigrationStatus.COMPLETED, None)
            assert loop.time() - began_s < TRANSFER_S + 15
            assert house.fleet.calls(A, "transfer") == 1
            assert house.fleet.calls(A, "abort") == 0
            began = [step for step, what in await house.steps(uuid) if what == "began"]
            assert len(began) == len(set(began)), "no step was told twice"
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("by_s", [by_s for by_s in JUMPS if by_s > 0])
def test_a_move_asked_for_at_the_jump_may_be_refused_until_hosts_report_again(by_s: float) -> None:
    """Their last reports look old; it says so, and nothing was begun."""

    async def story() -> None:
        async with a_house() as house:
            house.clock.set_by_s += by_s
            refused = await house.migrate()
            assert refused.reason is not None
            assert refused.reason.code is Code.COMPUTE_SERVICE_UNAVAILABLE
            assert house.fleet.running_at(GUEST) == (A,)
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("by_s", JUMPS)
def test_hosts_are_not_taken_for_dead_and_a_new_move_is_accepted_after_a_jump(by_s: float) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.clock.set_by_s += by_s
            await asyncio.sleep(10)
            assert (await house.migrate()).status is MigrationStatus.COMPLETED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("by_s", JUMPS)
def test_a_switch_that_broke_is_resolved_all_the_same(by_s: float) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER)
            uuid = (await house.ask()).uuid
            await asyncio.sleep(2.5)
            house.clock.set_by_s += by_s
            ended = await house.end_of(uuid)
            assert ended.status is MigrationStatus.COMPLETED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("by_s", JUMPS)
def test_a_guest_about_which_nobody_can_decide_is_asked_about_for_as_long_as_ever(
    by_s: float,
) -> None:
    """Neither is it given up at once, nor does it rest paused until the clock has caught up."""

    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER_UNFINISHED)
            uuid = (await house.ask()).uuid
            await asked_about(house, uuid)
            began_s = asyncio.get_running_loop().time()
            house.clock.set_by_s += by_s
            ended = await house.end_of(uuid)
            took_s = asyncio.get_running_loop().time() - began_s
            bound_s = house.settings.migration.ask_again_s
            assert ended.status is MigrationStatus.FAILED
            assert bound_s - 5 < took_s < bound_s + 15
            await house.assert_sound()

    run(story())
