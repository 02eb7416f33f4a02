"""What libvirt's XML says, as plain records, and the XML of pools and volumes to be made. Pure;
called by the looks of this driver, and by `volumes` and `spawning`.

Only what is needed is read, and nothing is invented: an element that is not there is empty.
"""

from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from godwit.model.instance import Nic, Platform

HOST_DEVICES: Final = ("hostdev", "vsock", "redirdev", "shmem", "nvram")
"""Device elements that tie a guest to its host."""


@dataclass(frozen=True)
class DomainDisk:
    """A disk as a domain's XML has it. `kind` is the source's: file, block, network, volume ..."""

    device: str
    kind: str
    path: str
    format: str
    read_only: bool = False
    shareable: bool = False
    backing: tuple[str, ...] = ()
    """The files below an overlay, which hold part of its contents."""

    @property
    def is_file(self) -> bool:
        """A plain file, the one kind whose contents Godwit copies."""
        return self.kind == "file"

    @property
    def is_remote(self) -> bool:
        """On a network storage, which both hosts reach by themselves."""
        return self.kind == "network"


@dataclass(frozen=True)
class DomainFacts:
    """A domain as its XML has it."""

    uuid: str
    name: str
    memory_mib: int
    vcpus: int
    disks: tuple[DomainDisk, ...]
    nics: tuple[Nic, ...]
    platform: Platform
    host_devices: tuple[str, ...] = ()


def domain_facts(text: str) -> DomainFacts:
    """A domain's XML, read."""
    root = ElementTree.fromstring(text)
    return DomainFacts(
        uuid=root.findtext("uuid", ""),
        name=root.findtext("name", ""),
        memory_mib=_mib(root.find("memory")),
        vcpus=_vcpus(root.find("vcpu")),
        disks=tuple(disk for disk in map(_disk, root.findall("devices/disk")) if disk is not None),
        nics=tuple(_nic(card) for card in root.findall("devices/interface")),
        platform=_platform(root),
        host_devices=_host_devices(root),
    )


