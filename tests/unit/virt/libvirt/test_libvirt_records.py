"""Pure parts of the libvirt driver: XML, storages, checks, progress, addresses, flags."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.said_codes import codes_said_by

from godwit.model.host import HostFacts, Storage
from godwit.model.ids import HostName, InstanceUuid, StorageId
from godwit.model.instance import Disk, Instance, Nic, Platform, PowerState, VmState
from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.model.migration import BlockMigration
from godwit.model.places import storage_of
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.request_spec import RequestSpec
from godwit.model.steering import UNSTEERED, Steering
from godwit.runtime.settings import LibvirtHostSettings, StorageSettings
from godwit.virt.libvirt import checks, cpu, storages
from godwit.virt.libvirt.abi import (
    FROM_RPC,
    MIGRATION_OUT,
    JobType,
    Migrate,
    Paused,
    State,
    Trouble,
)
from godwit.virt.libvirt.addresses import migration_address, migration_uri, peer_uri
from godwit.virt.libvirt.checks import (
    DestinationLook,
    SourceLook,
    console_refusals,
    destination_refusals,
    source_refusals,
)
from godwit.virt.libvirt.errors import LibvirtError, is_certificate_problem
from godwit.virt.libvirt.migration import flags_of, parameters_of
from godwit.virt.libvirt.needs import HostOffer
from godwit.virt.libvirt.progress import progress_of, statistics_of, with_disks
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.storages import DiskPlan, PoolLook, plan_disks, storages_of
from godwit.virt.libvirt.xml import (
    DomainBacking,
    DomainDisk,
    DomainFacts,
    PoolFacts,
    capabilities,
    domain_facts,
    folder_pool_xml,
    pool_facts,
    volume_facts,
    volume_xml,
)

A, B = HostName("host-a"), HostName("host-b")
DOMAIN = """
<domain type='kvm' id='3'>
  <name>vm1</name><uuid>840151b5-a919-5a6c-bbf8-50ce5460fe79</uuid>
  <memory unit='KiB'>65537</memory><vcpu current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom'>
    <model>qemu64</model>
  </cpu>
  <devices>
    <emulator>/usr/bin/qemu</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/srv/a.qcow2' index='1'/>
      <backingStore type='file'>
        <format type='qcow2'/><source file='/srv/base.qcow2'/><backingStore/>
      </backingStore>
      <target dev='vda'/>
    </disk>
    <disk type='network' device='disk'>
      <driver type='raw'/><source protocol='rbd' name='pool/image'/><target dev='vdb'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    <disk type='file' device='cdrom'>
      <source file='/srv/boot.iso'/><target dev='sdb'/><readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/><source bridge='br0'/><model type='virtio'/>
    </interface>
    <interface type='network'><source network='net1' bridge='virbr0'/></interface>
    <interface type='hostdev'><mac address='52:54:00:00:00:02'/></interface>
    <hostdev mode='subsystem' type='pci'/>
  </devices>
