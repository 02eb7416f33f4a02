"""Transfers whose process has ended while the hypervisor's job may go on. The story asks for a look
now and then; each does what the process would have done, by the same policy. From the first on the
source's events are listened to, and how the guest has ended there is put on record. To let it run
is for the story.

Called by `compute/process_transfers.py`, behind the fence. Only the source is asked: what must be
stopped can be stopped while the destination does not answer. Files are touched through `Disk`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from godwit.compute.disk import Disk
from godwit.compute.helm import PROCESS_DIED, Helm, Stopped
from godwit.compute.transfer import terms_of
from godwit.compute.transfer_folder import (
    MARK_OF_END,
    Mark,
    MemoryFolder,
    Sign,
    WatchedFolder,
)
from godwit.model.errors import GodwitError
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.progress import Progress
from godwit.model.reasons import Code, reason
from godwit.model.steering import Steering
from godwit.rpc.compute import TransferResult
from godwit.runtime.clock import Clock
from godwit.virt.driver import TransferDriver, TransferOutcome
from godwit.virt.registry import TransferOrder

MakeDriver = Callable[[TransferOrder], TransferDriver]

BEGINS_WITHIN_S: Final = 45.0
"""A hypervisor that was asked to begin has begun, or refused, after so long (libvirt waits 30 s for
another job). A job that began later is somebody else's."""
IDLE_S: Final = 120.0
"""Whoever needs a look asks more often than this."""
EVENT_LOOKS: Final = 4
EVENT_PAUSE_S: Final = 0.25
DIED: Final = TransferOutcome(
    error=PROCESS_DIED, reason=reason(Code.INTERNAL_ERROR, problem=PROCESS_DIED)
)
"""What is explained has a reason already: nothing is asked of the destination."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Asked:
    """What stands in the folder before a look."""

    began_at_s: float | None
    """By the wall clock."""
    abort: bool
    steering: Steering | None


@dataclass(frozen=True)
class Found:
    """What is to stand in the folder after it."""

    progress: Progress | None
    stopped: Stopped
    ended: Mark | None = None
    """How the guest's time at the source has ended, where that was seen."""


class Orphans:
    """The orphaned transfers of one host."""

    def __init__(self, host: HostName, disk: Disk, clock: Clock, make_driver: MakeDriver) -> None:
        self._host = host
        self._disk = disk
        self._clock = clock
        self._make_driver = make_driver
        self._watches: dict[MigrationUuid, _Watch] = {}

    async def look(self, uuid: MigrationUuid, folder: WatchedFolder, order: TransferOrder) -> None:
        """Sample it once and do what is to be done; trouble is only logged."""
        await self.let_go_of_idle()
        if uuid not in self._watches:
            log.warning("a transfer has lost its process, watching in its place", migration=uuid)
            self._watches[uuid] = _Watch(self._make_driver(order), order)
        watch, is_over = self._watches[uuid], False
        try:
            asked = await self._disk.run(self._host, "read the requests", partial(_asked, folder))
            found = await watch.look(asked, self._clock.now_s())
            await self._disk.run(self._host, "note what was seen", partial(_note, folder, found))
            is_over = found.ended is not None
        except GodwitError as error:
            log.warning("an orphaned transfer cannot be watched", words=error.reason.words)
        if is_over or not watch.had_job:
            await self._let_go(uuid)

    async def let_go_of_idle(self) -> None:
        """Give back the connections of those that nobody asks about any more."""
        before_s = asyncio.get_running_loop().time() - IDLE_S
        idle = [uuid for uuid, watch in self._watches.items() if watch.looked_at_s < before_s]
        for uuid in idle:
            await self._let_go(uuid)

    async def _let_go(self, uuid: MigrationUuid) -> None:
        watch = self._watches.pop(uuid, None)
        if watch is not None:
            await watch.close()


class _Watch:
    """One transfer that is watched. What its helm reads and writes is kept in memory."""

    def __init__(self, driver: TransferDriver, order: TransferOrder) -> None:
        self.looked_at_s = asyncio.get_running_loop().time()
        self.had_job = False
        self._driver = driver
        self._requests = MemoryFolder()
        self._helm = Helm(self._requests, driver, terms_of(order).policy, self._hear)
        self._heard: Progress | None = None

    async def look(self, asked: Asked, now_s: float) -> Found:
        """One look, with every request known."""
        self.looked_at_s = asyncio.get_running_loop().time()
        if asked.abort:
            self._requests.set(Mark.ABORT)
        if asked.steering is not None:
            self._requests.steer(asked.steering)
        if not await self._helm.look(lambda seen: is_ours(seen, asked, now_s)):
            ended = await self._how_it_ended() if self.had_job else None
            return Found(progress=None, stopped=self._helm.stopped, ended=ended)
        self.had_job = True
        return Found(progress=self._heard, stopped=self._helm.stopped)

    async def close(self) -> None:
        """Give the connections back; trouble with that is only logged."""
        try:
            await self._driver.close()
        except GodwitError as error:
            log.warning("connections were not closed", words=error.reason.words)

    async def _how_it_ended(self) -> Mark | None:
        """The event may come a moment after the job is gone. Who comes later cannot tell one end of
        a transient guest from another.
        """
        for _ in range(EVENT_LOOKS):
            if await self._driver.source_is_gone():
                return Mark.STOPPED_AS_MIGRATED
            ended = (await self._driver.explained(DIED)).guest_ended
            if ended is not None:
                return MARK_OF_END[ended]
            await asyncio.sleep(EVENT_PAUSE_S)
        return None

    def _hear(self, progress: Progress) -> None:
        self._heard = progress


def is_ours(seen: Progress, asked: Asked, now_s: float) -> bool:
    """Did this job begin when we asked for one? A person may move the guest by hand meanwhile."""
    if asked.began_at_s is None:
        return False
    return now_s - seen.elapsed_s <= asked.began_at_s + BEGINS_WITHIN_S


# --- with the folder, in the thread of `Disk` -----------------------------------------------------


def _asked(folder: WatchedFolder) -> Asked:
    return Asked(
        began_at_s=folder.began_at_s(), abort=folder.has(Mark.ABORT), steering=folder.steering()
    )


def _note(folder: WatchedFolder, found: Found) -> None:
    """In the process's place."""
    sign, stopped = folder.sign(), found.stopped
    if found.progress is not None and found.progress != sign.progress:
        folder.show(Sign(beat=sign.beat, sequence=sign.sequence + 1, progress=found.progress))
    if found.ended is not None and not folder.has(found.ended):
        folder.set(found.ended)
    if stopped.at_all:
        words = stopped.why.words if stopped.why else "stopped as asked"
        folder.leave_why(TransferResult(error=words, reason=stopped.why, aborted=stopped.aborted))
