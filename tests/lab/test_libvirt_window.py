"""The switch breaks in the middle: both ends are read for real, named rightly, and put right.

libvirt's own migration would run the guest at both ends in the first of these.
"""

from __future__ import annotations

import pytest
from tests.lab.libvirt_moves import (
    Declared,
    Move,
    a_move,
    begin_copying,
    enter_the_window,
    expect_an_error,
    run,
    set_pace,
)

from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.lab import Lab
from godwit.model.errors import Refused
from godwit.model.migrate_data import Guard
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.runtime.settings import StorageSettings

FENCING = Declared({"shared": StorageSettings(path="/srv/shared", fences=True)}, {})
LOCAL = GuestDisk("local.qcow2", DiskPlace.LOCAL, size_mib=2)


def spec(name: str = "vm1", *disks: GuestDisk) -> GuestSpec:
    """A guest that writes faster than a crawling copy sends, and has little to send at once."""
    return GuestSpec(
        name,
        memory_mib=28,
        working_set_mib=4,
        dirty_pages_per_s=3000,
        disks=disks,
        disk_write_ms=400,
    )


def on_shared_disk(name: str) -> GuestSpec:
    """One with a disk that both hosts see."""
    return spec(name, GuestDisk(f"{name}.qcow2", DiskPlace.SHARED))


def test_a_lost_answer_to_finish_leaves_each_guest_running_at_the_end_its_guard_says(
    lab: Lab,
) -> None:
    """Evidence row 12 on a shared and on a local disk; and row 6, under the guard `locks`. The
    answers to all three are lost in the same moment.
    """
    there = lab.hosts[1]

    async def test() -> None:
        async with (
            a_move(lab, on_shared_disk("shared")) as shared,
            a_move(lab, spec("local", LOCAL)) as local,
            a_move(lab, on_shared_disk("fenced"), FENCING) as fenced,
        ):
            fenced.rely_on_fencing = True
            moves = (shared, local, fenced)
            for move in moves:
                await move.prepare()
            assert [move.agreed.guard for move in moves] == [Guard.PAUSED] * 2 + [Guard.LOCKS]
            calls = await enter_the_window(*moves)
            there.cut("management", silent=True)
            there.thaw_libvirtd()
            for move, call in zip(moves, calls, strict=True):
                await expect_an_error(call)
                assert not await move.moving.source_is_gone()
            assert await shared.words() == (SourceWord.TOOK_BACK, DestinationWord.UNREACHABLE)
            there.uncut("management")
            await taken_back(shared)
            await taken_back(local)
            assert not (there.local / LOCAL.name).exists()
            await handed_over(fenced)

    run(test())


async def taken_back(move: Move) -> None:
    """The source has let it run on, and what is at the destination can be removed."""
    await move.until((SourceWord.TOOK_BACK, DestinationWord.READY))
    await move.roll_back()
    assert await move.words() == (SourceWord.TOOK_BACK, DestinationWord.GONE)
    await move.wait_for_beat(move.here)
    move.assert_ran_once()


async def handed_over(move: Move) -> None:
    """It runs at the destination: the source may not write its disk any more, and is ended."""
    await move.until((SourceWord.HANDED_OVER, DestinationWord.RUNS))
    await move.source.end_source(move.instance, move.agreed)
    await move.until((SourceWord.GONE, DestinationWord.RUNS))
    await move.finish()
    await move.wait_for_beat(move.there)
    move.assert_ran_once()


def test_a_source_that_died_after_sending_all_is_ended_and_the_guest_runs_there(lab: Lab) -> None:
    """Evidence row 6b."""

    async def test() -> None:
        async with a_move(lab, spec()) as move:
            await move.prepare()
            (call,) = await enter_the_window(move)
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


def test_a_half_guest_is_never_let_run(lab: Lab) -> None:
    """What a broken switch leaves at the destination is removed, not resumed."""

    async def test() -> None:
        async with a_move(lab, spec()) as move:
            await move.prepare()
            set_pace(2, move)
            call = await begin_copying(move, sent_mib=2)
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
