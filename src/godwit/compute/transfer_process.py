"""The top of a transfer process, `python -m godwit.compute.transfer_process FOLDER`. Started by a
compute manager (`compute/launch.py`).

It needs its folder and the two hypervisors: no bus, no store, no settings file. It outlives who
started it, ends by itself, and lets go of the folder's lock by ending.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog

from godwit.compute import launch
from godwit.compute.transfer import Terms, run_transfer
from godwit.compute.transfer_folder import DiskFolder
from godwit.model.errors import GodwitError
from godwit.rpc.compute import TransferResult
from godwit.virt.registry import TransferOrder, transfer_driver

NOT_STARTED = 64
BROKEN = 70

log = structlog.get_logger()


def transfer_main(folder_path: str) -> int:
    """Make the transfer of this folder; does not return once it has run.

    Returns 64, having done nothing, if the process was not started by a compute manager (its
    standard input is not the folder's lock). A defect ends the process with 70, no result, and its
    traceback in the folder's log.
    """
    folder = DiskFolder(Path(folder_path))
    if not launch.take_over_lock(folder):
        message = f"{folder_path}: a transfer is started by the compute manager of its source host"
        print(message, file=sys.stderr)  # noqa: T201  (the caller is a person at a terminal)
        return NOT_STARTED
    _stay()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    code = BROKEN
    try:
        launch.sign_name(folder)
        asyncio.run(_made(folder, launch.order_of(folder)))
        code = 0
    except Exception:
        log.exception("transfer process ended by a defect")
    # A thread that hangs in a hypervisor's library must not keep the process, and its lock, alive.
    _end_now(code)
    return code


async def _made(folder: DiskFolder, order: TransferOrder) -> None:
    """The transfer. Ends the process where it is over, before anything waits for hung threads."""
    log.info("transfer began", migration=order.migration_uuid, to=order.destination.name)
    terms = Terms(
        guard=order.migrate_data.guard,
        hold_back=order.migrate_data.hold_back,
        was_paused=order.migrate_data.was_paused,
        stall_timeout_s=order.stall_timeout_s,
        steering=order.steering,
    )
    try:
        await run_transfer(folder, transfer_driver(order), terms)
    except GodwitError as error:  # there is no driver for such an order
        folder.end(TransferResult(error=str(error), reason=error.reason))
    log.info("transfer ended", migration=order.migration_uuid)
    _end_now(0)


def _stay() -> None:
    """A transfer is never left half way because a service or a session stops."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)


def _end_now(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(transfer_main(sys.argv[1]))
