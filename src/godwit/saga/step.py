"""What a story is made of: `Step(do, undo)`, one `Pivot(do, resolve, undo)`, then `Forward(do)`.

A do takes the context and returns the story's facts with what it has learned; it may run twice (a
process died before it could record), so it must find what is already done. The step that failed is
undone too, so every undo is harmless when its do never was. Before the pivot every step can be
undone; after it only forward is safe; at it the truth is looked up by `resolve`, never taken from a
return value.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from godwit.model.reasons import Reason

W = TypeVar("W")
"""The world: the rooms a story may use (store, rpc, clock)."""
F = TypeVar("F")
"""The facts: one msgspec struct that survives a crash."""


@dataclass(frozen=True)
class Context(Generic[W, F]):
    """All a step is given. `generation` goes into every act, so that a late one can be refused."""

    story_uuid: str
    generation: int
    world: W
    facts: F
    failure: Reason | None = None
    """Why the story unwinds; None while it goes forward."""
    has_rested: bool = False
    """It has rested at this act before."""
    has_ended: bool = False
    """The story is over, and what is done now is owed by it."""


@dataclass(frozen=True)
class Along(Generic[F]):
    """What a do may return instead of facts alone: `write` is committed along with the step's
    record, both or neither. What can be written so is the keeper's business (`store.interface`).
    """

    facts: F
    write: object


Do = Callable[[Context[W, F]], Awaitable[F | Along[F]]]
Undo = Callable[[Context[W, F]], Awaitable[None]]
Where = Callable[[F], str]


@dataclass(frozen=True)
class NothingToUndo:
    """In the place of an undo: why this step needs none."""

    why: str


@dataclass(frozen=True)
class Step(Generic[W, F]):
    """Before the pivot. With `where`, an undo that the host cannot do now becomes a debt of that
    host.
    """

    name: str
    do: Do[W, F]
    undo: Undo[W, F] | NothingToUndo
    where: Where[F] | None = None
    only_reads: bool = False
    """It leaves nothing anywhere, so its end has no record of its own: it is told with the next
    one, and if the process dies before, it is done again.
    """


@dataclass(frozen=True)
class Happened(Generic[F]):
    """The pivot happened: only forward from here."""

    facts: F


@dataclass(frozen=True)
class DidNotHappen(Generic[F]):
    """The pivot did not happen and can no longer happen: undo it and all before it."""

    reason: Reason
    facts: F | None = None
    """What was learned by looking; None: nothing new."""


@dataclass(frozen=True)
class Undecided(Generic[F]):
    """Nothing can be said yet: look again after `again_after_s`; the story rests meanwhile."""

    again_after_s: float
    reason: Reason | None = None
    """Set when a person is needed: what was seen, and the choices."""
    facts: F | None = None
    """What was learned by looking, kept with the story for the next look; None: nothing new."""


Resolution = Happened[F] | DidNotHappen[F] | Undecided[F]


@dataclass(frozen=True)
class Pivot(Generic[W, F]):
    """The point of no return. `do` may raise or not: `resolve` says what is true."""

    name: str
    do: Callable[[Context[W, F]], Awaitable[F]]
    resolve: Callable[[Context[W, F]], Awaitable[Resolution[F]]]
    undo: Undo[W, F]
    where: Where[F] | None = None
    told_later: bool = False
    """Neither that its do is over nor that it happened has a record of its own: the first Forward
    only writes, these along with it. If the process dies before, the do is called again, which must
    find what it began and begin nothing, and the truth is looked up again.
    """


@dataclass(frozen=True)
class Forward(Generic[W, F]):
    """After the pivot. With `where`, a do that the host cannot do now becomes its debt; such a do
    writes nothing along.
    """

    name: str
    do: Do[W, F]
    where: Where[F] | None = None
    told_later: bool = False
    """Its end has no record of its own: it is told with the next one, and if the process dies
    before, it is done again. Not of the last, nor of one that writes along.
    """


@dataclass(frozen=True)
class Saga(Generic[W, F]):
    """A story as a table, read from top to bottom."""

    name: str
    facts: type[F]
    before: tuple[Step[W, F], ...]
    pivot: Pivot[W, F]
    after: tuple[Forward[W, F], ...]
    unwound: Callable[[Context[W, F]], Awaitable[object]]
    """Everything has been undone; `context.failure` says why. What it returns is written along with
    the record of the end. Repeatable.
    """
    request_id: Callable[[F], str]
    """The request in whose course it is told; empty if none is known."""


class Rest(Exception):
    """Raised by a do: the story cannot go on now. It rests without a lease until woken, or so long.

    Not an error: nothing is undone, and the same do runs again afterwards.
    """

    def __init__(self, why: str, *, again_after_s: float) -> None:
        """`why` is shown to people (`queued`); `again_after_s` is when the sweeper looks anyway."""
        super().__init__(why)
        self.why = why
        self.again_after_s = again_after_s
