"""A guest moves between two real libvirt hosts through the driver's own methods."""

from __future__ import annotations

import asyncio

import pytest
from tests.lab.libvirt_moves import a_move, eventually, expect_an_error, run

from godwit.lab.certificates import issue, lay_out_pki, make_authority
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.lab import Lab
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code
from godwit.model.sighting import DestinationWord, SourceWord

SHARED = GuestDisk("vm1.qcow2", DiskPlace.SHARED)
LOCAL = GuestDisk("vm1.qcow2", DiskPlace.LOCAL)
GAP_MAX_S = 1.5


@pytest.mark.parametrize(
    "disks", [(), (SHARED,), (LOCAL,)], ids=["no disk", "shared disk", "local disk"]
)
def test_a_guest_moves_and_nothing_is_left_at_the_source(
    lab: Lab, disks: tuple[GuestDisk, ...]
) -> None:
    async def test() -> None:
        spec = GuestSpec("vm1", dirty_pages_per_s=500, disks=disks, autostart=True)
        async with a_move(lab, spec) as move:
            await move.prepare()
            assert move.agreed.block_migration is (disks == (LOCAL,))
            outcome = await move.transfer_and_let_run()
            assert outcome.error == ""
            statistics = await move.moving.statistics()
            assert statistics is not None
            assert statistics.downtime_ms is not None
            await move.until((SourceWord.GONE, DestinationWord.RUNS))
            await move.finish()
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()
            assert move.beats.longest_gap_s("vm1") < GAP_MAX_S
            assert await move.source.guests() == ()
            (guest,) = await move.destination.guests()
            assert (guest.persistent, guest.autostart, guest.arriving) == (True, True, False)
            assert [disk.path for disk in guest.disks] == [disk.path for disk in disks]
            assert not (move.here.local / LOCAL.name).exists()

    run(test())


def test_a_guest_paused_by_its_operator_stays_so_and_keeps_its_next_definition(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1")) as move:
            move.here.run("virsh", "-q", "suspend", "vm1")
            move.here.run("virsh", "-q", "desc", "vm1", "--config", "from the next boot on")
            await move.prepare()
            assert move.agreed.was_paused
            assert (await move.transfer_and_let_run()).error == ""
            assert await move.words() == (SourceWord.GONE, DestinationWord.READY)
            await move.destination.let_run(move.instance, move.agreed)
            assert await move.words() == (SourceWord.GONE, DestinationWord.READY)
            told = move.there.run("virsh", "-q", "desc", "vm1", "--config").stdout
            assert told.strip() == "from the next boot on"
            move.assert_ran_once()

    run(test())


def test_progress_is_told_and_an_abort_leaves_the_guest_at_the_source(lab: Lab) -> None:
    async def test() -> None:
        spec = GuestSpec("vm1", memory_mib=64, working_set_mib=32, disks=(LOCAL,), autostart=True)
        async with a_move(lab, spec) as move:
            await move.prepare()
            assert not (await move.source.guests())[0].autostart
            move.here.slow("migration", "20mbit")
            async with asyncio.TaskGroup() as group:
                call = group.create_task(move.moving.transfer())
                phases = set()
                while TransferPhase.COPYING_MEMORY not in phases:
                    sample = await move.moving.progress()
                    phases |= {sample.phase} if sample is not None else set()
                    await asyncio.sleep(0.05)
                assert await move.words() == (SourceWord.COPYING, DestinationWord.RECEIVING)
                (half,) = await move.destination.guests()
                assert half.arriving
                await move.moving.abort()
                await expect_an_error(call)
            assert not await move.moving.source_is_gone()
            await move.until((SourceWord.KEPT, DestinationWord.GONE))
            await move.roll_back()
            await move.roll_back()
            assert (await move.source.guests())[0].autostart
            assert not (move.there.local / LOCAL.name).exists()
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


def test_a_certificate_of_a_stranger_is_refused_before_anything_is_sent(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1")) as move:
            await move.prepare()
            folder = move.here.layout.folder
            stranger = make_authority(folder / "stranger-authority")
            issue(stranger, folder / "stranger", name=move.here.name, alternatives=[])
            lay_out_pki(folder / "stranger", folder / "etc/pki")
            try:
                outcome = await move.transfer_and_let_run()
            finally:
                lay_out_pki(folder / "certificate", folder / "etc/pki")
            assert outcome.error
            assert outcome.reason is not None
            assert outcome.reason.code is Code.TLS_UNUSABLE
            await move.until((SourceWord.KEPT, DestinationWord.GONE))
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


def test_a_destination_that_does_not_answer_is_not_blamed_on_its_certificate(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1")) as move:
            await move.prepare()
            move.there.kill_libvirtd()
            outcome = await move.transfer_and_let_run()
            assert outcome.error
            assert outcome.reason is None
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


def test_a_bridge_that_vanishes_after_the_checks_stops_the_move_at_once(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, GuestSpec("vm1")) as move:
            await move.prepare()
            move.there.run("ip", "link", "set", "brvm", "name", "brelse")
            try:
                assert (await move.transfer_and_let_run()).error
            finally:
                move.there.run("ip", "link", "set", "brelse", "name", "brvm")
            await move.until((SourceWord.KEPT, DestinationWord.GONE))
            await move.roll_back()
            await eventually(lambda: move.state_at(move.there) == "absent", "the clean-up")
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())
