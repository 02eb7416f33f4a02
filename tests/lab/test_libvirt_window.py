"""The switch breaks in the middle: both ends are read for real, named rightly, and put right.

libvirt's own migration would run the guest at both ends in the first of these.
"""

from __future__ import annotations

import pytest
from tests.lab.libvirt_moves import (
    Declared,
    a_move,
    begin_copying,
    enter_the_window,
    expect_an_error,
    run,
)

from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.lab import Lab
from godwit.model.errors import Refused
from godwit.model.migrate_data import Guard
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.runtime.settings import StorageSettings

FENCING = Declared({"shared": StorageSettings(path="/srv/shared", fences=True)}, {})
SHARED = GuestDisk("vm1.qcow2", DiskPlace.SHARED)
LOCAL = GuestDisk("vm1.qcow2", DiskPlace.LOCAL)


def spec(*disks: GuestDisk) -> GuestSpec:
    """A guest big enough for its switch to be met."""
    return GuestSpec("vm1", memory_mib=48, working_set_mib=24, disks=disks)


@pytest.mark.parametrize("disk", [SHARED, LOCAL], ids=["shared disk", "local disk"])
def test_a_lost_answer_to_finish_leaves_one_guest_running_at_the_source(
    lab: Lab, disk: GuestDisk
) -> None:
    """Evidence row 12."""

    async def test() -> None:
        async with a_move(lab, spec(disk)) as move:
            await move.prepare()
            call = await enter_the_window(move)
            move.there.cut("management", silent=True)
            move.there.thaw_libvirtd()
            await expect_an_error(call)
            assert not await move.moving.source_is_gone()
            if disk is SHARED:
                lost = (SourceWord.TOOK_BACK, DestinationWord.UNREACHABLE)
                assert await move.words() == lost
            move.there.uncut("management")
            await move.until((SourceWord.TOOK_BACK, DestinationWord.READY))
            await move.roll_back()
            assert await move.words() == (SourceWord.TOOK_BACK, DestinationWord.GONE)
            await move.wait_for_beat(move.here)
            move.assert_ran_once()
            if disk is LOCAL:
                assert not (move.there.local / LOCAL.name).exists()

    run(test())


def test_a_lost_answer_on_storage_that_fences_leaves_one_guest_running_there(lab: Lab) -> None:
    """Evidence row 6 under the guard `locks`: the source may not write its disk any more."""

    async def test() -> None:
        async with a_move(lab, spec(SHARED), FENCING) as move:
            move.rely_on_fencing = True
            await move.prepare()
            assert move.agreed.guard is Guard.LOCKS
            call = await enter_the_window(move)
            move.there.cut("management", silent=True)
            move.there.thaw_libvirtd()
            await expect_an_error(call)
            assert not await move.moving.source_is_gone()
            move.there.uncut("management")
            await move.until((SourceWord.HANDED_OVER, DestinationWord.RUNS))
            await move.source.end_source(move.instance, move.agreed)
            await move.until((SourceWord.GONE, DestinationWord.RUNS))
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()

    run(test())


def test_a_source_that_died_after_sending_all_is_ended_and_the_guest_runs_there(lab: Lab) -> None:
    """Evidence row 6b."""

    async def test() -> None:
        async with a_move(lab, spec()) as move:
            await move.prepare()
            call = await enter_the_window(move)
            move.here.kill_libvirtd()
            move.there.thaw_libvirtd()
            await expect_an_error(call)
            assert not await move.moving.source_is_gone()
            move.here.start_libvirtd()
            await move.until((SourceWord.HANDED_OVER, DestinationWord.READY))
            with pytest.raises(Refused):
                await move.source.post_live_migration_at_source(move.instance, move.agreed)
            await move.source.end_source(move.instance, move.agreed)
            await move.source.end_source(move.instance, move.agreed)
            await move.destination.let_run(move.instance, move.agreed)
            await move.until((SourceWord.GONE, DestinationWord.RUNS))
            with pytest.raises(Refused):
                await move.destination.end_source(move.instance, move.agreed)
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()

    run(test())


def test_a_guest_that_ran_nowhere_after_both_libvirtds_died_is_let_run_at_the_source(
    lab: Lab,
) -> None:
    """Evidence row 7."""

    async def test() -> None:
        async with a_move(lab, spec()) as move:
            await move.prepare()
            call = await enter_the_window(move)
            move.here.kill_libvirtd()
            move.there.kill_libvirtd()
            await expect_an_error(call)
            move.here.start_libvirtd()
            move.there.start_libvirtd()
            await move.until((SourceWord.HANDED_OVER, DestinationWord.GONE))
            await move.source.let_run(move.instance, move.agreed)
            await move.roll_back()
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


def test_a_half_guest_is_never_let_run(lab: Lab) -> None:
    """What a broken switch leaves at the destination is removed, not resumed."""

    async def test() -> None:
        async with a_move(lab, spec()) as move:
            await move.prepare()
            move.here.slow("migration", "20mbit")
            call = await begin_copying(move)
            with pytest.raises(Refused):
                await move.destination.let_run(move.instance, move.agreed)
            await move.destination.rollback_live_migration_at_destination(
                move.instance, move.agreed, may_have_run=False
            )
            await expect_an_error(call)
            await move.until((SourceWord.KEPT, DestinationWord.GONE))
            with pytest.raises(Refused):
                await move.source.end_source(move.instance, move.agreed)
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())