def _mib(element: Element | None) -> int:
    """libvirt always says `unit`; its own default is KiB."""
    if element is None:
        return 0
    unit = {"b": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
    size_bytes = int(element.text or 0) * unit.get(element.get("unit", "KiB"), 2**10)
    return -(-size_bytes // 2**20)


def _vcpus(element: Element | None) -> int:
    if element is None:
        return 1
    return int(element.get("current") or element.text or 1)


def _disk(element: Element) -> DomainDisk | None:
    source = element.find("source")
    target = element.find("target")
    driver = element.find("driver")
    path = _source_path(source)
    if target is None or not path:
        return None  # an empty drive holds nothing that could move
    return DomainDisk(
        device=target.get("dev", ""),
        kind=element.get("type", "file"),
        path=path,
        format=driver.get("type", "raw") if driver is not None else "raw",
        read_only=element.find("readonly") is not None or element.get("device") == "cdrom",
        shareable=element.find("shareable") is not None,
        backing=_backing_paths(element),
    )


def _backing_paths(element: Element) -> tuple[str, ...]:
    paths = (_source_path(below.find("source")) for below in element.iter("backingStore"))
    return tuple(path for path in paths if path)


def _source_path(source: Element | None) -> str:
    if source is None:
        return ""
    if source.get("volume"):
        return f"{source.get('pool', '')}/{source.get('volume')}"
    for key in ("file", "dev", "dir", "name"):
        if source.get(key):
            return str(source.get(key))
    return ""


def _nic(element: Element) -> Nic:
    mac, model, source = element.find("mac"), element.find("model"), element.find("source")
    return Nic(
        mac=mac.get("address", "") if mac is not None else "",
        network=_plugged_into(source),
        model=model.get("type", "virtio") if model is not None else "",
    )


def _plugged_into(source: Element | None) -> str:
    if source is None:
        return ""
    # A live card of a libvirt network names its bridge, too: the network is what moves along.
    for key in ("network", "bridge", "dev"):
        if source.get(key):
            return str(source.get(key))
    return ""


def _platform(root: Element) -> Platform:
    machine = root.find("os/type")
    cpu = root.find("cpu")
    return Platform(
        virtualisation=root.get("type", ""),
        architecture=machine.get("arch", "") if machine is not None else "",
        machine_type=machine.get("machine", "") if machine is not None else "",
        emulator=root.findtext("devices/emulator", ""),
        cpu=_compact(cpu) if cpu is not None else "",
    )


def _compact(element: Element) -> str:
    """The element without the white space between its children: one spelling for one meaning."""
    copy = ElementTree.fromstring(ElementTree.tostring(element))
    for part in copy.iter():
        part.tail = None
        if part.text is not None and not part.text.strip():
            part.text = None
    return ElementTree.tostring(copy, encoding="unicode")


def _host_devices(root: Element) -> tuple[str, ...]:
    devices = root.find("devices")
    if devices is None:
        return ()
    found = [child.tag for child in devices if child.tag in HOST_DEVICES]
    found += [
        f"interface type {card.get('type')}"
        for card in devices.findall("interface")
        if card.get("type") in ("hostdev", "vdpa")
    ]
    return tuple(found)


@dataclass(frozen=True)
class Capabilities:
    """What a host's libvirt can run."""

    architecture: str
    cpu_model: str
    machine_types: tuple[str, ...]
    """Every canonical name and alias, sorted."""
    virtualisation: str
    """`kvm` where the host has it, else `qemu`."""


def capabilities(text: str) -> Capabilities:
    """The capabilities XML, read."""
    root = ElementTree.fromstring(text)
    machines = {machine.text for machine in root.findall("guest/arch/machine")}
    has_kvm = root.find("guest/arch/domain[@type='kvm']") is not None
    return Capabilities(
        architecture=root.findtext("host/cpu/arch", ""),
        cpu_model=root.findtext("host/cpu/model", ""),
        machine_types=tuple(sorted(name for name in machines if name)),
        virtualisation="kvm" if has_kvm else "qemu",
    )


@dataclass(frozen=True)
class PoolFacts:
    """A storage pool: where its volumes stand, and for a netfs pool where they come from."""

    name: str
    kind: str
    path: str
    origin: str = ""
    """`HOST:DIR` of a network file system."""


def pool_facts(text: str) -> PoolFacts:
    """A pool's XML, read."""
    root = ElementTree.fromstring(text)
    host, folder = root.find("source/host"), root.find("source/dir")
    origin = ""
    if host is not None and folder is not None:
        origin = f"{host.get('name', '')}:{folder.get('path', '')}"
    return PoolFacts(
        name=root.findtext("name", ""),
        kind=root.get("type", ""),
        path=root.findtext("target/path", ""),
        origin=origin,
    )


@dataclass(frozen=True)
class VolumeFacts:
    """A storage volume. Bytes."""

    path: str
    format: str
    capacity_bytes: int
    allocated_bytes: int


def is_bridge(text: str) -> bool:
    """Is this interface's XML that of a bridge?"""
    return ElementTree.fromstring(text).get("type") == "bridge"


def volume_facts(text: str) -> VolumeFacts:
    """A volume's XML, read; libvirt gives its sizes in bytes."""
    root = ElementTree.fromstring(text)
    kind = root.find("target/format")
    return VolumeFacts(
        path=root.findtext("target/path", ""),
        format=kind.get("type", "raw") if kind is not None else "raw",
        capacity_bytes=int(root.findtext("capacity", "0")),
        allocated_bytes=int(root.findtext("allocation", "0")),
    )


def volume_xml(name: str, image_format: str, capacity_bytes: int) -> str:
    """The XML of a new, empty volume."""
    volume = Element("volume")
    ElementTree.SubElement(volume, "name").text = name
    ElementTree.SubElement(volume, "capacity", unit="bytes").text = str(capacity_bytes)
    ElementTree.SubElement(volume, "allocation", unit="bytes").text = "0"
    target = ElementTree.SubElement(volume, "target")
    ElementTree.SubElement(target, "format", type=image_format)
    return ElementTree.tostring(volume, encoding="unicode")


def folder_pool_xml(folder: str) -> str:
    """The XML of a pool on a folder, named after it."""
    pool = Element("pool", type="dir")
    ElementTree.SubElement(pool, "name").text = "godwit-" + folder.strip("/").replace("/", "-")
    ElementTree.SubElement(ElementTree.SubElement(pool, "target"), "path").text = folder
    return ElementTree.tostring(pool, encoding="unicode")
