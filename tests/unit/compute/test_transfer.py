"""One transfer, told from opening to result, against a driver that does what the test says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from errno import ENOSPC
from itertools import pairwise

import pytest

from godwit.compute.convergence import Policy
from godwit.compute.helm import SAMPLE_S
from godwit.compute.transfer import LET_RUN_ATTEMPTS, Terms, run_transfer
from godwit.compute.transfer_folder import Mark, MemoryFolder, Sign
from godwit.model.errors import GodwitError, HypervisorError, Unreachable
from godwit.model.ids import HostName
from godwit.model.migrate_data import Guard
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import Force, ForceKind, Steering, TransferLimits
from godwit.rpc.compute import TransferResult
from godwit.sim.loop import run
from godwit.virt.driver import SeenEnd, TransferOutcome

UNREACHABLE = Unreachable(
    reason(Code.HYPERVISOR_UNAVAILABLE, host=HostName("host-b"), problem="no answer")
)
REFUSED = HypervisorError(
    reason(Code.HYPERVISOR_ERROR, host=HostName("host-b"), doing="resume", problem="no such guest")
)
STATISTICS = Statistics(total_ms=1000, downtime_ms=40)


@dataclass
class ScriptedDriver:
    """Takes `transfer_s`, moves `moves` bytes a second, raises as told, keeps a diary."""

    transfer_s: float = 4.0
    error: str = ""
    arrives_after_s: float = 3600.0
    guest_ended: SeenEnd | None = None
    explanation: Reason | None = None
    moves: int = 100
    gone: bool = True
    raises: dict[str, list[GodwitError]] = field(default_factory=dict)
    on_call: Callable[[str], None] = lambda call: None
    progress_takes_s: float = 0.0
    abort_works: bool = True
    dies_after_s: float | None = None
    """When its source can be seen to die, if it can."""
    job_after_s: float = 0.0
    """So long after the call began there is no job yet that could be stopped."""
    diary: list[str] = field(default_factory=list)
    limits: list[TransferLimits] = field(default_factory=list)
    _aborted: asyncio.Event = field(default_factory=asyncio.Event)
    _began_s: float | None = None

    async def open(self) -> None:
        self._noted("open")

    async def clear_autostart(self) -> None:
        self._noted("clear_autostart")

    async def transfer(self) -> TransferOutcome:
        self._noted("transfer")
        self._began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self.transfer_s):
                await self._aborted.wait()
            return TransferOutcome(error="canceled by client")
        except TimeoutError:
            return TransferOutcome(error=self.error)

    async def sees_source_die(self) -> bool:
        self._raise("sees_source_die")
        if self.dies_after_s is None:
            return False
        await asyncio.sleep(self.dies_after_s)
        self._noted("died")
        return True

    async def arrived(self) -> None:
        self._raise("arrived")
        await asyncio.sleep(self.arrives_after_s)

    async def explained(self, outcome: TransferOutcome) -> TransferOutcome:
        self._noted("explained")
        return replace(outcome, reason=self.explanation, guest_ended=self.guest_ended)

    async def statistics(self) -> Statistics | None:
        self._noted("statistics")
        return STATISTICS

    async def progress(self) -> Progress | None:
        self._raise("progress")
        await asyncio.sleep(self.progress_takes_s)
        if self._began_s is None:
            return None
        elapsed_s = asyncio.get_running_loop().time() - self._began_s
        moved = int(self.moves * elapsed_s)
        return Progress(phase=TransferPhase.COPYING_MEMORY, memory_processed_bytes=moved)

    async def limit(self, limits: TransferLimits) -> None:
        self.limits.append(limits)
        self._noted("limit")

    async def start_post_copy(self) -> None:
        self._noted("start_post_copy")

    async def resume_post_copy(self) -> TransferOutcome:
        raise AssertionError("nothing here is a post-copy")

    async def source_word(self) -> SourceWord:
        raise AssertionError("nothing here is a post-copy")

    async def destination_word(self) -> DestinationWord:
        raise AssertionError("nothing here is a post-copy")

    async def abort(self) -> bool:
        self._noted("abort")
        now_s = asyncio.get_running_loop().time()
        if self._began_s is None or now_s < self._began_s + self.job_after_s:
            return False
        if self.abort_works:
            self._aborted.set()
        return True

    async def source_is_gone(self) -> bool:
        self._noted("source_is_gone")
        return self.gone

    async def let_run_at_destination(self) -> None:
        self._noted("let_run_at_destination")

    async def close(self) -> None:
        self._noted("close")

    def _noted(self, call: str) -> None:
        self.diary.append(call)
        self.on_call(call)
        self._raise(call)

    def _raise(self, call: str) -> None:
        if self.raises.get(call):
            raise self.raises[call].pop(0)


class WatchedFolder(MemoryFolder):
    """Remembers when signs of life came."""

    def __init__(self) -> None:
        super().__init__()
        self.signs: list[tuple[float, Sign]] = []

    def show(self, sign: Sign) -> None:
        self.signs.append((asyncio.get_running_loop().time(), sign))
        super().show(sign)


class FailingFolder(MemoryFolder):
    """Its disk is full, or worse, as soon as it `fails`."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    def has(self, mark: Mark) -> bool:
        self._touch()
        return super().has(mark)

    def set(self, mark: Mark) -> None:
        self._touch()
        super().set(mark)

    def note(self, mark: Mark) -> None:
        self._touch()
        super().note(mark)

    def steering(self) -> Steering | None:
        self._touch()
        return super().steering()

    def show(self, sign: Sign) -> None:
        self._touch()
        super().show(sign)

    def end(self, result: TransferResult) -> None:
        self._touch()
        super().end(result)

    def _touch(self) -> None:
        if self.fails:
            raise OSError(ENOSPC, "No space left on device")


