"""The last door before a host is changed: is this act still wanted, and is it alone?

Per migration the fence keeps the highest generation seen and the marks of what was undone or
done last. A conductor that wakes up late cannot act any more, and a late message cannot do again
what is over. The compute manager passes every act through here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final, Protocol

import msgspec
import structlog
from msgspec.structs import replace

from godwit.model.errors import Superseded
from godwit.model.ids import MigrationUuid
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import Act

log = structlog.get_logger()


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


_AT_DESTINATION: Final = frozenset({Deed.ROLLBACK_AT_DESTINATION, Deed.POST_AT_DESTINATION})
_AT_SOURCE: Final = frozenset({Deed.ROLLBACK_AT_SOURCE, Deed.POST_AT_SOURCE})

BARRED_BY: Final[Mapping[Deed, frozenset[Deed]]] = {
    Deed.PRE_LIVE_MIGRATION: _AT_DESTINATION,
    Deed.LET_RUN_AT_DESTINATION: _AT_DESTINATION,
    Deed.POST_AT_DESTINATION: frozenset({Deed.ROLLBACK_AT_DESTINATION}),
    Deed.WATCH: frozenset({Deed.ROLLBACK_AT_SOURCE}),
    Deed.RESUME_POST_COPY: _AT_SOURCE,
    Deed.LET_RUN_AT_SOURCE: _AT_SOURCE,
    Deed.END_SOURCE: _AT_SOURCE,
    Deed.POST_AT_SOURCE: frozenset({Deed.ROLLBACK_AT_SOURCE}),
}
"""Once one of the right ones was begun, the left one is refused for ever: it is undone already, or
it comes late, and what it would find here belongs to a later move of the guest.

`live_migration` is not here: its undo closes the transfer, and a closed transfer never begins,
while attaching to one that was begun stays harmless (`compute/transfers.py`).
"""

LAST: Final = _AT_DESTINATION | _AT_SOURCE
"""A story ends at each host with one of these. Done once, they are not done again."""


class FenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a host remembers of one migration."""

    generation: int = 0
    marks: tuple[Deed, ...] = ()
    """The last deeds that were begun here."""
    done: tuple[Deed, ...] = ()
    """Those of them that have succeeded."""
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
    is_barred = not BARRED_BY.get(deed, frozenset()).isdisjoint(record.marks)
    if act.generation < record.generation or is_barred:
        raise Superseded(reason(Code.SUPERSEDED, migration=act.migration_uuid))
    marks = record.marks
    if deed in LAST and deed not in marks:
        marks = (*marks, deed)
    over = record.over or deed in LAST
    return replace(record, generation=act.generation, marks=marks, over=over)


class Fence:
    """The fence of one host."""

    def __init__(self, keeper: FenceKeeper) -> None:
        self._keeper = keeper
        self._turns: dict[MigrationUuid, _Turn] = {}

    @asynccontextmanager
    async def acting(self, act: Act, deed: Deed) -> AsyncIterator[bool]:
        """Around one act: waits until no other act of the migration runs here, then admits it.
        False: it has succeeded here before, and must not be done again, for the guest may have come
        back by another move since.

        Raises `Superseded` if it must not happen. An undo's mark is on disk before the undo begins,
        so that a late do is refused even if we die between.
        """
        async with self._turn(act.migration_uuid):
            record = await self._keeper.read(act.migration_uuid)
            admitted = admit(record, act, deed)
            if admitted != record:
                await self._keeper.write(act.migration_uuid, admitted)
            log.debug("act admitted", migration=act.migration_uuid, act=deed)
            yield deed not in admitted.done
            if deed in LAST and deed not in admitted.done:
                done = replace(admitted, done=(*admitted.done, deed))
                await self._keeper.write(act.migration_uuid, done)

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
