"""Two conductors: each hears only some of the hosts' reports; their machines' clocks differ."""

import asyncio
from dataclasses import replace

import pytest
from tests.saga.house import GUEST, A, B, House, JumpingClock, a_house, host_settings

from godwit.compute.manager import ComputeManager
from godwit.compute.reporter import Reporter
from godwit.conductor.manager import ComputeTaskManager
from godwit.conductor.sweeper import Conductor
from godwit.model.instance import PowerState
from godwit.model.migration import MigrationStatus
from godwit.saga.log import What
from godwit.sim.loop import VirtualClock, run
from godwit.store.store_clock import Reading, StoreClock
from godwit.virt.simulated.faults import TransferFault


def test_a_report_that_another_conductor_has_heard_since_does_not_make_two_of_a_guest() -> None:
    async def story() -> None:
        async with a_house() as house:
            other = ComputeTaskManager(house.world, alone=False)

            async def tell_the_other(host: ComputeManager) -> None:
                await Reporter(host, other, interval_s=5.0).report()

            await tell_the_other(house.managers[A])
            moved = await house.migrate(host=B)
            assert moved.status is MigrationStatus.COMPLETED
            await asyncio.sleep(30)
            house.fleet.power_off_guest(B, GUEST)
            await tell_the_other(house.managers[B])
            server = await house.store.queries.instance(GUEST)
            assert server is not None
            assert server.power_state is PowerState.SHUTDOWN

    run(story())


def conductor_at(house: House, owner: str, *, off_by_s: float) -> asyncio.Task[None]:
    """One more conductor, at a machine whose clock is so wrong."""
    loop = asyncio.get_running_loop()

    async def look() -> Reading:
        return Reading(VirtualClock().now_s(), loop.time(), loop.time())

    own = JumpingClock()
    own.set_by_s = off_by_s
    clock = StoreClock(own, steady_s=loop.time)
    other = Conductor(replace(house.world, clock=clock), owner=owner, alone=False)

    async def live() -> None:
        async with asyncio.TaskGroup() as tasks:
            await clock.keep(look, tasks)
            await other.run()

    return house.tasks.create_task(live(), name=owner)


@pytest.mark.parametrize("off_by_s", [3600.0, -3600.0])
@pytest.mark.parametrize("broken", [None, TransferFault.HANDED_OVER_UNFINISHED])
def test_no_living_conductor_takes_a_story_from_another_by_the_clock_of_its_machine(
    off_by_s: float, broken: TransferFault | None
) -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfer_s=40) for host in (A, B)}
        async with a_house(hosts=hosts) as house:
            house.kill_conductor()  # it takes itself for the only one
            right = conductor_at(house, "right", off_by_s=0.0)
            wrong = conductor_at(house, "wrong", off_by_s=off_by_s)
            if broken is not None:
                house.fleet.break_transfer(GUEST, broken)
            moved = await house.migrate()
            expected = MigrationStatus.FAILED if broken else MigrationStatus.COMPLETED
            assert moved.status is expected
            steps = [what for _, what in await house.steps(moved.uuid)]
            assert What.TAKEN_OVER.value not in steps
            right.cancel()
            wrong.cancel()
            await house.next_conductor()
            await house.assert_sound()

    run(story())
