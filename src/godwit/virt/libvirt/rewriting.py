"""The guest's definition as its destination must have it: other paths, other bridges, consoles that
listen on an address of the destination. Pure; asked by the transfer, just before it begins.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from godwit.model.migrate_data import LibvirtLiveMigrateData

FILE_KEYS: Final = ("file", "dev", "dir")
NETWORK_KEYS: Final = ("bridge", "network")
CHARACTER_DEVICES: Final = ("serial", "parallel", "console", "channel")


def destination_xml(text: str, agreed: LibvirtLiveMigrateData) -> str:
    """The definition for the destination; empty if nothing in it has to change."""
    root = ElementTree.fromstring(text)
    before = ElementTree.tostring(root)
    for disk in root.findall("devices/disk"):
        _move_disk(disk, agreed)
    for source in root.findall("devices/interface/source"):
        _rename(source, NETWORK_KEYS, agreed.bridges_there)
    for key, element in _listening(root):
        if is_of_one_host(element.get(key, "")):
            element.set(key, agreed.console_address)
    after = ElementTree.tostring(root)
    return after.decode() if after != before else ""


def console_addresses(root: Element) -> tuple[str, ...]:
    """The addresses of their host that the guest's consoles and serial devices listen on."""
    found = [element.get(key, "") for key, element in _listening(root)]
    return tuple(sorted({address for address in found if is_of_one_host(address)}))


def is_of_one_host(address: str) -> bool:
    """Is this an address that only one host can listen on? Loopback and "any" every host has."""
    if address in ("", "localhost"):
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return True
    return not (parsed.is_loopback or parsed.is_unspecified)


def _move_disk(disk: Element, agreed: LibvirtLiveMigrateData) -> None:
    target = disk.find("target")
    device = target.get("dev", "") if target is not None else ""
    if device in agreed.disks_to_copy and not agreed.incremental:
        for below in disk.findall("backingStore"):
            disk.remove(below)  # its copy is whole
    for source in disk.iter("source"):
        _rename(source, FILE_KEYS, agreed.paths_there)


def _rename(source: Element, keys: tuple[str, ...], names: Mapping[str, str]) -> None:
    for key in keys:
        name = source.get(key, "")
        if name in names:
            source.set(key, names[name])


def _listening(root: Element) -> list[tuple[str, Element]]:
    """Every place for an address to listen on: of a picture at the element itself and in its parts,
    of a serial device at its source.
    """
    return [
        *(("listen", console) for console in root.findall("devices/graphics")),
        *(("address", part) for part in root.findall("devices/graphics/listen[@type='address']")),
        *(
            ("host", source)
            for tag in CHARACTER_DEVICES
            for source in root.findall(f"devices/{tag}/source[@mode='bind']")
        ),
    ]