</domain>
"""


def test_a_domain_is_read_from_its_xml() -> None:
    facts = domain_facts(DOMAIN)
    assert (facts.name, facts.memory_mib, facts.vcpus) == ("vm1", 65, 2)
    assert [(d.device, d.kind, d.path, d.read_only) for d in facts.disks] == [
        ("vda", "file", "/srv/a.qcow2", False),
        ("vdb", "network", "rbd:pool/image", False),
        ("sdb", "file", "/srv/boot.iso", True),
    ]
    assert facts.disks[0].backing == (DomainBacking("file", "/srv/base.qcow2", "qcow2"),)
    assert [nic.network for nic in facts.nics] == ["br0", "net1", ""]
    assert [tie.code for tie in facts.ties] == [Code.HOST_DEVICE_ATTACHED] * 2
    assert facts.platform == Platform(
        virtualisation="kvm",
        architecture="x86_64",
        machine_type="pc-q35-7.2",
        emulator="/usr/bin/qemu",
        cpu='<cpu mode="custom"><model>qemu64</model></cpu>',
    )


def test_machine_types_are_known_by_name_and_alias() -> None:
    text = (
        "<capabilities><host><cpu><arch>x86_64</arch><model>EPYC</model></cpu></host><guest><arch>"
        "<machine>pc-q35-7.2</machine><machine canonical='pc-q35-7.2'>q35</machine>"
        "</arch></guest></capabilities>"
    )
    found = capabilities(text)
    assert (found.architecture, found.cpu_model) == ("x86_64", "EPYC")
    assert found.machine_types == ("pc-q35-7.2", "q35")


@pytest.mark.parametrize(
    ("kinds", "expected"), [(["qemu"], "qemu"), (["qemu", "kvm"], "kvm"), ([], "qemu")]
)
def test_a_host_with_kvm_runs_guests_with_it(kinds: list[str], expected: str) -> None:
    domains = "".join(f"<domain type='{kind}'/>" for kind in kinds)
    text = f"<capabilities><host/><guest><arch>{domains}</arch></guest></capabilities>"
    assert capabilities(text).virtualisation == expected


def test_a_pool_on_a_folder_is_read_as_it_was_written() -> None:
    folder = "/srv/a & b"
    assert pool_facts(folder_pool_xml(folder)) == PoolFacts("godwit-srv-a & b", "dir", folder)


KILLED_MEANWHILE = (
    "authentication failed: TLS handshake failed Error in the pull function."  # libvirt 9.0
)
NAMES = st.text("a&<>'\"é.-_ 7", min_size=1).map(str.strip).filter(bool)


@given(name=NAMES, capacity=st.integers(0, 2**50))
def test_a_volume_asked_for_is_the_volume_that_is_read(name: str, capacity: int) -> None:
    facts = volume_facts(volume_xml(name, "qcow2", capacity))
    assert (facts.format, facts.capacity_bytes, facts.allocated_bytes) == ("qcow2", capacity, 0)


def test_a_network_pools_origin_is_read() -> None:
    text = (
        "<pool type='netfs'><name>n</name><source><host name='nas'/><dir path='/export'/></source>"
        "<target><path>/mnt/n</path></target></pool>"
    )
    assert pool_facts(text) == PoolFacts("n", "netfs", "/mnt/n", "nas:/export")


# --- storages ---


def a_pool(name: str, path: str, kind: str = "dir", origin: str = "") -> PoolLook:
    return PoolLook(PoolFacts(name, kind, path, origin), 100 * 2**20, 40 * 2**20)


POOLS = [
    a_pool("p1", "/srv/local"),
    a_pool("p2", "/srv/shared/images"),
    a_pool("p3", "/mnt/n", "netfs", "nas:/export"),
]
DECLARED = {"s": StorageSettings(path="/srv/shared", fences=True)}


def test_two_hosts_share_what_is_declared_or_comes_from_one_server_and_nothing_else() -> None:
    here = {storage.id for storage in storages_of(A, DECLARED, POOLS)}
    there = {storage.id for storage in storages_of(B, DECLARED, POOLS)}
    assert here & there == {"shared:s", "netfs:nas:/export"}
    assert here - there == {"local:host-a:p1"}


def test_a_storage_declared_for_other_hosts_is_local_here() -> None:
    elsewhere = {"s": StorageSettings(path="/srv/shared", hosts=(B,))}
    assert [s.id for s in storages_of(A, elsewhere, POOLS)] == [
        "local:host-a:p1",
        "local:host-a:p2",
        "netfs:nas:/export",
    ]


def test_a_file_is_on_the_innermost_storage_that_holds_it() -> None:
    nested = {"s": StorageSettings(path="/srv"), "t": StorageSettings(path="/srv/shared")}
    storages = storages_of(A, nested, [])
    found = storage_of("/srv/shared/x", storages)
    assert found is not None
    assert found.id == "shared:t"
    assert storage_of("/srv/sharedx/x", storages_of(A, DECLARED, [])) is None


STORAGES = storages_of(B, DECLARED, POOLS)
STORAGES_HERE = storages_of(A, DECLARED, POOLS)
ON_SHARED = Disk(device="vda", path="/srv/shared/a", format="raw", storage=StorageId("shared:s"))
LOCAL = Disk(
    device="vdb",
    path="/srv/local/b",
    format="qcow2",
    size_bytes=10 * 2**20,
    storage=StorageId("local:host-a:p1"),
)
NETWORK = Disk(device="vdc", path="rbd:pool/c", format="raw", network=True)
ISO = Disk(device="sda", path="/srv/local/c.iso", format="raw", read_only=True)
DISKS = [ON_SHARED, LOCAL, NETWORK, ISO]


def plan_for(disks: Sequence[Disk], wish: BlockMigration = BlockMigration.AUTO) -> DiskPlan:
    here, there = facts_of(A, storages=STORAGES_HERE), facts_of(B)
    return plan_disks(disks, here, there, wish)


@given(
    disks=st.lists(st.sampled_from(DISKS), unique=True),
    wish=st.sampled_from(list(BlockMigration)),
)
def test_every_disk_is_kept_copied_or_needed_there_and_none_is_copied_that_is_shared(
    disks: list[Disk], wish: BlockMigration
) -> None:
    plan = plan_for(disks, wish)
    assert sorted(d.device for d in (*plan.stay, *plan.copied, *plan.needed_there)) == sorted(
        disk.device for disk in disks
    )
    assert set(plan.copied) <= {LOCAL}
    codes = {refusal.code for refusal in plan.refusals}
    expected = set()
    if wish is BlockMigration.SHARED and LOCAL in disks:
        expected = {Code.INVALID_SHARED_STORAGE}
    if wish is BlockMigration.BLOCK and ON_SHARED in disks:
        expected = {Code.INVALID_LOCAL_STORAGE}
    assert codes == expected


# --- checks ---

PLATFORM = Platform(machine_type="pc-q35-7.2", cpu="<cpu/>", architecture="x86_64")
INSTANCE = Instance(
    uuid=InstanceUuid("u1"),
    name="vm1",
    host=A,
    node="a",
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=64,
    disks=(ON_SHARED, LOCAL),
    nics=(Nic(mac="m", network="br0"),),
    platform=PLATFORM,
)


def facts_of(name: HostName, **other: Any) -> HostFacts:
    known: dict[str, Any] = {
        "node": name,
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7_002_022,
        "cpu_model": "EPYC",
        "vcpus": 8,
        "memory_mib": 1024,
        "storages": STORAGES,
        "networks": ("br0",),
        "machine_types": ("pc-q35-7.2",),
    }
    return HostFacts(name=name, **{**known, **other})


def a_destination(**other: Any) -> DestinationLook:
    known: dict[str, Any] = {
        "networks_known": True,
        "uuid_of_same_name": "",
        "has_same_uuid": False,
        "files": {ON_SHARED.path: True, LOCAL.path: False},
        "offer": HostOffer(),
        "cpu_missing": "",
    }
    return DestinationLook(**{**known, **other})


def full(storage: Storage) -> Storage:
    return replace(storage, free_mib=9)


FACTS = facts_of(B)
MAXIMUM = replace(PLATFORM, cpu='<cpu mode="maximum"/>', virtualisation="qemu")
PASSTHROUGH = replace(PLATFORM, cpu='<cpu mode="host-passthrough"/>')


DESTINATION_CASES: list[tuple[HostFacts, DestinationLook, Instance, Code | None]] = [
    (FACTS, a_destination(), INSTANCE, None),
    (
        facts_of(B, hypervisor_type="Xen"),
        a_destination(),
        INSTANCE,
        Code.INVALID_HYPERVISOR_TYPE,
    ),
    (
        facts_of(B, hypervisor_version=7_002_021),
        a_destination(),
        replace(INSTANCE, platform=None),
        Code.DESTINATION_HYPERVISOR_TOO_OLD,
    ),
    (facts_of(B, hypervisor_version=7_002_021), a_destination(), INSTANCE, None),
    (
        facts_of(B, machine_types=("q35",)),
        a_destination(),
        INSTANCE,
        Code.MACHINE_TYPE_UNSUPPORTED,
    ),
    (FACTS, a_destination(cpu_missing="avx"), INSTANCE, Code.INVALID_CPU_INFO),
    (
        facts_of(B, cpu_model="Xeon"),
        a_destination(),
        replace(INSTANCE, platform=PASSTHROUGH),
        Code.INVALID_CPU_INFO,
    ),
    (
        facts_of(B, cpu_features=("avx",)),
        a_destination(),
        replace(INSTANCE, platform=PASSTHROUGH),
        Code.INVALID_CPU_INFO,
    ),
    (FACTS, a_destination(), replace(INSTANCE, platform=PASSTHROUGH), None),
    (
        facts_of(B, hypervisor_version=8_000_000),
        a_destination(),
        replace(INSTANCE, platform=MAXIMUM),
        Code.INVALID_CPU_INFO,
    ),
    (FACTS, a_destination(), replace(INSTANCE, platform=MAXIMUM), None),
    (FACTS, a_destination(cpu_missing="avx"), replace(INSTANCE, platform=None), None),
    (FACTS, a_destination(has_same_uuid=True), INSTANCE, Code.UUID_TAKEN),
    (FACTS, a_destination(uuid_of_same_name="u2"), INSTANCE, Code.NAME_TAKEN),
    (facts_of(B, networks=()), a_destination(), INSTANCE, Code.BRIDGE_MISSING),
    (facts_of(B, networks=()), a_destination(networks_known=False), INSTANCE, None),
    (
        FACTS,
        a_destination(files={ON_SHARED.path: False, LOCAL.path: False}),
        INSTANCE,
        Code.DISK_UNREACHABLE,
    ),
    (FACTS, a_destination(files={LOCAL.path: False}), INSTANCE, None),
    (FACTS, a_destination(files={}), INSTANCE, Code.STORAGE_POOL_MISSING),
    (
        FACTS,
        a_destination(files={ON_SHARED.path: True, LOCAL.path: True}),
        INSTANCE,
        Code.DISK_EXISTS,
    ),
    (
        facts_of(B, storages=tuple(map(full, STORAGES))),
        a_destination(),
        INSTANCE,
        Code.NOT_ENOUGH_DISK,
    ),
    (
        FACTS,
        a_destination(),
        replace(INSTANCE, disks=(ON_SHARED, replace(LOCAL, size_bytes=0))),
        Code.MIGRATION_PRE_CHECK_ERROR,
    ),
]


@pytest.mark.parametrize(("there", "look", "instance", "code"), DESTINATION_CASES)
def test_the_destination_refuses_with_this_code_alone(
    there: HostFacts, look: DestinationLook, instance: Instance, code: Code | None
) -> None:
    spec = RequestSpec(instance=instance, source=facts_of(A, storages=STORAGES_HERE))
    plan = plan_disks(instance.disks, spec.source, there, spec.block_migration)
    refusals = destination_refusals(spec, there, look, plan)
    assert [refusal.code for refusal in refusals] == ([code] if code else [])
    assert all(refusal.host == B for refusal in refusals)


def a_source(reading: Reading | None = None, **other: Any) -> SourceLook:
    disks = (
        DomainDisk("vda", "file", ON_SHARED.path, "raw"),
        DomainDisk("vdb", "file", LOCAL.path, "qcow2", **other.pop("vdb", {})),
    )
    nested, ties = other.pop("nested", ""), other.pop("ties", ())
    disks = other.pop("disks", disks)
    facts = DomainFacts("u1", "vm1", 64, 1, disks, (), PLATFORM, ties, nested)
    known: dict[str, Any] = {
        "autostart": False,
        "snapshots": 0,
        "block_jobs": (),
        "blocked_reasons": (),
    }
    default = Reading(State.RUNNING, 1, qemu_status="none")
    return SourceLook(facts, reading or default, **{**known, **other})


BLOCKED = Code.MIGRATION_BLOCKED
TIE = reason(Code.HOST_DEVICE_ATTACHED, device="hostdev pci")
SOURCE_CASES = [
    (a_source(), None),
    (a_source(Reading(State.PAUSED, Paused.USER)), None),
    (a_source(Reading(State.PAUSED, Paused.IOERROR)), BLOCKED),
    (a_source(Reading(State.SHUTOFF, 1)), BLOCKED),
    (a_source(Reading(State.RUNNING, 1, job=MIGRATION_OUT)), Code.JOB_RUNNING),
    (a_source(snapshots=1), Code.HAS_SNAPSHOTS),
    (a_source(block_jobs=("vda",)), Code.BLOCK_JOB_RUNNING),
    (a_source(blocked_reasons=("non-migratable device: nvme",)), BLOCKED),
    (a_source(ties=(TIE,)), Code.HOST_DEVICE_ATTACHED),
    (a_source(nested="svm"), Code.NESTED_VIRTUALISATION),
    (a_source(vdb={"shareable": True}), BLOCKED),
    (a_source(disks=()), Code.MIGRATION_PRE_CHECK_ERROR),
]


@pytest.mark.parametrize(("look", "code"), SOURCE_CASES)
def test_the_source_refuses_with_this_code_alone(look: SourceLook, code: Code | None) -> None:
    plan = plan_for(INSTANCE.disks)
    refusals = source_refusals(A, INSTANCE, look, plan, nested_moves=False)
    assert [refusal.code for refusal in refusals] == ([code] if code else [])
    assert all(refusal.host == A for refusal in refusals)


CONSOLE = Code.CONSOLE_ADDRESS_MISSING


@pytest.mark.parametrize(
    ("listening_on", "address_there", "codes"),
    [((), "", []), (("10.0.0.1",), "", [CONSOLE]), (("10.0.0.1",), "10.0.0.2", [])],
)
def test_a_console_on_an_address_of_its_host_needs_one_at_the_destination(
    listening_on: tuple[str, ...], address_there: str, codes: list[Code]
) -> None:
    look = a_source()
    listening = dataclasses.replace(look.facts, console_addresses=listening_on)
    refusals = console_refusals(B, dataclasses.replace(look, facts=listening), address_there)
    assert [refusal.code for refusal in refusals] == codes


def test_every_code_of_these_checks_has_a_case() -> None:
    tried = {code for _, _, _, code in DESTINATION_CASES} | {code for _, code in SOURCE_CASES}
    of_disks = {
        Code.INVALID_SHARED_STORAGE,
        Code.INVALID_LOCAL_STORAGE,
        Code.DISK_BASE_UNREACHABLE,
        Code.DISK_NOT_A_FILE,
    }
    said = codes_said_by(checks, cpu, storages) - of_disks - {CONSOLE}
    assert said <= tried, "give the new code a case"


def test_a_guest_that_may_run_guests_itself_moves_where_the_settings_say_so() -> None:
    plan = plan_for(INSTANCE.disks)
    assert source_refusals(A, INSTANCE, a_source(nested="svm"), plan, nested_moves=True) == ()


# --- progress ---


def a_job(**figures: int) -> dict[str, int]:
    return {"type": JobType.UNBOUNDED, "operation": MIGRATION_OUT, **figures}


@pytest.mark.parametrize(
    ("job", "phase"),
    [
        (a_job(), TransferPhase.PREPARING),
        (a_job(disk_total=9, disk_processed=1), TransferPhase.COPYING_DISKS),
        (
            a_job(disk_total=9, memory_total=9, memory_processed=1, memory_remaining=8),
            TransferPhase.COPYING_MEMORY,
        ),
        (a_job(memory_total=9, memory_processed=9), TransferPhase.SWITCHING),
    ],
)
def test_the_phase_follows_from_the_figures(job: dict[str, int], phase: TransferPhase) -> None:
    progress = progress_of(job)
    assert progress is not None
    assert progress.phase is phase


def test_no_sample_is_made_of_another_job() -> None:
    assert progress_of({"type": JobType.NONE}) is None
    assert progress_of({"type": JobType.UNBOUNDED, "operation": 8}) is None


FIRST = {"memory_total": 100, "memory_processed": 1, "memory_remaining": 50, "memory_bps": 10}


def test_the_first_pass_ends_when_all_is_sent_once() -> None:
    progress = progress_of(a_job(**FIRST, memory_iteration=1, memory_dirty_rate=0))
    assert progress is not None
    assert (progress.eta_s, progress.converging) == (5.0, True)


def test_later_passes_must_outrun_what_the_guest_writes() -> None:
    job = a_job(**FIRST, memory_iteration=3, memory_dirty_rate=5, memory_page_size=1)
    progress = progress_of(job)
    assert progress is not None
    assert progress.eta_s == 10.0
    progress = progress_of({**job, "memory_dirty_rate": 10})
    assert progress is not None
    assert progress.eta_s is None


def test_final_figures_are_taken_from_a_completed_job_alone() -> None:
    figures = statistics_of(
        {"type": JobType.COMPLETED, "time_elapsed": 9, "downtime": 2, "memory_iteration": 3}
    )
    assert figures is not None
    assert (figures.total_ms, figures.downtime_ms, figures.iterations) == (9, 2, 3)
    assert statistics_of({"type": JobType.NONE}) is None


@pytest.mark.parametrize(
    ("sampled", "copied", "known"), [(9, True, 9), (0, True, None), (0, False, 0)]
)
def test_what_was_sent_of_disks_is_known_to_the_source_alone(
    sampled: int, copied: bool, known: int | None
) -> None:
    there = statistics_of({"type": JobType.COMPLETED, "memory_processed": 5, "disk_processed": 0})
    figures = with_disks(there, sampled, copied=copied)
    assert figures is not None
    assert (figures.memory_bytes, figures.disk_bytes) == (5, known)


# --- addresses and flags ---


def test_hosts_are_reached_as_the_settings_say_or_by_their_own_uri() -> None:
    bare = LibvirtHostSettings(uri="qemu+tls://10.0.0.1/system?pkipath=/pki")
    assert peer_uri(bare) == "qemu+tls://10.0.0.1/system"
    assert migration_address(bare) == "10.0.0.1"
    said = LibvirtHostSettings(uri="qemu:///system", peer_uri="qemu+tls://x/system")
    assert (peer_uri(said), migration_address(said)) == ("qemu+tls://x/system", "")
    assert peer_uri(LibvirtHostSettings(uri="qemu:///system")) == ""


@pytest.mark.parametrize(
    ("address", "uri"),
    [("10.0.0.1", "tcp://10.0.0.1"), ("fd00::1", "tcp://[fd00::1]"), ("", "")],
)
def test_memory_is_sent_to_the_migration_address(address: str, uri: str) -> None:
    assert migration_uri(address) == uri


ALWAYS = Migrate.LIVE | Migrate.PEER2PEER | Migrate.ABORT_ON_ERROR | Migrate.UNSAFE
PERSISTENT = Migrate.PERSIST_DEST | Migrate.UNDEFINE_SOURCE


@given(
    guard=st.sampled_from(list(Guard)),
    tls=st.booleans(),
    persistent=st.booleans(),
    disks=st.lists(st.sampled_from(["vda", "vdb"]), unique=True),
)
def test_each_flag_stands_for_one_agreement(
    guard: Guard, tls: bool, persistent: bool, disks: list[str]
) -> None:
    agreed = LibvirtLiveMigrateData(
        guard=guard, tls=tls, persistent=persistent, disks_to_copy=tuple(disks)
    )
    flags = flags_of(agreed, UNSTEERED)
    assert flags & ALWAYS == ALWAYS
    assert (Migrate.PAUSED in flags) == (guard is Guard.PAUSED)
    assert (Migrate.TLS in flags) == tls
    assert (PERSISTENT in flags) == persistent
    assert (Migrate.NON_SHARED_DISK in flags) == bool(disks)
    assert parameters_of(agreed, UNSTEERED).get("migrate_disks", []) == disks


def test_what_can_be_steered_at_the_start_alone_goes_with_the_call() -> None:
    agreed = LibvirtLiveMigrateData()
    eager = Steering(auto_converge=True, parallel_connections=3)
    added = flags_of(agreed, eager) & ~flags_of(agreed, UNSTEERED)
    assert added == Migrate.AUTO_CONVERGE | Migrate.PARALLEL
    assert parameters_of(agreed, eager) == {"parallel.connections": 3}
    assert parameters_of(agreed, UNSTEERED) == {}
    in_post_copy = replace(agreed, guard=Guard.POSTCOPY)
    assert Migrate.PARALLEL not in flags_of(in_post_copy, eager)
    assert parameters_of(in_post_copy, eager) == {}


@pytest.mark.parametrize("guard", Guard)
def test_what_must_not_end_in_pre_copy_is_sent_as_slowly_as_libvirt_can(guard: Guard) -> None:
    freely = LibvirtLiveMigrateData(guard=guard)
    held_back = replace(freely, hold_back=True)
    assert parameters_of(held_back, UNSTEERED) == {"bandwidth": 1}
    assert "bandwidth" not in parameters_of(freely, UNSTEERED)


@pytest.mark.parametrize(
    ("uri", "domain", "number", "message", "expected"),
    [
        ("qemu+tls://b/system", FROM_RPC, Trouble.AUTH_FAILED, "no", True),
        ("qemu+tls://b/system", FROM_RPC, Trouble.AUTH_FAILED, KILLED_MEANWHILE, False),
        ("qemu+tls://b/system", FROM_RPC, 38, "no", False),
        ("qemu+tls://b/system", FROM_RPC, Trouble.INTERNAL_ERROR, "no", False),
        ("qemu+tls://b/system", 10, Trouble.AUTH_FAILED, "no", False),
        ("qemu+ssh://b/system", FROM_RPC, Trouble.AUTH_FAILED, "no", False),
    ],
)
def test_only_a_certificate_that_is_not_believed_is_called_so(
    uri: str, domain: int, number: int, message: str, expected: bool
) -> None:
    error = LibvirtError(A, "migrating", number=number, domain=domain, message=message)
    assert is_certificate_problem(error, uri) is expected
