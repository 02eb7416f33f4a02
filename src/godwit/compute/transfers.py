"""The transfers out of one host: start once, find again, follow, stop, close for ever.

`Transfers` is what the source's end of a story asks for. Simulated hosts run theirs as tasks
(`TaskTransfers`, here); real ones each as a process of its own (`compute/process_transfers.py`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from godwit.compute.transfer import agreed_terms, run_transfer
from godwit.compute.transfer_folder import Mark, MemoryFolder
from godwit.model.errors import Superseded
from godwit.model.ids import MigrationUuid
from godwit.model.reasons import Code, reason
from godwit.model.steering import Steering
from godwit.rpc.compute import FOLLOW_WAIT_S, StartTransfer, TransferNews
from godwit.virt.driver import TransferDriver, TransferEvidence

MEMORY_MAX = 10_000
"""At most so many ended transfers are remembered in memory; the oldest go first."""


class Transfers(Protocol):
    """Every method may be repeated."""

    async def start(self, ask: StartTransfer) -> TransferNews:
        """Start the one transfer there ever is for this migration, or attach to it.

        Raises `Superseded` if it was closed before it was started.
        """
        ...

    async def follow(self, uuid: MigrationUuid, after_sequence: int) -> TransferNews:
        """News after `after_sequence`, at once or as soon as there are any, at the latest after
        `FOLLOW_WAIT_S`. For a transfer that was never started: `ended`, without a result.
        """
        ...

    async def abort(self, uuid: MigrationUuid) -> None:
        """Ask it to stop. One that has not begun never will; one that has ended is left alone."""
        ...

    async def steer(self, uuid: MigrationUuid, steering: Steering) -> None:
        """Steer it like this from now on. An older revision than the known one changes nothing."""
        ...

    async def watch(self, uuid: MigrationUuid) -> TransferNews:
        """One look at a transfer that is `orphaned`, in its process's place: it is stopped, limited
        or switched to post-copy by the same policy. Any other is left alone.
        """
        ...

    async def close(self, uuid: MigrationUuid) -> TransferNews:
        """Let nothing begin here any more, once what was started has ended.

        What gives no sign of life is ended first. Something that lives is left alone: then the
        answer says that it has not `ended`, and nothing is closed.
        """
        ...

    async def is_alive(self, uuid: MigrationUuid) -> bool:
        """May it still do something?"""
        ...

    async def living(self) -> tuple[MigrationUuid, ...]:
        """Those that may still do something, sorted."""
        ...

    async def evidence(self, uuid: MigrationUuid) -> TransferEvidence:
        """What is on record about it."""
        ...

    async def set(self, uuid: MigrationUuid, mark: Mark) -> None:
        """Put a fact about it on record."""
        ...

    async def forget_old(self) -> None:
        """Let go of transfers whose story was over here a week ago."""
        ...


MakeDriver = Callable[[StartTransfer], TransferDriver]


class Tasks(Protocol):
    """Where tasks are started: a `TaskGroup`, or what stands for one."""

    def create_task(
        self, work: Coroutine[Any, Any, None], /, *, name: str | None = None
    ) -> asyncio.Task[None]:
        """Begin with this."""
        ...


class TaskTransfers:
    """Transfers of a simulated host: each a task, its folder in memory."""

    def __init__(self, *, tasks: Tasks, make_driver: MakeDriver, stall_timeout_s: float) -> None:
        self._tasks = tasks
        self._make_driver = make_driver
        self._stall_timeout_s = stall_timeout_s
        self._folders: dict[MigrationUuid, MemoryFolder] = {}

    async def start(self, ask: StartTransfer) -> TransferNews:
        """See `Transfers`."""
        folder = self._folder(ask.act.migration_uuid)
        if not folder.started:
            if folder.has(Mark.CLOSED):
                raise closed(ask.act.migration_uuid)
            live = self._live(folder, ask, self._make_driver(ask))
            folder.begin_life()
            self._tasks.create_task(live, name=f"transfer {ask.act.migration_uuid}")
        return folder.news()

    async def follow(self, uuid: MigrationUuid, after_sequence: int) -> TransferNews:
        """See `Transfers`."""
        folder = self._folder(uuid)
        try:
            async with asyncio.timeout(FOLLOW_WAIT_S):
                while not is_news(folder.news(), after_sequence):
                    await folder.wait_for_news()
        except TimeoutError:
            pass  # no news is an answer, too
        return folder.news()

    async def abort(self, uuid: MigrationUuid) -> None:
        """See `Transfers`."""
        self._folder(uuid).set(Mark.ABORT)

    async def steer(self, uuid: MigrationUuid, steering: Steering) -> None:
        """See `Transfers`."""
        self._folder(uuid).steer(steering)

    async def watch(self, uuid: MigrationUuid) -> TransferNews:
        """See `Transfers`. A task of ours ends with its job."""
        return self._folder(uuid).news()

    async def close(self, uuid: MigrationUuid) -> TransferNews:
        """See `Transfers`. A task of ours always gives signs of life."""
        folder = self._folder(uuid)
        if not folder.alive:
            folder.set(Mark.CLOSED)
        return folder.news()

    async def is_alive(self, uuid: MigrationUuid) -> bool:
        """See `Transfers`."""
        return self._folder(uuid).alive

    async def living(self) -> tuple[MigrationUuid, ...]:
        """See `Transfers`."""
        return tuple(sorted(uuid for uuid, folder in self._known() if folder.alive))

    async def evidence(self, uuid: MigrationUuid) -> TransferEvidence:
        """See `Transfers`."""
        return self._folder(uuid).evidence()

    async def set(self, uuid: MigrationUuid, mark: Mark) -> None:
        """See `Transfers`."""
        self._folder(uuid).set(mark)

    async def forget_old(self) -> None:
        """See `Transfers`. The bound is kept whenever a folder is made."""

    async def _live(self, folder: MemoryFolder, ask: StartTransfer, driver: TransferDriver) -> None:
        terms = agreed_terms(
            ask.migrate_data, stall_timeout_s=self._stall_timeout_s, steering=ask.steering
        )
        try:
            await run_transfer(folder, driver, terms)
        finally:
            folder.end_life()

    def _known(self) -> Iterable[tuple[MigrationUuid, MemoryFolder]]:
        return self._folders.items()

    def _folder(self, uuid: MigrationUuid) -> MemoryFolder:
        folder = self._folders.get(uuid)
        if folder is None:
            folder = self._folders[uuid] = MemoryFolder()
            self._forget_one()
        return folder

    def _forget_one(self) -> None:
        if len(self._folders) > MEMORY_MAX:
            oldest = next(uuid for uuid, folder in self._folders.items() if not folder.alive)
            del self._folders[oldest]


def is_news(news: TransferNews, after_sequence: int) -> bool:
    """Does it say more than its follower knows?"""
    return news.ended or news.sequence > after_sequence


def closed(uuid: MigrationUuid) -> Superseded:
    """Why a transfer that was closed is not started."""
    return Superseded(reason(Code.SUPERSEDED, migration=uuid))