def terms(
    *, guard: Guard = Guard.PAUSED, was_paused: bool = False, stall_timeout_s: float = 30.0
) -> Terms:
    return Terms(Policy(stall_timeout_s, guard), was_paused=was_paused)


def transferred(
    driver: ScriptedDriver, folder: MemoryFolder, under: Terms | None = None
) -> TransferResult:
    """The result that the transfer left in its folder."""
    run(run_transfer(folder, driver, under or terms()))
    result = folder.news().result
    assert result is not None
    return result


def test_a_transfer_lets_the_guest_run_once_the_source_is_proven_gone() -> None:
    driver, folder = ScriptedDriver(), MemoryFolder()
    result = transferred(driver, folder)
    assert result == TransferResult(statistics=STATISTICS, ran_at_destination=True)
    assert driver.diary == [
        "open",
        "clear_autostart",
        "limit",
        "transfer",
        "source_is_gone",
        "let_run_at_destination",
        "statistics",
        "close",
    ]
    assert folder.has(Mark.BEGAN)
    assert folder.has(Mark.STOPPED_AS_MIGRATED)


def test_without_proof_nothing_is_let_run() -> None:
    driver, folder = ScriptedDriver(gone=False), MemoryFolder()
    result = transferred(driver, folder)
    assert not result.ran_at_destination
    assert "let_run_at_destination" not in driver.diary
    assert not folder.has(Mark.STOPPED_AS_MIGRATED)


def test_an_error_of_the_call_does_not_keep_a_proven_guest_frozen() -> None:
    driver = ScriptedDriver(error="end of file")
    result = transferred(driver, MemoryFolder())
    assert (result.error, result.ran_at_destination) == ("end of file", True)
    assert driver.diary[-4:] == ["transfer", "source_is_gone", "let_run_at_destination", "close"]


def test_an_error_is_explained_once_it_is_clear_that_nobody_waits() -> None:
    full = reason(Code.DISK_FULL, host=HostName("host-b"), folder="/srv/local")
    driver = ScriptedDriver(error="copy failed", gone=False, explanation=full)
    result = transferred(driver, MemoryFolder())
    assert (result.error, result.reason) == ("copy failed", full)
    assert driver.diary[-4:] == ["transfer", "source_is_gone", "explained", "close"]


def test_an_error_that_cannot_be_explained_is_told_as_it_is() -> None:
    driver = ScriptedDriver(error="copy failed", gone=False, raises={"explained": [UNREACHABLE]})
    result = transferred(driver, MemoryFolder())
    assert (result.error, result.reason) == ("copy failed", None)


