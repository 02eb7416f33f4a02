from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_
from tests.unit.said_codes import codes_said_by

from godwit.model import host as host_module
from godwit.model.host import Host, HostFacts, Manage, PersonsWord, Storage, Usage, version_words
from godwit.model.ids import HostName, InstanceUuid, StorageId
from godwit.model.instance import Disk, Instance, Nic, Platform, PowerState, VmState
from godwit.model.migration import BlockMigration
from godwit.model.reasons import Code, Reason
from godwit.model.request_spec import RequestSpec
from godwit.scheduler import filters, ownership
from godwit.scheduler import host_state as host_state_module
from godwit.scheduler.filters import MOVING, PLACING
from godwit.scheduler.host_state import HostState, host_state
from godwit.scheduler.select import refusal_of, select_destinations

NFS, LOCAL = StorageId("nfs"), StorageId("local-a")


def storage(identity: StorageId, path: str, free_mib: int = 100_000) -> Storage:
    shared = identity == NFS
    return Storage(id=identity, path=path, shared=shared, total_mib=200_000, free_mib=free_mib)


def facts(name: str) -> HostFacts:
    return HostFacts(
        name=HostName(name),
        node=f"{name}.example",
        hypervisor_type="QEMU",
        hypervisor_version=7_002_022,
        vcpus=8,
        memory_mib=16_384,
        reserved_memory_mib=512,
        cpu_allocation_ratio=2.0,
        storages=(storage(NFS, "/shared"), storage(StorageId(f"local-{name}"), "/var/lib/guests")),
        networks=("br0", "br1"),
    )


def state(name: str, **changes: Any) -> HostState:
    there = facts(name)
    plain = HostState(name=there.name, facts=there, usage=Usage(), up=True)
    return replace(plain, **changes)


INSTANCE = Instance(
    uuid=InstanceUuid("11111111-1111-1111-1111-111111111111"),
    name="guest-1",
    host=HostName("host-a"),
    node="host-a.example",
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=2,
    memory_mib=1024,
    disks=(
        Disk(device="vda", path="/shared/1.qcow2", format="qcow2", size_bytes=2**30, storage=NFS),
    ),
    nics=(Nic(mac="52:54:00:00:00:01", network="br0"),),
)
LOCAL_DISK = Disk(
    device="vdb",
    path="/var/lib/guests/1.qcow2",
    format="qcow2",
    size_bytes=10 * 2**30,
    storage=StorageId("local-host-a"),
)
SPEC = RequestSpec(instance=INSTANCE, source=facts("host-a"))
WITH_LOCAL_DISK = with_(SPEC, instance=with_(INSTANCE, disks=(*INSTANCE.disks, LOCAL_DISK)))
GROUPED = with_(INSTANCE, group="web")
ON_Q35 = with_(SPEC, instance=with_(INSTANCE, platform=Platform(machine_type="pc-q35-7.2")))
NOVAS = with_(SPEC, instance=with_(INSTANCE, platform=Platform(managers=("nova",))))
B = HostName("host-b")


UNPLUGGED = Nic(mac="52:54:00:00:00:02", network="")


def fewer(there: HostFacts, **changes: object) -> HostFacts:
    return with_(there, **changes)


