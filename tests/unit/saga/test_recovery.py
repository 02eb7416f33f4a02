import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.unit.saga.toy import CLOCK, REFUSED, UUID, Facts, House, World

from godwit.model.errors import Unreachable
from godwit.model.reasons import Code, reason
from godwit.saga.log import Direction
from godwit.saga.recovery import Sweeper
from godwit.saga.step import Rest
from godwit.sim.loop import run
from godwit.store.queries import Queries
from godwit.store.readers import InlineReader
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection
from godwit.store.writer import InlineWriter, T, Work

UNAVAILABLE = Unreachable(reason(Code.STORE_UNAVAILABLE, path="x", problem="disk full"))


@asynccontextmanager
async def running(sweeper: Sweeper[World, Facts]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(sweeper.run(), name="sweeper")
        yield
        sweeper.stop()


@dataclass
class BrokenReader(InlineReader):
    """A database that cannot be read for a while."""

    database: Connection
    broken: int = 3

    async def read(self, look):  # type: ignore[no-untyped-def]
        self.broken -= 1
        if self.broken >= 0:
            raise UNAVAILABLE
        return await InlineReader(self.database).read(look)


@dataclass
class BrokenWriter:
    """A database that cannot be written at one write."""

    writer: InlineWriter
    broken_at: int
    writes: int = 0

    async def write(self, work: Work[T]) -> T:
        self.writes += 1
        if self.writes == self.broken_at:
            raise UNAVAILABLE
        return await self.writer.write(work)

    def close(self) -> None: ...


def test_a_noticed_story_is_told_at_once_without_waiting_for_a_sweep() -> None:
    async def story() -> None:
        house = House()
        sweeper = Sweeper(house.executor(), interval_s=1e5)
        async with running(sweeper):
            await asyncio.sleep(1)
            await house.begin()
            sweeper.notice(UUID)
            await asyncio.sleep(0.1)
            assert house.world.whole

    run(story())


def test_a_story_is_never_told_twice_at_a_time_but_once_more_if_it_was_noticed_meanwhile() -> None:
    async def story() -> None:
        house = House()
        sweeper = Sweeper(house.executor(), alone=True)

        async def noticed_again_and_again() -> None:
            for _ in range(50):
                sweeper.notice(UUID)
                await asyncio.sleep(1)
            raise Rest("queued", again_after_s=1e6)

        house.world.trouble["before do a"] = [noticed_again_and_again]
        await house.begin()
        async with running(sweeper):
            await asyncio.sleep(49)
            assert house.world.acts == ["do a"]
            await asyncio.sleep(2)
            assert house.world.acts[:2] == ["do a", "do a"]
            assert house.world.whole

    run(story())


def test_no_more_stories_are_told_at_once_than_allowed_and_none_is_forgotten() -> None:
    async def story() -> None:
        house = House()
        sweeper = Sweeper(house.executor(), at_once_max=2)
        busy: list[int] = []

        async def slow() -> None:
            busy.append(1)
            assert len(busy) <= 2
            await asyncio.sleep(10)
            busy.pop()

        names = [f"story-{n}" for n in range(1, 6)]
        house.world.trouble["before do b"] = [slow] * 5
        for name in names:
            await house.begin(name)
            sweeper.notice(name)
        async with running(sweeper):
            await asyncio.sleep(5)
            assert house.world.acts.count("do a") == 2
            await asyncio.sleep(40)
        for name in names:
            assert (await house.story(name)).direction is Direction.ENDED

    run(story())


def test_debts_of_one_story_are_paid_one_after_another_and_only_once_it_has_ended() -> None:
    async def story() -> None:
        house = House()
        house.world.trouble = {
            "before do p": [REFUSED],
            "before undo p": [REFUSED] * 5,
            "before undo c": [REFUSED] * 5,
            "before undo a": [Rest("queued", again_after_s=60)],
        }
        await house.begin()
        async with running(Sweeper(house.executor())):
            await asyncio.sleep(50)
            assert len(await house.store().queries.debts()) == 2
            assert await house.store().debts_due(now_s=CLOCK.now_s()) == ()
            await asyncio.sleep(100)
            assert await house.store().queries.debts() == ()
        assert house.world.whole

    run(story())


def test_a_store_that_cannot_be_read_for_a_while_only_delays_the_sweep() -> None:
    async def story() -> None:
        house = House()
        await house.begin()
        queries = Queries(BrokenReader(house.database))
        store = SqlStore(InlineWriter(house.database), queries, CLOCK)
        async with running(Sweeper(house.executor(store))):
            await asyncio.sleep(10)
        assert house.world.whole

    run(story())


def test_a_record_that_could_not_be_written_leaves_the_story_to_its_lease_never_undoes_it() -> None:
    async def story(broken_at: int) -> None:
        house = House()
        await house.begin()
        writer = BrokenWriter(InlineWriter(house.database), broken_at)
        store = SqlStore(writer, Queries(InlineReader(house.database)), CLOCK)
        async with running(Sweeper(house.executor(store))):
            await asyncio.sleep(40)
        assert house.world.whole
        assert house.world.ending == "finished"

    for broken_at in range(1, 9):
        run(story(broken_at))


def test_a_renewal_that_could_not_be_written_is_tried_again() -> None:
    async def story() -> None:
        house = House()
        house.world.trouble["before do a"] = [lambda: asyncio.sleep(60)]
        await house.begin()
        writer = BrokenWriter(InlineWriter(house.database), broken_at=3)
        store = SqlStore(writer, Queries(InlineReader(house.database)), CLOCK)
        async with running(Sweeper(house.executor(store))):
            await asyncio.sleep(70)
        assert house.world.acts.count("do a") == 1
        assert house.world.whole

    run(story())


def test_a_stop_waits_for_acts_under_way_but_abandons_those_that_outlast_the_grace() -> None:
    async def story(act_s: float) -> tuple[str, float]:
        house = House()
        house.world.trouble["before do b"] = [lambda: asyncio.sleep(act_s)]
        await house.begin()
        sweeper = Sweeper(house.executor(), grace_s=5)
        began_s = CLOCK.now_s()
        async with running(sweeper):
            await asyncio.sleep(1)
        took_s = CLOCK.now_s() - began_s
        owner = (await house.story()).owner
        sweeper.notice(UUID)
        await house.until_quiet(house.executor(owner="second"), alone=True)
        assert house.world.whole
        return owner, took_s

    assert run(story(4)) == ("", 4)
    assert run(story(1000)) == ("first", 6)
