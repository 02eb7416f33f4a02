"""`SqlStore`: the `Store` in SQL. Each method is one piece of work for the one writer; what it does
is in `stories`, `servers`, `claims`, `slots` and `moves`.

Opened by the process's wiring, used by the conductor. `queries` is the read-only door beside it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from godwit.model.audit import Alarm, Disagreement
from godwit.model.host import HostReport, PersonsWord
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Guest, Instance
from godwit.model.migration import Migration
from godwit.model.progress import Progress
from godwit.model.reasons import Reason
from godwit.model.steering import Steering
from godwit.runtime.clock import Clock, iso
from godwit.runtime.process_lock import ProcessLock
from godwit.saga.log import Debt, Entry, Recorded, Story
from godwit.store import alarms, database, ledger, moves, power, servers, stories, turns
from godwit.store import along as along_with
from godwit.store.interface import (
    Ending,
    Fence,
    InstanceChange,
    MigrationChanges,
    Needs,
)
from godwit.store.queries import Queries
from godwit.store.readers import InlineReader, ReaderThreads
from godwit.store.stories import Lease
from godwit.store.together import Reported, Together
from godwit.store.writer import FileWriter, InlineWriter, Work, Writer

if TYPE_CHECKING:
    from godwit.store.postgres import Server

T = TypeVar("T")
Tell = Callable[[str, bool], None]


class SqlStore:
    """The one keeper of what must survive. See `Store` for what each method promises.

    Any method raises `Unreachable` (store-unavailable) if the database cannot be used now.
    """

    def __init__(
        self,
        writer: Writer,
        queries: Queries,
        clock: Clock,
        *,
        lock: ProcessLock | None = None,
        tell: Tell | None = None,
    ) -> None:
        """Use `open`, `connect` or `in_memory`. `tell`: other processes, what this one writes."""
        self.queries = queries
        self._writer = writer
        self._write = writer.write
        self._clock = clock
        self._lock = lock
        self._tell = tell
        self._together = Together(self._record_nothing_new)

    @classmethod
    def open(
        cls, path: Path, clock: Clock, *, busy_timeout_ms: int = database.BUSY_TIMEOUT_MS
    ) -> Self:
        """The store in the file at `path`, for this process alone; made if it is new.

        Raises `Conflict` (store-in-use), `Refused` (store-too-new) or `Unreachable`
        (store-unavailable); then nothing is held.
        """
        lock = database.lock(path)
        try:
            connection = database.open_writer(path, busy_timeout_ms=busy_timeout_ms)
        except BaseException:
            lock.release()
            raise
        writer = FileWriter(connection, path=str(path))
        return cls(writer, Queries(ReaderThreads(database.source(path))), clock, lock=lock)

    @classmethod
    def connect(cls, server: "Server", clock: Clock, *, readers: "Server | None" = None) -> Self:
        """The store on a PostgreSQL server, which other processes may use at the same time;
        `readers`: as whom it is read, if that is somebody else.

        Raises `Refused` (store-too-new, store-too-old), `Conflict` (served-elsewhere,
        conducted-elsewhere) or `Unreachable` (store-unavailable); then nothing is held.
        """
        # Here alone: its driver costs a process on a file 0.2 s and 30 MB.
        from godwit.store import server_writer

        writer = server_writer.open_writer(server)
        return cls(writer, server_writer.queries(readers or server), clock, tell=writer.tell)

    @classmethod
    def in_memory(cls, clock: Clock) -> Self:
        """An empty store without file or thread: the same statements, for tests and simulation."""
        connection = database.open_in_memory()
        queries = Queries(InlineReader(connection))
        return cls(InlineWriter(connection), queries, clock)

    @property
    def alone(self) -> bool:
        """Can no other process have this database open?"""
        return self._lock is not None

    def close(self) -> None:
        """Finish what waits, then let the file go. Once."""
        self.queries.close()
        self._writer.close()
        if self._lock is not None:
            self._lock.release()

    def _at(self) -> str:
        return iso(self._clock.now_s())

    async def _write_of(self, uuid: str, work: Work[T], *, ended: bool = False) -> T:
        """A write that those who watch this migration want to hear of."""
        result = await self._write(work)
        self.queries.news.tell(uuid, ended=ended)
        if self._tell is not None:
            self._tell(uuid, ended)
        return result

    # --- stories ---------------------------------------------------------------------------------

    async def begin(self, story: Story) -> None:
        """See `SagaLog.begin`."""
        at = self._at()
        await self._write(lambda c: stories.begin(c, story, at=at))

    async def claim(
        self, uuid: str, *, owner: str, until_s: float, now_s: float, alone: bool = False
    ) -> Story | None:
        """See `SagaLog.claim`."""
        at, lease = self._at(), Lease(owner, until_s, now_s, alone)
        return await self._write(lambda c: stories.claim(c, uuid, lease, at=at))

    async def renew(self, uuid: str, *, generation: int, until_s: float) -> bool:
        """See `SagaLog.renew`."""
        return await self._write(
            lambda c: stories.renew(c, uuid, generation=generation, until_s=until_s)
        )

    async def record(
        self,
        story: Story,
        *entries: Entry,
        owed: Debt | None = None,
        along: object = None,
        unless_aborted: bool = False,
    ) -> Recorded:
        """See `SagaLog.record`."""
        at, happened = self._at(), stories.Happening(entries, owed, along, unless_aborted)
        return await self._write_of(
            story.uuid,
            lambda c: along_with.record(c, story, happened, at=at),
            ended=isinstance(along, Ending),
        )

    async def abort_request(self, uuid: str) -> Reason | None:
        """See `SagaLog.abort_request`."""
        story = await self.queries.story(uuid)
        return None if story is None else story.abort

    async def due(self, *, now_s: float, owner: str, alone: bool = False) -> tuple[str, ...]:
        """See `SagaLog.due`."""
        return await self.queries.read(
            lambda c: stories.due(c, now_s=now_s, owner=owner, alone=alone)
        )

    async def wake(self, uuid: str) -> None:
        """See `SagaLog.wake`."""
        await self._write(lambda c: stories.wake(c, uuid))

    async def debts_due(self, *, now_s: float) -> tuple[Debt, ...]:
        """See `SagaLog.debts_due`."""
        return await self.queries.read(lambda c: stories.debts_due(c, now_s=now_s))

    async def claim_debt(
        self, debt: Debt, *, owner: str, until_s: float, now_s: float, alone: bool = False
    ) -> Story | None:
        """See `SagaLog.claim_debt`."""
        lease = Lease(owner, until_s, now_s, alone)
        return await self._write(lambda c: stories.claim_debt(c, debt, lease))

    async def pay(self, debt: Debt, entry: Entry, *, generation: int) -> None:
        """See `SagaLog.pay`."""
        at = self._at()
        await self._write_of(
            debt.story_uuid, lambda c: stories.pay(c, debt, entry, generation=generation, at=at)
        )

    async def postpone(self, debt: Debt, *, generation: int) -> None:
        """See `SagaLog.postpone`."""
        await self._write(lambda c: stories.postpone(c, debt, generation=generation))

    async def story_of(self, uuid: str) -> Story | None:
        """See `SagaLog.story_of`."""
        return await self.queries.story(uuid)

    # --- hosts and servers -----------------------------------------------------------------------

    async def ensure_hosts(self, names: tuple[HostName, ...]) -> None:
        """See `Store.ensure_hosts`."""
        await self._write(lambda c: servers.ensure_hosts(c, names))

    async def record_report(
        self, report: HostReport, changes: tuple[InstanceChange, ...], *, now_s: float
    ) -> None:
        """See `Store.record_report`."""
        nothing_new = report.facts is not None and not changes
        if nothing_new and await self._together.write(report, now_s):
            return
        at = self._at()
        await self._write(lambda c: servers.record_report(c, report, changes, now_s=now_s, at=at))

    async def _record_nothing_new(self, reports: list[Reported]) -> frozenset[HostName]:
        return await self._write(lambda c: servers.record_nothing_new(c, reports))

    async def set_host_enabled(self, host: HostName, *, enabled: bool, why: str) -> None:
        """See `Store.set_host_enabled`."""
        await self._write(lambda c: servers.set_host_enabled(c, host, enabled=enabled, why=why))

    async def confirm_power(
        self, host: HostName, word: PersonsWord, *, is_down: bool
    ) -> tuple[str, ...]:
        """See `Store.confirm_power`."""
        return await self._write(lambda c: power.confirm(c, host, word, is_down=is_down))

    async def hear_confirmed_down(self, host: HostName, *, at: str) -> bool:
        """See `Store.hear_confirmed_down`."""
        return await self._write(lambda c: power.hear(c, host, at=at))

    async def create_instance(self, instance: Instance, needs: Needs) -> None:
        """See `Store.create_instance`."""
        at = self._at()
        await self._write(lambda c: servers.create(c, instance, needs, at=at))

    async def finish_instance(self, uuid: InstanceUuid, guest: Guest | None) -> None:
        """See `Store.finish_instance`."""
        at = self._at()
        await self._write(lambda c: servers.finish(c, uuid, guest, at=at))

    async def begin_delete(self, uuid: InstanceUuid) -> Instance:
        """See `Store.begin_delete`."""
        at = self._at()
        return await self._write(lambda c: servers.begin_delete(c, uuid, at=at))

    async def remove_instance(self, uuid: InstanceUuid) -> None:
        """See `Store.remove_instance`."""
        await self._write(lambda c: servers.remove(c, uuid))

    async def repair(self, found: Disagreement, *, by: str) -> bool:
        """See `Store.repair`."""
        at = self._at()
        return await self._write(lambda c: ledger.repair(c, found, by=by, at=at))

    async def take_turn(self, duty: str, *, by: str, now_s: float, every_s: float) -> bool:
        """See `Store.take_turn`."""
        take = partial(turns.take, duty=duty, by=by, now_s=now_s, every_s=every_s)
        return await self._write(take)

    async def raise_alarm(self, alarm: Alarm) -> bool:
        """See `Store.raise_alarm`."""
        return await self._write(lambda c: alarms.keep(c, alarm))

    async def end_alarm(self, uuid: InstanceUuid) -> bool:
        """See `Store.end_alarm`."""
        return await self._write(lambda c: alarms.end(c, uuid))

    # --- the story's own writes ------------------------------------------------------------------

    async def accept_migration(self, migration: Migration, story: Story) -> Migration:
        """See `Store.accept_migration`."""
        at = self._at()
        return await self._write(lambda c: moves.accept(c, migration, story, at=at))

    async def change_migration(self, fence: Fence, changes: MigrationChanges) -> Migration:
        """See `Store.change_migration`."""
        at = self._at()
        return await self._write_of(
            fence.migration_uuid, lambda c: moves.change(c, fence, changes, at=at)
        )

    async def record_progress(self, fence: Fence, progress: Progress) -> None:
        """See `Store.record_progress`."""
        await self._write_of(
            fence.migration_uuid, lambda c: moves.record_progress(c, fence, progress)
        )

    async def give_back_source_allocation(self, fence: Fence) -> None:
        """See `Store.give_back_source_allocation`."""
        await self._write(lambda c: moves.give_back_source(c, fence))

    async def claim_destination(self, fence: Fence, host: HostName, needs: Needs) -> Reason | None:
        """See `Store.claim_destination`."""
        return await self._write(lambda c: moves.claim_destination(c, fence, host, needs))

    async def drop_claims(self, fence: Fence) -> None:
        """See `Store.drop_claims`."""
        # Every story asks for this before its search, and hardly ever is there anything to drop.
        if await self.queries.glance(lambda c: moves.claims_elsewhere(c, fence)):
            await self._write(lambda c: moves.drop_claims(c, fence))

    async def take_slots(self, fence: Fence, *, slots_max: Mapping[HostName, int]) -> bool:
        """See `Store.take_slots`."""
        wanted = dict(slots_max)
        return await self._write(lambda c: moves.take_slots(c, fence, wanted))

    async def give_slots_back(self, fence: Fence) -> tuple[str, ...]:
        """See `Store.give_slots_back`."""
        return await self._write(lambda c: moves.give_slots_back(c, fence))

    async def request_abort(self, uuid: MigrationUuid, why: Reason) -> Migration:
        """See `Store.request_abort`."""
        at = self._at()
        return await self._write_of(uuid, lambda c: moves.request_abort(c, uuid, why, at=at))

    async def steer_migration(self, uuid: MigrationUuid, steering: Steering) -> Migration | None:
        """See `Store.steer_migration`."""
        return await self._write_of(uuid, lambda c: moves.steer(c, uuid, steering))

    async def resolve_by_person(
        self, uuid: MigrationUuid, *, at_host: HostName | None, why: Reason
    ) -> Migration:
        """See `Store.resolve_by_person`."""
        at = self._at()
        return await self._write_of(
            uuid, lambda c: moves.resolve_by_person(c, uuid, at_host=at_host, why=why, at=at)
        )
