"""The seams where a fault can strike, and which step of which story crosses them at that moment.

A story's table is data: `watched` gives the same table whose acts say where they are. What crosses
a seam meanwhile (a call to a host, a transaction, a call to a hypervisor) is a `Crossing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Protocol

from tests.faults.table import Part, Way

from godwit.saga.log import Direction, Entry, Story, What
from godwit.saga.step import Context, F, Forward, NothingToUndo, Pivot, Saga, Step, W
from godwit.sim.process import Process


class Seam(StrEnum):
    """What is crossed."""

    RPC = "rpc"
    STORE = "store"
    READS = "reads"
    """The store's read-only door."""
    DRIVER = "driver"


BACK: Final = (Direction.BACKWARD, Direction.UNWOUND)


@dataclass(frozen=True)
class Position:
    """Where a story stands."""

    story: str
    part: Part


POSITION: ContextVar[Position | None] = ContextVar("POSITION", default=None)
"""Of the act that runs now. Whatever it starts, also at a host, is part of it."""


@dataclass(frozen=True)
class Point:
    """A call that a part makes: where a fault can strike."""

    part: Part
    seam: Seam
    place: str
    call: str

    def __str__(self) -> str:
        return f"{self.part}: {self.call} at {self.place} ({self.seam})"


@dataclass(frozen=True)
class Crossing:
    """One call on its way through a seam."""

    position: Position | None
    seam: Seam
    place: str
    """A host, or the store."""
    call: str
    message: tuple[Any, ...]
    act: Callable[[], Awaitable[Any]]
    process: Process | None
    """Whose call it is; a transfer is nobody's."""

    @property
    def point(self) -> Point | None:
        """None: it belongs to no story."""
        if self.position is None:
            return None
        return Point(self.position.part, self.seam, self.place, self.call)

    @property
    def is_record(self) -> bool:
        """The step's own record."""
        return self.seam is Seam.STORE and self.call == "record"


class Crossed(Protocol):
    """Lets a call through, or does not."""

    async def __call__(self, at: Crossing) -> Any:
        """What came of it."""
        ...


@dataclass
class Door:
    """Anything with async methods, seen through a seam. `plain` methods are passed as they are."""

    behind: Any
    seam: Seam
    place: str
    crossed: Crossed
    process: Process | None = None
    plain: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        act = getattr(self.behind, name)
        if name in self.plain:
            return act

        async def call(*message: Any, **more: Any) -> Any:
            where = _of_record(*message, **more) if name == "record" else POSITION.get()
            return await self.crossed(
                Crossing(
                    position=where,
                    seam=self.seam,
                    place=self.place,
                    call=name,
                    message=(*message, *more.values()),
                    act=lambda: act(*message, **more),
                    process=self.process,
                )
            )

        return call


def _of_record(story: Story, *entries: Entry, **_: Any) -> Position:
    """The part that ends with this record."""
    told = [entry for entry in entries if entry.what not in (What.BEGAN, What.ENDED)]
    if not told:
        way = Way.UNDO if story.direction is Direction.ENDED else Way.DO
        return Position(story.uuid, Part(story.step, way))
    undone = told[-1].what in (What.UNDONE, What.OWED) and story.direction in BACK
    return Position(story.uuid, Part(told[-1].step, Way.UNDO if undone else Way.DO))


def watched(saga: Saga[W, F]) -> Saga[W, F]:
    """The same table; each act says where it is."""
    return replace(
        saga,
        before=tuple(_step(each) for each in saga.before),
        pivot=_pivot(saga.pivot),
        after=tuple(
            Forward(each.name, _at(Part(each.name, Way.DO), each.do), each.where)
            for each in saga.after
        ),
    )


def _step(step: Step[W, F]) -> Step[W, F]:
    undo = step.undo
    if not isinstance(undo, NothingToUndo):
        undo = _at(Part(step.name, Way.UNDO), undo)
    return replace(step, do=_at(Part(step.name, Way.DO), step.do), undo=undo)


def _pivot(pivot: Pivot[W, F]) -> Pivot[W, F]:
    do = Part(pivot.name, Way.DO)
    return replace(
        pivot,
        do=_at(do, pivot.do),
        resolve=_at(do, pivot.resolve),
        undo=_at(Part(pivot.name, Way.UNDO), pivot.undo),
    )


def _at(part: Part, act: Callable[[Context[W, F]], Awaitable[Any]]) -> Any:
    async def acting(context: Context[W, F]) -> Any:
        token = POSITION.set(Position(context.story_uuid, part))
        try:
            return await act(context)
        finally:
            POSITION.reset(token)

    return acting
