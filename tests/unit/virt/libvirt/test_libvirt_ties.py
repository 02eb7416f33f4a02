"""What ties a guest to its host, and what its definition takes of one: XML in, reasons out."""

from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from tests.unit.said_codes import codes_said_by
from tests.unit.virt.libvirt.test_libvirt_records import INSTANCE, B

from godwit.model.instance import Platform
from godwit.model.reasons import Code
from godwit.virt.driver import NewGuest
from godwit.virt.libvirt import devices as devices_module
from godwit.virt.libvirt import needs
from godwit.virt.libvirt.devices import nested_feature, ties_of
from godwit.virt.libvirt.needs import HostOffer, unmet_needs
from godwit.virt.libvirt.platform import platform_of, size_bytes
from godwit.virt.libvirt.spawning import domain_xml
from godwit.virt.libvirt.xml import MachineOffer, machine_offer

DEVICE = Code.HOST_DEVICE_ATTACHED
PCI = '<address domain="0x0000" bus="0x02" slot="0x10" function="0x1"/>'
TIES: list[tuple[str, Code | None, str]] = [
    (
        f'<hostdev mode="subsystem" type="pci"><source>{PCI}</source></hostdev>',
        DEVICE,
        "hostdev pci 0000:02:10.1",
    ),
    (
        '<hostdev type="usb"><source><vendor id="0x1"/><product id="0xbeef"/></source></hostdev>',
        DEVICE,
        "hostdev usb 0x1:0xbeef",
    ),
    (
        '<hostdev type="usb"><source><address bus="1" device="3"/></source></hostdev>',
        DEVICE,
        "hostdev usb 1.3",
    ),
    (
        '<hostdev type="mdev"><source><address uuid="c2177883"/></source></hostdev>',
        DEVICE,
        "hostdev mdev c2177883",
    ),
    (
        '<hostdev type="scsi"><source><adapter name="scsi_host0"/></source></hostdev>',
        DEVICE,
        "scsi_host0",
    ),
    (f'<interface type="hostdev"><source>{PCI}</source></interface>', DEVICE, "interface hostdev"),
    (
        '<interface type="vdpa"><source dev="/dev/vhost-vdpa-0"/></interface>',
        DEVICE,
        "vhost-vdpa-0",
    ),
    (
        f'<disk type="nvme"><source type="pci">{PCI}</source></disk>',
        DEVICE,
        "disk nvme 0000:02:10.1",
    ),
    ('<input type="evdev"><source dev="/dev/input/event3"/></input>', DEVICE, "/dev/input/event3"),
    ('<memory model="sgx-epc"/>', DEVICE, "sgx-epc"),
    (
        '<tpm><backend type="passthrough"><device path="/dev/tpm0"/></backend></tpm>',
        DEVICE,
        "passthrough /dev/tpm0",
    ),
    ('<serial type="dev"><source path="/dev/ttyS0"/></serial>', DEVICE, "serial dev /dev/ttyS0"),
    (
        '<serial type="dev"><source path="/dev/ttyS0"/></serial>'
        '<console type="dev"><source path="/dev/ttyS0"/><target type="serial"/></console>',
        DEVICE,
        "serial dev /dev/ttyS0",
    ),
    (
        '<console type="dev"><source path="/dev/tty9"/><target type="virtio"/></console>',
        DEVICE,
        "console dev /dev/tty9",
    ),
    (
        '<filesystem><driver type="virtiofs"/><source dir="/srv/x"/></filesystem>',
        Code.HOST_FOLDER_SHARED,
        "/srv/x",
    ),
    ('<serial type="tcp"><source mode="bind" host="10.0.0.1" service="4"/></serial>', None, ""),
    ('<serial type="tcp"><source mode="connect" host="10.0.0.9" service="4"/></serial>', None, ""),
    ('<graphics type="vnc" listen="0.0.0.0"/>', None, ""),
    ('<graphics type="vnc" listen="console.example"/>', None, ""),
    ('<filesystem type="mount"><source dir="/srv/x"/></filesystem>', None, ""),
    ('<redirdev bus="usb" type="spicevmc"/><vsock/><shmem name="s"/>', None, ""),
    ('<channel type="unix"><target name="org.qemu.guest_agent.0"/></channel>', None, ""),
    ('<serial type="file"><source path="/var/log/x"/></serial><console type="pty"/>', None, ""),
    ('<tpm><backend type="emulator" version="2.0"/></tpm>', None, ""),
]


