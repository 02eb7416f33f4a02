"""The one store of a simulated run, as each conductor reaches it: the real statements on a database
in memory, behind a link that takes time, may refuse, and may lose an answer.

A conductor can be made to die right before or right after its n-th record.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from godwit.model.errors import Unreachable
from godwit.model.ids import InstanceUuid, MigrationUuid
from godwit.model.migration import FINAL, Migration
from godwit.model.reasons import Code, reason
from godwit.saga.log import Debt, Direction, Entry, Recorded, Story
from godwit.sim import journal as said
from godwit.sim.journal import Journal
from godwit.sim.loop import VirtualClock
from godwit.sim.process import Process
from godwit.store import claims
from godwit.store.sql import SqlStore
from godwit.store.statements import Reads
from godwit.store.store_clock import Reading
from godwit.store.tables import allocations, migrations, slots

LATENCY_S: Final = 0.004
PATIENCE_S: Final = 5.0
"""So long a conductor waits for an answer that never comes."""

_final = select(migrations.c.uuid).where(migrations.c.status.in_(sorted(FINAL)))
UNFINISHED = Reads(
    select(migrations).where(migrations.c.status.not_in(sorted(FINAL))).order_by(migrations.c.id),
    Migration,
)
OF_GUEST = Reads(
    select(migrations)
    .where(migrations.c.instance_uuid == bindparam("guest"))
    .order_by(migrations.c.id.desc()),
    Migration,
)
SLOTS_LEFT = Reads(
    select(slots.c.migration_uuid).where(slots.c.migration_uuid.in_(_final)),
    "{} has a slot after its end".format,
)
TWO_MOVES = Reads(
    select(migrations.c.instance_uuid)
    .where(migrations.c.status.not_in(sorted(FINAL)))
    .group_by(migrations.c.instance_uuid)
    .having(func.count() > 1),
    "{} is in two moves at once".format,
)
CLAIMS_LEFT = Reads(
    select(allocations.c.consumer).where(allocations.c.consumer.in_(_final)),
    "{} has a claim after its end".format,
)


class Moment(StrEnum):
    """When somebody dies, as seen from what it does."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass
class Ordeal:
    """A process dies at its n-th deed from now on, or stands still there."""

    moment: Moment
    after: int
    stands_still_s: float = 0.0

    def strikes(self) -> bool:
        """Is this the deed?"""
        self.after -= 1
        return self.after == 0


@dataclass
class Trouble:
    """What is wrong with the store now. Shared by those who reach it the same way."""

    refuses_until_s: float = 0.0
    answers_lost: float = 0.0


