"""What libvirt's XML says, as plain records, and the XML of pools and volumes to be made. Pure;
called by the looks of this driver, and by `volumes` and `spawning`.

Only what is needed is read, and nothing is invented: an element that is not there is empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from godwit.model.instance import BackingFile, Nic, Platform
from godwit.model.reasons import Reason
from godwit.virt.libvirt.devices import nested_feature, ties_of
from godwit.virt.libvirt.platform import platform_of, size_bytes
from godwit.virt.libvirt.rewriting import console_addresses

READ_MAX: Final = 256
"""So many domains are remembered: of each some 10 KiB."""
MEDIA: Final = ("file", "block", "dir")
"""Kinds of a disk's source that are named by a path; without one the drive is empty."""


@dataclass(frozen=True)
class DomainBacking:
    """A file below an overlay, as a domain's XML has it."""

    kind: str
    path: str
    format: str


@dataclass(frozen=True)
class DomainDisk:
    """A disk as a domain's XML has it. `kind` is the source's: file, block, network, volume ..."""

    device: str
    kind: str
    path: str
    format: str
    read_only: bool = False
    shareable: bool = False
    backing: tuple[DomainBacking, ...] = ()
    """What is below an overlay, nearest first."""
    device_type: str = "disk"
    bus: str = ""
    boot_index: int | None = None
    socket: bool = False
    """Reached through a socket of its own host."""

    @property
    def is_file(self) -> bool:
        """A plain file, the one kind whose contents Godwit copies."""
        return self.kind == "file"

    @property
    def is_remote(self) -> bool:
        """On a network storage, which both hosts reach by themselves."""
        return self.kind == "network" and not self.socket


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
    ties: tuple[Reason, ...] = ()
    """What keeps it at its host, each with its reason."""
    nested_feature: str = ""
    """The CPU feature by which it may run guests of its own."""
    console_addresses: tuple[str, ...] = ()
    """Addresses of its host that its consoles listen on."""


@lru_cache(READ_MAX)
def domain_facts(text: str) -> DomainFacts:
    """A domain's XML, read. The same text is read once: a guest is looked at again and again."""
    root = ElementTree.fromstring(text)
    return DomainFacts(
        uuid=root.findtext("uuid", ""),
        name=root.findtext("name", ""),
        memory_mib=_mib(root.find("memory")),
        vcpus=_vcpus(root.find("vcpu")),
        disks=tuple(disk for disk in map(_disk, root.findall("devices/disk")) if disk is not None),
        nics=tuple(_nic(card) for card in root.findall("devices/interface")),
        platform=platform_of(root),
        ties=ties_of(root),
        nested_feature=nested_feature(root),
        console_addresses=console_addresses(root),
    )


