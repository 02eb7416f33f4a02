"""A twin has all that decides whether the guest can run there, and nothing that is the guest's."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from godwit.model.rehearsal import TwinName
from godwit.virt.libvirt.twins import rehearsal_xml, tiny_xml

NAME = TwinName("godwit-rehearsal-1800000000-0123abcd")
GUEST = """
<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>guest</name><uuid>840151b5-a919-5a6c-bbf8-50ce5460fe79</uuid>
  <metadata><nova xmlns='http://openstack.org/nova'/></metadata>
  <sysinfo type='smbios'><system><entry name='uuid'>840151b5</entry></system></sysinfo>
  <seclabel type='static' model='dac'><label>+0:+0</label></seclabel>
  <memory unit='KiB'>8388608</memory><currentMemory unit='KiB'>4194304</currentMemory>
  <memoryBacking><hugepages/></memoryBacking>
  <vcpu placement='static'>8</vcpu><cputune><vcpupin vcpu='0' cpuset='1'/></cputune>
  <os firmware='efi'>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF.fd</loader>
    <nvram>/var/lib/libvirt/qemu/nvram/guest_VARS.fd</nvram>
    <kernel>/boot/k</kernel><smbios mode='sysinfo'/>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>Nehalem</model><topology sockets='8' cores='1' threads='1'/>
    <feature policy='require' name='aes'/><numa><cell id='0' cpus='0-7' memory='8388608'/></numa>
  </cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><source file='/d.qcow2'/><target dev='vda'/></disk>
    <disk type='file' device='cdrom'><source file='/i'/><target dev='sda'/><readonly/></disk>
    <controller type='pci' model='pcie-root'/>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
    <interface type='bridge'><source bridge='ovs'/><virtualport type='openvswitch'/></interface>
    <interface type='direct'><source dev='eth0' mode='bridge'/></interface>
    <serial type='file'><source path='/var/log/guest.log'/></serial>
    <channel type='unix'><source path='/run/agent'/></channel>
    <tpm model='tpm-crb'><backend type='emulator'/></tpm>
    <hostdev mode='subsystem' type='pci'/>
    <filesystem type='mount'/>
    <memory model='nvdimm'><source><path>/p</path></source></memory>
    <graphics type='vnc' autoport='yes'/>
  </devices>
  <qemu:commandline><qemu:arg value='-drive'/></qemu:commandline>
</domain>
"""


def tags(element: Element | None) -> list[str]:
    assert element is not None
    return [part.tag for part in element]


@pytest.fixture
def big() -> Element:
    return ElementTree.fromstring(rehearsal_xml(GUEST, NAME))


@pytest.fixture
def tiny() -> Element:
    return ElementTree.fromstring(tiny_xml(GUEST, NAME))


def test_a_twin_is_named_as_one_and_has_no_uuid_of_the_guests(big: Element, tiny: Element) -> None:
    for twin in (big, tiny):
        assert twin.findtext("name") == NAME
        assert twin.find("uuid") is None
        assert "840151b5" not in ElementTree.tostring(twin, encoding="unicode")


def test_a_twin_to_be_started_has_only_devices_that_are_nobody_elses(big: Element) -> None:
    assert tags(big.find("devices")) == ["emulator", "disk", "controller", "interface", "graphics"]
    assert [disk.get("device") for disk in big.iterfind("devices/disk")] == ["cdrom"]
    assert tags(big.find("devices/interface")) == ["source"]


def test_a_disk_that_is_copied_is_not_there_yet() -> None:
    big = ElementTree.fromstring(rehearsal_xml(GUEST, NAME, copied=["sda"]))
    assert big.findall("devices/disk") == []


def test_a_twin_to_be_started_keeps_what_may_be_missing_there(big: Element) -> None:
    assert {"memory", "memoryBacking", "vcpu", "cputune", "features", "cpu"} <= set(tags(big))
    assert not {"metadata", "sysinfo", "seclabel"} & set(tags(big))
    assert tags(big.find("os")) == ["type", "kernel"]
    assert tags(big.find("cpu")) == ["model", "topology", "feature", "numa"]


def test_firmware_makes_no_variables_for_a_twin(big: Element, tiny: Element) -> None:
    for twin in (big, tiny):
        system = twin.find("os")
        assert system is not None
        assert system.attrib == {}
        assert not {"loader", "nvram"} & set(tags(system))


def test_a_twin_to_be_sent_is_of_the_guests_kind_and_tiny(tiny: Element) -> None:
    assert [(each.get("unit"), each.text) for each in tiny.iterfind("memory")] == [("MiB", "16")]
    assert tiny.findtext("vcpu") == "1"
    assert (tiny.get("type"), tags(tiny.find("os"))) == ("kvm", ["type"])
    assert tags(tiny.find("cpu")) == ["model", "feature"]
    assert tags(tiny.find("devices")) == ["emulator", "controller", "memballoon"]
    assert not {"currentMemory", "memoryBacking", "cputune"} & set(tags(tiny))
