"""The hold of one process on something: a lock on a file, with the process's number in it."""

import fcntl
import os
from pathlib import Path


class Held(Exception):
    """Another process has it."""

    def __init__(self, pid: str) -> None:
        """`pid`: which one, or "unknown"."""
        super().__init__(f"held by process {pid}")
        self.pid = pid


class ProcessLock:
    """Ends with the process, whatever its end. What it starts does not inherit it."""

    def __init__(self, path: Path) -> None:
        """Raises `Held`, or `OSError` if the file cannot be written."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._file, 20, 0).decode().strip() or "unknown"
            os.close(self._file)
            raise Held(pid) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have it. Once."""
        os.close(self._file)