def _mib(element: Element | None) -> int:
    if element is None:
        return 0
    return -(-size_bytes(element.text, element.get("unit")) // 2**20)


def _vcpus(element: Element | None) -> int:
    if element is None:
        return 1
    return int(element.get("current") or element.text or 1)


def _disk(element: Element) -> DomainDisk | None:
    source = element.find("source")
    target = element.find("target")
    driver = element.find("driver")
    boot = element.find("boot")
    if target is None or source is None:
        return None  # an empty drive holds nothing that could move
    kind = element.get("type", "file")
    path = _source_path(kind, source)
    if not path and kind in MEDIA:
        return None
    return DomainDisk(
        device=target.get("dev", ""),
        kind=kind,
        path=path or kind,  # what cannot be named cannot be moved, and must not be overlooked
        format=driver.get("type", "raw") if driver is not None else "raw",
        read_only=element.find("readonly") is not None or element.get("device") == "cdrom",
        shareable=element.find("shareable") is not None,
        backing=_backing(element),
        device_type=element.get("device", "disk"),
        bus=target.get("bus", ""),
        boot_index=int(boot.get("order", "1")) - 1 if boot is not None else None,
        socket=source.find("host[@transport='unix']") is not None,
    )


def _backing(element: Element) -> tuple[DomainBacking, ...]:
    found = []
    for below in element.iter("backingStore"):
        source, image_format = below.find("source"), below.find("format")
        if source is not None:
            kind = below.get("type", "file")
            written = image_format.get("type", "raw") if image_format is not None else "raw"
            found.append(DomainBacking(kind, _source_path(kind, source), written))
    return tuple(found)


def _source_path(kind: str, source: Element) -> str:
    if kind == "network":
        return _network_path(source)
    if source.get("volume"):
        return f"{source.get('pool', '')}/{source.get('volume')}"
    for key in ("file", "dev", "dir", "name", "path"):
        if source.get(key):
            return str(source.get(key))
    return ""


def _network_path(source: Element) -> str:
    """`PROTOCOL:NAME`; with the server before the name where there is just one."""
    hosts = [
        host.get("socket") or f"{host.get('name', '')}:{host.get('port', '')}".rstrip(":")
        for host in source.findall("host")
    ]
    parts = [hosts[0] if len(hosts) == 1 else "", source.get("name", "")]
    return f"{source.get('protocol', '')}:{'/'.join(part for part in parts if part)}"


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
    for key in ("network", "bridge"):
        if source.get(key):
            return str(source.get(key))
    return ""


@dataclass(frozen=True)
class Capabilities:
    """What a host's libvirt can run."""

    architecture: str
    cpu_model: str
    machine_types: tuple[str, ...]
    """Every canonical name and alias, sorted."""
    virtualisation: str
    """`kvm` where the host has it, else `qemu`."""
    runs: frozenset[tuple[str, str]] = frozenset()
    """Each architecture with what can run it here: `kvm`, `qemu`."""
    emulators: frozenset[str] = frozenset()
    machine_uuid: str = ""
    """By which libvirtds refuse a migration to themselves."""
    cpu_features: tuple[str, ...] = ()
    cpus: frozenset[int] = frozenset()
    """The host's own CPUs."""
    cells: frozenset[int] = frozenset()
    """Its NUMA cells."""


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
        runs=frozenset(
            (arch.get("name", ""), domain.get("type", ""))
            for arch in root.findall("guest/arch")
            for domain in arch.findall("domain")
        ),
        emulators=frozenset(each.text or "" for each in root.findall("guest/arch//emulator")),
        machine_uuid=root.findtext("host/uuid", ""),
        cpu_features=tuple(sorted(f.get("name", "") for f in root.findall("host/cpu/feature"))),
        cpus=_ids(root.findall("host/topology/cells/cell/cpus/cpu")),
        cells=_ids(root.findall("host/topology/cells/cell")),
    )


@dataclass(frozen=True)
class MachineOffer:
    """What a host's libvirt would give to one kind of machine; None where it does not say."""

    firmwares: frozenset[str] | None
    tpm_backends: frozenset[str] | None


def machine_offer(text: str) -> MachineOffer:
    """The domain capabilities XML, read."""
    root = ElementTree.fromstring(text)
    loader, tpm = root.find("os/loader"), root.find("devices/tpm")
    return MachineOffer(
        firmwares=_values(loader, "value"),
        tpm_backends=_values(tpm, "enum[@name='backendModel']/value"),
    )


def _values(element: Element | None, path: str) -> frozenset[str] | None:
    if element is None:
        return None
    return frozenset(each.text or "" for each in element.findall(path))


def _ids(elements: Iterable[Element]) -> frozenset[int]:
    return frozenset(int(each.get("id", "0")) for each in elements)


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


def volume_xml(
    name: str, image_format: str, capacity_bytes: int, backing: BackingFile | None = None
) -> str:
    """The XML of a new, empty volume; an overlay where it has a base."""
    volume = Element("volume")
    SubElement(volume, "name").text = name
    SubElement(volume, "capacity", unit="bytes").text = str(capacity_bytes)
    SubElement(volume, "allocation", unit="bytes").text = "0"
    SubElement(SubElement(volume, "target"), "format", type=image_format)
    if backing is not None:
        below = SubElement(volume, "backingStore")
        SubElement(below, "path").text = backing.path
        SubElement(below, "format", type=backing.format)
    return ElementTree.tostring(volume, encoding="unicode")


def folder_pool_xml(folder: str) -> str:
    """The XML of a pool on a folder, named after it."""
    pool = Element("pool", type="dir")
    SubElement(pool, "name").text = "godwit-" + folder.strip("/").replace("/", "-")
    SubElement(SubElement(pool, "target"), "path").text = folder
    return ElementTree.tostring(pool, encoding="unicode")
