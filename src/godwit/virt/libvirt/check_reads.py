"""What the checks need to know of the two ends, read from their libvirtds. Each function blocks and
changes nothing; they run in the threads of `connection`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from godwit.model.ids import InstanceUuid
from godwit.model.instance import Instance, Platform
from godwit.virt.libvirt import reads
from godwit.virt.libvirt.abi import FAIL_INCOMPATIBLE, POOL_RUNNING, Domain, Libvirt, Trouble
from godwit.virt.libvirt.checks import DestinationLook, SourceLook
from godwit.virt.libvirt.connection import or_none, refusal_of
from godwit.virt.libvirt.cpu import is_compared
from godwit.virt.libvirt.needs import HostOffer
from godwit.virt.libvirt.pool_volumes import as_files
from godwit.virt.libvirt.sighting import Reading, qemu_status
from godwit.virt.libvirt.storages import PoolLook
from godwit.virt.libvirt.volumes import BUSY_POOL
from godwit.virt.libvirt.xml import MachineOffer, domain_facts, machine_offer

NO_SUCH_MACHINE: Final = frozenset({int(Trouble.INVALID_ARG), int(Trouble.CONFIG_UNSUPPORTED)})
"""This host has no such kind of virtualisation at all."""
CPU_REFUSED: Final = NO_SUCH_MACHINE | {
    int(Trouble.CPU_INCOMPATIBLE),
    int(Trouble.INTERNAL_ERROR),  # it has never heard of one of the features: "Unknown CPU feature"
}
CANNOT_COMPARE: Final = frozenset({int(Trouble.NO_SUPPORT), int(Trouble.OPERATION_UNSUPPORTED)})
"""libvirt compares no CPUs of this architecture: it will see at the start."""
NO_SUCH_EMULATOR: Final = frozenset({int(Trouble.SYSTEM_ERROR)})
NO_SUCH_PAGES: Final = frozenset({int(Trouble.OPERATION_FAILED), int(Trouble.NO_SUPPORT)})
NO_SUCH_SECRET: Final = frozenset({int(Trouble.NO_SECRET), int(Trouble.NO_SUPPORT)})


def look_at_destination(
    libvirt: Libvirt, instance: Instance, host: reads.HostLook, paths: Sequence[str]
) -> tuple[reads.HostLook, DestinationLook]:
    """What the destination has to say about this guest, and `host` with what is free now in the
    folders of its disks.

    `paths`: where the guest's disks would stand there.
    """
    offer = _offer(libvirt, instance.platform or Platform(), host)
    host = replace(host, pools=_looked_through(libvirt, host.pools, _folders_of(paths)))
    namesake = or_none(lambda: libvirt.lookupByName(instance.name))
    return host, DestinationLook(
        networks_known=host.networks is not None,
        uuid_of_same_name=namesake.UUIDString() if namesake is not None else "",
        has_same_uuid=reads.find_domain(libvirt, instance.uuid) is not None,
        files=_files_there(libvirt, host.pools, paths),
        cpu_missing=cpu_missing(
            libvirt, instance.platform or Platform(), host.capabilities.machine_types, offer
        ),
        offer=offer,
    )


def _offer(libvirt: Libvirt, platform: Platform, host: reads.HostLook) -> HostOffer:
    """Only what this guest takes is asked for: most take nothing that costs a call."""
    machine = _machine_offer(libvirt, platform, host)
    kind = (platform.architecture, platform.virtualisation)
    return HostOffer(
        runs_its_kind=not all(kind) or kind in host.capabilities.runs,
        has_emulator=_has_emulator(libvirt, platform, host.capabilities.emulators),
        free_memory_mib=host.free_memory_mib,
        free_pages=_free_pages(libvirt, platform, host.capabilities.cells),
        cpus=host.capabilities.cpus,
        cells=host.capabilities.cells,
        links=reads.links(libvirt) if platform.links else None,
        firmwares=machine.firmwares,
        tpm_backends=machine.tpm_backends,
        secrets=frozenset(uuid for uuid in platform.secrets if _has_secret(libvirt, uuid)),
    )


def _machine_offer(libvirt: Libvirt, platform: Platform, host: reads.HostLook) -> MachineOffer:
    unknown = platform.machine_type not in host.capabilities.machine_types
    if unknown or not (platform.firmware or platform.tpm):
        return MachineOffer(None, None)
    text = or_none(
        lambda: libvirt.getDomainCapabilities(
            None, platform.architecture, platform.machine_type, platform.virtualisation
        ),
        also=NO_SUCH_MACHINE,
    )
    return machine_offer(text) if text else MachineOffer(None, None)


def _has_emulator(libvirt: Libvirt, platform: Platform, emulators: frozenset[str]) -> bool:
    """Of one that is not the usual one, libvirt can say whether it is there when asked about it."""
    if not platform.emulator or platform.emulator in emulators:
        return True
    said = or_none(
        lambda: libvirt.getDomainCapabilities(
            platform.emulator, platform.architecture, None, platform.virtualisation
        ),
        also=NO_SUCH_EMULATOR | NO_SUCH_MACHINE,
    )
    return said is not None


def _free_pages(libvirt: Libvirt, platform: Platform, cells: frozenset[int]) -> dict[int, int]:
    """Of each size the guest uses, on the cells it may use."""
    allowed = cells & frozenset(platform.memory_cells) if platform.memory_cells else cells
    return {
        size: sum(_free_on(libvirt, cell, size) for cell in sorted(allowed))
        for size in platform.huge_pages_kib
    }


def _free_on(libvirt: Libvirt, cell: int, size_kib: int) -> int:
    found = or_none(lambda: libvirt.getFreePages([size_kib], cell, 1), also=NO_SUCH_PAGES)
    return found[cell][size_kib] if found else 0


def _has_secret(libvirt: Libvirt, uuid: str) -> bool:
    found = or_none(lambda: libvirt.secretLookupByUUIDString(uuid), also=NO_SUCH_SECRET)
    return found is not None


def _looked_through(
    libvirt: Libvirt, pools: Sequence[PoolLook], folders: frozenset[str]
) -> tuple[PoolLook, ...]:
    """The pools, those on these folders once libvirtd has looked again at what they hold."""
    looks = (_looked_again(libvirt, pool) if _folder(pool) in folders else pool for pool in pools)
    return tuple(look for look in looks if look is not None)


def _looked_again(libvirt: Libvirt, look: PoolLook) -> PoolLook | None:
    """None if it is active no more. A pool that is busy is left as libvirtd last saw it."""
    pool = or_none(lambda: libvirt.storagePoolLookupByName(look.facts.name))
    if pool is None:
        return None
    or_none(pool.refresh, also=BUSY_POOL)
    info = or_none(pool.info, also=reads.NOT_NOW)
    if info is None or info[0] != POOL_RUNNING:
        return None
    return replace(look, capacity_bytes=info[1], free_bytes=info[3])


def _files_there(
    libvirt: Libvirt, pools: Sequence[PoolLook], paths: Sequence[str]
) -> dict[str, bool]:
    with_pool = {_folder(pool) for pool in pools}
    return {
        path: reads.has_volume(libvirt, path)
        for path in paths
        if str(PurePosixPath(path).parent) in with_pool
    }


def _folders_of(paths: Sequence[str]) -> frozenset[str]:
    return frozenset(str(PurePosixPath(path).parent) for path in paths)


def _folder(pool: PoolLook) -> str:
    return str(PurePosixPath(pool.facts.path))


def cpu_missing(
    libvirt: Libvirt, platform: Platform, machine_types: Sequence[str], offer: HostOffer
) -> str:
    """What this host lacks of the guest's CPU, in libvirt's words; empty if nothing is known.

    Asked of the hypervisor that would run it (kvm or qemu), not of the physical CPU.
    """
    if not is_compared(platform) or not offer.runs_its_kind:
        return ""
    known = platform.machine_type in machine_types

    def compare() -> int:
        return libvirt.compareHypervisorCPU(
            platform.emulator if offer.has_emulator and platform.emulator else None,
            platform.architecture,
            platform.machine_type if known else None,
            platform.virtualisation,
            platform.cpu,
            FAIL_INCOMPATIBLE,
        )

    return or_none(lambda: refusal_of(compare, CPU_REFUSED), also=CANNOT_COMPARE) or ""


def look_at_source(libvirt: Libvirt, uuid: InstanceUuid) -> SourceLook | None:
    """The guest that is to leave; None if there is none. May wait for its QEMU."""
    return or_none(lambda: _look(libvirt, libvirt.lookupByUUIDString(uuid)))


def _look(libvirt: Libvirt, domain: Domain) -> SourceLook:
    facts = domain_facts(as_files(libvirt, domain.XMLDesc()))
    state, reason = domain.state()[:2]
    persistent = bool(domain.isPersistent())
    running = bool(domain.isActive())
    answer = (reads.query_migrate(domain) if running else None) or {}
    blocked = answer.get("blocked-reasons")
    return SourceLook(
        facts=facts,
        reading=Reading(
            state,
            reason,
            persistent,
            job=reads.job_operation(domain) if running else 0,
            qemu_status=qemu_status(answer),
        ),
        autostart=persistent and bool(domain.autostart()),
        snapshots=domain.snapshotNum(),
        block_jobs=tuple(
            disk.device
            for disk in facts.disks
            if running and reads.has_block_job(domain, disk.device)
        ),
        blocked_reasons=tuple(str(words) for words in blocked) if isinstance(blocked, list) else (),
    )