class Shelf:
    """The store, as one conductor's process reaches it. Everything else is the store's own."""

    def __init__(
        self,
        store: SqlStore,
        process: Process,
        journal: Journal,
        *,
        troubles: tuple[Trouble, ...],
        chance: random.Random,
    ) -> None:
        self.ordeal: Ordeal | None = None
        self._store = store
        self._process = process
        self._journal = journal
        self._troubles = troubles
        self._chance = chance

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        act = getattr(self._store, name)

        async def call(*message: Any, **more: Any) -> Any:
            return await self._reached(name, lambda: act(*message, **more))

        return call

    async def claim(self, uuid: str, **lease: Any) -> Story | None:
        """See `SagaLog.claim`."""
        story: Story | None = await self._reached("claim", lambda: self._claim(uuid, **lease))
        return story

    async def claim_debt(self, debt: Debt, **lease: Any) -> Story | None:
        """See `SagaLog.claim_debt`."""
        story: Story | None = await self._reached(
            "claim_debt", lambda: self._claim_debt(debt, **lease)
        )
        return story

    async def renew(self, uuid: str, **lease: Any) -> bool:
        """See `SagaLog.renew`."""
        ours: bool = await self._reached("renew", lambda: self._renew(uuid, **lease))
        return ours

    async def record(self, story: Story, *entries: Entry, **more: Any) -> Recorded:
        """See `SagaLog.record`."""
        ordeal = self.ordeal
        strikes = ordeal is not None and ordeal.strikes()
        if ordeal is not None and strikes and ordeal.moment is Moment.BEFORE:
            await self._strike(ordeal)
        recorded: Recorded = await self._reached(
            "record", lambda: self._record(story, entries, **more)
        )
        if ordeal is not None and strikes and ordeal.moment is Moment.AFTER:
            await self._strike(ordeal)
        return recorded

    async def record_report(self, *report: Any, **more: Any) -> None:
        """See `Store.record_report`."""
        await self._reached("record_report", lambda: self._record_report(*report, **more))

    # --- behind the link --------------------------------------------------------------------------

    async def _claim(self, uuid: str, **lease: Any) -> Story | None:
        before = await self._store.queries.story(uuid)
        return self._held(before, await self._store.claim(uuid, **lease))

    async def _claim_debt(self, debt: Debt, **lease: Any) -> Story | None:
        before = await self._store.queries.story(debt.story_uuid)
        return self._held(before, await self._store.claim_debt(debt, **lease))

    def _held(self, before: Story | None, story: Story | None) -> Story | None:
        if before is not None and story is not None:
            event = said.Held(
                by=self._process.name,
                migration=MigrationUuid(story.uuid),
                generation=story.generation,
                over=before.owner,
                now_s=VirtualClock().now_s(),
                until_s=story.lease_until_s,
            )
            self._journal.say(event)
        return story

    async def _renew(self, uuid: str, *, generation: int, until_s: float) -> bool:
        ours = await self._store.renew(uuid, generation=generation, until_s=until_s)
        if ours:
            by, migration = self._process.name, MigrationUuid(uuid)
            self._journal.say(said.Renewed(by, migration, generation, until_s))
        return ours

    async def _record(self, story: Story, entries: tuple[Entry, ...], **more: Any) -> Recorded:
        recorded = await self._store.record(story, *entries, **more)
        if recorded.abort is None:
            uuid, queries = MigrationUuid(story.uuid), self._store.queries
            migration = await queries.migration(uuid)
            instance = await queries.instance(migration.instance_uuid) if migration else None
            ended = story.direction is Direction.ENDED
            event = said.Recorded(
                by=self._process.name,
                migration=uuid,
                generation=story.generation,
                direction=story.direction,
                step=story.step,
                entries=entries,
                owner=instance.host if instance else None,
                left=await left_over(self._store) if ended else (),
            )
            self._journal.say(event)
        return recorded

    async def _record_report(self, report: Any, changes: Any, **more: Any) -> None:
        await self._store.record_report(report, changes, **more)
        for change in changes:
            instance = await self._store.queries.instance(InstanceUuid(change.uuid))
            if instance is not None:
                self._journal.note(f"{self._process.name} hears of {change.kind}")
                self._journal.say(said.Moved(instance.uuid, instance.host))

    async def _reached(self, what: str, act: Callable[[], Awaitable[Any]]) -> Any:
        await self._process.passing()
        await asyncio.sleep(self._chance.uniform(0, LATENCY_S))
        await self._refuse(what)
        result = await act()
        if any(self._chance.random() < trouble.answers_lost for trouble in self._troubles):
            self._journal.note(f"lost: the store's answer to {what} of {self._process.name}")
            await asyncio.sleep(PATIENCE_S)
            await self._process.passing()
            raise _unavailable(f"no answer to {what}")
        await self._process.passing()
        return result

    async def _refuse(self, what: str) -> None:
        await self._process.passing()
        now_s = asyncio.get_running_loop().time()
        if any(now_s < trouble.refuses_until_s for trouble in self._troubles):
            raise _unavailable(f"it refuses {what}")

    async def _strike(self, ordeal: Ordeal) -> None:
        self._journal.note(f"{self._process.name} is struck {ordeal.moment} a record")
        if ordeal.stands_still_s:
            self._process.stand_still(ordeal.stands_still_s)
        else:
            self._process.kill()
        await self._process.passing()


class Window:
    """The read-only door to the same store, for the same process."""

    def __init__(
        self,
        store: SqlStore,
        process: Process,
        troubles: tuple[Trouble, ...],
        chance: random.Random,
    ) -> None:
        self._chance = chance
        self._queries = store.queries
        self._process = process
        self._troubles = troubles

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        look = getattr(self._queries, name)

        async def call(*message: Any, **more: Any) -> Any:
            await self._reached(name)
            return await look(*message, **more)

        return call

    async def time(self) -> Reading:
        """See `Queries.time`. The store's clock is the world's."""
        asked_s = asyncio.get_running_loop().time()
        await self._reached("time")
        await asyncio.sleep(self._chance.uniform(0, LATENCY_S))
        said_s = VirtualClock().now_s()
        await asyncio.sleep(self._chance.uniform(0, LATENCY_S))
        await self._process.passing()
        return Reading(said_s, asked_s, asyncio.get_running_loop().time())

    async def _reached(self, what: str) -> None:
        await self._process.passing()
        now_s = asyncio.get_running_loop().time()
        if any(now_s < trouble.refuses_until_s for trouble in self._troubles):
            raise _unavailable(f"it refuses {what}")


async def left_over(store: SqlStore) -> tuple[str, ...]:
    """Claims and slots whose story has ended, or that belong to nobody; guests in two moves."""
    looks = (claims.leaks, SLOTS_LEFT.all, CLAIMS_LEFT.all, TWO_MOVES.all)
    return tuple([words for look in looks for words in await store.queries.read(look)])


def _unavailable(problem: str) -> Unreachable:
    return Unreachable(reason(Code.STORE_UNAVAILABLE, path="of the run", problem=problem))
