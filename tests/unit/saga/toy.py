"""A toy saga whose world remembers every act and can be told to make trouble.

`a` and `c` leave a mark and take it away again, `b` only looks, `p` is the pivot, `f` is at a host,
`g` ends it all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.saga.executor import Executor, Pace
from godwit.saga.log import Direction, Story
from godwit.saga.recovery import Sweeper
from godwit.saga.step import (
    Context,
    DidNotHappen,
    Forward,
    Happened,
    NothingToUndo,
    Pivot,
    Resolution,
    Saga,
    Step,
    Undecided,
)
from godwit.sim.loop import VirtualClock
from godwit.store.database import open_in_memory
from godwit.store.queries import Queries
from godwit.store.readers import InlineReader
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection, transaction
from godwit.store.writer import InlineWriter, T, Work

UUID: Final = "story-1"
CLOCK: Final = VirtualClock()
DONE: Final = frozenset("acpfg")
ALL_ACTS: Final = ("do a", "do b", "do c", "do p", "resolve p", "do f", "do g")

REFUSED: Final = HypervisorError(
    reason(Code.HYPERVISOR_ERROR, host=HostName("h"), doing="it", problem="it would not")
)
ABORT: Final = reason(Code.CANCELLED_BY_REQUEST, initiator="me")
SEEN: Final = reason(
    Code.TWO_GUESTS, source="here", destination="there", source_word="runs", destination_word="runs"
)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the toy story learns: each do that returned."""

    learned: tuple[str, ...] = ()
    host: str = "h"
    request_id: str = "req-toy"


class Died(BaseException):
    """The process ends here: nothing may catch it."""


Hook = Callable[[], Awaitable[None]]


@dataclass
class World:
    """`done` is the outside world; `trouble` says what an act meets, once per item."""

    done: set[str] = field(default_factory=set)
    acts: list[str] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    trouble: dict[str, list[BaseException | Hook]] = field(default_factory=dict)
    undecided: list[Undecided[Facts]] = field(default_factory=list)
    ending: str = ""

    async def act(self, name: str, context: Context["World", Facts]) -> None:
        """Remember the act, meet the trouble before it, act, meet the trouble after it."""
        self.acts.append(name)
        self.generations.append(context.generation)
        await self._meet(f"before {name}")
        verb, _, mark = name.partition(" ")
        if verb == "do" and mark in DONE:
            self.done.add(mark)
        elif verb == "undo":
            self.done.discard(mark)
        await self._meet(f"after {name}")

    async def _meet(self, when: str) -> None:
        if self.trouble.get(when):
            met = self.trouble[when].pop(0)
            if isinstance(met, BaseException):
                raise met
            await met()

    @property
    def whole(self) -> bool:
        """All done or all undone, and the ending says which."""
        if self.ending == "finished":
            return self.done == DONE
        return self.ending == "unwound" and self.done == set()


Telling = Context[World, Facts]


def _do(mark: str) -> Callable[[Telling], Awaitable[Facts]]:
    async def do(context: Telling) -> Facts:
        await context.world.act(f"do {mark}", context)
        if mark == "g":
            context.world.ending = "finished"
        return Facts(learned=(*context.facts.learned, mark))

    return do


def _undo(mark: str) -> Callable[[Telling], Awaitable[None]]:
    async def undo(context: Telling) -> None:
        await context.world.act(f"undo {mark}", context)

    return undo


async def _resolve(context: Telling) -> Resolution[Facts]:
    world = context.world
    await world.act("resolve p", context)
    if world.undecided:
        return world.undecided.pop(0)
    if "p" in world.done:
        return Happened(context.facts)
    return DidNotHappen(context.failure or ABORT)


async def _unwound(context: Telling) -> None:
    await context.world.act("unwound", context)
    context.world.ending = "unwound"


def _host(facts: Facts) -> str:
    return facts.host


TOY: Final[Saga[World, Facts]] = Saga(
    "toy",
    facts=Facts,
    before=(
        Step("a", do=_do("a"), undo=_undo("a")),
        Step("b", do=_do("b"), undo=NothingToUndo("only looks")),
        Step("c", do=_do("c"), undo=_undo("c"), where=_host),
    ),
    pivot=Pivot("p", do=_do("p"), resolve=_resolve, undo=_undo("p"), where=_host),
    after=(Forward("f", do=_do("f"), where=_host), Forward("g", do=_do("g"))),
    unwound=_unwound,
    request_id=lambda facts: facts.request_id,
)

LACONIC: Final = replace(
    TOY,
    pivot=replace(TOY.pivot, told_later=True),
    after=(replace(TOY.after[0], told_later=True), TOY.after[1]),
)
"""The same with one record for the end of the pivot and all that follows it."""


@dataclass
class House:
    """One database that outlives processes; each store is a process's own door to it."""

    database: Connection = field(default_factory=open_in_memory)
    world: World = field(default_factory=World)
    saga: Saga[World, Facts] = TOY

    def store(self, *, dies_at_write: int = 0, after: bool = False) -> SqlStore:
        """A process's store; with `dies_at_write` the process ends at that write."""
        writer = DyingWriter(InlineWriter(self.database), dies_at_write, after)
        return SqlStore(writer, Queries(InlineReader(self.database)), CLOCK)

    def executor(
        self, store: SqlStore | None = None, *, owner: str = "first", pace: Pace | None = None
    ) -> Executor[World, Facts]:
        """A process that tells toy stories."""
        return Executor(
            log=store or self.store(),
            saga=self.saga,
            world=self.world,
            clock=CLOCK,
            owner=owner,
            pace=pace or Pace(),
        )

    async def begin(self, uuid: str = UUID) -> None:
        """A new story."""
        facts = msgspec.json.encode(Facts())
        await self.store().begin(Story(uuid=uuid, saga="toy", step="a", facts=facts))

    async def story(self, uuid: str = UUID) -> Story:
        """The story as it stands."""
        story = await self.store().queries.story(uuid)
        assert story is not None
        return story

    async def timeline(self) -> list[str]:
        """What happened, as `step what`."""
        return [f"{e.step} {e.what}" for e in await self.store().queries.timeline(UUID)]

    async def until_quiet(
        self,
        executor: Executor[World, Facts],
        *,
        alone: bool = False,
        every_s: int = 5,
        times_max: int = 800,
    ) -> None:
        """Sweep until the story has ended and nothing is owed."""
        sweeper = Sweeper(executor, alone=alone, interval_s=every_s)
        async with asyncio.TaskGroup() as group:
            group.create_task(sweeper.run(), name="sweeper")
            for _ in range(times_max):
                await asyncio.sleep(every_s)
                ended = (await self.story()).direction is Direction.ENDED
                if ended and not await self.store().queries.debts():
                    break
            sweeper.stop()

    def do_in_the_store(self, work: Work[T]) -> T:
        """What another part of the program writes meanwhile."""

        def write(connection: Connection) -> T:
            return work(connection)

        with transaction(self.database) as connection:
            return write(connection)


@dataclass
class DyingWriter:
    """A writer that works until its process dies, before or after a certain commit."""

    writer: InlineWriter
    dies_at_write: int
    after: bool
    writes: int = 0

    async def write(self, work: Work[T]) -> T:
        """See `Writer`."""
        self.writes += 1
        dies = self.writes == self.dies_at_write
        if dies and not self.after:
            raise Died
        result = await self.writer.write(work)
        if dies:
            raise Died
        return result

    def close(self) -> None:
        """See `Writer`."""
