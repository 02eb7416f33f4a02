"""Could the guest run there, may it leave here? Pure: looks come in, reasons against come out.

Every reason is given, not only the first. `cpu` and `needs` judge what the guest's definition
takes of a host, `devices` what ties it to one. What libvirt alone knows (a guest marked for
autodestroy, a socket whose folder is not there) it refuses at the start, the guest untouched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from msgspec.structs import replace

from godwit.model.host import HostFacts, Storage, version_words
from godwit.model.ids import HostName
from godwit.model.instance import Disk, Instance
from godwit.model.places import storage_of
from godwit.model.reasons import Code, Reason, reason
from godwit.model.request_spec import RequestSpec
from godwit.virt.libvirt.abi import Paused, State
from godwit.virt.libvirt.cpu import cpu_refusals
from godwit.virt.libvirt.needs import HostOffer, unmet_needs
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.storages import DiskPlan
from godwit.virt.libvirt.xml import DomainDisk, DomainFacts


@dataclass(frozen=True)
class DestinationLook:
    """What a destination says about one guest, apart from what it says of itself."""

    networks_known: bool
    """False where this libvirtd cannot list its bridges: then none is missed."""
    uuid_of_same_name: str
    """The uuid of a guest with this name; empty if there is none."""
    has_same_uuid: bool
    files: Mapping[str, bool]
    """For each disk whose folder there has a pool, by its path there: is the file there?"""
    offer: HostOffer
    cpu_missing: str
    """What libvirt says is missing for the guest's CPU; empty if nothing."""


@dataclass(frozen=True)
class SourceLook:
    """What the source said of the guest that is to leave."""

    facts: DomainFacts
    reading: Reading
    autostart: bool
    snapshots: int
    block_jobs: tuple[str, ...]
    blocked_reasons: tuple[str, ...]
    """QEMU's own, empty if it may be migrated."""


def destination_refusals(
    spec: RequestSpec, there: HostFacts, look: DestinationLook, plan: DiskPlan
) -> tuple[Reason, ...]:
    """Every reason why the guest cannot go there."""
    return (
        *_hypervisor(spec, there),
        *_platform(spec, there, look),
        *unmet_needs(spec.instance, there.name, look.offer),
        *_identity(spec.instance, there.name, look),
        *_networks(spec.instance, there, look),
        *plan.refusals,
        *_disks_that_stay(there.name, look, plan),
        *_room_for_copies(there, look, plan, disk_over_commit=spec.disk_over_commit),
    )


def source_refusals(
    here: HostName, instance: Instance, look: SourceLook, plan: DiskPlan, *, nested_moves: bool
) -> tuple[Reason, ...]:
    """Every reason why the guest cannot leave. `nested_moves`: though it may run guests itself."""
    refusals = (
        *_state_refusals(look),
        *look.facts.ties,
        *_left_behind(look),
        *_nested(look, nested_moves=nested_moves),
        *_blocked([*look.blocked_reasons, *_disk_blockers(look, plan)]),
    )
    own = tuple(replace(refusal, host=here) for refusal in refusals)
    return (*own, *_record_is_old(here, instance, look), *plan.refusals)


def console_refusals(there: HostName, look: SourceLook, console_address: str) -> tuple[Reason, ...]:
    """A console that listens on an address of the source could not even be started there."""
    addresses = () if console_address else look.facts.console_addresses
    return tuple(
        reason(Code.CONSOLE_ADDRESS_MISSING, host=there, address=address) for address in addresses
    )


# --- the destination ---


def _hypervisor(spec: RequestSpec, there: HostFacts) -> list[Reason]:
    """An older host will do: whether it knows the guest's machine decides (`_platform`). Where the
    machine is not on record, the version is all there is to go by.
    """
    source, platform = spec.source, spec.instance.platform
    if there.hypervisor_type != source.hypervisor_type:
        return [
            reason(
                Code.INVALID_HYPERVISOR_TYPE,
                host=there.name,
                there=there.hypervisor_type,
                here=source.hypervisor_type,
            )
        ]
    machine_known = platform is not None and platform.machine_type
    if not machine_known and there.hypervisor_version < source.hypervisor_version:
        return [
            reason(
                Code.DESTINATION_HYPERVISOR_TOO_OLD,
                host=there.name,
                there=version_words(there.hypervisor_version),
                here=version_words(source.hypervisor_version),
            )
        ]
    return []


def _platform(spec: RequestSpec, there: HostFacts, look: DestinationLook) -> list[Reason]:
    platform = spec.instance.platform
    if platform is None:
        return []
    refusals = []
    if platform.machine_type and platform.machine_type not in there.machine_types:
        refusals.append(
            reason(Code.MACHINE_TYPE_UNSUPPORTED, host=there.name, machine=platform.machine_type)
        )
    return [*refusals, *cpu_refusals(platform, spec.source, there, look.cpu_missing)]


def _identity(instance: Instance, host: HostName, look: DestinationLook) -> list[Reason]:
    if look.has_same_uuid:
        return [reason(Code.UUID_TAKEN, host=host, uuid=instance.uuid)]
    if look.uuid_of_same_name not in ("", instance.uuid):
        return [reason(Code.NAME_TAKEN, host=host, name=instance.name)]
    return []


