"""What a story leaves behind at every step, and the promise of whoever keeps it (the store).

The log is the truth about how far a story came: `step` with FORWARD means that its do may have
begun. A conductor holds a story by a lease with a generation; a write with an old generation raises
`Superseded` and changes nothing.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from godwit.model.reasons import Reason


class Direction(StrEnum):
    """Which way a story goes."""

    FORWARD = "forward"
    RESOLVING = "resolving"
    """The pivot's do is over; where the truth lies is being looked up."""
    BACKWARD = "backward"
    """`step` and all before it are being undone."""
    UNWOUND = "unwound"
    """Everything is undone; the ending is being recorded."""
    ENDED = "ended"


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """One story's row. `facts` is the saga's facts struct as JSON."""

    uuid: str
    saga: str
    direction: Direction = Direction.FORWARD
    step: str
    facts: bytes
    generation: int = 0
    owner: str = ""
    """Who holds the lease; empty while it rests."""
    lease_until_s: float = 0.0
    wake_at_s: float = 0.0
    """While nobody holds it: when it is due again."""
    resting: str = ""
    """Why it last rested (`queued`, `person_needed`); empty once it has gone on from there."""
    attempts: int = 0
    """How often the present act has failed in a row."""
    failure: Reason | None = None
    abort: Reason | None = None
    """The recorded request to abort, if there is one."""


class What(StrEnum):
    """What an entry of the timeline says about a step."""

    BEGAN = "began"
    DONE = "done"
    FAILED = "failed"
    RESTS = "rests"
    RESOLVED = "resolved"
    UNDONE = "undone"
    OWED = "owed"
    PAID = "paid"
    TAKEN_OVER = "taken-over"
    ENDED = "ended"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a story's timeline. `at` is ISO 8601 in UTC; `sequence` counts from 1."""

    step: str
    what: What
    words: str = ""
    at: str = ""
    sequence: int = 0
    attempt: int = 0
    """Of what failed, is owed or was paid: the how manieth in a row."""
    by: str = ""
    """The owner of the lease under which it was told; empty: it was no conductor's act."""
    where: str = ""
    """The host that was to act, of a step that acts at one."""
    code: str = ""
    """The reason's code, where `words` are a reason's."""


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """An act that a host could not do when its turn came: visible, retried until done."""

    story_uuid: str
    step: str
    undo: bool
    """True: the step's undo is owed; False: the do of a Forward."""
    where: str
    """The host that owes it."""
    words: str = ""
    """What went wrong at the last attempt."""
    attempts: int = 0
    due_at_s: float = 0.0


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a record."""

    abort: Reason | None = None
    """The request to abort that kept it from being written."""
    woken: tuple[str, ...] = ()
    """Other stories that became due by what was written along."""


class SagaLog(Protocol):
    """Keeps stories. Every method is one transaction, durable when it returns."""

    async def begin(self, story: Story) -> None:
        """Keep a new story, due at once. Harmless if it is known already."""
        ...

    async def claim(
        self, uuid: str, *, owner: str, until_s: float, now_s: float, alone: bool = False
    ) -> Story | None:
        """Take the lease and the next generation. None if it has ended or another's lease runs.

        `alone` says that no other process can be alive (the database file's lock is ours): then a
        lease of another owner counts as run out.
        """
        ...

    async def renew(self, uuid: str, *, generation: int, until_s: float) -> bool:
        """Prolong the lease. False: somebody else holds the story now."""
        ...

    async def record(
        self,
        story: Story,
        *entries: Entry,
        owed: Debt | None = None,
        along: object = None,
        unless_aborted: bool = False,
    ) -> Recorded:
        """Write the story as it is now, what happened, and what a do gave to be written `along`.
        `owner` empty gives the lease back.

        With `unless_aborted` nothing is written once a request to abort is on record.

        Does not touch `abort`. A story that rests although it was woken while it was told is due at
        once. Raises `Superseded` if `story.generation` is no longer the newest.
        """
        ...

    async def abort_request(self, uuid: str) -> Reason | None:
        """The recorded request to abort, if any."""
        ...

    async def due(self, *, now_s: float, owner: str, alone: bool = False) -> tuple[str, ...]:
        """Stories that somebody should take up: not ended, and either resting with `wake_at_s`
        past, or leased until before now (or, `alone`, leased by another owner). Oldest first.
        """
        ...

    async def wake(self, uuid: str) -> None:
        """Let a resting story be due at once, one that is being told as soon as it rests."""
        ...

    async def debts_due(self, *, now_s: float) -> tuple[Debt, ...]:
        """Debts whose time has come, oldest first. Only of stories that have ended: until then the
        story's own acts go first. What must not be done now is not due.
        """
        ...

    async def claim_debt(
        self, debt: Debt, *, owner: str, until_s: float, now_s: float, alone: bool = False
    ) -> Story | None:
        """Take the lease and the next generation of the debt's ended story, so that the owed act is
        newer than any before. None if it is paid, its story goes on, or another's lease runs.
        """
        ...

    async def pay(self, debt: Debt, entry: Entry, *, generation: int) -> None:
        """The debt leaves the list and enters the timeline; the lease is given back. Raises
        `Superseded` like `record`.
        """
        ...

    async def postpone(self, debt: Debt, *, generation: int) -> None:
        """Write its new `attempts`, `words` and `due_at_s`; the lease is given back. Raises
        `Superseded` like `record`.
        """
        ...

    async def story_of(self, uuid: str) -> Story | None:
        """The story as it stands, without a lease."""
        ...