def test_a_guest_is_let_run_at_the_death_of_its_source_before_the_call_is_back() -> None:
    folder, alive = MemoryFolder(), list[bool]()
    driver = ScriptedDriver(transfer_s=4.0, dies_after_s=3.8)

    def look(call: str) -> None:
        if call == "let_run_at_destination":
            alive.append(asyncio.get_running_loop().time() < 3.9)
            alive.append(folder.has(Mark.STOPPED_AS_MIGRATED))

    driver.on_call = look
    result = transferred(driver, folder)
    assert alive == [True, True], "in time, and on record before"
    assert result == TransferResult(statistics=STATISTICS, ran_at_destination=True)
    assert driver.diary[-4:] == ["died", "let_run_at_destination", "statistics", "close"]


def test_a_guest_that_runs_since_the_death_of_its_source_runs_on_whatever_the_call_says() -> None:
    driver = ScriptedDriver(dies_after_s=3.8, error="end of file", gone=False)
    result = transferred(driver, MemoryFolder())
    assert (result.error, result.ran_at_destination) == ("end of file", True)
    assert driver.diary[-3:] == ["died", "let_run_at_destination", "close"]


@pytest.mark.parametrize(
    "blind",
    [
        ScriptedDriver(transfer_s=4.0),
        ScriptedDriver(transfer_s=4.0, dies_after_s=300.0),
        ScriptedDriver(transfer_s=4.0, raises={"sees_source_die": [UNREACHABLE]}),
    ],
    ids=["says so", "waits for ever", "fails"],
)
def test_a_guest_waits_no_longer_than_the_call_for_a_death_that_is_not_seen(
    blind: ScriptedDriver,
) -> None:
    at_s = list[float]()

    def look(call: str) -> None:
        if call == "let_run_at_destination":
            at_s.append(asyncio.get_running_loop().time())

    blind.on_call = look
    assert transferred(blind, MemoryFolder()).ran_at_destination
    assert at_s == [pytest.approx(4.0)]


@pytest.mark.parametrize("trouble", [UNREACHABLE, REFUSED], ids=["unreachable", "refused"])
def test_what_fails_at_the_death_of_the_source_is_tried_again_after_the_call(
    trouble: GodwitError,
) -> None:
    driver = ScriptedDriver(dies_after_s=3.8, raises={"let_run_at_destination": [trouble]})
    assert transferred(driver, MemoryFolder()).ran_at_destination
    assert driver.diary[-6:-2] == [
        "died",
        "let_run_at_destination",
        "source_is_gone",
        "let_run_at_destination",
    ]


@pytest.mark.parametrize(
    "under",
    [terms(was_paused=True), terms(guard=Guard.LOCKS), terms(guard=Guard.POSTCOPY)],
    ids=["paused by its operator", "locks", "postcopy"],
)
def test_a_guest_that_does_not_wait_for_us_is_left_as_it_arrived(under: Terms) -> None:
    driver, folder = ScriptedDriver(dies_after_s=3.8), MemoryFolder()
    result = transferred(driver, folder, under)
    assert (result.error, result.ran_at_destination) == ("", False)
    assert "let_run_at_destination" not in driver.diary
    assert folder.has(Mark.STOPPED_AS_MIGRATED)


@pytest.mark.parametrize("ended", [*SeenEnd, None])
def test_a_guest_that_was_seen_to_end_is_on_record_as_such(ended: SeenEnd | None) -> None:
    folder = MemoryFolder()
    driver = ScriptedDriver(error="domain is not running", gone=False, guest_ended=ended)
    transferred(driver, folder)
    assert folder.evidence().seen_to_end is ended


def test_an_arrival_is_told_at_once_and_is_not_taken_back_by_a_sample_that_comes_later() -> None:
    folder = WatchedFolder()
    transferred(ScriptedDriver(transfer_s=4.0, arrives_after_s=1.6), folder)
    told = [(at_s, sign.progress.phase) for at_s, sign in folder.signs if sign.progress]
    told_s = [at_s for at_s, phase in told if phase is TransferPhase.ARRIVED]
    assert told_s[0] == pytest.approx(1.6)
    assert [phase for at_s, phase in told if at_s >= told_s[0]] == [TransferPhase.ARRIVED] * len(
        told_s
    )


@pytest.mark.parametrize("raises", [[], [UNREACHABLE]], ids=["never seen", "trouble"])
def test_a_move_does_not_depend_on_hearing_of_the_arrival(raises: list[GodwitError]) -> None:
    driver = ScriptedDriver(raises={"arrived": raises})
    assert transferred(driver, MemoryFolder()).ran_at_destination


