"""From what was read of a libvirtd to the model's `HostFacts` and `Guest`. Pure but for
`DiskSizes`, which remembers what only a guest's own QEMU can say.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from godwit.model.errors import HypervisorError, Unreachable
from godwit.model.host import HostFacts, Manage, Storage
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import BackingFile, DeviceType, Disk, Guest, PowerState
from godwit.model.places import storage_of
from godwit.runtime.settings import LibvirtHostSettings, StorageSettings
from godwit.virt.libvirt.abi import State
from godwit.virt.libvirt.addresses import migration_address
from godwit.virt.libvirt.connection import Connection
from godwit.virt.libvirt.reads import DomainLook, HostLook, block_sizes
from godwit.virt.libvirt.storages import storages_of
from godwit.virt.libvirt.xml import DomainDisk

SIZE_TIMEOUT_S: Final = 2.0
NetworkOf = Callable[[str], str]
"""The network that a bridge of this host belongs to."""


class DiskSizes:
    """Sizes of disks that stand in no pool, each asked for once: (virtual, allocated) in bytes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, int]] = {}

    async def learn(self, connection: Connection, looks: Sequence[DomainLook]) -> None:
        """Ask for those not asked for yet. A guest whose QEMU does not answer is passed over."""
        here = {(look.facts.uuid, disk.path) for look in looks for disk in look.facts.disks}
        self._known = {key: sizes for key, sizes in self._known.items() if key in here}
        for look in looks:
            unknown = [
                disk
                for disk in look.facts.disks
                if disk.path not in look.volumes and (look.facts.uuid, disk.path) not in self._known
            ]
            if unknown and not look.arriving:
                await self._ask(connection, look.facts.uuid, unknown)

    def of(self, uuid: str, path: str) -> tuple[int, int]:
        """What is known; (0, 0) if nothing."""
        return self._known.get((uuid, path), (0, 0))

    async def _ask(self, connection: Connection, uuid: str, disks: Sequence[DomainDisk]) -> None:
        devices = {disk.path: disk.device for disk in disks}
        with contextlib.suppress(Unreachable, HypervisorError):
            found = await connection.call(
                "reading disk sizes",
                lambda libvirt: block_sizes(libvirt, InstanceUuid(uuid), devices),
                timeout_s=SIZE_TIMEOUT_S,
                key=uuid,
            )
            self._known.update({(uuid, path): sizes for path, sizes in found.items()})


def host_facts_of(
    host: HostName,
    settings: LibvirtHostSettings,
    declared: Mapping[str, StorageSettings],
    network_of: NetworkOf,
    look: HostLook,
) -> HostFacts:
    """The host as Godwit reports it."""
    return HostFacts(
        name=host,
        node=look.node,
        hypervisor_type=look.hypervisor_type,
        hypervisor_version=look.hypervisor_version,
        library_version=look.library_version,
        architecture=look.capabilities.architecture,
        cpu_model=look.capabilities.cpu_model,
        cpu_features=look.capabilities.cpu_features,
        vcpus=look.vcpus,
        memory_mib=look.memory_mib,
        storages=storages_of(host, declared, look.pools),
        networks=tuple(sorted({network_of(name) for name in look.networks or ()})),
        machine_types=look.capabilities.machine_types,
        machine_uuid=look.capabilities.machine_uuid,
        manage=Manage(settings.manage),
        managers=settings.managers,
        migration_address=migration_address(settings),
        cpu_allocation_ratio=settings.cpu_allocation_ratio,
        reserved_memory_mib=settings.reserved_memory_mib,
        transfers_max=settings.transfers_max,
    )


def guest_of(
    look: DomainLook, storages: Sequence[Storage], sizes: DiskSizes, network_of: NetworkOf
) -> Guest:
    """A domain as Godwit reports it."""
    facts = look.facts
    return Guest(
        uuid=InstanceUuid(facts.uuid),
        name=facts.name,
        power_state=power_state(look.state),
        vcpus=facts.vcpus,
        memory_mib=facts.memory_mib,
        disks=tuple(_disk(look, disk, storages, sizes) for disk in facts.disks),
        nics=tuple(replace(nic, network=network_of(nic.network)) for nic in facts.nics),
        platform=facts.platform,
        persistent=look.persistent,
        autostart=look.autostart,
        arriving=look.arriving,
    )


def power_state(state: int) -> PowerState:
    """libvirt's state in Nova's words."""
    return _POWER_STATES.get(state, PowerState.NOSTATE)


_POWER_STATES: Final[Mapping[int, PowerState]] = {
    State.RUNNING: PowerState.RUNNING,
    State.BLOCKED: PowerState.RUNNING,
    State.PAUSED: PowerState.PAUSED,
    State.SHUTDOWN: PowerState.RUNNING,  # still on its way down
    State.SHUTOFF: PowerState.SHUTDOWN,
    State.CRASHED: PowerState.CRASHED,
    State.PMSUSPENDED: PowerState.SUSPENDED,
}


def _disk(
    look: DomainLook, disk: DomainDisk, storages: Sequence[Storage], sizes: DiskSizes
) -> Disk:
    volume = look.volumes.get(disk.path)
    size, allocated = (
        (volume.capacity_bytes, volume.allocated_bytes)
        if volume is not None
        else sizes.of(look.facts.uuid, disk.path)
    )
    files = () if disk.is_remote else (disk.path, *(base.path for base in disk.backing))
    stands_on = {path: storage.id for path in files if (storage := storage_of(path, storages))}
    return Disk(
        device=disk.device,
        path=disk.path,
        format=disk.format,
        size_bytes=size,
        allocated_bytes=allocated,
        read_only=disk.read_only,
        network=disk.is_remote,
        is_file=disk.is_file,
        storage=stands_on.get(disk.path),
        backing=tuple(
            BackingFile(path=base.path, format=base.format, storage=stands_on.get(base.path))
            for base in disk.backing
        ),
        device_type=DeviceType(disk.device_type),
        bus=disk.bus,
        boot_index=disk.boot_index,
    )
