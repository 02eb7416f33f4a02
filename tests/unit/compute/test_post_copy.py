"""A post-copy, told from its switch to its end on simulated hosts: held back, broken, resumed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.compute.test_orphans import JobDriver

from godwit.compute.convergence import Policy
from godwit.compute.helm import ABORT_AGAIN_S, Helm
from godwit.compute.post_copy import (
    LOOK_PAUSE_S,
    RESUME_ATTEMPTS_MAX,
    SILENT_S,
    STANDS_S,
    SWITCH_S,
    see_through,
)
from godwit.compute.transfer import Terms, agreed_terms, run_transfer
from godwit.compute.transfer_folder import Mark, MemoryFolder
from godwit.model.ids import HostName
from godwit.model.migrate_data import Guard, SimulatedLiveMigrateData
from godwit.model.progress import NO_WAY_BACK, Progress, TransferPhase
from godwit.model.reasons import Code
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.rpc.compute import TransferResult
from godwit.runtime.settings import SimulatedHostSettings
from godwit.sim.loop import run
from godwit.virt.driver import TransferOutcome
from godwit.virt.simulated.faults import Fault, FaultKind
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.guests import simulated_guest
from godwit.virt.simulated.half import HalfState, Stream
from godwit.virt.simulated.transfer_driver import SimulatedTransferDriver

A, B = HostName("host-a"), HostName("host-b")
D = DestinationWord
GUEST = simulated_guest("guest-1")
TRANSFER_S = 20.0


class Move:
    """One guest on its way under the guard `postcopy`."""

    def __init__(self, *, hold_back: bool = True) -> None:
        settings = SimulatedHostSettings(transfer_s=TRANSFER_S)
        self.fleet = SimulatedFleet({A: settings, B: settings})
        self.fleet.add_guest(A, GUEST)
        self.folder = MemoryFolder()
        self.agreed = SimulatedLiveMigrateData(guard=Guard.POSTCOPY, hold_back=hold_back)

    def told(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> TransferResult:
        """Run it, with what happens meanwhile; its result."""

        async def main() -> None:
            driver = SimulatedTransferDriver(
                self.fleet, source=A, destination=B, uuid=GUEST.uuid, migrate_data=self.agreed
            )
            terms = agreed_terms(self.agreed, stall_timeout_s=30.0)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run_transfer(self.folder, driver, terms))
                if meanwhile is not None:
                    tasks.create_task(_awaited(meanwhile))

        run(main())
        result = self.folder.news().result
        assert result is not None
        return result

    async def ended_s(self) -> float:
        """The time at which there is a result."""
        while not self.folder.news().result:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(1.0)
        return asyncio.get_running_loop().time()

    def assert_sound(self, *, at: HostName) -> None:
        assert self.fleet.running_at(GUEST.uuid) == (at,)
        assert self.fleet.violations() == ()

    @property
    def phase(self) -> TransferPhase | None:
        progress = self.folder.news().progress
        return progress.phase if progress else None


async def _awaited(something: Callable[[], Awaitable[None]]) -> None:
    await something()


def test_a_transfer_that_is_held_back_is_a_post_copy_from_its_first_moment() -> None:
    move = Move()

    async def meanwhile() -> None:
        await asyncio.sleep(1.0)
        assert move.fleet.running_at(GUEST.uuid) == (B,)
        assert move.phase is TransferPhase.POST_COPY

    assert move.told(meanwhile).error == ""
    move.assert_sound(at=B)
    half = move.fleet.half(A, GUEST.uuid)
    assert half is not None
    assert half.state is HalfState.MIGRATED


def test_a_transfer_that_need_not_be_held_back_is_not_switched_of_itself() -> None:
    move = Move(hold_back=False)
    assert move.told().error == ""
    assert move.fleet.calls(A, "start_post_copy") == 0
    move.assert_sound(at=B)


def test_a_switch_that_cannot_be_had_ends_the_move_in_time_with_the_guest_untouched() -> None:
    move = Move()
    fault = Fault(A, "start_post_copy", FaultKind.FAILS, times=10_000)
    move.fleet.inject(fault)
    ended_s: list[float] = []

    async def main() -> None:
        ended_s.append(await move.ended_s())

    result = move.told(main)
    assert result.reason is not None
    assert result.reason.code is Code.POST_COPY_NOT_STARTED
    assert ended_s[0] < SWITCH_S + 2
    move.assert_sound(at=A)
    assert move.fleet.half(B, GUEST.uuid) is None


def test_an_abort_before_the_switch_stops_it_and_after_the_switch_comes_too_late() -> None:
    early, late = Move(), Move()
    early.fleet.inject(Fault(A, "start_post_copy", FaultKind.FAILS, times=10_000))

    async def abort_early() -> None:
        await asyncio.sleep(0.5)
        early.folder.set(Mark.ABORT)

    async def abort_late() -> None:
        await asyncio.sleep(3.0)
        late.folder.set(Mark.ABORT)

    assert early.told(abort_early).aborted
    early.assert_sound(at=A)
    result = late.told(abort_late)
    assert (result.aborted, result.error) == (False, "")
    assert late.fleet.calls(A, "abort") == 0
    late.assert_sound(at=B)


def test_what_was_asked_to_stop_is_not_asked_again_once_it_is_in_post_copy() -> None:
    driver, folder = JobDriver(), MemoryFolder()
    terms = Terms(Policy(30.0, Guard.POSTCOPY))
    folder.set(Mark.ABORT)

    async def main() -> None:
        helm = Helm(folder, driver, terms.policy, lambda _: None)
        for phase in (TransferPhase.COPYING_MEMORY, *sorted(NO_WAY_BACK)):
            await helm.act_on(Progress(phase=phase))
            await asyncio.sleep(2 * ABORT_AGAIN_S)

    run(main())
    assert driver.done == ["abort"]


@pytest.mark.parametrize("cut_s", [1.0, 40.0, 100.0])
def test_a_stream_that_breaks_is_resumed_once_the_network_is_back(cut_s: float) -> None:
    move = Move()

    async def meanwhile() -> None:
        await asyncio.sleep(5.0)
        move.fleet.migration_network_is_cut = True
        await asyncio.sleep(cut_s)
        assert move.phase is TransferPhase.POST_COPY_BROKEN
        move.fleet.migration_network_is_cut = False

    assert move.told(meanwhile).error == ""
    move.assert_sound(at=B)
    assert move.fleet.calls(A, "abort") == 0


def test_a_network_that_stays_away_is_left_to_others_after_so_many_attempts() -> None:
    move = Move()
    ended_s: list[float] = []

    async def meanwhile() -> None:
        await asyncio.sleep(5.0)
        move.fleet.migration_network_is_cut = True
        ended_s.append(await move.ended_s())

    assert "no route to host" in move.told(meanwhile).error
    assert move.fleet.calls(A, "resume_post_copy") == RESUME_ATTEMPTS_MAX
    assert ended_s[0] < 5 + (RESUME_ATTEMPTS_MAX + 2) * LOOK_PAUSE_S
    assert move.fleet.violations() == ()


def test_a_stream_whose_guest_has_ended_at_the_destination_is_not_resumed_for_minutes() -> None:
    move = Move()

    async def meanwhile() -> None:
        await asyncio.sleep(5.0)
        move.fleet.power_off_guest(B, GUEST.uuid)
        move.fleet.set_stream(GUEST.uuid, Stream.BROKEN)
        move.fleet.migration_network_is_cut = True
        async with asyncio.timeout(3 * LOOK_PAUSE_S):
            await move.ended_s()

    assert "post-copy" in move.told(meanwhile).error
    assert move.fleet.calls(A, "resume_post_copy") == 0


@pytest.mark.parametrize("there", sorted(set(DestinationWord) - {D.GONE, D.OFF}))
def test_a_stream_is_resumed_unless_the_destination_answers_that_nobody_is_there(
    there: DestinationWord,
) -> None:
    driver = LostCallDriver([SourceWord.POSTCOPY_BROKEN], there)
    run(_sees_through(driver, TransferOutcome(error="the stream broke")))
    assert driver.done == ["resume_post_copy"]


@pytest.mark.parametrize("there", [D.GONE, D.OFF])
def test_nothing_is_resumed_with_a_destination_that_has_no_guest(there: DestinationWord) -> None:
    driver = LostCallDriver([SourceWord.POSTCOPY_BROKEN], there)
    broken = TransferOutcome(error="the stream broke")
    assert run(see_through(driver, broken)) == broken
    assert driver.done == []


def test_a_destination_that_hangs_does_not_keep_its_stream_from_being_resumed() -> None:
    driver = LostCallDriver([SourceWord.POSTCOPY_BROKEN], None)
    run(_sees_through(driver, TransferOutcome(error="the stream broke")))
    assert driver.done == ["resume_post_copy"]


def test_a_source_that_does_not_answer_is_asked_again_before_anything_is_made_of_it() -> None:
    move = Move()

    async def meanwhile() -> None:
        await asyncio.sleep(5.0)
        move.fleet.migration_network_is_cut = True
        await asyncio.sleep(1.0)
        move.fleet.disconnect(A)
        move.fleet.migration_network_is_cut = False
        await asyncio.sleep(SILENT_S / 2)
        move.fleet.reconnect(A)

    assert move.told(meanwhile).error == ""
    move.assert_sound(at=B)


def test_a_source_that_stays_silent_is_soon_left_to_whoever_sights_both_ends() -> None:
    move = Move()

    async def meanwhile() -> None:
        await asyncio.sleep(5.0)
        move.fleet.migration_network_is_cut = True
        await asyncio.sleep(1.0)
        move.fleet.disconnect(A)
        async with asyncio.timeout(SILENT_S + 3 * LOOK_PAUSE_S):
            await move.ended_s()

    assert move.told(meanwhile).error != ""
    assert move.fleet.violations() == ()


def test_a_stream_that_flows_after_its_call_was_lost_is_seen_through_to_its_end() -> None:
    driver = LostCallDriver([SourceWord.POSTCOPY] * 100 + [SourceWord.POSTCOPY_BROKEN])
    lost = TransferOutcome(error="end of file while reading data")
    run(_sees_through(driver, lost))
    assert driver.done == ["resume_post_copy"]


def test_a_source_that_hangs_on_its_guest_is_not_waited_for_longer_than_one_that_is_silent() -> (
    None
):
    driver = HangingDriver([SourceWord.POSTCOPY] * 20)
    lost = TransferOutcome(error="end of file while reading data")

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert await see_through(driver, lost) == lost
        return loop.time() - driver.heard_s

    assert SILENT_S <= run(main()) <= SILENT_S + LOOK_PAUSE_S
    assert driver.done == [], "in post-copy nothing is asked to stop"


def test_a_source_whose_resumptions_take_long_is_asked_again_after_each_that_broke() -> None:
    driver = SlowResumptionDriver(SILENT_S * 1.5, broken=2)
    run(_sees_through(driver, TransferOutcome(error="the stream broke")))
    assert driver.done == ["resume_post_copy"] * 3


def test_a_resumption_that_never_begins_is_left_to_whoever_sights_both_ends() -> None:
    """The destination's QEMU answers nobody: libvirt waits for it for ever."""
    move = Move()
    move.fleet.inject(Fault(A, "resume_post_copy", FaultKind.HANGS, hang_s=10_000))
    ended_s: list[float] = []

    async def meanwhile() -> None:
        await asyncio.sleep(5.0)
        move.fleet.migration_network_is_cut = True
        ended_s.append(await move.ended_s())

    assert "post-copy" in move.told(meanwhile).error
    assert 5 + STANDS_S <= ended_s[0] <= 5 + STANDS_S + 2 * SILENT_S
    assert move.fleet.violations() == ()