REFUSED: Mapping[str, tuple[RequestSpec, HostState, Code]] = {
    "the source": (SPEC, state("host-a"), Code.UNABLE_TO_MIGRATE_TO_SELF),
    "another was asked for": (
        with_(SPEC, requested_host=HostName("host-c")),
        state("host-b"),
        Code.NOT_THE_REQUESTED_HOST,
    ),
    "refused before": (with_(SPEC, refused=(B,)), state("host-b"), Code.REFUSED_BEFORE),
    "without power": (
        SPEC,
        state("host-b", confirmed_down=PersonsWord(by="local:ana", at="2026-01-02T03:04:05")),
        Code.HOST_CONFIRMED_DOWN,
    ),
    "heard without power": (
        SPEC,
        state("host-b", confirmed_down=PersonsWord(by="local:ana", at="", heard_at="2026-01-02")),
        Code.HOST_HEARD_AGAIN,
    ),
    "silent": (SPEC, state("host-b", up=False, silent_s=60.0), Code.COMPUTE_SERVICE_UNAVAILABLE),
    "its hypervisor does not answer": (
        SPEC,
        state("host-b", trouble="no route to host"),
        Code.HYPERVISOR_UNAVAILABLE,
    ),
    "never described": (SPEC, state("host-b", facts=None), Code.HYPERVISOR_UNAVAILABLE),
    "disabled": (SPEC, state("host-b", disabled=True), Code.COMPUTE_SERVICE_DISABLED),
    "another hypervisor": (
        SPEC,
        state("host-b", facts=fewer(facts("host-b"), hypervisor_type="Xen")),
        Code.INVALID_HYPERVISOR_TYPE,
    ),
    "another architecture": (
        SPEC,
        state("host-b", facts=fewer(facts("host-b"), architecture="aarch64")),
        Code.INVALID_HYPERVISOR_TYPE,
    ),
    "an older hypervisor": (
        SPEC,
        state("host-b", facts=fewer(facts("host-b"), hypervisor_version=7_002_021)),
        Code.DESTINATION_HYPERVISOR_TOO_OLD,
    ),
    "an unknown machine": (
        ON_Q35,
        state("host-b", facts=fewer(facts("host-b"), machine_types=("pc-q35-6.2",))),
        Code.MACHINE_TYPE_UNSUPPORTED,
    ),
    "by the same uuid": (
        with_(SPEC, source=fewer(facts("host-a"), machine_uuid="m1")),
        state("host-b", facts=fewer(facts("host-b"), machine_uuid="m1")),
        Code.SAME_MACHINE_UUID,
    ),
    "tagged guests alone": (
        SPEC,
        state("host-b", facts=fewer(facts("host-b"), manage=Manage.TAGGED)),
        Code.NOT_TAGGED,
    ),
    "another manager's": (NOVAS, state("host-b"), Code.OTHER_MANAGER),
    "a disk is not shared": (
        with_(WITH_LOCAL_DISK, block_migration=BlockMigration.SHARED),
        state("host-b"),
        Code.INVALID_SHARED_STORAGE,
    ),
    "no space for the copy": (
        WITH_LOCAL_DISK,
        state(
            "host-b",
            facts=fewer(
                facts("host-b"), storages=(storage(LOCAL, "/var/lib/guests", free_mib=10_000),)
            ),
        ),
        Code.NOT_ENOUGH_DISK,
    ),
    "a network is missing": (
        SPEC,
        state("host-b", facts=fewer(facts("host-b"), networks=("br1",))),
        Code.BRIDGE_MISSING,
    ),
    "its group is elsewhere": (
        with_(SPEC, instance=GROUPED, group_policy="affinity", group_hosts=(HostName("host-c"),)),
        state("host-b"),
        Code.AFFINITY_VIOLATED,
    ),
    "a member is there": (
        with_(SPEC, instance=GROUPED, group_policy="anti-affinity", group_hosts=(B,)),
        state("host-b"),
        Code.ANTI_AFFINITY_VIOLATED,
    ),
    "it owes a clean-up": (with_(SPEC, owing=(B,)), state("host-b"), Code.CLEAN_UP_PENDING),
    "memory is claimed": (
        SPEC,
        state("host-b", usage=Usage(memory_mib=16_384 - 512 - 1023)),
        Code.NOT_ENOUGH_MEMORY,
    ),
    "vCPUs are claimed": (SPEC, state("host-b", usage=Usage(vcpus=15)), Code.NOT_ENOUGH_VCPUS),
}


def test_a_copy_that_may_over_commit_needs_room_for_what_the_disk_holds_now() -> None:
    held = with_(LOCAL_DISK, allocated_bytes=2**30)
    spec = with_(SPEC, instance=with_(INSTANCE, disks=(held,)))
    there = storage(LOCAL, "/var/lib/guests", free_mib=1024)
    tight = state("host-b", facts=fewer(facts("host-b"), storages=(there,)))
    fuller = fewer(facts("host-b"), storages=(with_(there, free_mib=1023),))
    over = with_(spec, disk_over_commit=True)
    assert code_of(refusal_of(spec, tight)) is Code.NOT_ENOUGH_DISK
    assert refusal_of(over, tight) is None
    assert code_of(refusal_of(over, state("host-b", facts=fuller))) is Code.NOT_ENOUGH_DISK


def test_a_host_that_was_asked_for_says_itself_whether_it_has_room() -> None:
    there = storage(LOCAL, "/var/lib/guests", free_mib=0)
    full = state("host-b", facts=fewer(facts("host-b"), storages=(there,)))
    assert code_of(refusal_of(WITH_LOCAL_DISK, full)) is Code.NOT_ENOUGH_DISK
    assert refusal_of(with_(WITH_LOCAL_DISK, requested_host=B), full) is None


def code_of(refusal: Reason | None) -> Code | None:
    """The refusal in a word."""
    return refusal.code if refusal is not None else None


@pytest.mark.parametrize("why", REFUSED)
def test_a_host_is_refused_with_its_own_code_words_and_remedy(why: str) -> None:
    spec, host, code = REFUSED[why]
    refusal = refusal_of(spec, host)
    assert refusal is not None
    assert refusal.code is code
    assert refusal.host == host.name
    assert refusal.words
    assert refusal.remedy
    assert select_destinations(spec, [host]).hosts == ()


