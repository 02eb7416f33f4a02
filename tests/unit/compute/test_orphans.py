"""A transfer that has lost its process is watched by the compute manager, when the story asks."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as change
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace
from tests.unit.transfer_orders import UUID, A, B, an_order

from godwit.compute import launch
from godwit.compute.disk import Disk
from godwit.compute.launch import news
from godwit.compute.orphans import IDLE_S, Orphans
from godwit.compute.transfer_folder import DiskFolder, Mark
from godwit.model.errors import GodwitError, Unreachable
from godwit.model.ids import HostName
from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import Steering, TransferLimits
from godwit.rpc.compute import TransferResult
from godwit.sim.loop import run
from godwit.virt.driver import SeenEnd, TransferOutcome
from godwit.virt.registry import TransferOrder

T = TypeVar("T")

ORDER = an_order()
ENDS = {"ended": SeenEnd.WANTED, "crashed": SeenEnd.CRASHED}
COPYING = Progress(phase=TransferPhase.COPYING_MEMORY, memory_processed_bytes=7)
GONE = Unreachable(reason(Code.HYPERVISOR_UNAVAILABLE, host=B, problem="no answer"))


@dataclass
class JobDriver:
    """A job that shows the same figures for ever."""

    shows: Progress | None = COPYING
    began_s: float = 0.0
    event: str = ""
    event_at_s: float = 0.0
    trouble: GodwitError | None = None
    done: list[str] = field(default_factory=list)
    limits: list[TransferLimits] = field(default_factory=list)

    async def open(self) -> None:
        raise AssertionError("it would wait for the destination")

    async def progress(self) -> Progress | None:
        if self.trouble is not None:
            raise self.trouble
        if self.shows is None:
            return None
        return replace(self.shows, elapsed_s=asyncio.get_running_loop().time() - self.began_s)

    async def start_post_copy(self) -> None:
        self.done.append("post-copy")

    async def limit(self, limits: TransferLimits) -> None:
        self.limits.append(limits)

    async def abort(self) -> bool:
        self.done.append("abort")
        return True

    async def close(self) -> None:
        self.done.append("close")

    async def clear_autostart(self) -> None:
        raise AssertionError

    async def transfer(self) -> TransferOutcome:
        raise AssertionError

    async def arrived(self) -> None:
        raise AssertionError

    async def explained(self, outcome: TransferOutcome) -> TransferOutcome:
        assert outcome.reason is not None, "the destination would be asked for one"
        return change(outcome, guest_ended=ENDS.get(self._event()))

    async def resume_post_copy(self) -> TransferOutcome:
        raise AssertionError

    async def source_word(self) -> SourceWord:
        raise AssertionError

    async def destination_word(self) -> DestinationWord:
        raise AssertionError

    async def source_is_gone(self) -> bool:
        return self._event() == "left"

    async def sees_source_die(self) -> bool:
        raise AssertionError

    def _event(self) -> str:
        return self.event if asyncio.get_running_loop().time() >= self.event_at_s else ""

    async def statistics(self) -> Statistics | None:
        raise AssertionError

    async def let_run_at_destination(self) -> None:
        raise AssertionError


class QuickDisk(Disk):
    """Virtual time waits for no thread."""

    async def run(self, host: HostName, doing: str, work: Callable[[], T]) -> T:
        return work()


class SinceBeginning:
    """A wall clock that began with the transfer, whose mark is of the time 0."""

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


def begun(path: Path, *marks: Mark) -> DiskFolder:
    """The folder of a transfer that began at the time 0."""
    folder = DiskFolder(path)
    for mark in (Mark.BEGAN, *marks):
        folder.set(mark)
    os.utime(path / Mark.BEGAN, (0.0, 0.0))
    return folder


def watching(driver: JobDriver) -> Orphans:
    return Orphans(A, QuickDisk(), SinceBeginning(), lambda _order: driver)


async def looked(
    driver: JobDriver, folder: DiskFolder, times: int, order: TransferOrder = ORDER
) -> None:
    """The story asks once a second."""
    orphans = watching(driver)
    for _ in range(times):
        await orphans.look(UUID, folder, order)
        await asyncio.sleep(1)


@pytest.mark.parametrize(("seconds", "stops"), [(19, False), (22, True)])
def test_one_that_moves_nothing_is_stopped_by_the_same_policy(
    tmp_path: Path, seconds: int, stops: bool
) -> None:
    driver = JobDriver()
    run(looked(driver, begun(tmp_path), seconds))
    assert driver.done == (["abort"] if stops else [])


def test_one_that_is_to_be_stopped_is_stopped_at_the_next_look(tmp_path: Path) -> None:
    driver = JobDriver()
    run(looked(driver, begun(tmp_path, Mark.ABORT), 1))
    assert driver.done == ["abort"]


@pytest.mark.parametrize(
    ("phase", "stops"), [("preparing", True), ("copying-memory", True), ("post-copy", False)]
)
def test_what_is_held_back_is_stopped_at_the_first_look_without_its_destination(
    tmp_path: Path, phase: str, stops: bool
) -> None:
    driver, folder = JobDriver(replace(COPYING, phase=TransferPhase(phase))), begun(tmp_path)
    agreed = LibvirtLiveMigrateData(guard=Guard.POSTCOPY, hold_back=True)
    run(looked(driver, folder, 1, replace(ORDER, migrate_data=agreed)))
    assert driver.done == (["abort"] if stops else [])
    assert (news(folder).result is not None) is stops


def test_a_job_that_a_person_began_later_is_left_alone(tmp_path: Path) -> None:
    driver, folder = JobDriver(), begun(tmp_path, Mark.ABORT)
    folder.steer(Steering(bandwidth_mib_per_s=8, revision=1))
    agreed = LibvirtLiveMigrateData(guard=Guard.POSTCOPY, hold_back=True)

    async def tale() -> None:
        await asyncio.sleep(60)
        driver.began_s = 50.0
        await watching(driver).look(UUID, folder, replace(ORDER, migrate_data=agreed))

    run(tale())
    assert (driver.done, driver.limits) == (["close"], [])
    assert news(folder).result is None


def test_the_time_that_it_was_given_runs_from_its_beginning(tmp_path: Path) -> None:
    driver = JobDriver()
    hurried = Steering(completion_timeout_s=60)

    async def tale() -> None:
        await asyncio.sleep(61)
        await watching(driver).look(UUID, begun(tmp_path), replace(ORDER, steering=hurried))

    run(tale())
    assert driver.done == ["abort"]


def test_what_it_shows_is_news_for_its_followers(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    run(looked(JobDriver(), folder, 2))
    sign = folder.sign()
    assert sign.sequence == 2
    assert sign.progress is not None
    assert sign.progress.memory_processed_bytes == 7


def test_limits_that_are_asked_for_meanwhile_are_set(tmp_path: Path) -> None:
    driver, folder = JobDriver(), begun(tmp_path)
    folder.steer(Steering(bandwidth_mib_per_s=8, max_downtime_ms=60, revision=1))
    run(looked(driver, folder, 2))
    assert driver.limits == [TransferLimits(bandwidth_mib_per_s=8, max_downtime_ms=12)]


def test_one_without_a_job_is_let_go_of(tmp_path: Path) -> None:
    driver = JobDriver(shows=None)
    run(looked(driver, begun(tmp_path, Mark.ABORT), 2))
    assert driver.done == ["close", "close"]


@pytest.mark.parametrize("late_s", [0.0, 0.4])
@pytest.mark.parametrize(
    ("event", "mark"),
    [
        ("left", Mark.STOPPED_AS_MIGRATED),
        ("ended", Mark.SEEN_TO_END),
        ("crashed", Mark.SEEN_TO_CRASH),
        ("", None),
    ],
)
def test_how_the_guest_ended_at_the_source_is_put_on_record(
    tmp_path: Path, event: str, mark: Mark | None, late_s: float
) -> None:
    """Of a transient guest nobody could tell it later. The event may come after the job is gone."""
    driver, folder = JobDriver(event=event, event_at_s=1.0 + late_s), begun(tmp_path)

    async def tale() -> None:
        orphans = watching(driver)
        await orphans.look(UUID, folder, ORDER)
        await asyncio.sleep(1)
        driver.shows = None
        await orphans.look(UUID, folder, ORDER)

    run(tale())
    marks = {mark for mark in Mark if folder.has(mark)}
    assert marks == {Mark.BEGAN} | ({mark} if mark else set())
    assert driver.done == (["close"] if mark else []), "nothing is left to be watched"


def test_one_that_nobody_asks_about_any_more_is_let_go_of(tmp_path: Path) -> None:
    driver, folder = JobDriver(), begun(tmp_path)

    async def tale() -> None:
        orphans = watching(driver)
        await orphans.look(UUID, folder, ORDER)
        await orphans.let_go_of_idle()
        assert driver.done == []
        await asyncio.sleep(IDLE_S + 1)
        await orphans.let_go_of_idle()

    run(tale())
    assert driver.done == ["close"]


def test_why_it_was_stopped_is_left_for_the_story(tmp_path: Path) -> None:
    driver, folder = JobDriver(), begun(tmp_path)

    async def tale() -> None:
        orphans = watching(driver)
        await orphans.look(UUID, folder, ORDER)
        await asyncio.sleep(21)
        await orphans.look(UUID, folder, ORDER)

    run(tale())
    result = news(folder).result
    assert result is not None
    assert result.reason == reason(Code.TRANSFER_STALLED, stalled_s=21.0)
    assert folder.result() is None, "it is watched on until its job is gone"
    assert driver.done == ["abort"]


def test_a_host_that_does_not_answer_is_asked_again_at_the_next_look(tmp_path: Path) -> None:
    driver, folder = JobDriver(trouble=GONE), begun(tmp_path, Mark.ABORT)

    async def tale() -> None:
        orphans = watching(driver)
        await orphans.look(UUID, folder, ORDER)
        assert "abort" not in driver.done
        driver.trouble = None
        await orphans.look(UUID, folder, ORDER)

    run(tale())
    assert driver.done[-1] == "abort"


@pytest.mark.parametrize(
    ("result", "orphaned"),
    [
        (None, True),
        (TransferResult(error="the source does not answer"), True),
        (TransferResult(), False),
    ],
)
def test_what_ended_without_success_may_have_left_its_job_behind(
    tmp_path: Path, result: TransferResult | None, orphaned: bool
) -> None:
    folder = begun(tmp_path)
    launch.ensure(folder)
    if result is not None:
        folder.end(result)
    assert news(folder).orphaned is orphaned


def test_what_has_not_begun_has_left_nothing_behind(tmp_path: Path) -> None:
    assert not news(DiskFolder(tmp_path)).orphaned
