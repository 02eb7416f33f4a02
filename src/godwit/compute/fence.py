"""The last door before a host is changed: is this act still wanted, and is it alone?

Per migration the fence keeps the highest generation seen and the marks of what was undone. A
conductor that wakes up late cannot act any more, and a late message cannot do again what was
undone. The compute manager passes every act through here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from godwit.model.errors import Superseded
from godwit.model.ids import MigrationUuid
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import Act


class Deed(StrEnum):
    """The acts of a story at one host, by the names of their calls in `rpc.compute`."""

    PRE_LIVE_MIGRATION = "pre_live_migration"
    ROLLBACK_AT_DESTINATION = "rollback_live_migration_at_destination"
    LIVE_MIGRATION = "live_migration"
    ABORT = "abort_live_migration"
    STEER = "steer_transfer"
    WATCH = "watch_transfer"
    CLOSE_TRANSFER = "close_transfer"
    ROLLBACK_AT_SOURCE = "rollback_live_migration_at_source"
    LET_RUN_AT_DESTINATION = "let_run_at_destination"
    LET_RUN_AT_SOURCE = "let_run_at_source"
    RESUME_POST_COPY = "resume_post_copy"
    END_SOURCE = "end_source"
    POST_AT_DESTINATION = "post_live_migration_at_destination"
    POST_AT_SOURCE = "post_live_migration_at_source"


BARRED_BY: Final[Mapping[Deed, Deed]] = {
    Deed.PRE_LIVE_MIGRATION: Deed.ROLLBACK_AT_DESTINATION,
    Deed.LET_RUN_AT_DESTINATION: Deed.ROLLBACK_AT_DESTINATION,
    Deed.POST_AT_DESTINATION: Deed.ROLLBACK_AT_DESTINATION,
    Deed.WATCH: Deed.ROLLBACK_AT_SOURCE,
    Deed.RESUME_POST_COPY: Deed.ROLLBACK_AT_SOURCE,
    Deed.END_SOURCE: Deed.ROLLBACK_AT_SOURCE,
    Deed.POST_AT_SOURCE: Deed.ROLLBACK_AT_SOURCE,
}
"""Once the right one was begun, the left one is refused for ever.

`live_migration` is not here: its undo closes the transfer, and a closed transfer never begins,
while attaching to one that was begun stays harmless (`compute/transfers.py`).
"""

LAST: Final = frozenset(
    {
        Deed.ROLLBACK_AT_DESTINATION,
        Deed.POST_AT_DESTINATION,
        Deed.ROLLBACK_AT_SOURCE,
        Deed.POST_AT_SOURCE,
    }
)
"""A story ends at each host with one of these."""


class FenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a host remembers of one migration."""

    generation: int = 0
    marks: tuple[Deed, ...] = ()
    over: bool = False
    """The story's last act here was begun. Until then the record is kept, however old."""


class FenceKeeper(Protocol):
    """Where the records are kept (`compute/fence_keepers.py`)."""

    async def read(self, uuid: MigrationUuid) -> FenceRecord:
        """The record, or an empty one."""
        ...

    async def write(self, uuid: MigrationUuid, record: FenceRecord) -> None:
        """Keep the record. When this returns it survives a crash, if anything here does."""
        ...

    async def forget_old(self) -> None:
        """Let go of migrations that were over here and not mentioned for a week."""
        ...


def admit(record: FenceRecord, act: Act, deed: Deed) -> FenceRecord:
    """The record once `deed` may go ahead. Raises `Superseded` if it must not happen."""
    bar = BARRED_BY.get(deed)
    if act.generation < record.generation or bar in record.marks:
        raise Superseded(reason(Code.SUPERSEDED, migration=act.migration_uuid))
    marks = record.marks
    if deed in BARRED_BY.values() and deed not in marks:
        marks = (*marks, deed)
    over = record.over or deed in LAST
    return FenceRecord(generation=act.generation, marks=marks, over=over)


class Fence:
    """The fence of one host."""

    def __init__(self, keeper: FenceKeeper) -> None:
        self._keeper = keeper
        self._turns: dict[MigrationUuid, _Turn] = {}

    @asynccontextmanager
    async def acting(self, act: Act, deed: Deed) -> AsyncIterator[None]:
        """Around one act: waits until no other act of the migration runs here, then admits it.

        Raises `Superseded` if it must not happen. An undo's mark is on disk before the undo begins,
        so that a late do is refused even if we die between.
        """
        async with self._turn(act.migration_uuid):
            record = await self._keeper.read(act.migration_uuid)
            admitted = admit(record, act, deed)
            if admitted != record:
                await self._keeper.write(act.migration_uuid, admitted)
            yield

    async def forget_old(self) -> None:
        """Let go of migrations that were over here and not mentioned for a week."""
        await self._keeper.forget_old()

    @asynccontextmanager
    async def _turn(self, uuid: MigrationUuid) -> AsyncIterator[None]:
        turn = self._turns.setdefault(uuid, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(uuid, None)


class _Turn:
    """Who may act for one migration: the holder of `lock`. Kept while anybody wants it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
