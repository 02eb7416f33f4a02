"""The transfers out of one simulated host, each with a process that may die alone: the hypervisor's
job goes on then, and the compute manager watches it in the process's place.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from godwit.compute.disk import Disk
from godwit.compute.orphans import Orphans
from godwit.compute.transfer_folder import Mark, MemoryFolder, Sign, news_of
from godwit.compute.transfers import TaskTransfers
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.rpc.compute import StartTransfer, TransferNews, TransferResult
from godwit.runtime.clock import Clock
from godwit.runtime.settings import SimulatedHostSettings
from godwit.sim.process import Process
from godwit.virt.driver import TransferDriver
from godwit.virt.registry import TransferOrder

T = TypeVar("T")


class LastingFolder(MemoryFolder):
    """What a transfer process has left on the disk, read as `compute/launch` reads it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._began_at_s: float | None = None
        self._why: TransferResult | None = None

    def set(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        if mark is Mark.BEGAN:
            self._began_at_s = self._clock.now_s()
        super().set(mark)

    def sign(self) -> Sign:
        """See `WatchedFolder`."""
        return self._sign

    def began_at_s(self) -> float | None:
        """See `WatchedFolder`."""
        return self._began_at_s

    def leave_why(self, result: TransferResult) -> None:
        """See `WatchedFolder`."""
        self._why = self._why or result

    def news(self) -> TransferNews:
        """What is known now."""
        if self.alive:
            return super().news()
        result = self._result
        news = news_of(self._sign, result or self._why, ended=True, started=self.started)
        may_go_on = self.has(Mark.BEGAN) and (result is None or bool(result.error))
        return replace(news, orphaned=may_go_on)


class MortalTransfers(TaskTransfers):
    """Each has a life of its own."""

    def __init__(
        self,
        host: HostName,
        *,
        power: Process,
        clock: Clock,
        make_driver: Callable[[StartTransfer], TransferDriver],
        stall_timeout_s: float,
    ) -> None:
        """`power`: what runs here ends with it."""
        super().__init__(tasks=power, make_driver=make_driver, stall_timeout_s=stall_timeout_s)
        self._host = host
        self._clock = clock
        self._lasting: dict[MigrationUuid, LastingFolder] = {}
        self._asked: dict[MigrationUuid, StartTransfer] = {}
        self._drivers: dict[MigrationUuid, TransferDriver] = {}
        self._lives: dict[MigrationUuid, asyncio.Task[None]] = {}
        self._orphans = Orphans(host, _NoDisk(), clock, self._driver_again)

    def kill(self, guest: InstanceUuid) -> bool:
        """The process that moves this guest dies, if there is one."""
        for uuid, life in self._lives.items():
            if self._asked[uuid].instance.uuid == guest and not life.done():
                life.cancel()
                return True
        return False

    async def watch(self, uuid: MigrationUuid) -> TransferNews:
        """See `Transfers`."""
        folder = self._folder(uuid)
        if folder.news().orphaned:
            await self._orphans.look(uuid, folder, self._order(self._asked[uuid]))
        return folder.news()

    async def _live(self, folder: MemoryFolder, ask: StartTransfer, driver: TransferDriver) -> None:
        this, uuid = asyncio.current_task(), ask.act.migration_uuid
        if this is not None:
            self._lives[uuid] = this
        self._asked[uuid], self._drivers[uuid] = ask, driver
        await super()._live(folder, ask, driver)

    def _known(self) -> Iterable[tuple[MigrationUuid, MemoryFolder]]:
        return self._lasting.items()

    def _folder(self, uuid: MigrationUuid) -> LastingFolder:
        return self._lasting.setdefault(uuid, LastingFolder(self._clock))

    def _driver_again(self, order: TransferOrder) -> TransferDriver:
        """It is the hypervisor that knows of the job, whoever asks."""
        return self._drivers[order.migration_uuid]

    def _order(self, ask: StartTransfer) -> TransferOrder:
        return TransferOrder(
            migration_uuid=ask.act.migration_uuid,
            instance=ask.instance,
            migrate_data=ask.migrate_data,
            source=self._host,
            source_settings=SimulatedHostSettings(),
            destination=ask.destination,
            destination_settings=None,
            stall_timeout_s=self._stall_timeout_s,
            steering=ask.steering,
        )


class _NoDisk(Disk):
    """The folders are in memory: no thread takes part."""

    async def run(self, host: HostName, doing: str, work: Callable[[], T]) -> T:
        """See `Disk`."""
        return work()
