"""The note a background lab leaves on the box so that later commands find it:
/run/godwit-lab/NAME.json.

The sandbox's outer process holds a lock on the file for as long as it lives, so a note left by a
lab that was killed is known for what it is, and removed by whoever looks next. Used by `sandbox`
alone.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from godwit.lab.errors import LabError, LabUsageError
from godwit.lab.layout import BASES
from godwit.lab.settings import LabSettings


@dataclass(frozen=True)
class Note:
    """What the file says."""

    outer_pid: int
    settings: LabSettings


@dataclass(frozen=True)
class StateFile:
    """A state file this process holds locked, for handing to the sandbox's outer process."""

    path: Path
    descriptor: int

    @classmethod
    def take(cls, name: str, folder: Path = BASES) -> StateFile:
        """Make and lock the file; LabUsageError if a lab of this name is up."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{name}.json"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            raise LabUsageError(
                f"lab {name!r} is up already",
                remedy=f"use it, end it (godwit lab down --name {name}), or choose another --name",
            )
        os.ftruncate(descriptor, 0)
        return cls(path, descriptor)

    def write(self, note: Note) -> None:
        """Say who holds the lab; readers before this see a lab that is coming up."""
        os.pwrite(self.descriptor, msgspec.json.encode(note), 0)

    def release(self) -> None:
        """Close this process's own hold; the lock stays with whoever inherited it."""
        os.close(self.descriptor)

    def discard(self) -> None:
        """Remove the file, for a lab that did not come up."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def read_note(name: str, folder: Path = BASES) -> Note | None:
    """The note of a lab that is up, or None; a stale one is removed. LabUsageError if half up."""
    path = folder / f"{name}.json"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LabError("a lab needs root", remedy="run the same line with sudo") from error
    try:
        if _lock(descriptor):
            forget(name, folder)
            return None
        content = path.read_bytes()
    finally:
        os.close(descriptor)
    if not content:
        raise LabUsageError(f"lab {name!r} is coming up", remedy="ask again in a moment")
    return msgspec.json.decode(content, type=Note)


def forget(name: str, folder: Path = BASES) -> None:
    """Remove the note of a lab that is gone, and the folder with the last one."""
    (folder / f"{name}.json").unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def noted_names(folder: Path = BASES) -> list[str]:
    """The names of all labs that have a note, stale or not."""
    return sorted(path.stem for path in folder.glob("*.json"))


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
