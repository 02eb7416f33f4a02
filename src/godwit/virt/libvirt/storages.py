"""Which storage a file is on, and which disks must therefore be copied. Pure.

A storage's id is what two hosts compare: `shared:NAME` for one that the operator declared,
`netfs:HOST:DIR` for a network file system both may have mounted, `local:HOST:POOL` for all else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from msgspec.structs import replace

from godwit.model.host import HostFacts, Storage
from godwit.model.ids import HostName, StorageId
from godwit.model.instance import BackingFile, Disk, Instance
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.migration import BlockMigration
from godwit.model.places import is_inside, is_seen_there, path_there
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
        _declared(host, name, settings, pools)
        for name, settings in declared.items()
        if not settings.hosts or host in settings.hosts
    ]
    own = [
        _of_pool(host, pool)
        for pool in pools
        if pool.facts.path
        and not any(is_inside(pool.facts.path, storage.path) for storage in shared)
    ]
    return tuple(sorted([*shared, *own], key=lambda storage: storage.id))


def _declared(
    host: HostName, name: str, settings: StorageSettings, pools: Sequence[PoolLook]
) -> Storage:
    path = settings.paths.get(host, settings.path)
    on_it = [pool for pool in pools if pool.facts.path and is_inside(pool.facts.path, path)]
    outermost = min(on_it, key=lambda pool: len(pool.facts.path), default=None)
    return Storage(
        id=StorageId(f"shared:{name}"),
        name=name,
        path=path,
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
        name=pool.facts.name,
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
    paths_there: Mapping[str, str] = field(default_factory=dict)
    """Every file that has another path at the destination: from the path here."""
    incremental: bool = False
    """Only the top of each overlay is copied: its base is at the destination already."""
    refusals: tuple[Reason, ...] = ()

    def path_there(self, path: str) -> str:
        """Where the file of that path here is, or will be, at the destination."""
        return self.paths_there.get(path, path)

    @property
    def files_there(self) -> tuple[str, ...]:
        """The paths at the destination of all disks that are files."""
        disks = (*self.stay, *self.copied, *self.needed_there)
        return tuple(self.path_there(disk.path) for disk in disks if not disk.network)


def plan_disks(
    disks: Sequence[Disk], source: HostFacts, there: HostFacts, block_migration: BlockMigration
) -> DiskPlan:
    """Which disks stay and which are copied, judged by storage identity alone.

    Refuses what the client's wish excludes: a copy where `shared` was asked for, and with `block`
    a disk that both hosts see already (both would write the same file).
    """
    files: list[Disk | BackingFile] = [*disks, *(base for d in disks for base in d.backing)]
    paths = {file.path: path_there(file, source.storages, there.storages) for file in files}
    stay = tuple(d for d in disks if d.network or is_seen_there(d, there.storages))
    elsewhere = [disk for disk in disks if disk not in stay]
    writable = [disk for disk in elsewhere if not disk.read_only]
    copied = tuple(disk for disk in writable if disk.is_file)
    return DiskPlan(
        stay=stay,
        copied=copied,
        needed_there=tuple(disk for disk in elsewhere if disk.read_only),
        paths_there={here: path for here, path in paths.items() if path != here},
        incremental=_is_incremental(copied, paths, there),
        refusals=(
            *_against_the_wish(stay, copied, there.name, block_migration),
            *_bases_missing(stay, paths, there),
            *(_no_file(disk, there.name) for disk in writable if not disk.is_file),
        ),
    )


def _is_incremental(copied: Sequence[Disk], paths: Mapping[str, str], there: HostFacts) -> bool:
    """libvirt copies either the top of every disk or the whole contents of every disk.

    The top is enough where the destination has the bases of all; else each becomes a whole image.
    """
    overlays = [disk for disk in copied if disk.backing]
    # The new overlay names its nearest base itself; what is below is named in the base.
    named_inside = [base for disk in overlays for base in disk.backing[1:]]
    return (
        bool(overlays)
        and all(is_seen_there(base, there.storages) for d in overlays for base in d.backing)
        and all(paths[base.path] == base.path for base in named_inside)
    )


def _bases_missing(
    stay: Sequence[Disk], paths: Mapping[str, str], there: HostFacts
) -> list[Reason]:
    """An overlay that both hosts see is of no use without its bases, at the path written in it."""
    return [
        reason(Code.DISK_BASE_UNREACHABLE, host=there.name, path=base.path, overlay=disk.path)
        for disk in stay
        for base in disk.backing
        if not is_seen_there(base, there.storages) or paths[base.path] != base.path
    ]


def _no_file(disk: Disk, there: HostName) -> Reason:
    return reason(Code.DISK_NOT_A_FILE, host=there, device=disk.device, path=disk.path)


def _against_the_wish(
    stay: Sequence[Disk], copied: Sequence[Disk], there: HostName, wish: BlockMigration
) -> list[Reason]:
    if wish is BlockMigration.SHARED:
        return [reason(Code.INVALID_SHARED_STORAGE, host=there, path=disk.path) for disk in copied]
    if wish is BlockMigration.BLOCK:
        return [
            reason(Code.INVALID_LOCAL_STORAGE, host=there, path=disk.path)
            for disk in stay
            if not disk.network and not disk.read_only
        ]
    return []


@dataclass(frozen=True)
class NewImage:
    """An empty image to be: its path, format and exact virtual size."""

    path: str
    format: str
    capacity_bytes: int
    backing: BackingFile | None = None
    """The base that it is to be an overlay on."""

    @property
    def folder(self) -> str:
        """Where it stands."""
        return str(PurePosixPath(self.path).parent)

    @property
    def name(self) -> str:
        """What it is called there."""
        return PurePosixPath(self.path).name


def images_of(instance: Instance, migrate_data: LibvirtLiveMigrateData) -> tuple[NewImage, ...]:
    """The disks that are copied, as the images they are to be at the destination."""
    return tuple(
        NewImage(
            migrate_data.paths_there.get(disk.path, disk.path),
            disk.format,
            disk.size_bytes,
            _base_there(disk, migrate_data) if migrate_data.incremental else None,
        )
        for disk in instance.disks
        if disk.device in migrate_data.disks_to_copy
    )


def _base_there(disk: Disk, migrate_data: LibvirtLiveMigrateData) -> BackingFile | None:
    nearest = next(iter(disk.backing), None)
    if nearest is None:
        return None
    return replace(nearest, path=migrate_data.paths_there.get(nearest.path, nearest.path))
