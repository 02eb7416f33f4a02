"""Where a disk stands, and where it would stand at another host. Pure; asked by the scheduler and
the drivers, so that both mean the same place.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from godwit.model.host import Storage
from godwit.model.instance import BackingFile, Disk

PATHS_MAX: Final = 1024


@lru_cache(PATHS_MAX)
def parts_of(path: str) -> tuple[str, ...]:
    """The names that a path leads through. The same few are asked for again and again."""
    return PurePosixPath(path).parts


def is_inside(path: str, folder: str) -> bool:
    """Is it in that folder, at whatever depth, or the folder itself? Nothing is in one unnamed."""
    names = parts_of(folder)
    return bool(names) and parts_of(path)[: len(names)] == names


def storage_of(path: str, storages: Sequence[Storage]) -> Storage | None:
    """The storage a file stands on: the innermost whose folder contains it."""
    holding = [s for s in storages if is_inside(path, s.path)]
    return max(holding, key=lambda s: len(parts_of(s.path)), default=None)


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
    if other is None or not is_inside(file.path, own.path):
        return file.path
    return str(PurePosixPath(other.path) / PurePosixPath(file.path).relative_to(own.path))
