"""The filters: each looks at one guest's needs and one host, and says what is against it.

To add one, write a function and put it into `PLACING` or `MOVING`. The first filter that refuses
gives the host's reason, so the ones that a person would name first stand first. All are pure.
"""

from collections.abc import Callable
from typing import Final

from godwit.model.host import HostFacts, version_words
from godwit.model.instance import Disk
from godwit.model.migration import BlockMigration
from godwit.model.places import is_seen_there, path_there, storage_of
from godwit.model.reasons import Code, Reason, reason
from godwit.model.request_spec import RequestSpec
from godwit.scheduler.host_state import HostState, why_unavailable
from godwit.scheduler.ownership import not_ours

Filter = Callable[[RequestSpec, HostState], Reason | None]
"""`refuse(spec, host_state)`: why this host cannot take the guest, or None."""


def requested_host(spec: RequestSpec, state: HostState) -> Reason | None:
    """Only the host that was asked for, if one was."""
    if spec.requested_host in (None, state.name):
        return None
    return reason(Code.NOT_THE_REQUESTED_HOST, host=state.name, requested=spec.requested_host)


def not_the_source(spec: RequestSpec, state: HostState) -> Reason | None:
    """A guest does not move to where it is."""
    if state.name != spec.source.name:
        return None
    return reason(Code.UNABLE_TO_MIGRATE_TO_SELF, host=state.name)


def not_refused_before(spec: RequestSpec, state: HostState) -> Reason | None:
    """Not a host that has already refused in this search."""
    return reason(Code.REFUSED_BEFORE, host=state.name) if state.name in spec.refused else None


def up(_spec: RequestSpec, state: HostState) -> Reason | None:
    """The host has described itself, reports, and its hypervisor answers."""
    return why_unavailable(state)


def enabled(_spec: RequestSpec, state: HostState) -> Reason | None:
    """The operator lets the host take guests."""
    if not state.disabled:
        return None
    why = state.disabled_reason or "no reason was given"
    return reason(Code.COMPUTE_SERVICE_DISABLED, host=state.name, why=why)


def same_hypervisor(spec: RequestSpec, state: HostState) -> Reason | None:
    """A live migration needs the same hypervisor type and processor architecture at both ends."""
    there, here = _described(state), spec.source
    pairs = (
        (there.hypervisor_type, here.hypervisor_type),
        (there.architecture, here.architecture),
    )
    if all(theirs == ours for theirs, ours in pairs):
        return None
    return reason(
        Code.INVALID_HYPERVISOR_TYPE,
        host=state.name,
        there=f"{there.hypervisor_type} on {there.architecture}",
        here=f"{here.hypervisor_type} on {here.architecture}",
    )


def another_machine(spec: RequestSpec, state: HostState) -> Reason | None:
    """Two hosts that call themselves by one uuid refuse each other, be they one machine or two."""
    uuid = _described(state).machine_uuid
    if not uuid or uuid != spec.source.machine_uuid:
        return None
    return reason(Code.SAME_MACHINE_UUID, host=state.name, source=spec.source.name, uuid=uuid)


def managed_there(spec: RequestSpec, state: HostState) -> Reason | None:
    """A guest does not move to where Godwit may not touch it any more."""
    return not_ours(spec.instance, _described(state))


def machine_known(spec: RequestSpec, state: HostState) -> Reason | None:
    """The host must know the guest's machine type, if it reports any."""
    machine, known = _machine_type(spec), _described(state).machine_types
    if not machine or not known or machine in known:
        return None
    return reason(Code.MACHINE_TYPE_UNSUPPORTED, host=state.name, machine=machine)


def not_older(spec: RequestSpec, state: HostState) -> Reason | None:
    """An older hypervisor will do for a guest whose machine it knows, and for no other one."""
    facts = _described(state)
    there, here = facts.hypervisor_version, spec.source.hypervisor_version
    machine = _machine_type(spec)
    if there >= here or (machine and machine in facts.machine_types):
        return None
    return reason(
        Code.DESTINATION_HYPERVISOR_TOO_OLD,
        host=state.name,
        there=version_words(there),
        here=version_words(here),
    )


def storage_reachable(spec: RequestSpec, state: HostState) -> Reason | None:
    """Where disks must not be copied, the host must share the storage of each of them."""
    if spec.block_migration is not BlockMigration.SHARED:
        return None
    for disk in _disks_with_a_place(spec):
        if not is_seen_there(disk, _described(state).storages):
            return reason(Code.INVALID_SHARED_STORAGE, host=state.name, path=disk.path)
    return None