def test_every_filter_refuses_something() -> None:
    refusing = {
        each
        for spec, host, _ in REFUSED.values()
        for each in (*MOVING, *PLACING)
        if host.facts is not None
        if each(spec, host) is not None
    }
    assert refusing == {*MOVING, *PLACING}


def test_every_code_of_the_scheduler_has_a_case() -> None:
    tried = {code for _, _, code in REFUSED.values()}
    assert codes_said_by(filters, host_state_module, host_module, ownership) == tried


@pytest.mark.parametrize(
    ("spec", "host"),
    [
        (SPEC, state("host-b")),
        (with_(SPEC, requested_host=B), state("host-b")),
        (WITH_LOCAL_DISK, state("host-b")),
        (with_(SPEC, block_migration=BlockMigration.SHARED), state("host-b")),
        (SPEC, state("host-b", facts=fewer(facts("host-b"), networks=()))),
        (SPEC, state("host-b", facts=fewer(facts("host-b"), hypervisor_version=10_000_002))),
        (
            ON_Q35,
            state(
                "host-b",
                facts=fewer(
                    facts("host-b"), hypervisor_version=6_002_000, machine_types=("pc-q35-7.2",)
                ),
            ),
        ),
        (with_(SPEC, instance=with_(INSTANCE, nics=(UNPLUGGED,))), state("host-b")),
        (SPEC, state("host-b", usage=Usage(memory_mib=16_384 - 512 - 1024, vcpus=14))),
        (with_(SPEC, group_policy="affinity", group_hosts=()), state("host-b")),
        (with_(SPEC, group_policy="affinity", group_hosts=(B,)), state("host-b")),
        (with_(SPEC, group_policy="anti-affinity", group_hosts=()), state("host-b")),
    ],
)
def test_a_host_that_has_what_is_needed_is_chosen(spec: RequestSpec, host: HostState) -> None:
    assert select_destinations(spec, [host]).hosts == (host.name,)


def test_the_host_with_most_free_memory_comes_first_then_the_idle_one_then_by_name() -> None:
    states = [
        state("host-e", usage=Usage(memory_mib=1024)),
        state("host-d", usage=Usage(waiting=1)),
        state("host-c"),
        state("host-b"),
    ]
    assert select_destinations(SPEC, states).hosts == ("host-b", "host-c", "host-d", "host-e")


def test_of_a_large_fleet_the_best_are_looked_at_and_others_only_if_none_is_possible() -> None:
    full = [state(f"full-{n}", disabled=True) for n in range(3)]
    states = [*full, *(state(f"host-{n}", usage=Usage(memory_mib=512 + n)) for n in range(5))]
    selection = select_destinations(SPEC, states, look_max=4)
    assert selection.hosts == ("host-0",)
    assert [why.host for why in selection.refusals] == ["full-0", "full-1", "full-2"]
    assert select_destinations(SPEC, states, look_max=2).hosts == ("host-0",)
    assert len(select_destinations(SPEC, states).hosts) == 5
    assert len(select_destinations(SPEC, full, look_max=1).refusals) == 3


@given(st.permutations([host for _, host, _ in REFUSED.values()]), st.integers(0, 4))
def test_every_host_is_chosen_or_refused_once_in_whatever_order_they_come(
    hosts: list[HostState], extra: int
) -> None:
    named = [called(host, HostName(f"host-{n}")) for n, host in enumerate(hosts)]
    named += [state(f"other-{n}") for n in range(extra)]
    selection = select_destinations(SPEC, named)
    refused = [why.host for why in selection.refusals if why.host is not None]
    assert sorted([*selection.hosts, *refused]) == sorted(host.name for host in named)
    assert selection == select_destinations(SPEC, reversed(named))


def called(host: HostState, name: HostName) -> HostState:
    there = host.facts
    return replace(host, name=name, facts=with_(there, name=name) if there is not None else None)


def test_a_hosts_state_repeats_what_its_record_says() -> None:
    host = Host(
        name=B, facts=facts("host-b"), trouble="hung", disabled=True, disabled_reason="repair"
    )
    made = host_state(host, Usage(vcpus=1), up=False, silent_s=3.0)
    assert made == state(
        "host-b",
        up=False,
        silent_s=3.0,
        trouble="hung",
        disabled=True,
        disabled_reason="repair",
        usage=Usage(vcpus=1),
    )


@pytest.mark.parametrize(("number", "words"), [(7_002_022, "7.2.22"), (11_003_000, "11.3.0")])
def test_versions_are_written_as_people_write_them(number: int, words: str) -> None:
    assert version_words(number) == words
