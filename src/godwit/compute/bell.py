"""What wakes whoever follows a transfer: its bell, and the end of its process.

The bell is a named pipe in the transfer's folder. The process rings it when there is news; a ring
that nobody hears is lost, so who follows looks by itself now and then. Used by `transfer_folder`
and `launch` (to ring) and by `process_transfers` (to listen).
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

BELL: Final = "bell"


def hang(folder: Path) -> None:
    """Make it. Where there can be none, nobody is woken."""
    with suppress(OSError):
        os.mkfifo(folder / BELL, 0o600)


def ring(folder: Path) -> None:
    """Wake whoever listens; never waits, never fails."""
    with suppress(OSError):  # nobody is there
        handle = os.open(folder / BELL, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(handle, b"!")
        finally:
            os.close(handle)


def listen(folder: Path) -> int | None:
    """A handle that becomes readable with each ring; None if there is no bell. The caller closes
    it. It is open for both ways: otherwise it would be readable for ever after the first ring.
    """
    try:
        return os.open(folder / BELL, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None


class Ears:
    """Listens to handles, which it closes in the end. For one task."""

    def __init__(self) -> None:
        self._handles: set[int] = set()
        self._woken = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)

    def hear(self, handle: int) -> None:
        """Be woken by this one, too."""
        self._handles.add(handle)
        asyncio.get_running_loop().add_reader(handle, self._wake, handle)

    async def rest(self, at_most_s: float) -> None:
        """Returns once woken since the last rest, or after `at_most_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._woken.wait()
        self._woken.clear()

    def _wake(self, handle: int) -> None:
        self._woken.set()
        try:
            os.read(handle, 4096)
        except BlockingIOError:
            return  # somebody else who listens has taken the ring
        except OSError:  # no bell, but the end of a process, which stays
            asyncio.get_running_loop().remove_reader(handle)
