"""The threads that touch the compute managers' state folder, so that a slow disk never stops the
event loop: one for all that is quick, and one for starts of transfers, which wait for a process.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason

T = TypeVar("T")


class Disk:
    """A thread that runs file work, one piece after another."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state-folder")

    async def run(self, host: HostName, doing: str, work: Callable[[], T]) -> T:
        """What `work` returns. An `OSError` comes out as `HypervisorError`, naming `doing`."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise HypervisorError(
                reason(Code.HYPERVISOR_ERROR, host=host, doing=doing, problem=str(error))
            ) from error

    def close(self) -> None:
        """End the thread after what it does now."""
        self._thread.shutdown(wait=True)


def write_whole(path: Path, content: bytes, *, durable: bool) -> None:
    """Put `content` at `path`, whole or not at all. With `durable` it survives a power cut."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    draft.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The names in `folder` survive a power cut from now on."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