def test_a_resumption_that_flows_for_long_is_waited_for() -> None:
    driver = SlowResumptionDriver(3 * STANDS_S, broken=0)
    run(_sees_through(driver, TransferOutcome(error="the stream broke")))
    assert driver.done == ["resume_post_copy"]


async def _sees_through(driver: JobDriver, lost: TransferOutcome) -> None:
    assert (await see_through(driver, lost)).error == ""


class HangingDriver(JobDriver):
    """A source that shows these words, and then no more."""

    def __init__(self, words: list[SourceWord]) -> None:
        super().__init__()
        self._words = words
        self.heard_s = 0.0

    async def source_word(self) -> SourceWord:
        if not self._words:
            await asyncio.Event().wait()
        self.heard_s = asyncio.get_running_loop().time()
        return self._words.pop(0)


class LostCallDriver(JobDriver):
    """A post-copy whose source shows these words, one at each look; None: the destination hangs."""

    def __init__(
        self,
        words: list[SourceWord],
        there: DestinationWord | None = DestinationWord.POSTCOPY_BROKEN,
    ) -> None:
        super().__init__()
        self._words = words
        self._there = there

    async def source_word(self) -> SourceWord:
        return self._words.pop(0)

    async def destination_word(self) -> DestinationWord:
        if self._there is None:
            await asyncio.Event().wait()
        return self._there or DestinationWord.UNREACHABLE

    async def resume_post_copy(self) -> TransferOutcome:
        self.done.append("resume_post_copy")
        return TransferOutcome()


class SlowResumptionDriver(JobDriver):
    """A post-copy that flows for so long after each resumption; the first few times it breaks."""

    def __init__(self, flows_s: float, *, broken: int) -> None:
        super().__init__()
        self._flows_s = flows_s
        self._broken = broken
        self._word = SourceWord.POSTCOPY_BROKEN

    async def source_word(self) -> SourceWord:
        await asyncio.sleep(0.1)
        return self._word

    async def destination_word(self) -> DestinationWord:
        return DestinationWord.POSTCOPY_BROKEN

    async def resume_post_copy(self) -> TransferOutcome:
        self._word = SourceWord.POSTCOPY
        await asyncio.sleep(self._flows_s)
        self._word = SourceWord.POSTCOPY_BROKEN
        self.done.append("resume_post_copy")
        return TransferOutcome(error="broken again" if len(self.done) <= self._broken else "")
