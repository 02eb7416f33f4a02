"""A transfer that has lost its process is watched by whoever asks for news of it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.compute.test_transfer_process import START, A, B

from godwit.compute.launch import news
from godwit.compute.orphans import Orphans
from godwit.compute.transfer_folder import DiskFolder, Mark
from godwit.model.errors import GodwitError, Unreachable
from godwit.model.ids import MigrationUuid
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.sighting import SourceWord
from godwit.model.steering import Steering, TransferLimits
from godwit.runtime.settings import LibvirtHostSettings
from godwit.sim.loop import run
from godwit.virt.driver import TransferOutcome
from godwit.virt.registry import TransferOrder

UUID = MigrationUuid("u")
SETTINGS = LibvirtHostSettings(uri="qemu+tls://a/system")
ORDER = TransferOrder(
    migration_uuid=UUID,
    instance=START.instance,
    migrate_data=START.migrate_data,
    source=A,
    source_settings=SETTINGS,
    destination=START.destination,
    destination_settings=SETTINGS,
    stall_timeout_s=20.0,
)
COPYING = Progress(phase=TransferPhase.COPYING_MEMORY, memory_processed_bytes=7)
GONE = Unreachable(reason(Code.HYPERVISOR_UNAVAILABLE, host=B, problem="no answer"))


@dataclass
class JobDriver:
    """A job that shows the same figures for ever."""

    shows: Progress | None = COPYING
    trouble: GodwitError | None = None
    done: list[str] = field(default_factory=list)
    limits: list[TransferLimits] = field(default_factory=list)

    async def open(self) -> None:
        self.done.append("open")
        if self.trouble is not None:
            raise self.trouble

    async def progress(self) -> Progress | None:
        return self.shows

    async def limit(self, limits: TransferLimits) -> None:
        self.limits.append(limits)

    async def abort(self) -> None:
        self.done.append("abort")

    async def close(self) -> None:
        self.done.append("close")

    async def clear_autostart(self) -> None:
        raise AssertionError

    async def transfer(self) -> TransferOutcome:
        raise AssertionError

    async def explained(self, outcome: TransferOutcome) -> TransferOutcome:
        raise AssertionError

    async def start_post_copy(self) -> None:
        raise AssertionError

    async def resume_post_copy(self) -> TransferOutcome:
        raise AssertionError

    async def source_word(self) -> SourceWord:
        raise AssertionError

    async def source_is_gone(self) -> bool:
        raise AssertionError

    async def statistics(self) -> Statistics | None:
        raise AssertionError

    async def let_run_at_destination(self) -> None:
        raise AssertionError


async def looked(driver: JobDriver, folder: DiskFolder, times: int) -> None:
    """Whoever follows it asks once a second."""
    orphans = Orphans(lambda _order: driver)
    for _ in range(times):
        await orphans.look(UUID, folder, ORDER)
        await asyncio.sleep(1)


@pytest.mark.parametrize(("seconds", "stops"), [(19, False), (22, True)])
def test_one_that_moves_nothing_is_stopped_by_the_same_policy(
    tmp_path: Path, seconds: int, stops: bool
) -> None:
    driver = JobDriver()
    run(looked(driver, DiskFolder(tmp_path), seconds))
    assert driver.done == (["open", "abort"] if stops else ["open"])


def test_one_that_is_to_be_stopped_is_stopped_at_the_next_look(tmp_path: Path) -> None:
    driver, folder = JobDriver(), DiskFolder(tmp_path)
    folder.set(Mark.ABORT)
    run(looked(driver, folder, 1))
    assert driver.done == ["open", "abort"]


def test_what_it_shows_is_news_for_its_followers(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path)
    run(looked(JobDriver(), folder, 2))
    sign = folder.sign()
    assert sign.sequence == 2
    assert sign.progress is not None
    assert sign.progress.memory_processed_bytes == 7


def test_limits_that_are_asked_for_meanwhile_are_set(tmp_path: Path) -> None:
    driver, folder = JobDriver(), DiskFolder(tmp_path)
    folder.steer(Steering(bandwidth_mib_per_s=8, max_downtime_ms=60, revision=1))
    run(looked(driver, folder, 2))
    assert driver.limits == [TransferLimits(bandwidth_mib_per_s=8, max_downtime_ms=12)]


def test_one_without_a_job_is_let_go_of(tmp_path: Path) -> None:
    driver = JobDriver(shows=None)
    run(looked(driver, DiskFolder(tmp_path), 2))
    assert driver.done == ["open", "close", "open", "close"]


def test_why_it_was_stopped_is_left_for_the_story(tmp_path: Path) -> None:
    driver, folder = JobDriver(), DiskFolder(tmp_path)

    async def tale() -> None:
        orphans = Orphans(lambda _order: driver)
        await orphans.look(UUID, folder, ORDER)
        await asyncio.sleep(21)
        await orphans.look(UUID, folder, ORDER)
        assert news(folder).result is not None
        driver.shows = None
        await orphans.look(UUID, folder, ORDER)

    run(tale())
    result = news(folder).result
    assert result is not None
    assert result.reason == reason(Code.TRANSFER_STALLED, stalled_s=21.0)
    assert folder.result() is None, "it is watched on until its job is gone"
    assert driver.done == ["open", "abort", "close"]


def test_a_host_that_does_not_answer_is_asked_again_at_the_next_look(tmp_path: Path) -> None:
    driver = JobDriver(trouble=GONE)
    run(looked(driver, DiskFolder(tmp_path), 2))
    assert driver.done == ["open", "close", "open", "close"]
