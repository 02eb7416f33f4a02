"""A transfer as a real process: its lock, its folder, its death, and who finds what afterwards.

No hypervisor answers here: these tests are about the process. What it does with one that answers is
in `test_transfer.py`, and with real ones in the lab.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PosixPath
from typing import ClassVar

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.transfer_orders import DESTINATION, GUEST, UUID, A, B, an_order

from godwit.compute import launch
from godwit.compute.disk import Disk
from godwit.compute.fence_keepers import KEPT_S
from godwit.compute.nursery import COMMAND, Nursery
from godwit.compute.process_transfers import SILENT_S, Means, ProcessTransfers
from godwit.compute.transfer_folder import DiskFolder, Mark
from godwit.compute.transfer_process import NOT_STARTED
from godwit.model.errors import HypervisorError, Superseded
from godwit.model.ids import MigrationUuid
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.reasons import Code
from godwit.rpc.compute import Act, StartTransfer, TransferNews
from godwit.runtime.settings import LibvirtHostSettings, ServerSettings, Settings
from godwit.virt.driver import TransferEvidence

pytest.importorskip("libvirt")

AT_MOST_S = 60.0
"""Real processes are as slow as the machine is busy: this only ends what would never end."""
START = StartTransfer(
    act=Act(migration_uuid=UUID, generation=1),
    instance=GUEST,
    migrate_data=LibvirtLiveMigrateData(),
    destination=DESTINATION,
)

Tale = Callable[[ProcessTransfers], Awaitable[None]]


class FixedClock:
    """A wall clock that stands still."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which somebody listens and never says a word: a libvirtd that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def refused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """That process is stopped. Were this one killed meanwhile, it would stand there for ever: a
    shell sees to that.
    """
    words = ["sh", "-c", f"read -r _ || kill -KILL {pid}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as keeper:
        os.kill(pid, signal.SIGSTOP)
        yield
        keeper.communicate(b"over\n")


def tell(
    tale: Tale,
    state: Path,
    port: int,
    *,
    silent_s: float = SILENT_S,
    now_s: float = 0.0,
    nursery: Nursery | None = None,
) -> None:
    """Tell `tale` with the transfers of a new compute manager of host-a, whose libvirtd and that of
    host-b would be at `port`. Processes that are left over are ended, and the nursery closed.
    """
    uri = f"qemu+tcp://127.0.0.1:{port}/system"
    host = LibvirtHostSettings(uri=uri, call_timeout_s=60.0)
    settings = Settings(server=ServerSettings(state_dir=str(state)), hosts={A: host, B: host})
    disk, births, nursery = Disk(), Disk(), nursery or Nursery()
    transfers = ProcessTransfers(
        host=A,
        root=state,
        settings=settings,
        means=Means(disk, births, FixedClock(now_s), nursery),
        silent_s=silent_s,
    )

    async def main() -> None:
        async with asyncio.timeout(AT_MOST_S):
            await tale(transfers)

    try:
        asyncio.run(main())
    finally:
        launch.kill(DiskFolder(state / UUID))
        disk.close()
        births.close()
        nursery.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a process is about to do."""
    async with asyncio.timeout(AT_MOST_S):
        while not condition():  # noqa: ASYNC110  (another process does it)
            await asyncio.sleep(0.02)


def pid_of(folder: DiskFolder) -> int:
    content = (folder.path / launch.PROCESS).read_bytes()
    return msgspec.json.decode(content, type=launch.Identity).pid


async def signed(folder: DiskFolder) -> int:
    """The pid of the folder's process, once it has given a sign of life."""
    await until(lambda: folder.sign().beat > 0)
    return pid_of(folder)


def in_folder(state: Path) -> DiskFolder:
    return DiskFolder(state / UUID)


async def follow_to_the_end(transfers: ProcessTransfers) -> TransferNews:
    news = TransferNews()
    while not news.ended:
        news = await transfers.follow(UUID, news.sequence)
    return news