def devices(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<domain><devices>{text}</devices></domain>")


@pytest.mark.parametrize(("text", "code", "named"), TIES)
def test_a_device_that_cannot_move_is_named_and_no_other(
    text: str, code: Code | None, named: str
) -> None:
    ties = ties_of(devices(text))
    assert [tie.code for tie in ties] == ([code] if code else [])
    assert all(named in tie.words for tie in ties)


BOUND: list[tuple[str, Code | None]] = [
    ('<launchSecurity type="sev"/>', Code.MEMORY_ENCRYPTED),
    ('<cpu><feature policy="require" name="invtsc"/></cpu>', Code.INVARIANT_TSC),
    ('<cpu><feature policy="disable" name="invtsc"/></cpu>', None),
    (
        '<cpu><feature policy="require" name="invtsc"/></cpu>'
        '<clock><timer name="tsc" frequency="2500000000"/></clock>',
        None,
    ),
]


@pytest.mark.parametrize(("text", "code"), BOUND)
def test_a_guest_that_relies_on_its_hosts_processor_stays(text: str, code: Code | None) -> None:
    ties = ties_of(ElementTree.fromstring(f"<domain>{text}</domain>"))
    assert [tie.code for tie in ties] == ([code] if code else [])


@pytest.mark.parametrize(
    ("feature", "nested"), [("vmx", "vmx"), ("svm", "svm"), ("avx", ""), ("npt", "")]
)
def test_a_cpu_that_can_virtualise_is_known_by_its_feature(feature: str, nested: str) -> None:
    text = f'<domain><cpu><feature policy="require" name="{feature}"/></cpu></domain>'
    assert nested_feature(ElementTree.fromstring(text)) == nested


# --- what a definition takes of its host ---

DEFINITION = """
<domain type='kvm'>
  <metadata>
    <n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>
    <o:vm xmlns:o='http://ovirt.org/vm/1.0'/>
    <l:libosinfo xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'/>
    <g:managed xmlns:g='urn:godwit:guest'/>
  </metadata>
  <vcpu placement='static' cpuset='0-3,^2'>4</vcpu>
  <cputune><vcpupin vcpu='0' cpuset='8'/><emulatorpin cpuset='3'/><shares>9</shares></cputune>
  <numatune><memory mode='strict' nodeset='1'/><memnode cellid='0' nodeset='2-3'/></numatune>
  <memoryBacking>
    <hugepages><page size='1' unit='G'/><page size='2048' unit='KiB'/></hugepages>
  </memoryBacking>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader>/usr/share/OVMF/C.fd</loader></os>
  <devices>
    <tpm model='tpm-crb'><backend type='emulator'><encryption secret='s1'/></backend></tpm>
    <disk><source><encryption><secret type='passphrase' uuid='s2'/></encryption></source></disk>
    <interface type='direct'><source dev='eth1' mode='bridge'/></interface>
    <interface type='direct'><source network='lan' dev='eth2' mode='bridge'/></interface>
  </devices>
</domain>"""


def test_what_a_definition_takes_of_its_host_is_read_from_it() -> None:
    platform = platform_of(ElementTree.fromstring(DEFINITION))
    assert platform.pinned_cpus == (0, 1, 3, 8)
    assert platform.memory_cells == (1, 2, 3)
    assert platform.huge_pages_kib == (2048, 1048576)
    assert (platform.firmware, platform.tpm) == ("/usr/share/OVMF/C.fd", "emulator")
    assert platform.secrets == ("s1", "s2")
    assert platform.links == ("eth1",)
    assert platform.managers == ("nova", "ovirt")
    assert platform.tagged


def test_a_guest_that_godwit_makes_carries_its_tag() -> None:
    made = NewGuest(INSTANCE, image_path="/srv/i", disk_mib=1)
    root = ElementTree.fromstring(domain_xml(made, "/srv/d", "kvm", lambda network: network))
    assert platform_of(root).tagged


@pytest.mark.parametrize(
    ("figure", "unit", "is_bytes"),
    [
        ("3", None, 3 * 2**10),
        ("3", "b", 3),
        ("3", "bytes", 3),
        ("3", "k", 3 * 2**10),
        ("3", "KB", 3_000),
        ("3", "M", 3 * 2**20),
        ("3", "MiB", 3 * 2**20),
        ("3", "G", 3 * 2**30),
        ("3", "TiB", 3 * 2**40),
        (None, "GiB", 0),
    ],
)
def test_a_size_is_read_as_libvirt_means_it(
    figure: str | None, unit: str | None, is_bytes: int
) -> None:
    assert size_bytes(figure, unit) == is_bytes


def test_huge_pages_without_a_size_are_of_the_usual_one() -> None:
    text = "<domain><memoryBacking><hugepages/></memoryBacking></domain>"
    assert platform_of(ElementTree.fromstring(text)).huge_pages_kib == (2048,)
    assert platform_of(ElementTree.fromstring("<domain/>")) == Platform()


NEEDS: list[tuple[dict[str, Any], HostOffer, Code | None]] = [
    ({}, HostOffer(), None),
    (
        {"virtualisation": "kvm", "architecture": "x86_64"},
        HostOffer(runs_its_kind=False),
        Code.VIRTUALISATION_MISSING,
    ),
    ({"emulator": "/opt/qemu"}, HostOffer(has_emulator=False), Code.EMULATOR_MISSING),
    ({}, HostOffer(free_memory_mib=64), None),
    ({}, HostOffer(free_memory_mib=63), Code.HOST_MEMORY_SHORT),
    (
        {"huge_pages_kib": (2048,)},
        HostOffer(free_memory_mib=9, free_pages={2048: 31}),
        Code.HUGE_PAGES_SHORT,
    ),
    ({"huge_pages_kib": (2048,)}, HostOffer(free_memory_mib=9, free_pages={2048: 32}), None),
    ({"pinned_cpus": (1, 8)}, HostOffer(cpus=frozenset({0, 1})), Code.PINNED_CPUS_MISSING),
    ({"pinned_cpus": (1,)}, HostOffer(cpus=frozenset({0, 1})), None),
    ({"memory_cells": (1,)}, HostOffer(cells=frozenset({0})), Code.NUMA_CELLS_MISSING),
    ({"memory_cells": (0,)}, HostOffer(cells=frozenset({0})), None),
    ({"links": ("eth1",)}, HostOffer(links=frozenset({"eth0"})), Code.LINK_MISSING),
    ({"links": ("eth1",)}, HostOffer(links=None), None),
    (
        {"firmware": "/usr/share/OVMF/C.fd"},
        HostOffer(firmwares=frozenset()),
        Code.FIRMWARE_MISSING,
    ),
    ({"firmware": "/opt/own.fd"}, HostOffer(firmwares=frozenset()), None),
    ({"firmware": "/usr/share/C.fd"}, HostOffer(firmwares=frozenset({"/usr/share/C.fd"})), None),
    ({"tpm": "emulator"}, HostOffer(tpm_backends=frozenset()), Code.TPM_UNSUPPORTED),
    ({"tpm": "emulator"}, HostOffer(tpm_backends=frozenset({"emulator"})), None),
    ({"secrets": ("s1",)}, HostOffer(), Code.SECRET_MISSING),
    ({"secrets": ("s1",)}, HostOffer(secrets=frozenset({"s1"})), None),
]


@pytest.mark.parametrize(("taken", "offer", "code"), NEEDS)
def test_a_host_without_what_the_guest_takes_refuses_with_this_code_alone(
    taken: dict[str, Any], offer: HostOffer, code: Code | None
) -> None:
    instance = replace(INSTANCE, platform=Platform(**taken))
    refusals = unmet_needs(instance, B, offer)
    assert [refusal.code for refusal in refusals] == ([code] if code else [])
    assert all(refusal.host == B for refusal in refusals)


def test_every_code_of_a_tie_or_of_a_need_has_a_case() -> None:
    tried = {code for _, code, _ in TIES} | {code for _, code in BOUND}
    assert codes_said_by(devices_module) == tried - {None}
    assert codes_said_by(needs) == {code for _, _, code in NEEDS} - {None}


def test_what_a_host_would_give_to_a_machine_is_read_from_its_domain_capabilities() -> None:
    text = (
        "<domainCapabilities><os><loader supported='yes'><value>/usr/share/C.fd</value></loader>"
        "</os><devices><tpm supported='yes'><enum name='backendModel'><value>emulator</value>"
        "</enum></tpm></devices></domainCapabilities>"
    )
    assert machine_offer(text) == MachineOffer(
        frozenset({"/usr/share/C.fd"}), frozenset({"emulator"})
    )
    assert machine_offer("<domainCapabilities/>") == MachineOffer(None, None)
