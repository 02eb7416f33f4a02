"""What libvirt's XML says, as plain records, and the XML of pools and volumes to be made. Pure;
called by the looks of this driver, and by `volumes` and `spawning`.

Only what is needed is read, and nothing is invented: an element that is not there is empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from godwit.model.instance import Nic, Platform
from godwit.model.reasons import Reason
from godwit.virt.libvirt.devices import nested_feature, ties_of
from godwit.virt.libvirt.platform import platform_of


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
    ties: tuple[Reason, ...] = ()
    """What keeps it at its host, each with its reason."""
    nested_feature: str = ""
    """The CPU feature by which it may run guests of its own."""


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
        platform=platform_of(root),
        ties=ties_of(root),
        nested_feature=nested_feature(root),
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