def test_the_beginning_is_on_record_before_the_call() -> None:
    folder, seen = MemoryFolder(), dict[str, bool]()

    def look(call: str) -> None:
        seen[call] = folder.has(Mark.BEGAN)

    transferred(ScriptedDriver(on_call=look), folder)
    assert (seen["clear_autostart"], seen["transfer"]) == (False, True)


def test_the_proof_is_on_record_before_the_guest_is_let_run() -> None:
    folder, seen = MemoryFolder(), dict[str, bool]()

    def look(call: str) -> None:
        seen[call] = folder.has(Mark.STOPPED_AS_MIGRATED)

    transferred(ScriptedDriver(on_call=look), folder)
    assert (seen["source_is_gone"], seen["let_run_at_destination"]) == (False, True)


class SlowDisk(MemoryFolder):
    """Remembers what was forced to disk, in the driver's diary."""

    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self._diary = diary

    def set(self, mark: Mark) -> None:
        self._diary.append(f"forced to disk: {mark}")
        super().set(mark)


def test_the_guest_is_let_run_before_the_proof_is_forced_to_disk() -> None:
    driver = ScriptedDriver()
    transferred(driver, SlowDisk(driver.diary))
    assert driver.diary[-4:] == [
        "let_run_at_destination",
        "forced to disk: stopped-as-migrated",
        "statistics",
        "close",
    ]


def test_a_guest_that_cannot_be_let_run_leaves_its_proof_on_disk() -> None:
    driver = ScriptedDriver(raises={"let_run_at_destination": [REFUSED]})
    transferred(driver, SlowDisk(driver.diary))
    assert "forced to disk: stopped-as-migrated" in driver.diary


@pytest.mark.parametrize("breaks_at", ["transfer", "source_is_gone", "let_run_at_destination"])
def test_a_disk_that_fails_in_the_move_keeps_no_guest_waiting(breaks_at: str) -> None:
    folder = FailingFolder()

    def break_disk(call: str) -> None:
        folder.fails = folder.fails or call == breaks_at

    driver = ScriptedDriver(on_call=break_disk)
    run(run_transfer(folder, driver, terms()))
    assert driver.diary[-3:] == ["let_run_at_destination", "statistics", "close"]
    assert folder.news().result is None


def test_a_disk_that_comes_back_has_the_result_and_newer_signs_of_life() -> None:
    folder, beats = FailingFolder(), list[int]()

    async def tale() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_transfer(folder, ScriptedDriver(transfer_s=30.0), terms()))
            await asyncio.sleep(5.0)
            beats.append(folder.news().sequence)
            folder.fails = True
            await asyncio.sleep(15.0)
            assert folder.news().sequence == beats[0]
            folder.fails = False

    run(tale())
    assert folder.news().sequence > beats[0]
    assert folder.news().result == TransferResult(statistics=STATISTICS, ran_at_destination=True)


def test_where_the_beginning_cannot_be_put_on_record_nothing_begins() -> None:
    folder = FailingFolder()

    def break_disk(call: str) -> None:
        folder.fails = folder.fails or call == "limit"

    driver = ScriptedDriver(on_call=break_disk)
    with pytest.raises(ExceptionGroup):
        run(run_transfer(folder, driver, terms()))
    assert driver.diary == ["open", "clear_autostart", "limit", "close"]


@pytest.mark.parametrize("mark", [Mark.ABORT, Mark.CLOSED])
def test_a_mark_found_before_the_call_prevents_it(mark: Mark) -> None:
    driver, folder = ScriptedDriver(), MemoryFolder()
    folder.set(mark)
    result = transferred(driver, folder)
    assert result.aborted
    assert driver.diary == ["open", "close"]
    assert not folder.has(Mark.BEGAN)


def test_an_abort_that_comes_while_autostart_is_cleared_still_prevents_the_call() -> None:
    folder = MemoryFolder()

    def abort(call: str) -> None:
        if call == "clear_autostart":
            folder.set(Mark.ABORT)

    driver = ScriptedDriver(on_call=abort)
    assert transferred(driver, folder).aborted
    assert "transfer" not in driver.diary


