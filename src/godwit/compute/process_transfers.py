"""The transfers out of a real host: each is a process of its own with a folder on disk.

The process outlives this one. Whatever is asked here is answered from the folder, so a compute
manager that was started a moment ago knows as much as the one that started the transfer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from msgspec.structs import replace

from godwit.compute import bell, launch
from godwit.compute.bell import Ears
from godwit.compute.disk import Disk
from godwit.compute.fence_keepers import KEPT_S, SWEEP_MAX
from godwit.compute.nursery import Nursery
from godwit.compute.orphans import Orphans
from godwit.compute.transfer_folder import DiskFolder, Mark
from godwit.compute.transfers import closed, is_news
from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.steering import Steering
from godwit.rpc.compute import FOLLOW_WAIT_S, StartTransfer, TransferNews
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.virt.driver import TransferDriver, TransferEvidence
from godwit.virt.registry import TransferOrder, transfer_driver

T = TypeVar("T")

LOOK_S = 0.15
"""How often it is looked whether a lock is free by now."""
LISTEN_S = 0.5
"""How often the folder of a followed transfer is looked at if nothing is heard of it."""
SILENT_S = 10.0
"""A process that gives no sign of life for so long is looked at once more."""
SECOND_LOOK_S = 2.0
"""So much later: if both of us stood still, the process is faster than that with its next sign. If
there is none, it is ended, and its folder closed."""
KILLED_WAIT_S = 5.0
"""So long a process that was ended by force may take to let go of its lock."""
START_ATTEMPTS = 20

log = structlog.get_logger()


@dataclass(frozen=True)
class Means:
    """What the transfers of all hosts share."""

    disk: Disk
    births: Disk
    """A thread of its own: a start waits for the nursery, and nothing else may wait with it."""
    clock: Clock
    nursery: Nursery


class ProcessTransfers:
    """Transfers with a process each. `root` holds a folder per migration."""

    def __init__(
        self,
        *,
        host: HostName,
        root: Path,
        settings: Settings,
        means: Means,
        silent_s: float = SILENT_S,
    ) -> None:
        self._host = host
        self._root = root
        self._settings = settings
        self._disk = means.disk
        self._births = means.births
        self._clock = means.clock
        self._nursery = means.nursery
        self._silent_s = silent_s
        self._orphans = Orphans(host, means.disk, means.clock, _driver_here)
        self._beats: dict[MigrationUuid, tuple[int, float]] = {}
        """Of followed transfers: the last sign of life, and since when there was no newer one."""

    async def start(self, ask: StartTransfer) -> TransferNews:
        """See `Transfers`."""
        folder = self._folder(ask.act.migration_uuid)
        work = partial(launch.start, folder, self._order(ask), self._nursery.fork)
        for _ in range(START_ATTEMPTS):
            try:
                pid = await self._births.run(self._host, "start the transfer", work)
            except launch.FolderClosed:
                raise closed(ask.act.migration_uuid) from None
            except launch.Held:
                await asyncio.sleep(LOOK_S)
                continue
            if pid is not None:
                log.info("transfer process started", migration=ask.act.migration_uuid, pid=pid)
            break
        return await self._news(folder)

    async def follow(self, uuid: MigrationUuid, after_sequence: int) -> TransferNews:
        """See `Transfers`. A process that has fallen silent is ended: its guest may be waiting."""
        folder = self._folder(uuid)
        with Ears() as ears:
            news = await self._followed(uuid, folder, after_sequence, ears)
        if news.ended:
            self._beats.pop(uuid, None)
        return news

    async def _followed(
        self, uuid: MigrationUuid, folder: DiskFolder, after_sequence: int, ears: Ears
    ) -> TransferNews:
        """Listens before it looks: no ring is missed. The end of the process can be heard once that
        has signed its name, for which it rings.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + FOLLOW_WAIT_S
        await self._listen(ears, partial(bell.listen, folder.path))
        hears_the_end = await self._listen(ears, partial(launch.end_of, folder))
        news = await self._news(folder)
        while not is_news(news, after_sequence) and loop.time() < until_s:
            if await self._is_silent(uuid, folder):
                self._beats.pop(uuid, None)
                if await self._is_stuck(folder):
                    return replace(await self._news(folder), stuck=True)
            await ears.rest(LISTEN_S)
            if not hears_the_end:
                hears_the_end = await self._listen(ears, partial(launch.end_of, folder))
            news = await self._news(folder)
        return news

    async def _listen(self, ears: Ears, opened: Callable[[], int | None]) -> bool:
        handle = await self._do("listen to the transfer", opened)
        if handle is not None:
            ears.hear(handle)
        return handle is not None

    async def abort(self, uuid: MigrationUuid) -> None:
        """See `Transfers`. Whoever watches finds the mark: the process, or who watches for it."""
        await self._do("note the abort", partial(_set, self._folder(uuid), Mark.ABORT))

    async def steer(self, uuid: MigrationUuid, steering: Steering) -> None:
        """See `Transfers`."""
        await self._do("note the steering", partial(_steer, self._folder(uuid), steering))

    async def watch(self, uuid: MigrationUuid) -> TransferNews:
        """See `Transfers`."""
        folder = self._folder(uuid)
        news = await self._news(folder)
        if not news.orphaned:
            return news
        order = await self._do("read the order", partial(launch.order_of, folder))
        await self._orphans.look(uuid, folder, order)
        return await self._news(folder)

    async def close(self, uuid: MigrationUuid) -> TransferNews:
        """See `Transfers`."""
        folder = self._folder(uuid)
        first = await self._beat(folder)
        until_s = asyncio.get_running_loop().time() + self._silent_s
        while not await self._closed(folder):
            if await self._beat(folder) != first:
                break  # it lives
            if asyncio.get_running_loop().time() >= until_s:
                stuck = await self._is_stuck(folder)
                return replace(await self._news(folder), stuck=stuck)
            await asyncio.sleep(LOOK_S)
        return await self._news(folder)

    async def is_alive(self, uuid: MigrationUuid) -> bool:
        """See `Transfers`."""
        return await self._do("look at the lock", partial(launch.is_alive, self._folder(uuid)))

    async def living(self) -> tuple[MigrationUuid, ...]:
        """See `Transfers`."""
        return await self._do("look at the locks", partial(launch.living, self._root))

    async def evidence(self, uuid: MigrationUuid) -> TransferEvidence:
        """See `Transfers`."""
        return await self._do("read the marks", self._folder(uuid).evidence)

    async def set(self, uuid: MigrationUuid, mark: Mark) -> None:
        """See `Transfers`."""
        await self._do("set a mark", partial(_set, self._folder(uuid), mark))

    async def forget_old(self) -> None:
        """See `Transfers`."""
        await self._orphans.let_go_of_idle()
        before_s = self._clock.now_s() - KEPT_S
        work = partial(launch.forget, self._root, before_s=before_s, at_most=SWEEP_MAX)
        await self._do("remove old transfers", work)

    async def _is_silent(self, uuid: MigrationUuid, folder: DiskFolder) -> bool:
        beat, now_s = await self._beat(folder), asyncio.get_running_loop().time()
        last, since_s = self._beats.get(uuid, (None, now_s))
        if beat != last:
            since_s = now_s
        self._beats[uuid] = (beat, since_s)
        return now_s - since_s >= self._silent_s

    async def _is_stuck(self, folder: DiskFolder) -> bool:
        """End a process that was found silent, unless it could not or need not have been heard: its
        guest may be waiting for it, and it for nothing but a disk. True: it cannot be ended.
        """
        try:
            await self._do("write beside the process", partial(launch.try_to_write, folder))
        except HypervisorError as error:
            log.warning("a process is silent, and so is its disk", words=error.reason.words)
            return False
        before = await self._beat(folder)
        await asyncio.sleep(SECOND_LOOK_S)
        return await self._beat(folder) == before and not await self._end(folder)

    async def _end(self, folder: DiskFolder) -> bool:
        """End a process that gives no sign of life, and close its folder. False: it cannot be."""
        killed = await self._do("end the transfer process", partial(launch.kill, folder))
        log.warning("transfer process is silent", folder=str(folder.path), killed=killed)
        until_s = asyncio.get_running_loop().time() + KILLED_WAIT_S
        while not await self._closed(folder):
            if not killed or asyncio.get_running_loop().time() >= until_s:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def _closed(self, folder: DiskFolder) -> bool:
        return await self._do("close the transfer", partial(launch.close, folder))

    async def _beat(self, folder: DiskFolder) -> int:
        return (await self._do("read the sign of life", folder.sign)).beat

    async def _news(self, folder: DiskFolder) -> TransferNews:
        return await self._do("read the news", partial(launch.news, folder))

    async def _do(self, doing: str, work: Callable[[], T]) -> T:
        return await self._disk.run(self._host, doing, work)

    def _folder(self, uuid: MigrationUuid) -> DiskFolder:
        return DiskFolder(self._root / uuid)

    def _order(self, ask: StartTransfer) -> TransferOrder:
        hosts = self._settings.hosts
        return TransferOrder(
            migration_uuid=ask.act.migration_uuid,
            instance=ask.instance,
            migrate_data=ask.migrate_data,
            source=self._host,
            source_settings=hosts[self._host],
            destination=ask.destination,
            destination_settings=hosts.get(ask.destination.name),
            stall_timeout_s=self._settings.migration.stall_timeout_s,
            steering=ask.steering,
        )


def _set(folder: DiskFolder, mark: Mark) -> None:
    launch.ensure(folder)
    folder.set(mark)


def _steer(folder: DiskFolder, steering: Steering) -> None:
    launch.ensure(folder)
    folder.steer(steering)


def _driver_here(order: TransferOrder) -> TransferDriver:
    return transfer_driver(order, in_its_process=False)
