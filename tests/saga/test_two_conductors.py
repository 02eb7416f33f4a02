"""Two conductors, each of which hears only some of the hosts' reports."""

import asyncio

from tests.saga.house import GUEST, A, B, a_house

from godwit.compute.manager import ComputeManager
from godwit.compute.reporter import Reporter
from godwit.conductor.manager import ComputeTaskManager
from godwit.model.instance import PowerState
from godwit.model.migration import MigrationStatus
from godwit.sim.loop import run


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
