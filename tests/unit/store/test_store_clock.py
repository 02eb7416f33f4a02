"""The store's clock, as a process knows it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from godwit.model.errors import Unreachable
from godwit.model.reasons import Code, reason
from godwit.sim.loop import run
from godwit.store.store_clock import READ_EVERY_S, SURE_WITHIN_S, Reading, StoreClock

OWN_S = 1_000.0
STORE_S = 5_000_000.0


class OwnClock:
    def now_s(self) -> float:
        return OWN_S


@dataclass
class Server:
    """A server whose clock somebody sets, and the way to it."""

    ahead_s: float = STORE_S
    answers_after_s: float = 0.0
    is_away: bool = False

    async def look(self) -> Reading | None:
        if self.is_away:
            raise Unreachable(reason(Code.STORE_UNAVAILABLE, path="there", problem="away"))
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        await asyncio.sleep(self.answers_after_s / 2)
        said_s = loop.time() + self.ahead_s
        await asyncio.sleep(self.answers_after_s / 2)
        return Reading(said_s, asked_s, loop.time())


def told(tale: Callable[[Server, StoreClock, asyncio.TaskGroup], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = StoreClock(OwnClock(), steady_s=asyncio.get_running_loop().time)
        async with asyncio.TaskGroup() as tasks:
            server = Server()
            await tale(server, clock, tasks)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    run(main())


def now_there_s() -> float:
    return asyncio.get_running_loop().time() + STORE_S


def test_it_shows_what_the_server_says_and_goes_on_between_the_readings() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        assert clock.now_s() == OWN_S
        await clock.keep(server.look, tasks)
        assert clock.now_s() == pytest.approx(now_there_s())
        await asyncio.sleep(READ_EVERY_S / 2)
        assert clock.now_s() == pytest.approx(now_there_s())

    told(tale)


def test_a_server_whose_clock_is_set_is_followed_soon() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        await clock.keep(server.look, tasks)
        server.ahead_s = STORE_S - 3600
        await asyncio.sleep(READ_EVERY_S + 0.1)
        assert clock.now_s() == pytest.approx(now_there_s() - 3600)

    told(tale)


def test_an_answer_that_took_long_does_not_set_it() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        await clock.keep(server.look, tasks)
        server.ahead_s, server.answers_after_s = STORE_S - 3600, SURE_WITHIN_S + 0.1
        await asyncio.sleep(3 * READ_EVERY_S)
        assert clock.now_s() == pytest.approx(now_there_s())

    told(tale)


def test_it_is_never_ahead_of_the_server_however_long_the_answer_took() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        server.answers_after_s = SURE_WITHIN_S
        await clock.keep(server.look, tasks)
        assert now_there_s() - SURE_WITHIN_S <= clock.now_s() <= now_there_s()

    told(tale)


def test_a_first_answer_that_took_long_is_better_than_this_machines_own_clock() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        server.answers_after_s = 4 * SURE_WITHIN_S
        await clock.keep(server.look, tasks)
        behind_s = now_there_s() - clock.now_s()
        assert 0.0 <= behind_s <= 4 * SURE_WITHIN_S
        server.answers_after_s = 0.0
        await asyncio.sleep(READ_EVERY_S + 0.1)
        assert clock.now_s() == pytest.approx(now_there_s())

    told(tale)


def test_it_goes_on_while_the_server_is_away() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        await clock.keep(server.look, tasks)
        server.is_away = True
        await asyncio.sleep(100 * READ_EVERY_S)
        assert clock.now_s() == pytest.approx(now_there_s())
        server.is_away, server.ahead_s = False, STORE_S + 60
        await asyncio.sleep(READ_EVERY_S + 0.1)
        assert clock.now_s() == pytest.approx(now_there_s() + 60)

    told(tale)


def test_nobody_begins_by_a_clock_that_could_not_be_read() -> None:
    async def tale(server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        server.is_away = True
        with pytest.raises(Unreachable):
            await clock.keep(server.look, tasks)

    told(tale)


def test_of_a_file_it_is_this_machines_own() -> None:
    async def nobody() -> None:
        return None

    async def tale(_server: Server, clock: StoreClock, tasks: asyncio.TaskGroup) -> None:
        await clock.keep(nobody, tasks)
        assert clock.now_s() == OWN_S
        assert len(asyncio.all_tasks()) == 1

    told(tale)