async def abort_at(folder: MemoryFolder, at_s: float, driver: ScriptedDriver) -> float:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_transfer(folder, driver, terms()))
        await asyncio.sleep(at_s)
        folder.set(Mark.ABORT)
    return asyncio.get_running_loop().time()


def test_an_abort_in_the_transfer_stops_it_within_a_second() -> None:
    driver, folder = ScriptedDriver(transfer_s=60.0, gone=False), MemoryFolder()
    after_s = run(abort_at(folder, 10.0, driver))
    result = folder.news().result
    assert after_s < 11.0
    assert result == TransferResult(error="canceled by client", aborted=True)
    assert driver.diary.count("abort") == 1


def test_an_abort_before_there_is_a_job_stops_it_as_soon_as_there_is_one() -> None:
    driver = ScriptedDriver(transfer_s=31.0, job_after_s=2.0)
    after_s = run(abort_at(MemoryFolder(), 0.3, driver))
    assert 1.7 <= after_s <= 1.7 + 2 * SAMPLE_S
    assert driver.diary.count("abort") <= 2.0 / SAMPLE_S


def test_an_abort_that_does_not_help_is_asked_for_again_now_and_then() -> None:
    driver = ScriptedDriver(transfer_s=31.0, abort_works=False)
    run(abort_at(MemoryFolder(), 10.0, driver))
    assert driver.diary.count("abort") == 5


def test_an_abort_that_raises_is_asked_for_again() -> None:
    driver = ScriptedDriver(transfer_s=60.0, raises={"abort": [UNREACHABLE]})
    folder = MemoryFolder()
    after_s = run(abort_at(folder, 10.0, driver))
    assert driver.diary.count("abort") == 2
    assert after_s < 16.0


def test_an_abort_after_the_switch_changes_nothing() -> None:
    folder = MemoryFolder()

    def abort(call: str) -> None:
        if call == "source_is_gone":
            folder.set(Mark.ABORT)

    result = transferred(ScriptedDriver(on_call=abort), folder)
    assert (result.aborted, result.ran_at_destination) == (False, True)


def test_a_transfer_that_stalls_is_stopped_and_says_for_how_long_it_stalled() -> None:
    driver, folder = ScriptedDriver(transfer_s=1_000.0, moves=0, gone=False), MemoryFolder()
    result = transferred(driver, folder, terms(stall_timeout_s=20.0))
    assert result.reason == reason(Code.TRANSFER_STALLED, stalled_s=20.0)
    assert (result.aborted, result.error) == (False, "canceled by client")


def test_a_transfer_whose_progress_cannot_be_had_is_taken_for_stalled() -> None:
    driver = ScriptedDriver(transfer_s=1_000.0, raises={"progress": [UNREACHABLE] * 10_000})
    result = transferred(driver, MemoryFolder(), terms(stall_timeout_s=20.0))
    assert result.reason is not None
    assert result.reason.code is Code.TRANSFER_STALLED


def test_a_slow_transfer_that_moves_is_not_stopped() -> None:
    driver = ScriptedDriver(transfer_s=1_000.0)
    assert transferred(driver, MemoryFolder(), terms(stall_timeout_s=5.0)).error == ""


async def steer_at(
    folder: MemoryFolder, at_s: float, driver: ScriptedDriver, steering: Steering, under: Terms
) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_transfer(folder, driver, under))
        await asyncio.sleep(at_s)
        folder.steer(steering)


def test_new_limits_are_set_while_it_runs_and_only_once() -> None:
    driver, folder = ScriptedDriver(transfer_s=20.0), MemoryFolder()
    newer = Steering(bandwidth_mib_per_s=8, max_downtime_ms=60, downtime_steps=1, revision=1)
    run(steer_at(folder, 5.0, driver, newer, terms()))
    assert driver.limits == [
        TransferLimits(max_downtime_ms=100),
        TransferLimits(bandwidth_mib_per_s=8, max_downtime_ms=60),
    ]


def test_limits_that_could_not_be_set_are_set_again() -> None:
    driver, folder = ScriptedDriver(transfer_s=20.0), MemoryFolder()
    driver.on_call = lambda call: (
        driver.raises.update({"limit": [UNREACHABLE] * 2}) if call == "transfer" else None
    )
    run(steer_at(folder, 5.0, driver, Steering(bandwidth_mib_per_s=8, revision=1), terms()))
    assert driver.limits[1:] == [TransferLimits(bandwidth_mib_per_s=8)] * 3


