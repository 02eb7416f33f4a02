"""Disk files at one libvirtd, through its storage pools: make room, take it back, never touch a
file that a guest uses. Each function blocks; they run in the threads of `connection`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final

from godwit.model.ids import HostName
from godwit.model.reasons import Code, Reason, reason
from godwit.virt.libvirt.abi import Domain, Libvirt, Pool, Trouble, Volume
from godwit.virt.libvirt.connection import or_none
from godwit.virt.libvirt.pool_volumes import as_files
from godwit.virt.libvirt.reads import NOT_NOW, find_volume, persistent_xml
from godwit.virt.libvirt.storages import NewImage
from godwit.virt.libvirt.xml import (
    VolumeFacts,
    domain_facts,
    folder_pool_xml,
    pool_facts,
    volume_xml,
)

AS_NEW_BYTES_MAX: Final = 4 * 2**20
"""A new image holds its tables only; one with more than this has been written to."""
FULL_BYTES: Final = 2**20
"""A copy that found no room has used up all but crumbs."""
BUSY_POOL: Final = frozenset({int(Trouble.INTERNAL_ERROR), int(Trouble.OPERATION_INVALID)})


def refresh_pools(libvirt: Libvirt, folders: Sequence[str]) -> None:
    """Let libvirtd look again at what the pools on these folders hold; their files stay as they
    are. A pool that is busy is left as libvirtd last saw it.
    """
    for folder in sorted(set(folders)):
        pool = pool_on(libvirt, folder)
        if pool is not None:
            or_none(pool.refresh, also=BUSY_POOL)


def pool_on(libvirt: Libvirt, folder: str) -> Pool | None:
    """The active pool whose volumes stand in that folder."""
    for pool in libvirt.listAllStoragePools():
        text = or_none(pool.XMLDesc, also=NOT_NOW) if pool.isActive() else None
        if text and pool_facts(text).path.rstrip("/") == folder.rstrip("/"):
            return pool
    return None


def make_images(libvirt: Libvirt, host: HostName, wanted: Sequence[NewImage]) -> Reason | None:
    """Make each image, or find the one an earlier attempt has made. Answers with what stands in
    the way; then images made so far are left for `remove_as_new`. No file is ever overwritten.
    """
    refresh_pools(libvirt, [image.folder for image in wanted])
    used = paths_in_use(libvirt)
    for image in wanted:
        there = find_volume(libvirt, image.path)
        if there is not None:
            if image.path in used or not is_as_new(there, image):
                return reason(Code.DISK_EXISTS, host=host, path=image.path)
            continue
        pool = pool_on(libvirt, image.folder)
        if pool is None:
            return reason(Code.STORAGE_POOL_MISSING, host=host, folder=image.folder)
        text = volume_xml(image.name, image.format, image.capacity_bytes, image.backing)
        pool.createXML(text)
    return None


def full_folder(libvirt: Libvirt, folders: Sequence[str]) -> str:
    """The first of these folders with no room left; empty if each has some."""
    refresh_pools(libvirt, folders)
    pools = {folder: pool_on(libvirt, folder) for folder in sorted(set(folders))}
    full = (
        folder for folder, pool in pools.items() if pool is not None and pool.info()[3] < FULL_BYTES
    )
    return next(full, "")


def is_as_new(volume: VolumeFacts, wanted: NewImage) -> bool:
    """Is this just what `make_images` makes: the right size and format, and nothing in it?"""
    same = (volume.format, volume.capacity_bytes) == (wanted.format, wanted.capacity_bytes)
    return same and volume.allocated_bytes <= AS_NEW_BYTES_MAX


def remove_as_new(libvirt: Libvirt, wanted: Sequence[NewImage]) -> None:
    """Remove those of the images that are as new: an attempt whose answer was lost made them."""
    refresh_pools(libvirt, [image.folder for image in wanted])
    empty = []
    for image in wanted:
        there = find_volume(libvirt, image.path)
        if there is not None and is_as_new(there, image):
            empty.append(image.path)
    remove_files(libvirt, empty)


def remove_files(libvirt: Libvirt, paths: Sequence[str]) -> None:
    """Delete these files, except those that a guest of this host uses. Missing ones are fine.

    A folder without a pool gets one for as long as this takes: libvirt deletes nothing else.
    """
    used = paths_in_use(libvirt) if paths else frozenset()
    for path in paths:
        if path not in used:
            _remove_file(libvirt, path)


def present(libvirt: Libvirt, paths: Sequence[str]) -> tuple[str, ...]:
    """Those of these files that are there."""
    found = []
    for path in paths:
        with _volume_at(libvirt, path) as volume:
            if volume is not None:
                found.append(path)
    return tuple(found)


def _remove_file(libvirt: Libvirt, path: str) -> None:
    with _volume_at(libvirt, path) as volume:
        if volume is not None:
            or_none(volume.delete)


@contextmanager
def _volume_at(libvirt: Libvirt, path: str) -> Iterator[Volume | None]:
    """The file as a volume, in the pool of its folder or in one that is gone afterwards."""
    folder = str(PurePosixPath(path).parent)
    pool = pool_on(libvirt, folder)
    own = None if pool is not None else libvirt.storagePoolCreateXML(folder_pool_xml(folder))
    try:
        if pool is not None:
            or_none(pool.refresh, also=BUSY_POOL)
        yield or_none(lambda: libvirt.storageVolLookupByPath(path))
    finally:
        if own is not None:
            own.destroy()  # the pool, not what is in it


def spare_files(libvirt: Libvirt, folders: Sequence[str]) -> tuple[str, ...]:
    """The files in these folders' pools that no guest here uses. They are listed first: one that a
    guest takes meanwhile is not spare.
    """
    refresh_pools(libvirt, folders)
    pools = (pool_on(libvirt, folder) for folder in sorted(set(folders)))
    lists = (or_none(pool.listAllVolumes, also=BUSY_POOL) for pool in pools if pool is not None)
    paths = {or_none(volume.path) for volumes in lists for volume in volumes or []}
    return tuple(sorted({path for path in paths if path} - paths_in_use(libvirt)))


def paths_in_use(libvirt: Libvirt) -> frozenset[str]:
    """Every file that a guest of this host has as a disk, now or after its next boot."""
    used: set[str] = set()
    for domain in libvirt.listAllDomains():
        for text in _definitions(domain):
            for disk in domain_facts(as_files(libvirt, text)).disks:
                used.update((disk.path, *(base.path for base in disk.backing)))
    return frozenset(used)


def _definitions(domain: Domain) -> list[str]:
    """The running definition and that of the next boot, as far as they are there."""
    texts = (or_none(domain.XMLDesc), or_none(lambda: persistent_xml(domain), also=NOT_NOW))
    return [text for text in texts if text]
