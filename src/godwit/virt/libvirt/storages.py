"""Which storage a file is on, and which disks must therefore be copied. Pure.

A storage's id is what two hosts compare: `shared:NAME` for one that the operator declared,
`netfs:HOST:DIR` for a network file system both may have mounted, `local:HOST:POOL` for all else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from godwit.model.host import Storage
from godwit.model.ids import HostName, StorageId
from godwit.model.instance import Disk
from godwit.model.migration import BlockMigration
from godwit.model.reasons import Code, Reason, reason
from godwit.runtime.settings import StorageSettings
from godwit.virt.libvirt.xml import PoolFacts


@dataclass(frozen=True)
class PoolLook:
    """An active pool as it was seen. Bytes."""

    facts: PoolFacts
    capacity_bytes: int
    free_bytes: int


def storages_of(
    host: HostName, declared: Mapping[str, StorageSettings], pools: Sequence[PoolLook]
) -> tuple[Storage, ...]:
    """Every storage of a host, sorted by id: the declared ones, and each pool on none of those.

    The size of a declared storage is that of a pool on it; without one it is 0: not known.
    """
    shared = [
        _declared(name, settings, pools)
        for name, settings in declared.items()
        if not settings.hosts or host in settings.hosts
    ]
    inside = [PurePosixPath(storage.path) for storage in shared]
    own = [
        _of_pool(host, pool)
        for pool in pools
        if pool.facts.path
        and not any(PurePosixPath(pool.facts.path).is_relative_to(path) for path in inside)
    ]
    return tuple(sorted([*shared, *own], key=lambda storage: storage.id))


def storage_of(path: str, storages: Sequence[Storage]) -> Storage | None:
    """The storage a file stands on: the innermost whose folder contains it."""
    holding = [s for s in storages if PurePosixPath(path).is_relative_to(s.path)]
    return max(holding, key=lambda s: len(PurePosixPath(s.path).parts), default=None)


def _declared(name: str, settings: StorageSettings, pools: Sequence[PoolLook]) -> Storage:
    on_it = [
        p
        for p in pools
        if p.facts.path and PurePosixPath(p.facts.path).is_relative_to(settings.path)
    ]
    outermost = min(on_it, key=lambda pool: len(pool.facts.path), default=None)
    return Storage(
        id=StorageId(f"shared:{name}"),
        path=settings.path,
        shared=True,
        fences=settings.fences,
        total_mib=outermost.capacity_bytes // 2**20 if outermost else 0,
        free_mib=outermost.free_bytes // 2**20 if outermost else 0,
    )


def _of_pool(host: HostName, pool: PoolLook) -> Storage:
    networked = pool.facts.kind == "netfs" and pool.facts.origin != ""
    identity = f"netfs:{pool.facts.origin}" if networked else f"local:{host}:{pool.facts.name}"
    return Storage(
        id=StorageId(identity),
        path=pool.facts.path,
        shared=networked,
        total_mib=pool.capacity_bytes // 2**20,
        free_mib=pool.free_bytes // 2**20,
    )


@dataclass(frozen=True)
class DiskPlan:
    """What a move does with the guest's disks."""

    stay: tuple[Disk, ...] = ()
    """On storage that both hosts see."""
    copied: tuple[Disk, ...] = ()
    needed_there: tuple[Disk, ...] = ()
    """Read-only and not shared: the destination must have its own file at that path."""
    refusals: tuple[Reason, ...] = ()


def plan_disks(
    disks: Sequence[Disk],
    destination: HostName,
    there: Sequence[Storage],
    block_migration: BlockMigration,
) -> DiskPlan:
    """Which disks stay and which are copied, judged by storage identity alone.

    Refuses what the client's wish excludes: a copy where `shared` was asked for, and with `block`
    a disk that both hosts see already (both would write the same file).
    """
    known = {storage.id for storage in there if storage.shared}
    stay = tuple(d for d in disks if d.network or d.storage in known)
    elsewhere = [disk for disk in disks if disk not in stay]
    copied = tuple(disk for disk in elsewhere if not disk.read_only)
    refusals: list[Reason] = []
    if block_migration is BlockMigration.SHARED:
        refusals += [
            reason(Code.INVALID_SHARED_STORAGE, host=destination, path=disk.path) for disk in copied
        ]
    if block_migration is BlockMigration.BLOCK:
        refusals += [
            reason(Code.INVALID_LOCAL_STORAGE, host=destination, path=disk.path)
            for disk in stay
            if not disk.network and not disk.read_only
        ]
    return DiskPlan(
        stay=stay,
        copied=copied,
        needed_there=tuple(disk for disk in elsewhere if disk.read_only),
        refusals=tuple(refusals),
    )
