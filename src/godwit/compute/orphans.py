"""Transfers whose process has died while the hypervisor's job may go on. Whoever asks for news of
one watches it for a moment in the process's place, by the same policy.

Called by `compute/process_transfers.py`. Nobody is left who would let the guest run on proof: that
is for the story, which finds it at its next look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from godwit.compute.steering import Helm, Stopped
from godwit.compute.transfer import terms_of
from godwit.compute.transfer_folder import DiskFolder, Sign
from godwit.model.errors import GodwitError
from godwit.model.ids import MigrationUuid
from godwit.model.progress import Progress
from godwit.rpc.compute import TransferResult
from godwit.virt.driver import TransferDriver
from godwit.virt.registry import TransferOrder

MakeDriver = Callable[[TransferOrder], TransferDriver]

log = structlog.get_logger()


@dataclass(frozen=True)
class _Watch:
    """One transfer that is watched: its driver is open."""

    driver: TransferDriver
    helm: Helm


class Orphans:
    """The orphaned transfers of one host."""

    def __init__(self, make_driver: MakeDriver) -> None:
        self._make_driver = make_driver
        self._watches: dict[MigrationUuid, _Watch] = {}
        self._looking: set[MigrationUuid] = set()

    async def look(self, uuid: MigrationUuid, folder: DiskFolder, order: TransferOrder) -> None:
        """Sample it once and do what is to be done; trouble is only logged. Without a job it is let
        go of: where the guest is, others see.
        """
        if uuid in self._looking:
            return
        self._looking.add(uuid)
        try:
            watch = self._watches.get(uuid) or await self._begun(uuid, folder, order)
            has_job = await watch.helm.look()
            _leave_why(folder, watch.helm.stopped)
            if not has_job:
                await self.let_go(uuid)
        except GodwitError as error:
            log.warning("an orphaned transfer cannot be watched", words=error.reason.words)
            await self.let_go(uuid)
        finally:
            self._looking.discard(uuid)

    async def let_go(self, uuid: MigrationUuid) -> None:
        """It is over, or somebody else's."""
        watch = self._watches.pop(uuid, None)
        if watch is not None:
            await _close(watch.driver)

    async def _begun(self, uuid: MigrationUuid, folder: DiskFolder, order: TransferOrder) -> _Watch:
        log.warning("a transfer has lost its process, watching in its place", migration=uuid)
        driver = self._make_driver(order)
        watch = _Watch(driver, Helm(folder, driver, terms_of(order).policy, _teller(folder)))
        self._watches[uuid] = watch
        await driver.open()
        return watch


def _leave_why(folder: DiskFolder, stopped: Stopped) -> None:
    """In the process's place, and before anybody can see the job gone."""
    if stopped.at_all:
        words = stopped.why.words if stopped.why else "stopped as asked"
        folder.leave_why(TransferResult(error=words, reason=stopped.why, aborted=stopped.aborted))


def _teller(folder: DiskFolder) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        sign = folder.sign()
        folder.show(Sign(beat=sign.beat, sequence=sign.sequence + 1, progress=progress))

    return tell


async def _close(driver: TransferDriver) -> None:
    try:
        await driver.close()
    except GodwitError as error:
        log.warning("connections were not closed", words=error.reason.words)
