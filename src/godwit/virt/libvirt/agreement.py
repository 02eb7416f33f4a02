"""What two libvirt hosts agree on about a move: as the destination begins it. Pure."""

from collections.abc import Mapping

from godwit.model.migrate_data import LibvirtLiveMigrateData, LiveMigrateData
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.libvirt.addresses import (
    console_address,
    migration_address,
    migration_uri,
    peer_uri,
)
from godwit.virt.libvirt.storages import DiskPlan


def agreement_begun(
    plan: DiskPlan, settings: LibvirtHostSettings, bridges: Mapping[str, str]
) -> LibvirtLiveMigrateData:
    """What the destination with these settings brings along; `bridges`: those that are called
    otherwise there.
    """
    return LibvirtLiveMigrateData(
        block_migration=bool(plan.copied),
        disks_to_copy=tuple(disk.device for disk in plan.copied),
        incremental=plan.incremental,
        paths_there=dict(plan.paths_there),
        bridges_there=dict(bridges),
        console_address=console_address(settings),
        destination_uri=peer_uri(settings),
        migration_uri=migration_uri(migration_address(settings)),
        tls=settings.tls,
    )


def ours(migrate_data: LiveMigrateData) -> LibvirtLiveMigrateData:
    """The agreement, which must be one between libvirt hosts."""
    if isinstance(migrate_data, LibvirtLiveMigrateData):
        return migrate_data
    raise AssertionError(f"not an agreement between libvirt hosts: {migrate_data!r}")
