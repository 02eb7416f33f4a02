"""What is read from one libvirtd, in plain records. Each function blocks and changes nothing; they
run in the threads of `connection`.

Functions that may wait for a guest's QEMU say so: they are called under that guest's key, so that a
hung QEMU cannot take a host's threads one after another.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from godwit.model.ids import InstanceUuid
from godwit.model.steering import TransferLimits
from godwit.virt.libvirt.abi import (
    MIGRATION_OUT,
    POOL_RUNNING,
    SPEED_UNLIMITED,
    Domain,
    Domains,
    DomainXml,
    JobStats,
    JobType,
    Libvirt,
    Paused,
    State,
    Trouble,
)
from godwit.virt.libvirt.connection import ask_qemu, or_none, unless_refused
from godwit.virt.libvirt.pool_volumes import as_files
from godwit.virt.libvirt.sighting import Reading, qemu_status
from godwit.virt.libvirt.storages import PoolLook
from godwit.virt.libvirt.xml import (
    Capabilities,
    DomainFacts,
    VolumeFacts,
    capabilities,
    domain_facts,
    is_bridge,
    pool_facts,
    volume_facts,
)

QUERY_MIGRATE: Final = '{"execute":"query-migrate"}'
WITHOUT_BACKEND: Final = frozenset({int(Trouble.NO_SUPPORT), int(Trouble.OPERATION_UNSUPPORTED)})
NOT_NOW: Final = frozenset(
    {int(Trouble.OPERATION_INVALID), int(Trouble.OPERATION_UNSUPPORTED), int(Trouble.NO_DOMAIN)}
)
# An interface may disappear between being listed and being described.
INTERFACE_GONE: Final = frozenset({int(Trouble.INTERNAL_ERROR), int(Trouble.NO_INTERFACE)})
NO_SUCH_NETWORK: Final = WITHOUT_BACKEND | {int(Trouble.NO_NETWORK)}

FREEABLE: Final = ("free", "buffers", "cached")


@dataclass(frozen=True)
class HostLook:
    """What a libvirtd says of its host."""

    node: str
    hypervisor_type: str
    hypervisor_version: int
    library_version: int
    vcpus: int
    memory_mib: int
    free_memory_mib: int
    """Free or could be freed: an upper bound of what a new guest could get."""
    capabilities: Capabilities
    pools: tuple[PoolLook, ...]
    networks: tuple[str, ...] | None
    """Bridges and libvirt networks; None where this libvirtd cannot list bridges."""


@dataclass(frozen=True)
class DomainLook:
    """A domain as it was seen, without asking its QEMU anything."""

    facts: DomainFacts
    state: int
    reason: int
    persistent: bool
    autostart: bool
    arriving: bool
    volumes: Mapping[str, VolumeFacts]
    """By path: its disks that stand in an active pool."""


def look_at_host(libvirt: Libvirt) -> HostLook:
    """The host itself."""
    memory_kib = libvirt.getMemoryStats(-1)
    return HostLook(
        node=libvirt.getHostname(),
        hypervisor_type=libvirt.getType(),
        hypervisor_version=libvirt.getVersion(),
        library_version=libvirt.getLibVersion(),
        vcpus=libvirt.getInfo()[2],
        memory_mib=memory_kib["total"] // 1024,
        free_memory_mib=_freeable_mib(memory_kib),
        capabilities=capabilities(libvirt.getCapabilities()),
        pools=active_pools(libvirt),
        networks=networks(libvirt),
    )


def look_again_at_host(libvirt: Libvirt, before: HostLook, bridges: Collection[str]) -> HostLook:
    """The host as it was, with what room it has now, and of its networks those of `bridges` that
    are there now: libvirtd describes a bridge with all its ports, at a cost.
    """
    known = before.networks is not None
    return replace(
        before,
        free_memory_mib=_freeable_mib(libvirt.getMemoryStats(-1)),
        pools=active_pools(libvirt),
        networks=tuple(b for b in sorted(bridges) if has_network(libvirt, b)) if known else None,
    )


def _freeable_mib(memory_kib: Mapping[str, int]) -> int:
    return sum(memory_kib.get(key, 0) for key in FREEABLE) // 1024


def active_pools(libvirt: Libvirt) -> tuple[PoolLook, ...]:
    """Every active pool; one that stops being active between two calls is left out."""
    looks = []
    for pool in or_none(libvirt.listAllStoragePools, also=WITHOUT_BACKEND) or []:
        text = or_none(pool.XMLDesc, also=NOT_NOW)
        info = or_none(pool.info, also=NOT_NOW)
        if text and info and info[0] == POOL_RUNNING:
            looks.append(PoolLook(pool_facts(text), capacity_bytes=info[1], free_bytes=info[3]))
    return tuple(sorted(looks, key=lambda look: look.facts.name))


def networks(libvirt: Libvirt) -> tuple[str, ...] | None:
    """Bridges (through libvirt's interface driver) and active libvirt networks, by name."""
    interfaces = or_none(libvirt.listAllInterfaces, also=WITHOUT_BACKEND)
    if interfaces is None:
        return None
    described = ((each, or_none(each.XMLDesc, also=INTERFACE_GONE)) for each in interfaces)
    names = {interface.name() for interface, text in described if text and is_bridge(text)}
    for network in or_none(libvirt.listAllNetworks, also=WITHOUT_BACKEND) or []:
        if network.isActive():
            names.add(network.name())
    return tuple(sorted(names))


def has_network(libvirt: Libvirt, name: str) -> bool:
    """Is there a bridge or an active libvirt network of this name?"""
    interface = or_none(lambda: libvirt.interfaceLookupByName(name), also=INTERFACE_GONE)
    text = or_none(interface.XMLDesc, also=INTERFACE_GONE) if interface is not None else None
    if text and is_bridge(text):
        return True
    network = or_none(lambda: libvirt.networkLookupByName(name), also=NO_SUCH_NETWORK)
    return network is not None and bool(network.isActive())


def links(libvirt: Libvirt) -> frozenset[str] | None:
    """Every network device by name; None where this libvirtd cannot list them."""
    interfaces = or_none(libvirt.listAllInterfaces, also=WITHOUT_BACKEND)
    return None if interfaces is None else frozenset(each.name() for each in interfaces)


def look_at_domains(libvirt: Libvirt) -> tuple[DomainLook, ...]:
    """Every domain; one that disappears between two calls is left out."""
    domains = libvirt.listAllDomains()
    persistent, autostart = (
        frozenset(domain.UUIDString() for domain in libvirt.listAllDomains(which))
        for which in (Domains.PERSISTENT, Domains.AUTOSTART)
    )

    def look_at(domain: Domain) -> DomainLook:
        facts = domain_facts(as_files(libvirt, domain.XMLDesc()))
        state, reason = domain.state()[:2]
        return DomainLook(
            facts=facts,
            state=state,
            reason=reason,
            persistent=domain.UUIDString() in persistent,
            autostart=domain.UUIDString() in persistent & autostart,
            arriving=_is_arriving(domain, state, reason),
            volumes=volumes_of(libvirt, facts),
        )

    looks = [or_none(partial(look_at, domain)) for domain in domains]
    return tuple(look for look in looks if look is not None)


def _is_arriving(domain: Domain, state: int, reason: int) -> bool:
    """Half a guest: paused by a migration whose statistics are to be had elsewhere only."""
    if state != State.PAUSED or reason not in (Paused.MIGRATION, Paused.STARTING_UP):
        return False
    refused = frozenset({int(Trouble.OPERATION_UNSUPPORTED)})
    return or_none(domain.jobStats, also=refused) is None


def volumes_of(libvirt: Libvirt, facts: DomainFacts) -> dict[str, VolumeFacts]:
    """The domain's disks that stand in an active pool, by path."""
    found = {}
    for disk in facts.disks:
        volume = find_volume(libvirt, disk.path)
        if volume is not None:
            found[disk.path] = volume
    return found


def has_volume(libvirt: Libvirt, path: str) -> bool:
    """Does an active pool hold a volume at that path, as libvirt last saw it?"""
    return or_none(lambda: libvirt.storageVolLookupByPath(path), also=NOT_NOW) is not None


def find_volume(libvirt: Libvirt, path: str) -> VolumeFacts | None:
    """The volume at that path in an active pool, as libvirt last saw it."""
    volume = or_none(lambda: libvirt.storageVolLookupByPath(path), also=NOT_NOW)
    text = or_none(volume.XMLDesc, also=NOT_NOW) if volume is not None else None
    return volume_facts(text) if text else None


def block_sizes(
    libvirt: Libvirt, uuid: InstanceUuid, devices: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Virtual and allocated size in bytes of each disk, by path. May wait for QEMU."""
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return {}
    infos = {path: _block_info(domain, device) for path, device in devices.items()}
    return {path: (info[0], info[1]) for path, info in infos.items() if info is not None}


def _block_info(domain: Domain, device: str) -> list[int] | None:
    return or_none(lambda: domain.blockInfo(device), also=NOT_NOW)


def has_block_job(domain: Domain, device: str) -> bool:
    """Is a block job running on this disk? May wait for QEMU."""
    return bool(or_none(lambda: domain.blockJobInfo(device), also=NOT_NOW))


def find_domain(libvirt: Libvirt, uuid: InstanceUuid) -> Domain | None:
    """The domain of that uuid; None if libvirtd answers that there is none."""
    return or_none(lambda: libvirt.lookupByUUIDString(uuid))


def read_state(libvirt: Libvirt, uuid: InstanceUuid) -> Reading | None:
    """State and reason, without asking QEMU; job and QEMU's status are left unread."""
    return or_none(lambda: _state_of(libvirt.lookupByUUIDString(uuid)))


def _state_of(domain: Domain) -> Reading:
    state, reason = domain.state()[:2]
    return Reading(state, reason, bool(domain.isPersistent()), job=None)


def read_transfer(libvirt: Libvirt, uuid: InstanceUuid) -> Reading | None:
    """State, job and QEMU's own status. May wait for the guest's QEMU.

    Job and status count only if state and reason were the same before and after they were read.
    """
    before = read_state(libvirt, uuid)
    if before is None or before.state in (State.SHUTOFF, State.CRASHED):
        return before
    domain = libvirt.lookupByUUIDString(uuid)
    job = job_operation(domain)
    # Half a guest has no job to be read, and its QEMU does not answer before it is whole.
    status = read_qemu_status(domain) if job is not None else None
    after = read_state(libvirt, uuid)
    if after is None or (after.state, after.reason) != (before.state, before.reason):
        return after
    return Reading(before.state, before.reason, before.persistent, job, status)


def job_stats(domain: Domain) -> dict[str, int] | None:
    """The running job's figures; None if libvirt has none. May wait for QEMU."""
    return or_none(domain.jobStats, also=NOT_NOW)


def bandwidth_limit(domain: Domain) -> int:
    """What the guest's transfers are held to, in bytes per second; 0: no limit."""
    limit_mib = or_none(domain.migrateGetMaxSpeed, also=NOT_NOW) or 0
    return limit_mib * 2**20 if limit_mib < SPEED_UNLIMITED else 0


def limits_of(libvirt: Libvirt, uuid: InstanceUuid) -> TransferLimits:
    """The limits that stay with the guest: its pace (0: none), and the pause its QEMU may take, if
    that can be had. None of a guest that is not here. May wait for QEMU.
    """
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return TransferLimits()
    return TransferLimits(
        bandwidth_mib_per_s=bandwidth_limit(domain) // 2**20,
        max_downtime_ms=unless_refused(domain.migrateGetMaxDowntime),
    )


def is_moving_out(libvirt: Libvirt, uuid: InstanceUuid) -> bool:
    """Does a migration of the guest out of here run? May wait for QEMU."""
    domain = find_domain(libvirt, uuid)
    return domain is not None and job_operation(domain) == MIGRATION_OUT


def completed_stats(domain: Domain) -> dict[str, int] | None:
    """The figures of the last finished job, left there for others to read."""
    flags = JobStats.COMPLETED | JobStats.KEEP_COMPLETED
    return or_none(lambda: domain.jobStats(flags), also=NOT_NOW)


def job_operation(domain: Domain) -> int | None:
    """The operation of the running job, 0 if none runs, None if libvirt does not say."""
    stats = job_stats(domain)
    if stats is None:
        return None
    if stats.get("type", JobType.NONE) not in (JobType.BOUNDED, JobType.UNBOUNDED):
        return 0
    return stats.get("operation", -1)


def query_migrate(domain: Domain) -> dict[str, object] | None:
    """QEMU's answer to `query-migrate`; None if it is not running. May wait for QEMU."""
    answer = or_none(lambda: ask_qemu(domain, QUERY_MIGRATE), also=NOT_NOW)
    returned = json.loads(answer).get("return") if answer else None
    return returned if isinstance(returned, dict) else None


def read_qemu_status(domain: Domain) -> str | None:
    """`qemu_status` of the guest's QEMU, None if it cannot be had. May wait for QEMU."""
    answer = query_migrate(domain)
    return None if answer is None else qemu_status(answer)


def persistent_xml(domain: Domain) -> str:
    """The definition of the next boot."""
    return domain.XMLDesc(DomainXml.INACTIVE)
