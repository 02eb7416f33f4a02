import asyncio

import pytest

from godwit.model.errors import Unreachable
from godwit.model.host import HostReport
from godwit.model.ids import HostName
from godwit.sim.loop import run
from godwit.store.together import GATHER_S, Reported, Together
from godwit.store.writer import unavailable

LEFT_OUT = HostName("host-7")


class Keeper:
    """Takes a second for each batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fails = 0

    async def keep(self, reports: list[Reported]) -> frozenset[HostName]:
        await asyncio.sleep(1)
        if self.fails:
            self.fails -= 1
            raise unavailable("here", "it is away")
        self.batches.append(len(reports))
        return frozenset({LEFT_OUT})


def report(number: int) -> HostReport:
    return HostReport(host=HostName(f"host-{number}"), facts=None)


def test_those_that_come_while_some_are_written_are_written_together() -> None:
    async def story() -> None:
        keeper = Keeper()
        together = Together(keeper.keep)
        async with asyncio.TaskGroup() as tasks:
            for number in range(9):
                tasks.create_task(together.write(report(number), 1.0))
                await asyncio.sleep(0.3)
        assert keeper.batches == [1, 3, 4, 1]

    run(story())


def test_the_first_waits_a_moment_for_others() -> None:
    async def story() -> None:
        keeper = Keeper()
        together = Together(keeper.keep)
        async with asyncio.TaskGroup() as tasks:
            for number in range(9):
                tasks.create_task(together.write(report(number), 1.0))
                await asyncio.sleep(GATHER_S / 10)
        assert keeper.batches == [9]

    run(story())


def test_who_is_left_out_is_told_and_nobody_else() -> None:
    async def story() -> None:
        together = Together(Keeper().keep)
        kept = await asyncio.gather(*(together.write(report(n), 1.0) for n in (6, 7, 8)))
        assert kept == [True, False, True]

    run(story())


def test_who_fails_fails_for_its_whole_batch_and_for_no_other() -> None:
    async def story() -> None:
        keeper = Keeper()
        keeper.fails = 1
        together = Together(keeper.keep)
        first = asyncio.gather(
            *(together.write(report(n), 1.0) for n in range(3)), return_exceptions=True
        )
        assert [type(each) for each in await first] == [Unreachable] * 3
        await together.write(report(1), 2.0)
        assert keeper.batches == [1]

    run(story())


@pytest.mark.parametrize("after_s", [0.5, 1.5])
def test_whoever_writes_for_others_and_is_cancelled_stops_nobody_else(after_s: float) -> None:
    async def story() -> None:
        keeper = Keeper()
        together = Together(keeper.keep)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(together.write(report(0), 1.0))
            await asyncio.sleep(2 * GATHER_S)
            leader = tasks.create_task(together.write(report(1), 1.0))
            await asyncio.sleep(2 * GATHER_S)
            follower = asyncio.gather(together.write(report(2), 1.0), return_exceptions=True)
            await asyncio.sleep(after_s)
            leader.cancel()
            assert [type(each) for each in await follower] == [Unreachable]
        await together.write(report(3), 2.0)
        assert keeper.batches == [1, 1]

    run(story())
