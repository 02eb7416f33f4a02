"""Processes on a real bus, as the tests of this folder need them: a line and an exchange each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from godwit.rpc.exchange import Exchange
from godwit.rpc.nats import NatsLine
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import BusSettings


@dataclass(frozen=True)
class Party:
    """One process on the bus."""

    line: NatsLine
    exchange: Exchange

    async def leave(self) -> None:
        """As a process ends."""
        await self.line.close()


@dataclass(frozen=True)
class Gathering:
    """Whoever is on the bus; all leave at the end."""

    tasks: asyncio.TaskGroup
    parties: list[Party]
    keeping: list[asyncio.Task[None]]

    async def join(
        self, settings: BusSettings, name: str = "somebody", *, hears_itself: bool = True
    ) -> Party:
        """Another process. Raises what `NatsLine` raises."""
        line = NatsLine(settings, name=name, hears_itself=hears_itself)
        await line.connect()
        party = Party(line, Exchange(line, clock=SystemClock(), tasks=self.tasks))
        self.parties.append(party)
        self.keeping.append(self.tasks.create_task(line.keep(), name=f"line of {name}"))
        await party.exchange.open()
        return party


@asynccontextmanager
async def gathering() -> AsyncIterator[Gathering]:
    """A bus's parties, gone at the end."""
    async with asyncio.TaskGroup() as tasks:
        all_of_them = Gathering(tasks, [], [])
        yield all_of_them
        for keeping in all_of_them.keeping:
            keeping.cancel()
        for party in all_of_them.parties:
            await party.leave()
