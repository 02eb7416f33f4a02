"""Where a disk stands, and where it would stand at another host. Pure; asked by the scheduler and
the drivers, so that both mean the same place.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from godwit.model.host import Storage
from godwit.model.instance import BackingFile, Disk


def storage_of(path: str, storages: Sequence[Storage]) -> Storage | None:
    """The storage a file stands on: the innermost whose folder contains it."""
    holding = [s for s in storages if PurePosixPath(path).is_relative_to(s.path)]
    return max(holding, key=lambda s: len(PurePosixPath(s.path).parts), default=None)


def is_seen_there(file: Disk | BackingFile, there: Sequence[Storage]) -> bool:
    """Is the file on storage that the other host has, too? By identity, never by path."""
    return any(storage.shared and storage.id == file.storage for storage in there)


def path_there(file: Disk | BackingFile, here: Sequence[Storage], there: Sequence[Storage]) -> str:
    """The file's path at the other host: on the same storage, else on that of the same name, else
    the very same path.
    """
    if isinstance(file, Disk) and file.network:
        return file.path
    own = next((storage for storage in here if storage.id == file.storage), None)
    if own is None:
        return file.path
    other = next((storage for storage in there if storage.id == own.id), None) or next(
        (s for s in there if s.name == own.name and not s.shared and not own.shared), None
    )
    if other is None or not PurePosixPath(file.path).is_relative_to(own.path):
        return file.path
    return str(PurePosixPath(other.path) / PurePosixPath(file.path).relative_to(own.path))