@pytest.mark.slow
def test_hosts_that_do_not_answer_leave_an_error_a_free_lock_and_nothing_begun(
    tmp_path: Path, refused_port: int
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        assert not (await transfers.start(START)).ended
        news = await follow_to_the_end(transfers)
        assert news.result is not None
        assert news.result.reason is not None
        assert news.result.reason.code is Code.HYPERVISOR_UNAVAILABLE
        assert await transfers.evidence(UUID) == TransferEvidence()
        assert not await transfers.is_alive(UUID)
        assert await transfers.living() == ()
        assert (await transfers.close(UUID)).ended
        assert in_folder(tmp_path).has(Mark.CLOSED)

    tell(tale, tmp_path, refused_port)


@pytest.mark.slow
def test_a_transfer_outlives_its_manager_and_the_next_one_attaches(
    tmp_path: Path, silent_port: int
) -> None:
    pids = list[int]()

    async def first(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        pids.append(await signed(in_folder(tmp_path)))
        pids.append(os.getsid(pids[0]))
        os.kill(pids[0], signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert await transfers.is_alive(UUID)
        assert await transfers.living() == (UUID,)
        assert not (await transfers.start(START)).ended

        async def second(transfers: ProcessTransfers) -> None:
            assert not (await transfers.start(START)).ended
            assert await signed(in_folder(tmp_path)) == pids[0]
            closed = await transfers.close(UUID)
            assert not closed.ended
            assert not in_folder(tmp_path).has(Mark.CLOSED)

        await asyncio.get_running_loop().run_in_executor(
            None, lambda: tell(second, tmp_path, silent_port)
        )

    tell(first, tmp_path, silent_port)
    assert pids[0] == pids[1], "it leads a session of its own"


@pytest.mark.slow
def test_a_killed_process_frees_the_lock_leaves_no_result_and_is_never_started_again(
    tmp_path: Path, silent_port: int
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        os.kill(await signed(in_folder(tmp_path)), signal.SIGKILL)
        news = await follow_to_the_end(transfers)
        assert news.result is None
        identity = (in_folder(tmp_path).path / launch.PROCESS).read_bytes()
        again = await transfers.start(START)
        assert (again.ended, again.result) == (True, None)
        await asyncio.sleep(0.3)
        assert (in_folder(tmp_path).path / launch.PROCESS).read_bytes() == identity
        assert (await transfers.close(UUID)).ended

    tell(tale, tmp_path, silent_port)


@pytest.mark.slow
def test_a_process_that_gives_no_sign_of_life_is_ended_and_its_folder_closed(
    tmp_path: Path, silent_port: int
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        with standing_still(await signed(in_folder(tmp_path))):
            closed = await transfers.close(UUID)
            assert (closed.ended, closed.result) == (True, None)
            assert in_folder(tmp_path).has(Mark.CLOSED)

    tell(tale, tmp_path, silent_port, silent_s=1.0)


@pytest.mark.slow
def test_a_silent_process_that_cannot_be_ended_is_said_to_be_stuck_and_nothing_is_closed(
    tmp_path: Path,
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        launch.ensure(in_folder(tmp_path))
        with launch.holding(in_folder(tmp_path)):  # it lives, and has signed no name
            closed = await transfers.close(UUID)
            assert (closed.ended, closed.stuck) == (False, True)
            assert (await transfers.follow(UUID, 0)).stuck
            assert not in_folder(tmp_path).has(Mark.CLOSED)
        closed = await transfers.close(UUID)
        assert (closed.ended, closed.stuck) == (True, False)

    tell(tale, tmp_path, 1, silent_s=1.0)


def test_a_process_that_falls_silent_is_ended_for_whoever_follows_it(
    tmp_path: Path, silent_port: int
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        with standing_still(await signed(in_folder(tmp_path))):
            assert (await follow_to_the_end(transfers)).result is None
            assert in_folder(tmp_path).has(Mark.CLOSED)

    tell(tale, tmp_path, silent_port, silent_s=1.0)


@pytest.mark.slow
def test_a_process_whose_log_finds_no_room_goes_on_to_its_result(
    tmp_path: Path, refused_port: int
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        launch.ensure(in_folder(tmp_path))
        (tmp_path / UUID / launch.LOG).symlink_to("/dev/full")
        await transfers.start(START)
        news = await follow_to_the_end(transfers)
        assert news.result is not None
        assert news.result.reason is not None
        assert news.result.reason.code is Code.HYPERVISOR_UNAVAILABLE

    tell(tale, tmp_path, refused_port)


@pytest.mark.slow
def test_a_process_that_only_seemed_silent_because_we_stood_still_is_left_alone(
    tmp_path: Path, silent_port: int
) -> None:
    """Its last sign looks old, and the next one is due."""

    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        pid = await signed(in_folder(tmp_path))
        await transfers.follow(UUID, 0)
        assert not (await transfers.close(UUID)).ended
        assert await transfers.is_alive(UUID)
        assert pid_of(in_folder(tmp_path)) == pid

    tell(tale, tmp_path, silent_port, silent_s=0.01)


@pytest.mark.slow
def test_a_process_that_could_not_write_a_sign_of_life_is_not_ended_for_it(
    tmp_path: Path, silent_port: int
) -> None:
    """What stands in for a full disk: nobody can replace a folder by a file."""

    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        with standing_still(await signed(in_folder(tmp_path))):
            (tmp_path / UUID / launch.TRIAL).mkdir()
            assert not (await transfers.close(UUID)).ended
            (tmp_path / UUID / launch.TRIAL).rmdir()
            assert (await transfers.close(UUID)).ended

    tell(tale, tmp_path, silent_port, silent_s=0.2)


def test_what_a_power_cut_left_half_written_of_a_process_is_as_if_it_were_not_there(
    tmp_path: Path,
) -> None:
    """Neither its name nor its sign of life is forced to disk."""
    folder = in_folder(tmp_path)
    launch.ensure(folder)
    (folder.path / launch.ORDER).touch()
    (folder.path / launch.PROCESS).touch()
    (folder.path / "progress.json").touch()
    assert not launch.kill(folder)
    assert launch.news(folder) == TransferNews(ended=True, started=True)


def test_another_process_with_the_same_pid_is_not_killed(tmp_path: Path) -> None:
    folder = in_folder(tmp_path)
    launch.ensure(folder)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        ticks = launch.started_ticks(bystander.pid)
        wrong = launch.Identity(pid=bystander.pid, started_ticks=ticks - 1)
        (folder.path / launch.PROCESS).write_bytes(msgspec.json.encode(wrong))
        assert not launch.kill(folder)
        assert bystander.poll() is None
        right = launch.Identity(pid=bystander.pid, started_ticks=ticks)
        (folder.path / launch.PROCESS).write_bytes(msgspec.json.encode(right))
        assert launch.kill(folder)
        assert bystander.wait(60) == -signal.SIGKILL


def test_a_process_that_has_never_signed_its_name_cannot_be_killed(tmp_path: Path) -> None:
    assert not launch.kill(in_folder(tmp_path))


@pytest.mark.slow
def test_an_abort_before_the_start_keeps_the_process_from_beginning(
    tmp_path: Path, refused_port: int
) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.abort(UUID)
        await transfers.start(START)
        await follow_to_the_end(transfers)
        assert await transfers.evidence(UUID) == TransferEvidence()

    tell(tale, tmp_path, refused_port)


def test_a_folder_that_was_closed_before_it_began_refuses_every_start(tmp_path: Path) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        assert (await transfers.close(UUID)).ended
        newer = replace(START, act=Act(migration_uuid=UUID, generation=99))
        for start in (START, newer):
            with pytest.raises(Superseded):
                await transfers.start(start)
        assert not (tmp_path / UUID / launch.ORDER).exists()

    tell(tale, tmp_path, 1)


def test_of_two_starters_at_once_one_starts_the_process(tmp_path: Path) -> None:
    forked: list[Path] = []

    def fork(path: Path, _lock: int) -> int:
        forked.append(path)
        return 1

    def the_other_comes() -> None:
        with contextlib.suppress(launch.Held):
            launch.start(DiskFolder(tmp_path / UUID), an_order(), fork)

    OvertakenPath.meanwhile = [the_other_comes]
    launch.start(DiskFolder(OvertakenPath(tmp_path / UUID)), an_order(), fork)
    assert OvertakenPath.meanwhile == []
    assert len(forked) == 1


class OvertakenPath(PosixPath):
    """Where another starter comes right after the first look at whether there is an order."""

    meanwhile: ClassVar[list[Callable[[], None]]] = []

    def exists(self) -> bool:
        there = super().exists()
        if self.name == launch.ORDER and self.meanwhile:
            self.meanwhile.pop()()
        return there


def test_of_a_transfer_that_nobody_started_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        assert await transfers.follow(UUID, 0) == TransferNews(ended=True)
        assert not await transfers.is_alive(UUID)
        assert await transfers.evidence(UUID) == TransferEvidence()
        assert not (tmp_path / UUID).exists()

    tell(tale, tmp_path, 1)


def test_marks_are_evidence_for_every_later_process(tmp_path: Path) -> None:
    async def mark(transfers: ProcessTransfers) -> None:
        await transfers.set(UUID, Mark.STOPPED_AS_MIGRATED)
        await transfers.set(UUID, Mark.ENDED_BY_US)

    async def look(transfers: ProcessTransfers) -> None:
        expected = TransferEvidence(stopped_as_migrated=True, ended_by_us=True)
        assert await transfers.evidence(UUID) == expected

    tell(mark, tmp_path, 1)
    tell(look, tmp_path, 1)


@pytest.mark.slow
def test_the_lock_of_a_transfer_is_held_by_its_process_alone(
    tmp_path: Path, silent_port: int
) -> None:
    other = MigrationUuid("33333333-3333-4333-8333-333333333333")

    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.start(START)
        pid = await signed(in_folder(tmp_path))
        await transfers.start(replace(START, act=Act(migration_uuid=other, generation=1)))
        other_pid = await signed(DiskFolder(tmp_path / other))
        holders = holders_of(tmp_path / UUID / launch.LOCK)
        other_holders = holders_of(tmp_path / other / launch.LOCK)
        os.kill(other_pid, signal.SIGKILL)
        assert (holders, other_holders) == ({pid}, {other_pid})

    tell(tale, tmp_path, silent_port)


def holders_of(lock: Path) -> set[int]:
    """Every process that has this file open."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, lock.stat().st_ino):
            found.add(int(process.name))
    return found


def _holds(process: Path, inode: int) -> bool:
    with contextlib.suppress(OSError):
        return any(path.stat().st_ino == inode for path in (process / "fd").iterdir())
    return False


@pytest.mark.slow
def test_a_nursery_that_was_killed_is_replaced_by_another(tmp_path: Path, silent_port: int) -> None:
    nursery = Nursery()
    nursery.start()

    async def tale(transfers: ProcessTransfers) -> None:
        [first] = nurseries()
        os.kill(first, signal.SIGKILL)
        await transfers.start(START)
        assert await signed(in_folder(tmp_path)) > 0
        assert first not in nurseries()

    tell(tale, tmp_path, silent_port, nursery=nursery)
    assert nurseries() == set(), "it ends with its server, unlike what it has forked"


def nurseries() -> set[int]:
    """The nurseries that this process has started and that run."""
    children = [task / "children" for task in Path("/proc/self/task").iterdir()]
    return {int(pid) for each in children for pid in each.read_text().split()}


@pytest.mark.parametrize("words", [(), ("folder",), ("0",)])
def test_a_person_who_starts_the_process_by_hand_is_told_that_it_is_not_theirs(
    words: tuple[str, ...],
) -> None:
    called = subprocess.run(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert called.returncode == NOT_STARTED
    assert "begun by the compute manager of their source host" in called.stderr


@pytest.mark.parametrize(("age_s", "kept"), [(KEPT_S - 60, True), (KEPT_S + 60, False)])
def test_a_transfer_is_forgotten_a_week_after_its_story_was_over_here(
    tmp_path: Path, age_s: float, kept: bool
) -> None:
    now_s = 10 * KEPT_S

    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.set(UUID, Mark.OVER)
        os.utime(tmp_path / UUID / Mark.OVER, (now_s - age_s, now_s - age_s))
        await transfers.forget_old()
        assert (tmp_path / UUID).exists() is kept

    tell(tale, tmp_path, 1, now_s=now_s)


def test_the_evidence_of_a_story_that_is_not_over_is_kept_however_old_it_is(tmp_path: Path) -> None:
    async def tale(transfers: ProcessTransfers) -> None:
        await transfers.set(UUID, Mark.STOPPED_AS_MIGRATED)
        os.utime(tmp_path / UUID, (1.0, 1.0))
        await transfers.forget_old()
        assert (await transfers.evidence(UUID)).stopped_as_migrated

    tell(tale, tmp_path, 1, now_s=1000 * KEPT_S)


class StuckNursery(Nursery):
    """Answers nobody until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def fork(self, folder: Path, lock: int) -> int:
        """Waits, as for a process that does not answer."""
        self.asked.set()
        self.let_go.wait(30)
        raise ChildProcessError(f"no process was forked for {folder.name}, with {lock}")


def test_a_nursery_that_does_not_answer_holds_up_no_other_transfer(tmp_path: Path) -> None:
    other = MigrationUuid("33333333-3333-4333-8333-333333333333")
    nursery = StuckNursery()

    async def start(transfers: ProcessTransfers) -> None:
        with pytest.raises(HypervisorError, match="no process was forked"):
            await transfers.start(START)

    async def tale(transfers: ProcessTransfers) -> None:
        async with asyncio.TaskGroup() as tasks:
            starting = tasks.create_task(start(transfers))
            await until(nursery.asked.is_set)
            try:
                async with asyncio.timeout(AT_MOST_S):
                    assert (await transfers.close(other)).ended
                    assert await transfers.is_alive(UUID), "it may be born yet"
            finally:
                nursery.let_go.set()
            await starting

    tell(tale, tmp_path, 1, nursery=nursery)


def test_a_transfer_that_lives_is_never_forgotten(tmp_path: Path) -> None:
    folder = in_folder(tmp_path)
    launch.ensure(folder)
    folder.set(Mark.OVER)
    os.utime(folder.path / Mark.OVER, (1.0, 1.0))
    with launch.holding(folder):
        launch.forget(tmp_path, before_s=1e9, at_most=10)
    assert folder.path.exists()
    launch.forget(tmp_path, before_s=1e9, at_most=10)
    assert not folder.path.exists()
