"""Which hosts are fenced out, as one conductor knows it."""

import asyncio
from collections.abc import Mapping
from typing import cast

from godwit.conductor.fences import Fences
from godwit.model.host import PersonsWord
from godwit.model.ids import HostName
from godwit.sim.loop import run
from godwit.store.queries import Queries

A = HostName("host-a")
WORD = PersonsWord(by="tester", at="2026-01-02T03:04:05")


class SlowList:
    """What is confirmed down, as it was when it was asked for."""

    def __init__(self) -> None:
        self.down: dict[HostName, PersonsWord] = {}

    async def confirmed_down(self) -> Mapping[HostName, PersonsWord]:
        seen = dict(self.down)
        await asyncio.sleep(1.0)
        return seen


def test_what_was_stated_while_the_list_was_read_is_seen_by_the_next_look() -> None:
    async def main() -> None:
        kept = SlowList()
        fences = Fences(cast("Queries", kept))  # the one question that it asks
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(fences.down())
            await asyncio.sleep(0.5)
            kept.down[A] = WORD
            fences.forget()
        assert first.result() == {}
        assert await fences.down() == {A: WORD}

    run(main())
