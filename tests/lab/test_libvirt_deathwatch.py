"""A transfer by a process of the source host itself, which sees the source's QEMU die."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace
from tests.lab.at_source import LIMIT_S, ORDERED
from tests.lab.libvirt_moves import Move, a_move, eventually, run, set_pace, settings_of

from godwit.compute.launch import LOG
from godwit.compute.transfer_folder import DiskFolder
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.rpc.compute import TransferResult
from godwit.runtime.ids import new_uuid
from godwit.virt.registry import TransferOrder

ROOT = Path(__file__).resolve().parents[2]
OF_A_HOST = Path("var/lib/godwit")
"""Below its folder as we see it, and below `/` as the host itself does."""
AT_DEATH = "the guest was let run at the death of its source"
HELD_BACK_MAX_S = 100
LOCAL = GuestDisk("vm1.qcow2", DiskPlace.LOCAL, size_mib=2)


class AtSource:
    """The process on the source host, and what it leaves behind."""

    def __init__(self, move: Move) -> None:
        self._move = move
        self._uuid = MigrationUuid(new_uuid())
        self.folder = DiskFolder(move.here.layout.folder / OF_A_HOST / self._uuid)
        self.folder.path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def sent_bytes(self) -> int:
        progress = self.folder.sign().progress
        return progress.memory_processed_bytes if progress else 0

    @property
    def result(self) -> TransferResult:
        result = self.folder.result()
        assert result is not None, self.log
        return result

    @property
    def log(self) -> str:
        return (self.folder.path / LOG).read_text()

    async def made(self) -> None:
        """The transfer, from its order to the end of its process."""
        order = self.folder.path.parent / ORDERED
        order.write_bytes(msgspec.json.encode(await self._order()))
        python = [sys.executable, "-m", "tests.lab.at_source", f"/{OF_A_HOST / self._uuid}"]
        await asyncio.to_thread(
            self._move.here.run, "env", f"PYTHONPATH={ROOT}", *python, timeout_s=LIMIT_S
        )

    async def _order(self) -> TransferOrder:
        move = self._move
        return TransferOrder(
            migration_uuid=self._uuid,
            instance=move.instance,
            migrate_data=move.agreed,
            source=HostName(move.here.name),
            source_settings=replace(settings_of(move.here), uri="qemu:///system"),
            destination=await move.destination.host_facts(),
            destination_settings=None,
            stall_timeout_s=20.0,
        )


@asynccontextmanager
async def at_source(lab: Lab, *disks: GuestDisk) -> AsyncIterator[tuple[Move, AtSource]]:
    """A guest that is about to be moved by its own host."""
    spec = GuestSpec("vm1", memory_mib=48, working_set_mib=24, disks=disks, disk_write_ms=400)
    async with a_move(lab, spec) as move:
        await move.agree_and_make_room()
        yield move, AtSource(move)


def test_a_guest_runs_at_its_destination_while_the_call_of_its_move_is_still_out(lab: Lab) -> None:
    async def test() -> None:
        with held_back(lab.hosts[0]) as let_go:
            async with at_source(lab, LOCAL) as (move, transfer):
                making = asyncio.create_task(transfer.made())
                await move.wait_for_beat(move.there)
                assert not making.done()
                assert transfer.folder.result() is None
                let_go()
                await making
                assert transfer.result.error == ""
                assert transfer.result.ran_at_destination
                await move.until((SourceWord.GONE, DestinationWord.RUNS))
                await move.finish()
                move.assert_ran_once()

    run(test())


@contextmanager
def held_back(host: LabHost) -> Iterator[Callable[[], None]]:
    """Once a guest's QEMU is dead, its libvirtd waits, and no call about that guest comes back
    until it is let go: a hook of libvirt's own is run at that moment.
    """
    hook = host.layout.folder / "etc/libvirt/hooks/qemu"
    hook.parent.mkdir(exist_ok=True)
    (host.layout.folder / OF_A_HOST).mkdir(parents=True, exist_ok=True)
    go_on = host.layout.folder / OF_A_HOST / "go-on"
    hook.write_text(
        f"""#!/bin/sh
        [ "$2" = stopped ] || exit 0
        tries=0
        while [ ! -e /{OF_A_HOST}/go-on ] && [ $tries -lt {HELD_BACK_MAX_S * 10} ]
        do sleep 0.1; tries=$((tries + 1)); done
        """
    )
    hook.chmod(0o755)
    restarted(host)
    try:
        yield go_on.touch
    finally:
        go_on.touch()
        hook.unlink()
        restarted(host)
        go_on.unlink()


def restarted(host: LabHost) -> None:
    """libvirtd looks for hooks when it starts."""
    host.stop_libvirtd()
    host.start_libvirtd()


def test_a_source_that_is_killed_in_the_copy_proves_nothing(lab: Lab) -> None:
    async def test() -> None:
        async with at_source(lab) as (move, transfer):
            set_pace(2, move)
            making = asyncio.create_task(transfer.made())
            await eventually(lambda: transfer.sent_bytes > 2 * 2**20, "the copy")
            move.here.kill_qemu(move.spec.name)
            await making
            assert transfer.result.error
            assert not transfer.result.ran_at_destination
            assert AT_DEATH not in transfer.log
            await eventually(lambda: move.state_at(move.there) == "absent", "the clean-up")
            assert await move.words() == (SourceWord.ENDED, DestinationWord.GONE)
            assert move.beats.hosts_of(move.spec.name) == [move.here.name]

    run(test())