def test_post_copy_that_was_forced_is_asked_for_until_it_is_seen() -> None:
    driver, folder = ScriptedDriver(transfer_s=12.0), MemoryFolder()
    forced = Steering(force=Force(kind=ForceKind.POST_COPY), revision=1)
    run(steer_at(folder, 5.0, driver, forced, terms(guard=Guard.POSTCOPY)))
    assert driver.diary.count("start_post_copy") > 1


def test_hosts_that_cannot_be_reached_leave_an_error_and_nothing_begun() -> None:
    driver, folder = ScriptedDriver(raises={"open": [UNREACHABLE]}), MemoryFolder()
    result = transferred(driver, folder)
    assert result.reason == UNREACHABLE.reason
    assert "hypervisor-unavailable" in result.error
    assert driver.diary == ["open", "close"]
    assert not folder.has(Mark.BEGAN)


def test_a_call_that_raises_is_a_claim_like_any_other() -> None:
    driver = ScriptedDriver(raises={"transfer": [UNREACHABLE]}, gone=True)
    result = transferred(driver, MemoryFolder())
    assert (result.reason, result.ran_at_destination) == (UNREACHABLE.reason, True)


@pytest.mark.parametrize("call", ["source_is_gone", "let_run_at_destination"])
def test_a_host_that_is_out_of_reach_at_the_switch_is_tried_again(call: str) -> None:
    driver = ScriptedDriver(raises={call: [UNREACHABLE] * (LET_RUN_ATTEMPTS - 1)})
    assert transferred(driver, MemoryFolder()).ran_at_destination


def test_a_host_that_stays_out_of_reach_is_left_to_whoever_looks_at_both_ends() -> None:
    driver = ScriptedDriver(raises={"let_run_at_destination": [UNREACHABLE] * 100})
    result = transferred(driver, MemoryFolder())
    assert (result.error, result.ran_at_destination) == ("", False)
    assert driver.diary.count("let_run_at_destination") == LET_RUN_ATTEMPTS


def test_a_destination_that_refuses_is_not_asked_again_and_the_statistics_stay() -> None:
    driver = ScriptedDriver(raises={"let_run_at_destination": [REFUSED]})
    result = transferred(driver, MemoryFolder())
    assert (result.statistics, result.ran_at_destination) == (STATISTICS, False)
    assert driver.diary.count("let_run_at_destination") == 1


def test_connections_that_cannot_be_closed_do_not_cost_the_result() -> None:
    driver = ScriptedDriver(raises={"close": [UNREACHABLE]})
    assert transferred(driver, MemoryFolder()).ran_at_destination


def test_signs_of_life_come_at_least_once_a_second_while_the_hypervisor_is_silent() -> None:
    driver, folder = ScriptedDriver(transfer_s=30.0, progress_takes_s=10.0), WatchedFolder()
    transferred(driver, folder)
    times = [at_s for at_s, _ in folder.signs]
    assert max(later - sooner for sooner, later in pairwise(times)) <= 1.0
    beats = [sign.beat for _, sign in folder.signs]
    assert beats == sorted(set(beats))


def test_a_sample_that_is_slow_to_come_does_not_keep_the_guest_waiting() -> None:
    at_s = dict[str, float]()

    def look(call: str) -> None:
        at_s[call] = asyncio.get_running_loop().time()

    driver = ScriptedDriver(transfer_s=4.0, progress_takes_s=10.0, on_call=look)
    transferred(driver, MemoryFolder())
    assert at_s["let_run_at_destination"] == pytest.approx(4.0)


def test_every_sample_is_news_and_a_sign_of_life_alone_is_not() -> None:
    folder = WatchedFolder()
    transferred(ScriptedDriver(transfer_s=10.0), folder)
    progress = {sign.sequence: sign.progress for _, sign in folder.signs}
    assert len(progress) >= 10
    moved = [sample.moved_bytes for sample in progress.values() if sample]
    assert moved == sorted(set(moved))


def test_a_transfer_without_duration_takes_no_time() -> None:
    async def main() -> float:
        await run_transfer(MemoryFolder(), ScriptedDriver(transfer_s=0.0), terms())
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(0.0, abs=1e-6)
