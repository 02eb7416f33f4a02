"""What is otherwise at the destination: overlays, names of bridges, the definition."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from godwit.model.host import HostFacts, Storage
from godwit.model.ids import HostName, InstanceUuid, StorageId
from godwit.model.instance import BackingFile, Disk, Instance, PowerState, VmState
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.migration import BlockMigration
from godwit.model.reasons import Code
from godwit.model.steering import UNSTEERED
from godwit.runtime.settings import LibvirtHostSettings, NetworkSettings
from godwit.virt.libvirt.abi import Migrate
from godwit.virt.libvirt.addresses import console_address
from godwit.virt.libvirt.migration import flags_of
from godwit.virt.libvirt.networks import bridge_at, bridges_there, network_of
from godwit.virt.libvirt.rewriting import destination_xml
from godwit.virt.libvirt.storages import images_of, plan_disks
from godwit.virt.libvirt.xml import domain_facts, volume_xml

A, B = HostName("host-a"), HostName("host-b")


def host(name: HostName, shared_path: str = "/srv/shared") -> HostFacts:
    return HostFacts(
        name=name,
        node=name,
        hypervisor_type="QEMU",
        hypervisor_version=7_002_022,
        vcpus=1,
        memory_mib=1,
        storages=(
            Storage(
                id=StorageId("shared:s"), path=shared_path, shared=True, total_mib=9, free_mib=9
            ),
            Storage(
                id=StorageId(f"local:{name}:vm"),
                name="vm",
                path="/srv/vm",
                shared=False,
                total_mib=9,
                free_mib=9,
            ),
        ),
    )


LOCAL = StorageId("local:host-a:vm")
SHARED = StorageId("shared:s")
SHARED_BASE = BackingFile(path="/srv/shared/base", format="raw", storage=SHARED)
LOCAL_BASE = BackingFile(path="/srv/vm/base", format="qcow2", storage=LOCAL)


def disk(device: str, storage: StorageId, *backing: BackingFile) -> Disk:
    folder = "/srv/shared" if storage == SHARED else "/srv/vm"
    path = f"{folder}/{device}"
    return Disk(
        device=device, path=path, format="qcow2", size_bytes=4, storage=storage, backing=backing
    )


PLAIN = disk("vda", LOCAL)
ON_SHARED_BASE = disk("vdb", LOCAL, SHARED_BASE)
ON_LOCAL_BASE = disk("vdc", LOCAL, LOCAL_BASE)
TWO_BELOW = disk("vdd", LOCAL, SHARED_BASE, SHARED_BASE)
STAYS_ON_SHARED = disk("vde", SHARED, SHARED_BASE)
STAYS_ON_LOCAL = disk("vdf", SHARED, LOCAL_BASE)
OTHER_PATH = host(B, "/mnt/s")


@pytest.mark.parametrize(
    ("disks", "there", "incremental"),
    [
        ((PLAIN,), host(B), False),
        ((PLAIN, ON_SHARED_BASE), host(B), True),
        ((ON_SHARED_BASE, ON_LOCAL_BASE), host(B), False),
        ((TWO_BELOW,), host(B), True),
        ((ON_SHARED_BASE,), OTHER_PATH, True),
        ((TWO_BELOW,), OTHER_PATH, False),
        ((STAYS_ON_SHARED,), host(B), False),
    ],
    ids=[
        "no overlay",
        "a base that both see",
        "one base that only the source has makes all whole",
        "a chain that both see",
        "the new overlay names its base where it is there",
        "a base that names its own base elsewhere",
        "an overlay that stays is not copied",
    ],
)
def test_only_the_top_is_copied_where_every_base_is_at_the_destination(
    disks: tuple[Disk, ...], there: HostFacts, incremental: bool
) -> None:
    plan = plan_disks(disks, host(A), there, BlockMigration.AUTO)
    assert (plan.incremental, plan.refusals) == (incremental, ())


@pytest.mark.parametrize(
    ("overlay", "there"), [(STAYS_ON_LOCAL, host(B)), (STAYS_ON_SHARED, OTHER_PATH)]
)
def test_a_shared_overlay_whose_base_is_not_there_at_its_path_is_refused(
    overlay: Disk, there: HostFacts
) -> None:
    plan = plan_disks((overlay,), host(A), there, BlockMigration.AUTO)
    (refusal,) = plan.refusals
    assert refusal.code is Code.DISK_BASE_UNREACHABLE
    assert overlay.backing[0].path in refusal.words


def test_a_block_device_stays_where_it_is_declared_as_seen_by_both_and_is_never_copied() -> None:
    volume = replace(PLAIN, path="/dev/vg/a", is_file=False, storage=None)
    there = host(B)
    plan = plan_disks((volume,), host(A), there, BlockMigration.AUTO)
    assert ([why.code for why in plan.refusals], plan.copied) == ([Code.DISK_NOT_A_FILE], ())
    plan = plan_disks((replace(volume, storage=SHARED),), host(A), there, BlockMigration.AUTO)
    assert (plan.refusals, len(plan.stay)) == ((), 1)


@pytest.mark.parametrize("incremental", [True, False])
def test_a_new_image_is_an_overlay_only_where_the_top_alone_is_copied(incremental: bool) -> None:
    agreed = LibvirtLiveMigrateData(
        disks_to_copy=("vda", "vdb"),
        incremental=incremental,
        paths_there={"/srv/shared/base": "/mnt/s/base", "/srv/vm/vda": "/data/vda"},
    )
    plain, overlay = images_of(an_instance(PLAIN, ON_SHARED_BASE), agreed)
    assert (plain.path, plain.backing) == ("/data/vda", None)
    assert overlay.path == ON_SHARED_BASE.path
    base = BackingFile(path="/mnt/s/base", format="raw", storage=SHARED)
    assert overlay.backing == (base if incremental else None)
    flags = flags_of(agreed, UNSTEERED)
    assert bool(flags & Migrate.NON_SHARED_INC) is incremental
    assert bool(flags & Migrate.NON_SHARED_DISK) is not incremental


def test_only_a_disk_that_is_copied_is_made_or_removed_at_the_destination() -> None:
    agreed = LibvirtLiveMigrateData(disks_to_copy=("vda",))
    images = images_of(an_instance(PLAIN, STAYS_ON_SHARED), agreed)
    assert [image.path for image in images] == [PLAIN.path]


def an_instance(*disks: Disk) -> Instance:
    return Instance(
        uuid=InstanceUuid("u1"),
        name="vm1",
        host=A,
        node="a",
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        vcpus=1,
        memory_mib=1,
        disks=disks,
    )


def test_an_overlays_volume_names_its_base() -> None:
    root = ElementTree.fromstring(volume_xml("x", "qcow2", 4, SHARED_BASE))
    assert root.findtext("backingStore/path") == "/srv/shared/base"
    assert root.find("backingStore/format[@type='raw']") is not None


# --- networks ---

DECLARED = {"lan": NetworkSettings(bridges={B: "br1"}), "br1": NetworkSettings(bridges={B: "br2"})}
NAMES = st.sampled_from(["lan", "br0", "br1", "br2", "br3"])


@given(network=NAMES, at=st.sampled_from([A, B]))
def test_a_bridge_belongs_to_the_network_it_is_the_bridge_of(network: str, at: HostName) -> None:
    bridge = bridge_at(at, network, DECLARED)
    same = network_of(at, bridge, DECLARED)
    assert bridge_at(at, same, DECLARED) == bridge
    assert same == network or network not in DECLARED


def test_a_bridge_that_only_has_a_networks_name_is_that_hosts_own() -> None:
    assert network_of(B, "br1", DECLARED) == "lan"
    assert network_of(B, "lan", DECLARED) == "host-b:lan"
    assert network_of(A, "br1", DECLARED) == "br1"


def test_only_bridges_with_another_name_there_are_renamed() -> None:
    assert bridges_there({"lan", "br0", "br1"}, A, B, DECLARED) == {"lan": "br1", "br1": "br2"}
    assert bridges_there({"lan"}, B, A, DECLARED) == {"br1": "lan"}
    assert bridges_there({"br0", ""}, A, B, DECLARED) == {}


# --- the definition ---

DOMAIN = """<domain type='qemu'><name>vm1</name><devices>
<disk type='file' device='disk'><source file='/srv/vm/vda'/>
<backingStore type='file'><format type='raw'/><source file='/srv/shared/base'/></backingStore>
<target dev='vda'/></disk>
<disk type='file' device='cdrom'><target dev='hdc'/></disk>
<interface type='bridge'><source bridge='br0'/></interface>
<interface type='network'><source network='lan'/></interface>
<graphics type='vnc' autoport='yes' listen='10.0.0.1'>
<listen type='address' address='10.0.0.1'/></graphics>
<graphics type='spice' listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics>
<graphics type='vnc'><listen type='socket' socket='/run/x'/></graphics>
<serial type='tcp'><source mode='bind' host='10.0.0.1' service='4'/></serial>
<serial type='tcp'><source mode='connect' host='10.0.0.9' service='4'/></serial>
</devices></domain>"""


def rewritten(**agreed: object) -> ElementTree.Element | None:
    text = destination_xml(DOMAIN, LibvirtLiveMigrateData(**agreed))  # type: ignore[arg-type]
    return ElementTree.fromstring(text) if text else None


def test_a_definition_in_which_nothing_differs_is_left_to_libvirt() -> None:
    assert rewritten(console_address="10.0.0.1") is None


def test_paths_bridges_and_consoles_are_those_of_the_destination() -> None:
    root = rewritten(
        paths_there={"/srv/vm/vda": "/data/vda", "/srv/shared/base": "/mnt/base"},
        bridges_there={"br0": "br1", "lan": "wan"},
        disks_to_copy=("vda",),
        incremental=True,
        console_address="10.0.0.2",
    )
    assert root is not None
    files = [source.get("file") for source in root.iter("source") if source.get("file")]
    assert files == ["/data/vda", "/mnt/base"]
    cards = root.findall("devices/interface/source")
    assert [card.attrib for card in cards] == [{"bridge": "br1"}, {"network": "wan"}]
    consoles = root.findall("devices/graphics")
    assert [console.get("listen") for console in consoles] == ["10.0.0.2", "0.0.0.0", None]
    serials = root.findall("devices/serial/source")
    assert [source.get("host") for source in serials] == ["10.0.0.2", "10.0.0.9"]
    assert [part.get("address") for part in root.iter("listen")] == ["10.0.0.2", "0.0.0.0", None]


def test_a_whole_copy_has_no_base_below_it_any_more() -> None:
    root = rewritten(disks_to_copy=("vda",), console_address="10.0.0.1")
    assert root is not None
    assert root.find("devices/disk/backingStore") is None


@pytest.mark.parametrize(
    ("address", "counts"),
    [
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("host-a", True),
        ("0.0.0.0", False),
        ("::", False),
        ("127.0.0.2", False),
        ("::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_a_console_that_listens_where_every_host_can_needs_no_other_address(
    address: str, counts: bool
) -> None:
    text = DOMAIN.replace("10.0.0.1", address)
    assert domain_facts(text).console_addresses == ((address,) if counts else ())


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (LibvirtHostSettings(uri="qemu:///system"), ""),
        (LibvirtHostSettings(uri="qemu+tls://10.0.0.2/system"), "10.0.0.2"),
        (LibvirtHostSettings(uri="qemu+tls://10.0.0.2/system", console_address="::7"), "::7"),
    ],
)
def test_a_console_listens_at_the_hosts_own_address(
    settings: LibvirtHostSettings, address: str
) -> None:
    assert console_address(settings) == address


# --- disks that are no files ---

UNUSUAL = """<domain type='qemu'><name>vm1</name><devices>
<disk type='network' device='disk'><source protocol='nbd'><host name='10.0.0.9' port='10809'/>
</source><target dev='vda' bus='virtio'/><boot order='2'/></disk>
<disk type='network' device='disk'><source protocol='nbd' name='x'>
<host transport='unix' socket='/run/nbd.sock'/></source><target dev='vdb'/></disk>
<disk type='nvme' device='disk'><source type='pci' namespace='1'><address domain='0x0000'/></source>
<target dev='vdc'/></disk>
<disk type='file' device='floppy'><source file='/srv/f.img'/><target dev='fda'/></disk>
<disk type='file' device='cdrom'><source startupPolicy='optional'/><target dev='sda'/></disk>
</devices></domain>"""


def test_a_disk_that_is_no_file_is_never_overlooked() -> None:
    facts = domain_facts(UNUSUAL)
    assert [(d.device, d.path, d.is_remote, d.is_file) for d in facts.disks] == [
        ("vda", "nbd:10.0.0.9:10809", True, False),
        ("vdb", "nbd:/run/nbd.sock/x", False, False),
        ("vdc", "nvme", False, False),
        ("fda", "/srv/f.img", False, True),
    ]
    assert (facts.disks[0].boot_index, facts.disks[0].bus) == (1, "virtio")


def test_the_root_disk_is_the_first_in_the_boot_order_else_the_first_hard_disk() -> None:
    volume = Disk(device="vdb", path="rbd:p/x", format="raw", network=True, boot_index=0)
    assert an_instance(PLAIN, volume).is_volume_backed
    assert not an_instance(PLAIN).is_volume_backed
    assert not an_instance().is_volume_backed
