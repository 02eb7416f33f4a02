"""The nursery, `python -m godwit.compute.transfer_process SOCKET`, and the transfer processes that
are forked from it. Asked by a compute manager (`compute/nursery.py`).

A transfer process needs its folder and the two hypervisors: no bus, no store, no settings file. It
outlives who asked for it, ends by itself, and lets go of the folder's lock by ending.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from godwit.compute import launch
from godwit.compute.transfer import run_transfer, terms_of
from godwit.compute.transfer_folder import DiskFolder
from godwit.model.errors import GodwitError
from godwit.rpc.compute import TransferResult
from godwit.virt.registry import TransferOrder, load_transfer_driver, transfer_driver

NOT_STARTED = 64
BROKEN = 70
PATH_BYTES_MAX = 4096

log = structlog.get_logger()


def nursery_main(door: socket.socket) -> None:
    """Fork a process for every folder that is handed in, until nobody is there to ask.

    This process never has a thread, a connection or a lock of its own: what is forked from it
    begins as if it had just been started.
    """
    load_transfer_driver()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever has ended is gone
    gc.freeze()  # its pages stay shared
    while True:
        path, handles, _, _ = socket.recv_fds(door, PATH_BYTES_MAX, 1)
        if not path:
            return
        [lock] = handles
        pid = os.fork()
        if pid == 0:
            door.close()
            _be_born(DiskFolder(Path(os.fsdecode(path))), lock)
        os.close(lock)  # the child alone holds it now
        door.send(str(pid).encode())


def _be_born(folder: DiskFolder, lock: int) -> NoReturn:
    """In the child: a session and a log of its own, the lock as standard input, no way back."""
    code = BROKEN
    try:
        os.setsid()
        Path("/proc/self/comm").write_text("godwit-transfer")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(folder.path / launch.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, handle in ((0, lock), (1, output), (2, output)):
            os.dup2(handle, number)
        os.close(lock)
        os.close(output)
        code = transfer_main(folder)
    finally:
        # A thread that hangs in a hypervisor's library must not keep it, and its lock, alive.
        _end_now(code)


def transfer_main(folder: DiskFolder) -> int:
    """Make the transfer of this folder; the process ends once it has run.

    Returns 64, having done nothing, if standard input is not the folder's lock; 70 for a defect:
    then there is no result, and its traceback is in the folder's log.
    """
    if not launch.take_over_lock(folder):
        return NOT_STARTED
    _stay()
    structlog.configure(logger_factory=_Log)
    try:
        launch.sign_name(folder)
        asyncio.run(_made(folder, launch.order_of(folder)))
    except Exception:
        log.exception("transfer process ended by a defect")
        return BROKEN
    return 0


async def _made(folder: DiskFolder, order: TransferOrder) -> None:
    """The transfer. Ends the process where it is over, before anything waits for hung threads."""
    log.info("transfer began", migration=order.migration_uuid, to=order.destination.name)
    try:
        await run_transfer(folder, transfer_driver(order), terms_of(order))
    except GodwitError as error:  # there is no driver for such an order
        folder.end(TransferResult(error=str(error), reason=error.reason))
    log.info("transfer ended", migration=order.migration_uuid)
    _end_now(0)


def _stay() -> None:
    """A transfer is never left half way because a service or a session stops."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)


def _end_now(code: int) -> NoReturn:
    """In any case: as long as this process is there, it holds the lock."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


class _Log:
    """Writes the lines of the log. One that finds no room is lost: the move does not depend on it.

    Past `sys.stderr`, which would keep such a line and try it again with the next.
    """

    def __init__(self, *_names: object) -> None:
        """As structlog makes its loggers."""

    def msg(self, line: str) -> None:
        """Write it, or not."""
        with suppress(OSError):
            os.write(2, f"{line}\n".encode(errors="backslashreplace"))

    debug = info = warning = error = exception = critical = msg


def main(*words: str) -> int:
    """The nursery on the socket with this number. 64 if that is none: a person has typed it."""
    try:
        door = socket.socket(fileno=int(*words))
    except (TypeError, ValueError, OSError):
        print("transfers are begun by the compute manager of their source host", file=sys.stderr)  # noqa: T201
        return NOT_STARTED
    with door:
        nursery_main(door)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
