"""Disks that a definition names by pool and volume, as the files that they are.

Asked wherever a definition is read or sent: a pool of the same name at another host may be another
one, and libvirt would take the file of that name there for the guest's.
"""

from xml.etree import ElementTree

from godwit.virt.libvirt.abi import VOLUME_IS_FILE, Libvirt
from godwit.virt.libvirt.connection import or_none


def as_files(libvirt: Libvirt, text: str) -> str:
    """The definition with a path for each volume that is a file; untouched if there is none. Blocks
    only where it names volumes.
    """
    if "volume=" not in text:
        return text
    root = ElementTree.fromstring(text)
    found = False
    for disk in root.findall("devices/disk[@type='volume']"):
        for source in disk.findall("source"):
            path = _path_of(libvirt, source.get("pool", ""), source.get("volume", ""))
            if path:
                found = True
                disk.set("type", "file")
                source.attrib.pop("pool")
                source.attrib.pop("volume")
                source.set("file", path)
    return ElementTree.tostring(root, encoding="unicode") if found else text


def _path_of(libvirt: Libvirt, pool_name: str, volume_name: str) -> str:
    pool = or_none(lambda: libvirt.storagePoolLookupByName(pool_name))
    volume = or_none(lambda: pool.storageVolLookupByName(volume_name)) if pool else None
    return volume.path() if volume and volume.info()[0] == VOLUME_IS_FILE else ""
