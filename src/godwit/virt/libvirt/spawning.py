"""Guests of our own: made from a registered image, and removed with their disks. Each function
blocks; they run in the threads of `connection`.
"""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from godwit.model.ids import InstanceUuid
from godwit.virt.driver import NewGuest
from godwit.virt.libvirt import acts, reads
from godwit.virt.libvirt.abi import Libvirt
from godwit.virt.libvirt.connection import or_none
from godwit.virt.libvirt.platform import TAG
from godwit.virt.libvirt.pool_volumes import as_files
from godwit.virt.libvirt.storages import PoolLook
from godwit.virt.libvirt.volumes import pool_on, refresh_pools, remove_files
from godwit.virt.libvirt.xml import capabilities, domain_facts, volume_xml

FOLDER_POOLS: Final = ("dir", "fs", "netfs")
FORMAT: Final = "qcow2"


def spawn(libvirt: Libvirt, guest: NewGuest, bridge_at: Callable[[str], str]) -> str:
    """Make the disk, define the guest and start it, each unless it is there. Answers with what
    stands in the way. `bridge_at`: the bridge of a network here.
    """
    domain = reads.find_domain(libvirt, guest.instance.uuid)
    if domain is None:
        folder = _roomiest_folder(libvirt)
        if not folder:
            return "the host has no active storage pool that is a folder"
        path = f"{folder}/{_disk_name(guest.instance.uuid)}"
        problem = _make_disk(libvirt, guest, path)
        if problem:
            return problem
        hypervisor = capabilities(libvirt.getCapabilities()).virtualisation
        domain = libvirt.defineXML(domain_xml(guest, path, hypervisor, bridge_at))
    if not domain.isActive():
        domain.create()
    return ""


def destroy(libvirt: Libvirt, uuid: InstanceUuid, *, half_made: bool) -> tuple[str, ...]:
    """Stop and forget the guest and delete the disk that `spawn` made, which keeps its name
    wherever it moves. Answers with its other writable disks, which stay.

    `half_made`: its disk goes also where no definition names it: `spawn` may have ended before.
    """
    domain = reads.find_domain(libvirt, uuid)
    writable: list[str] = []
    if domain is not None:
        disks = domain_facts(as_files(libvirt, domain.XMLDesc())).disks
        writable = [disk.path for disk in disks if disk.is_file and not disk.read_only]
        acts.remove_guest(libvirt, uuid)
    own = [path for path in writable if PurePosixPath(path).name == _disk_name(uuid)]
    if half_made:
        own += [f"{pool.facts.path}/{_disk_name(uuid)}" for pool in _folders(libvirt)]
    remove_files(libvirt, own)
    return tuple(path for path in writable if path not in own)


def _disk_name(uuid: InstanceUuid) -> str:
    return f"{uuid}.{FORMAT}"


def _folders(libvirt: Libvirt) -> list[PoolLook]:
    return [pool for pool in reads.active_pools(libvirt) if pool.facts.kind in FOLDER_POOLS]


def _roomiest_folder(libvirt: Libvirt) -> str:
    folders = _folders(libvirt)
    roomiest = max(folders, key=_room, default=None)
    return roomiest.facts.path if roomiest is not None else ""


def _room(pool: PoolLook) -> tuple[int, str]:
    return (pool.free_bytes, pool.facts.name)


def _make_disk(libvirt: Libvirt, guest: NewGuest, path: str) -> str:
    """A copy of the image, grown to size; one that an earlier attempt has made is found."""
    image_folder = str(PurePosixPath(guest.image_path).parent)
    refresh_pools(libvirt, [image_folder, str(PurePosixPath(path).parent)])
    if reads.find_volume(libvirt, path) is not None:
        return ""
    pool = pool_on(libvirt, str(PurePosixPath(path).parent))
    image = or_none(lambda: libvirt.storageVolLookupByPath(guest.image_path))
    if pool is None:
        return f"the storage pool on {PurePosixPath(path).parent} is no longer active"
    if image is None:
        return f"{guest.image_path} is in no active storage pool"
    capacity_bytes = guest.disk_mib * 2**20
    text = volume_xml(PurePosixPath(path).name, FORMAT, capacity_bytes)
    disk = pool.createXMLFrom(text, image)
    if disk.info()[1] < capacity_bytes:
        disk.resize(capacity_bytes)  # a clone is as big as its image, whatever was asked for
    return ""


def domain_xml(
    guest: NewGuest, disk_path: str, virtualisation: str, bridge_at: Callable[[str], str]
) -> str:
    """The definition of a guest of our own, run by `kvm` or `qemu`. Pure."""
    instance = guest.instance
    domain = Element("domain", type=virtualisation)
    SubElement(domain, "name").text = instance.name
    SubElement(domain, "uuid").text = instance.uuid
    SubElement(SubElement(domain, "metadata"), f"{{{TAG}}}managed")
    SubElement(domain, "memory", unit="MiB").text = str(instance.memory_mib)
    SubElement(domain, "vcpu").text = str(instance.vcpus)
    system = SubElement(domain, "os")
    SubElement(system, "type", arch="x86_64").text = "hvm"
    if guest.kernel:
        SubElement(system, "kernel").text = guest.kernel
        SubElement(system, "cmdline").text = guest.command_line
    SubElement(SubElement(domain, "features"), "acpi")
    _add_devices(SubElement(domain, "devices"), guest, disk_path, bridge_at)
    return ElementTree.tostring(domain, encoding="unicode")


def _add_devices(
    devices: Element, guest: NewGuest, disk_path: str, bridge_at: Callable[[str], str]
) -> None:
    disk = SubElement(devices, "disk", type="file", device="disk")
    SubElement(disk, "driver", name="qemu", type=FORMAT)
    SubElement(disk, "source", file=disk_path)
    SubElement(disk, "target", dev="vda", bus="virtio")
    for nic in guest.instance.nics:
        card = SubElement(devices, "interface", type="bridge")
        SubElement(card, "mac", address=nic.mac)
        SubElement(card, "source", bridge=bridge_at(nic.network))
        SubElement(card, "model", type=nic.model)
    console = SubElement(devices, "serial", type="pty")
    SubElement(console, "target", port="0")
