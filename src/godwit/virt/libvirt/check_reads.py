"""What the checks need to know of the two ends, read from their libvirtds. Each function blocks and
changes nothing; they run in the threads of `connection`.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from godwit.model.ids import InstanceUuid
from godwit.model.instance import Instance, Platform
from godwit.virt.libvirt import reads
from godwit.virt.libvirt.abi import FAIL_INCOMPATIBLE, Domain, Libvirt, Trouble
from godwit.virt.libvirt.checks import CPU_NOT_COMPARED, DestinationLook, SourceLook
from godwit.virt.libvirt.connection import or_none, refusal_of
from godwit.virt.libvirt.sighting import Reading, qemu_status
from godwit.virt.libvirt.volumes import pool_on, refresh_pools
from godwit.virt.libvirt.xml import domain_facts

CPU_REFUSED: Final = frozenset(
    {int(Trouble.CPU_INCOMPATIBLE), int(Trouble.INVALID_ARG), int(Trouble.CONFIG_UNSUPPORTED)}
)
"""The last two: this host has no such kind of virtualisation at all."""


def look_at_destination(
    libvirt: Libvirt, instance: Instance
) -> tuple[reads.HostLook, DestinationLook]:
    """The destination itself, and what it has to say about this guest."""
    paths = [disk.path for disk in instance.disks if not disk.network]
    refresh_pools(libvirt, [str(PurePosixPath(path).parent) for path in paths])
    host = reads.look_at_host(libvirt)
    namesake = or_none(lambda: libvirt.lookupByName(instance.name))
    return host, DestinationLook(
        networks_known=host.networks is not None,
        uuid_of_same_name=namesake.UUIDString() if namesake is not None else "",
        has_same_uuid=reads.find_domain(libvirt, instance.uuid) is not None,
        files=_files_there(libvirt, paths),
        cpu_missing=_cpu_missing(libvirt, instance, host),
    )


def _files_there(libvirt: Libvirt, paths: Sequence[str]) -> dict[str, bool]:
    return {
        path: reads.find_volume(libvirt, path) is not None
        for path in paths
        if pool_on(libvirt, str(PurePosixPath(path).parent)) is not None
    }


def _cpu_missing(libvirt: Libvirt, instance: Instance, host: reads.HostLook) -> str:
    if instance.platform is None:
        return ""
    return cpu_missing(libvirt, instance.platform, host.capabilities.machine_types)


def cpu_missing(libvirt: Libvirt, platform: Platform, machine_types: Sequence[str]) -> str:
    """What this host lacks of the guest's CPU, in libvirt's words; empty if nothing.

    Asked of the hypervisor that would run it (kvm or qemu), not of the physical CPU.
    """
    if not platform.cpu or CPU_NOT_COMPARED in platform.cpu:
        return ""
    return refusal_of(
        lambda: libvirt.compareHypervisorCPU(
            None,
            platform.architecture,
            platform.machine_type if platform.machine_type in machine_types else None,
            platform.virtualisation,
            platform.cpu,
            FAIL_INCOMPATIBLE,
        ),
        CPU_REFUSED,
    )


def look_at_source(libvirt: Libvirt, uuid: InstanceUuid) -> SourceLook | None:
    """The guest that is to leave; None if there is none. May wait for its QEMU."""
    return or_none(lambda: _look(libvirt.lookupByUUIDString(uuid)))


def _look(domain: Domain) -> SourceLook:
    facts = domain_facts(domain.XMLDesc())
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