def _networks(instance: Instance, there: HostFacts, look: DestinationLook) -> list[Reason]:
    if not look.networks_known:
        return []
    missing = {nic.network for nic in instance.nics if nic.network} - set(there.networks)
    return [reason(Code.BRIDGE_MISSING, host=there.name, bridge=name) for name in sorted(missing)]


def _disks_that_stay(host: HostName, look: DestinationLook, plan: DiskPlan) -> list[Reason]:
    """A file that a pool there would show and does not. Without a pool the declaration is believed:
    libvirt refuses a missing file before anything is sent.
    """
    files = [disk for disk in (*plan.stay, *plan.needed_there) if not disk.network]
    paths = [plan.path_there(disk.path) for disk in files]
    return [
        reason(Code.DISK_UNREACHABLE, host=host, path=path)
        for path in paths
        if look.files.get(path, True) is False
    ]


def _room_for_copies(
    there: HostFacts, look: DestinationLook, plan: DiskPlan, *, disk_over_commit: bool
) -> list[Reason]:
    host = there.name
    refusals: list[Reason] = []
    needed: dict[str, int] = {}
    for disk in plan.copied:
        path = plan.path_there(disk.path)
        if disk.size_bytes == 0:
            problem = f"the size of {disk.path} is not known"
            refusals.append(reason(Code.MIGRATION_PRE_CHECK_ERROR, host=host, problem=problem))
        elif path not in look.files:
            folder = PurePosixPath(path).parent
            refusals.append(reason(Code.STORAGE_POOL_MISSING, host=host, folder=folder))
        elif look.files[path]:
            refusals.append(reason(Code.DISK_EXISTS, host=host, path=path))
        else:
            storage = storage_of(path, there.storages)
            if storage is not None:
                # What a flattened overlay's bases hold is not known: it counts in full.
                own = plan.incremental or not disk.backing
                room_bytes = disk.room_bytes(disk_over_commit=disk_over_commit and own)
                needed[storage.id] = needed.get(storage.id, 0) + room_bytes
    return refusals + _too_full(host, there.storages, needed)


def _too_full(
    host: HostName, storages: Sequence[Storage], needed: Mapping[str, int]
) -> list[Reason]:
    return [
        reason(
            Code.NOT_ENOUGH_DISK,
            host=host,
            free_mib=storage.free_mib,
            storage=storage.path,
            needed_mib=-(-needed[storage.id] // 2**20),
        )
        for storage in storages
        if needed.get(storage.id, 0) > storage.free_mib * 2**20
    ]


# --- the source ---


def _state_refusals(look: SourceLook) -> list[Reason]:
    reading = look.reading
    movable = reading.state == State.RUNNING or (reading.state, reading.reason) == (
        State.PAUSED,
        Paused.USER,
    )
    refusals = [] if movable else _blocked([f"it is {reading.account}"])
    if reading.job:
        refusals.append(reason(Code.JOB_RUNNING, operation=reading.job))
    return refusals


def _left_behind(look: SourceLook) -> list[Reason]:
    """What libvirt refuses to leave behind, or to interrupt."""
    refusals = [reason(Code.BLOCK_JOB_RUNNING, device=device) for device in look.block_jobs]
    if look.snapshots:
        refusals.append(reason(Code.HAS_SNAPSHOTS, count=look.snapshots))
    return refusals


def _nested(look: SourceLook, *, nested_moves: bool) -> list[Reason]:
    feature = look.facts.nested_feature
    if nested_moves or not feature:
        return []
    return [reason(Code.NESTED_VIRTUALISATION, feature=feature)]


def _blocked(words: Sequence[str]) -> list[Reason]:
    return [reason(Code.MIGRATION_BLOCKED, blocker=each) for each in words if each]


def _disk_blockers(look: SourceLook, plan: DiskPlan) -> list[str]:
    copied = {disk.device for disk in plan.copied}
    return [
        words
        for disk in look.facts.disks
        if disk.device in copied and (words := _cannot_be_copied(disk))
    ]


def _cannot_be_copied(disk: DomainDisk) -> str:
    if disk.shareable:
        return f"{disk.device} is shared between guests, and a copy would part them"
    return ""


def _record_is_old(here: HostName, instance: Instance, look: SourceLook) -> list[Reason]:
    """The destination was asked about the disks on record: they must be those of the guest."""
    on_record = {_essence(disk) for disk in instance.disks}
    in_fact = {_essence(disk) for disk in look.facts.disks}
    if on_record == in_fact:
        return []
    changed = ", ".join(sorted({device for device, *_ in on_record ^ in_fact}))
    problem = f"the guest's disks have changed since the last report ({changed})"
    return [reason(Code.MIGRATION_PRE_CHECK_ERROR, host=here, problem=problem)]


def _essence(disk: Disk | DomainDisk) -> tuple[str, ...]:
    return (disk.device, disk.path, disk.format, *(base.path for base in disk.backing))
