"""The definitions of twins, which stand in for a guest in a rehearsal. Pure; `rehearsals` starts
them.

A twin must never touch what is the guest's: it has another name, uuid and MAC addresses, no disk
that can be written, no firmware variables, no file or socket of the guest's. What is not known to
be harmless is left out, so that a rehearsal proves less rather than harms.
"""

from collections.abc import Callable, Collection
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from godwit.model.rehearsal import TwinName

TINY_MIB: Final = "16"

PARTS_OF_TINY: Final = frozenset(
    {"resource", "os", "features", "cpu", "clock", "devices"}
    | {"on_poweroff", "on_reboot", "on_crash"}
)
PARTS: Final = PARTS_OF_TINY | {
    *("memory", "currentMemory", "maxMemory", "memoryBacking", "numatune"),
    *("vcpu", "vcpus", "iothreads", "cputune", "pm"),
}
SYSTEM: Final = frozenset({"type", "kernel", "initrd", "cmdline", "dtb", "boot", "bios"})
DEVICES: Final = frozenset(
    {"emulator", "controller", "disk", "interface", "memory", "memballoon", "rng", "panic"}
    | {"graphics", "video", "input", "audio", "sound", "hub", "watchdog"}
)
NICS: Final = frozenset({"bridge", "network"})
"""Not those whose port would answer, or be bound, as the guest's: macvtap, VFs, vhost-user."""
MEMORY: Final = frozenset({"dimm", "virtio-mem"})


def rehearsal_xml(definition: str, name: TwinName, *, copied: Collection[str] = ()) -> str:
    """A twin as big as the guest, to be started paused where the guest would go; without the disks
    that are `copied` (by their target), of which nothing is there yet.
    """
    root = _renamed(definition, name, PARTS)
    _keep(root.find("os"), lambda part: part.tag in SYSTEM)
    devices = root.find("devices")
    _keep(devices, _is_harmless)
    _keep(devices, lambda part: part.tag != "disk" or _target(part) not in copied)
    for card in root.iterfind("devices/interface"):
        _keep(card, lambda part: part.tag != "mac")
    return ElementTree.tostring(root, encoding="unicode")


def tiny_xml(definition: str, name: TwinName) -> str:
    """A twin of the guest's kind (machine, CPU, emulator) with hardly any memory, to be sent."""
    root = _renamed(definition, name, PARTS_OF_TINY)
    SubElement(root, "memory", unit="MiB").text = TINY_MIB
    SubElement(root, "vcpu").text = "1"
    _keep(root.find("os"), lambda part: part.tag == "type")
    _keep(root.find("cpu"), lambda part: part.tag in ("model", "vendor", "feature"))
    devices = root.find("devices")
    _keep(devices, lambda part: part.tag == "emulator")
    if devices is not None:
        SubElement(devices, "controller", type="usb", model="none")
        SubElement(devices, "memballoon", model="none")
    return ElementTree.tostring(root, encoding="unicode")


def _renamed(definition: str, name: TwinName, parts: frozenset[str]) -> Element:
    """These parts of the definition alone; without a uuid libvirt makes a new one."""
    root = ElementTree.fromstring(definition)
    _keep(root, lambda part: part.tag in parts)
    SubElement(root, "name").text = name
    for system in root.findall("os"):
        system.attrib.clear()  # firmware="efi" would make variables of its own
    return root


def _is_harmless(device: Element) -> bool:
    kind = device.get("type", "")
    match device.tag:
        case "disk":
            return device.find("readonly") is not None
        case "interface":
            return kind in NICS and device.find("virtualport") is None
        case "memory":
            return device.get("model") in MEMORY
        case tag:
            return tag in DEVICES


def _target(disk: Element) -> str:
    target = disk.find("target")
    return target.get("dev", "") if target is not None else ""


def _keep(element: Element | None, is_kept: Callable[[Element], bool]) -> None:
    if element is not None:
        for part in list(element):
            if not is_kept(part):
                element.remove(part)
