"""A post-copy between real hosts: it begins before an idle guest's pre-copy can end, and one that
cannot begin leaves the guest where it was.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.lab.announcements import announced_by
from tests.lab.libvirt_moves import AS_THE_LAB_IS, Declared, Move, a_move, run

from godwit.compute.transfer_folder import MemoryFolder, Sign
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.lab import Lab
from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName
from godwit.model.migrate_data import Guard
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.runtime.settings import StorageSettings

IDLE = GuestSpec(
    "idle",
    memory_mib=64,
    working_set_mib=1,
    disks=(GuestDisk("idle.qcow2", DiskPlace.SHARED),),
    disk_write_ms=400,
)
"""All but a few MiB of its memory are empty: its pre-copy would be over after some ten
milliseconds, and held back after two seconds."""


HEARD_WITHIN_S = 0.5
FENCING = Declared({"shared": StorageSettings(path="/srv/shared", fences=True)}, {})


class WatchedFolder(MemoryFolder):
    """Remembers the phases that were seen."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[TransferPhase] = []

    def show(self, sign: Sign) -> None:
        if sign.progress and sign.progress.phase not in self.phases[-1:]:
            self.phases.append(sign.progress.phase)
        super().show(sign)


def test_an_idle_guest_is_in_post_copy_before_its_pre_copy_could_end(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, IDLE) as move:
            move.permit_post_copy = True
            await move.prepare()
            assert (move.agreed.guard, move.agreed.hold_back) == (Guard.POSTCOPY, True)
            folder, words = WatchedFolder(), set()
            transfer = asyncio.create_task(move.transfer_as_its_process_does(folder))
            while not transfer.done():
                words.add(await move.words())
                await asyncio.sleep(0.02)
            await transfer
            result = folder.news().result
            assert result is not None
            assert (result.error, result.aborted) == ("", False)
            assert folder.phases[-1] is TransferPhase.POST_COPY
            assert TransferPhase.SWITCHING not in folder.phases
            assert SourceWord.POSTCOPY in {source for source, _ in words}
            assert await move.words() == (SourceWord.GONE, DestinationWord.RUNS)
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()

    run(test())


def test_a_post_copy_that_cannot_begin_leaves_the_guest_untouched(lab: Lab) -> None:
    async def test() -> None:
        busy = GuestSpec("busy", memory_mib=64, working_set_mib=40)
        async with a_move(lab, busy) as move:
            move.permit_post_copy = True
            await move.prepare()
            _refuse_the_switch(move)
            folder = WatchedFolder()
            await move.transfer_as_its_process_does(folder)
            result = folder.news().result
            assert result is not None
            assert result.reason is not None
            assert result.reason.code is Code.POST_COPY_NOT_STARTED
            await move.until((SourceWord.KEPT, DestinationWord.GONE))
            await move.roll_back()
            await move.wait_for_beat(move.here)
            move.assert_ran_once()
            # Nothing of the hold is left: the next move is as quick as any.
            move.permit_post_copy = False
            await move.prepare()
            assert move.agreed.guard is Guard.PAUSED
            outcome = await move.transfer_and_let_run()
            assert outcome.error == ""
            statistics = await move.moving.statistics()
            assert statistics is not None
            assert (statistics.total_ms or 0) < 10_000
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()

    run(test())


def _refuse_the_switch(move: Move) -> None:
    """The source's hypervisor will not hear of it."""
    refusal = HypervisorError(
        reason(
            Code.HYPERVISOR_ERROR,
            host=HostName(move.here.name),
            doing="starting post-copy",
            problem="not now",
        )
    )

    async def start_post_copy() -> None:
        raise refusal

    move.moving.start_post_copy = start_post_copy  # type: ignore[method-assign]


@pytest.mark.parametrize("guard", Guard)
def test_the_network_hears_at_once_where_a_guest_runs_now(lab: Lab, guard: Guard) -> None:
    """Under each guard; with `locks` and `postcopy` it runs there without waiting for us."""

    async def test() -> None:
        declared = FENCING if guard is Guard.LOCKS else AS_THE_LAB_IS
        async with a_move(lab, IDLE, declared) as move:
            move.rely_on_fencing = guard is Guard.LOCKS
            move.permit_post_copy = guard is Guard.POSTCOPY
            await move.prepare()
            assert move.agreed.guard is guard
            folder = WatchedFolder()
            with announced_by(move.there) as announced:
                await move.transfer_as_its_process_does(folder)
                await move.wait_for_beat(move.there)
            result = folder.news().result
            assert result is not None
            assert (result.error, result.ran_at_destination) == ("", guard is Guard.PAUSED)
            assert await move.words() == (SourceWord.GONE, DestinationWord.RUNS)
            ran_s = min(b.seen_s for b in move.beats.beats(IDLE.name) if b.host == move.there.name)
            assert announced.of(IDLE.mac_address)[0] < ran_s + HEARD_WITHIN_S
            await move.finish()
            move.assert_ran_once()

    run(test())
