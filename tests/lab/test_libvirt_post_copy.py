"""A post-copy between real hosts: it begins before an idle guest's pre-copy can end, and one that
cannot begin leaves the guest where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.lab.announcements import announced_by
from tests.lab.libvirt_moves import (
    AS_THE_LAB_IS,
    Declared,
    Move,
    a_move,
    begin_copying,
    eventually,
    expect_an_error,
    run,
    settings_of,
)

from godwit.compute.disk import Disk
from godwit.compute.orphans import Orphans
from godwit.compute.transfer_folder import DiskFolder, Mark, MemoryFolder, Sign
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import CONTROL_PLANE_ADDRESS
from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.migrate_data import Guard
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import StorageSettings
from godwit.virt.registry import TransferOrder, transfer_driver

IDLE = GuestSpec(
    "idle",
    memory_mib=64,
    working_set_mib=1,
    disks=(GuestDisk("idle.qcow2", DiskPlace.SHARED),),
    disk_write_ms=400,
)
"""All but a few MiB of its memory are empty: its pre-copy would be over after some ten
milliseconds, and held back after two seconds."""


HEARD_WITHIN_S = 5.0
"""On a busy box; a guest that is not announced when it begins to run never is."""
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
            _send_the_rest_slowly(move)
            folder, words = WatchedFolder(), set[SourceWord]()
            transfer = asyncio.create_task(move.transfer_as_its_process_does(folder))
            while not transfer.done():
                words.add((await move.words())[0])
                if SourceWord.POSTCOPY in words:
                    await asyncio.to_thread(move.here.slow, "migration", None)
                await asyncio.sleep(0.02)
            await transfer
            result = folder.news().result
            assert result is not None
            assert (result.error, result.aborted) == ("", False)
            assert folder.phases[-1] is TransferPhase.POST_COPY
            assert TransferPhase.SWITCHING not in folder.phases
            assert SourceWord.POSTCOPY in words
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
            assert (statistics.total_ms or 0) < 30_000
            await move.finish()
            await move.wait_for_beat(move.there)
            move.assert_ran_once()

    run(test())


def _send_the_rest_slowly(move: Move) -> None:
    """From the moment at which post-copy is asked for, so that it lasts until it is seen."""
    start = move.moving.start_post_copy

    async def start_post_copy() -> None:
        await asyncio.to_thread(move.here.slow, "migration", "2mbit")
        await start()

    move.moving.start_post_copy = start_post_copy  # type: ignore[method-assign]


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
                await eventually(lambda: announced.of(IDLE.mac_address) != [], "its announcement")
            result = folder.news().result
            assert result is not None
            assert (result.error, result.ran_at_destination) == ("", guard is Guard.PAUSED)
            assert await move.words() == (SourceWord.GONE, DestinationWord.RUNS)
            ran_s = min(b.seen_s for b in move.beats.beats(IDLE.name) if b.host == move.there.name)
            assert announced.of(IDLE.mac_address)[0] < ran_s + HEARD_WITHIN_S
            await move.finish()
            move.assert_ran_once()

    run(test())


def test_a_held_back_copy_without_its_process_is_stopped_by_its_source_alone(
    lab: Lab, tmp_path: Path
) -> None:
    """Godwit cannot ask the destination, whose own ways to the source are whole."""

    async def test() -> None:
        async with a_move(lab, IDLE) as move:
            move.permit_post_copy = True
            await move.prepare()
            order = await order_of(move)
            call = await begin_copying(move, sent_mib=0)
            with out_of_godwits_reach(move.there):
                await look_at_orphan(order, DiskFolder(tmp_path))
                await expect_an_error(call)
                assert await move.words() == (SourceWord.KEPT, DestinationWord.UNREACHABLE)
            await move.until((SourceWord.KEPT, DestinationWord.GONE))
            await move.wait_for_beat(move.here)
            move.assert_ran_once()

    run(test())


async def order_of(move: Move) -> TransferOrder:
    """What the source's compute manager has written down of the transfer."""
    return TransferOrder(
        migration_uuid=MigrationUuid("move"),
        instance=move.instance,
        migrate_data=move.agreed,
        source=HostName(move.here.name),
        source_settings=settings_of(move.here),
        destination=await move.destination.host_facts(),
        destination_settings=settings_of(move.there),
        stall_timeout_s=30.0,
    )


async def look_at_orphan(order: TransferOrder, folder: DiskFolder) -> None:
    """What it does when the story asks after a transfer whose process is gone."""
    folder.set(Mark.BEGAN)
    disk, in_our_process = Disk(), partial(transfer_driver, in_its_process=False)
    orphans = Orphans(order.source, disk, SystemClock(), in_our_process)
    try:
        await orphans.look(order.migration_uuid, folder, order)
    finally:
        disk.close()


@contextmanager
def out_of_godwits_reach(host: LabHost) -> Iterator[None]:
    """What the control plane sends there is dropped; the other hosts are heard."""
    rule = ("INPUT", "-s", CONTROL_PLANE_ADDRESS, "-j", "DROP")
    host.run("iptables", "-w", "-A", *rule)
    try:
        yield
    finally:
        host.run("iptables", "-w", "-D", *rule)