def space_for_copies(spec: RequestSpec, state: HostState) -> Reason | None:
    """Disks that will be copied must fit. Where no storage holds their folder, or its size is not
    known (0), the checks at the host itself decide; and so where the host was asked for, because
    what a host reports as free may be old, and the check looks anew.
    """
    facts = _described(state)
    if spec.requested_host == state.name:
        return None
    needed_bytes: dict[str, int] = {}
    for disk in _disks_to_copy(spec, facts):
        path = path_there(disk, spec.source.storages, facts.storages)
        storage = storage_of(path, facts.storages)
        if storage is not None:
            room_bytes = disk.room_bytes(disk_over_commit=spec.disk_over_commit)
            needed_bytes[storage.path] = needed_bytes.get(storage.path, 0) + room_bytes
    for storage in facts.storages:
        needed_mib = -(-needed_bytes.get(storage.path, 0) // 2**20)
        if storage.total_mib and needed_mib > storage.free_mib:
            return reason(
                Code.NOT_ENOUGH_DISK,
                host=state.name,
                storage=storage.path,
                free_mib=storage.free_mib,
                needed_mib=needed_mib,
            )
    return None


def networks_present(spec: RequestSpec, state: HostState) -> Reason | None:
    """Every network of the guest exists at the host, if the host reports networks at all."""
    there = _described(state).networks
    needed = [nic.network for nic in spec.instance.nics if nic.network]
    missing = [network for network in needed if network not in there]
    if not there or not missing:
        return None
    return reason(Code.BRIDGE_MISSING, host=state.name, bridge=missing[0])


def enough_memory(spec: RequestSpec, state: HostState) -> Reason | None:
    """The guest's memory fits beside all that is claimed. The claim itself checks again."""
    needed_mib, free_mib = spec.instance.memory_mib, state.free_memory_mib
    if needed_mib <= free_mib:
        return None
    return reason(
        Code.NOT_ENOUGH_MEMORY, host=state.name, free_mib=max(0, free_mib), needed_mib=needed_mib
    )


def enough_vcpus(spec: RequestSpec, state: HostState) -> Reason | None:
    """The guest's vCPUs fit beside all that is claimed. The claim itself checks again."""
    needed, free = spec.instance.vcpus, state.free_vcpus
    if needed <= free:
        return None
    return reason(Code.NOT_ENOUGH_VCPUS, host=state.name, free=max(0, free), needed=needed)


def affinity(spec: RequestSpec, state: HostState) -> Reason | None:
    """Where the server's group belongs together, only the hosts of its other members."""
    apart = spec.group_hosts and state.name not in spec.group_hosts
    if spec.group_policy != "affinity" or not apart:
        return None
    return reason(
        Code.AFFINITY_VIOLATED,
        host=state.name,
        group=spec.instance.group,
        together=", ".join(sorted(set(spec.group_hosts))),
    )


def anti_affinity(spec: RequestSpec, state: HostState) -> Reason | None:
    """Where the server's group belongs apart, no host of another member."""
    if spec.group_policy != "anti-affinity" or state.name not in spec.group_hosts:
        return None
    return reason(Code.ANTI_AFFINITY_VIOLATED, host=state.name, group=spec.instance.group)


def nothing_owed(spec: RequestSpec, state: HostState) -> Reason | None:
    """A host that still owes the clean-up of this guest's earlier move may hold a half of it."""
    if state.name not in spec.owing:
        return None
    return reason(Code.CLEAN_UP_PENDING, host=state.name, migration="see godwit migration list")


PLACING: Final[tuple[Filter, ...]] = (
    requested_host,
    not_refused_before,
    up,
    enabled,
    networks_present,
    affinity,
    anti_affinity,
    enough_memory,
    enough_vcpus,
)
"""For any guest that needs a host. None of these looks at `spec.source`."""

MOVING: Final[tuple[Filter, ...]] = (
    not_the_source,
    requested_host,
    not_refused_before,
    up,
    enabled,
    managed_there,
    another_machine,
    same_hypervisor,
    machine_known,
    not_older,
    storage_reachable,
    space_for_copies,
    networks_present,
    affinity,
    anti_affinity,
    nothing_owed,
    enough_memory,
    enough_vcpus,
)
"""For a guest that moves. `up` stands before all that read the host's own description."""


def _machine_type(spec: RequestSpec) -> str:
    return spec.instance.platform.machine_type if spec.instance.platform is not None else ""


def _described(state: HostState) -> HostFacts:
    if state.facts is None:
        raise AssertionError(f"{state.name} passed the filter `up` without having facts")
    return state.facts


def _disks_with_a_place(spec: RequestSpec) -> tuple[Disk, ...]:
    """Network volumes are reached from everywhere and never copied."""
    return tuple(disk for disk in spec.instance.disks if not disk.network)


def _disks_to_copy(spec: RequestSpec, facts: HostFacts) -> tuple[Disk, ...]:
    if spec.block_migration is BlockMigration.SHARED:
        return ()
    return tuple(
        disk
        for disk in _disks_with_a_place(spec)
        if not disk.read_only and not is_seen_there(disk, facts.storages)
    )
