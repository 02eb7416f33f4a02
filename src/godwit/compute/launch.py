"""Starting, finding and ending the process of one transfer. Blocking, quick, no event loop.

The lock decides. Whoever starts a process takes the folder's lock first and hands it over as the
process's standard input, so there is no moment at which the order is there and nobody holds the
lock, unless the process is gone for good.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from godwit.compute import bell
from godwit.compute.disk import sync_folder, write_whole
from godwit.compute.transfer_folder import DiskFolder, Mark, news_of
from godwit.model.ids import MigrationUuid
from godwit.rpc.compute import TransferNews
from godwit.virt.registry import TransferOrder

LOCK = "lock"
ORDER = "order.json"
PROCESS = "process.json"
LOG = "log"
TRIAL = "trial"
TRIAL_BYTES = 4096

Fork = Callable[[Path, int], int]
"""A process for this folder, with this lock; its pid. See `Nursery.fork`."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A process, told apart from a later one with the same pid by its start time."""

    pid: int
    started_ticks: int


_orders: Final = msgspec.json.Decoder(TransferOrder)
_identities: Final = msgspec.json.Decoder(Identity)
"""Made here, by one thread: msgspec crashes where two learn a kind at the same time."""


def start(folder: DiskFolder, order: TransferOrder, fork: Fork) -> int | None:
    """Start the folder's one process; its pid, or None if one was started before.

    Raises `Held` if somebody looks at the lock at this very moment (ask again), and `FolderClosed`
    if nothing may begin here any more.
    """
    ensure(folder)
    if (folder.path / ORDER).exists():
        return None
    with holding(folder) as lock:
        if (folder.path / ORDER).exists():
            return None
        if folder.has(Mark.CLOSED):
            raise FolderClosed
        # The order comes first: an order may lack its process, never a process its order.
        write_whole(folder.path / ORDER, msgspec.json.encode(order), durable=True)
        return fork(folder.path, lock)


class FolderClosed(Exception):
    """The folder is closed and nothing was begun in it."""


class Held(Exception):
    """Somebody else holds the folder's lock."""


def ensure(folder: DiskFolder) -> None:
    """The folder is there, with its lock file, also after a power cut. An order in it says that it
    was there for good before.
    """
    if (folder.path / ORDER).exists():
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / LOCK).touch()
    bell.hang(folder.path)
    sync_folder(folder.path.parent)


def order_of(folder: DiskFolder) -> TransferOrder:
    """What the process of this folder is to do. Raises `FileNotFoundError` if none was started."""
    return _orders.decode((folder.path / ORDER).read_bytes())


def is_alive(folder: DiskFolder) -> bool:
    """Does a process hold the lock?"""
    if not (folder.path / LOCK).exists():
        return False
    try:
        with holding(folder):
            return False
    except Held:
        return True


def living(root: Path) -> tuple[MigrationUuid, ...]:
    """The transfers below `root` of which a process holds the lock, sorted."""
    paths = sorted(root.iterdir()) if root.is_dir() else []
    return tuple(MigrationUuid(path.name) for path in paths if is_alive(DiskFolder(path)))


def news(folder: DiskFolder) -> TransferNews:
    """What is known now. The lock is looked at first: a result is there before the lock is free."""
    alive, started = is_alive(folder), (folder.path / ORDER).exists()
    if alive:
        return news_of(folder.sign(), None, ended=False, started=started)
    result = folder.result()
    news = news_of(folder.sign(), result or folder.why_stopped(), ended=True, started=started)
    may_go_on = folder.has(Mark.BEGAN) and (result is None or bool(result.error))
    return replace(news, orphaned=may_go_on)


def close(folder: DiskFolder) -> bool:
    """Close the folder if no process lives in it. True: nothing ever begins here from now on."""
    ensure(folder)
    try:
        with holding(folder):
            if not folder.has(Mark.CLOSED):
                folder.set(Mark.CLOSED)
            return True
    except Held:
        return False


def try_to_write(folder: DiskFolder) -> None:
    """Raises `OSError` where the folder cannot be written. Then its process cannot give signs of
    life either, and its silence says nothing.
    """
    write_whole(folder.path / TRIAL, bytes(TRIAL_BYTES), durable=False)


def kill(folder: DiskFolder) -> bool:
    """End the folder's process by force, if it is the one that wrote its name there."""
    handle = end_of(folder)
    if handle is None:
        return False
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def sign_name(folder: DiskFolder) -> None:
    """By the process itself: write down who it is. After a power cut there is no such process."""
    pid = os.getpid()
    identity = Identity(pid=pid, started_ticks=started_ticks(pid))
    write_whole(folder.path / PROCESS, msgspec.json.encode(identity), durable=False)
    bell.ring(folder.path)


def take_over_lock(folder: DiskFolder) -> bool:
    """By the process itself: keep the lock that came as standard input, and hand it to no child.

    False if standard input is not the folder's lock: then somebody else started this process.
    """
    try:
        if not os.path.samestat(os.fstat(0), (folder.path / LOCK).stat()):
            return False
        fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    os.dup(0)  # not inheritable, and open until this process ends
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return True


def started_ticks(pid: int) -> int:
    """When the process began, in clock ticks since the machine did."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    return int(after_name.split()[19])


def end_of(folder: DiskFolder) -> int | None:
    """A handle that becomes readable when the folder's process ends; None if it has ended, or has
    not signed its name. The caller closes it.
    """
    identity = _signed(folder)
    if identity is None:
        return None
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    try:
        if started_ticks(identity.pid) == identity.started_ticks:
            return handle
    except FileNotFoundError:
        pass
    os.close(handle)
    return None


def _signed(folder: DiskFolder) -> Identity | None:
    try:
        return _identities.decode((folder.path / PROCESS).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # not forced to disk: a power cut may leave it empty


def forget(root: Path, *, before_s: float, at_most: int) -> None:
    """Remove folders that were over before `before_s` and in which nobody lives.

    Age alone says nothing: a story that waits for a person may need its evidence after months.
    """
    if not root.is_dir():
        return
    old = [path for path in root.iterdir() if _was_over(path, before_s)]
    for path in sorted(old)[:at_most]:
        if not is_alive(DiskFolder(path)):
            shutil.rmtree(path)


def _was_over(path: Path, before_s: float) -> bool:
    try:
        return (path / Mark.OVER).stat().st_mtime < before_s
    except FileNotFoundError:
        return False


@contextmanager
def holding(folder: DiskFolder) -> Iterator[int]:
    """Hold the folder's lock. Raises `Held` if somebody else does."""
    handle = os.open(folder.path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Held from error
        yield handle
    finally:
        os.close(handle)  # frees the lock, unless a process has inherited it
