"""The hosts as one conductor sees them, when reads fail."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

import pytest

from godwit.conductor.hosts import Hosts
from godwit.model.errors import Unreachable
from godwit.model.host import Host, Usage
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.runtime.settings import Settings
from godwit.sim.loop import VirtualClock, run
from godwit.store.queries import Queries
from godwit.store.statements import Connection

T = TypeVar("T")
FAILED = Unreachable(reason(Code.STORE_UNAVAILABLE, path="store", problem="locked"))


class Readings:
    """A reader whose reads take a second and come to what is given, one after the other."""

    def __init__(self, *answers: Exception | tuple[str, ...]) -> None:
        self._answers = iter(answers)

    async def read(self, look: Callable[[Connection], T]) -> T:
        await asyncio.sleep(1)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        hosts = tuple((Host(name=HostName(name)), Usage()) for name in answer)
        return cast(T, hosts)

    async def glance(self, look: Callable[[Connection], T], *, together: bool = False) -> T:
        return await self.read(look)

    def close(self) -> None:
        pass


async def three_ask(hosts: Hosts) -> list[tuple[str, ...] | BaseException]:
    """The first two begin and wait; the third comes while the first reads."""

    async def names() -> tuple[str, ...]:
        return tuple(state.name for state in await hosts.now())

    return await asyncio.gather(*(names() for _ in range(3)), return_exceptions=True)


def asked(*answers: Exception | tuple[str, ...]) -> list[tuple[str, ...] | BaseException]:
    async def tale() -> list[tuple[str, ...] | BaseException]:
        return await three_ask(Hosts(Queries(Readings(*answers)), VirtualClock(), Settings()))

    return run(tale())


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_whoever_waits_behind_a_read_that_failed_reads_for_itself(failures: int) -> None:
    hosts = ("host-a", "host-b")
    failed = [FAILED] * failures
    assert asked(*failed, hosts, hosts) == [*failed, *[hosts] * (3 - failures)]


def test_a_read_that_began_before_the_question_does_not_answer_it() -> None:
    async def tale() -> None:
        hosts = Hosts(Queries(Readings(("old",), ("new",))), VirtualClock(), Settings())
        first = asyncio.ensure_future(hosts.lately())
        await asyncio.sleep(0.5)
        assert [state.name for state in await hosts.now()] == ["new"]
        await first

    run(tale())
