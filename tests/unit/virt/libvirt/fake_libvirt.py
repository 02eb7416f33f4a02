"""A libvirtd in memory, as far as acts and volumes use one: domains in any state, and pools."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import libvirt

from godwit.virt.libvirt.abi import (
    SPEED_UNLIMITED,
    DomainXml,
    JobType,
    Paused,
    Running,
    Shutoff,
    State,
    Trouble,
)


class Refusal(libvirt.libvirtError):  # type: ignore[misc]
    """libvirtd's own error, with this number."""

    def __init__(self, number: int) -> None:
        Exception.__init__(self, f"error {number}")
        self._number = number

    def get_error_code(self) -> int:
        return self._number

    def get_error_message(self) -> str:
        return f"error {self._number}"


@dataclass
class FakeDomain:
    """A domain, which writes down what is done to it."""

    host: FakeLibvirt
    uuid: str
    at: tuple[int, int]
    persistent: bool = True
    job: int = 0
    arriving: bool = False
    disks: tuple[str, ...] = ()
    disks_of_next_boot: tuple[str, ...] | None = None
    """None: the same."""
    flag: bool = False
    speed: int = SPEED_UNLIMITED
    downtime: int = 300
    done: list[str] = field(default_factory=list)

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's own name
        return self.uuid

    def state(self, flags: int = 0) -> list[int]:
        return list(self.at)

    def isActive(self) -> int:  # noqa: N802
        return int(self.at[0] not in (State.SHUTOFF, State.CRASHED))

    def isPersistent(self) -> int:  # noqa: N802
        return int(self.persistent)

    def autostart(self) -> int:
        return int(self.flag)

    def setAutostart(self, autostart: int) -> int:  # noqa: N802
        self.flag = bool(autostart)
        return 0

    def jobStats(self, flags: int = 0) -> dict[str, int]:  # noqa: N802
        if self.arriving:
            raise Refusal(Trouble.OPERATION_UNSUPPORTED)
        kind = JobType.UNBOUNDED if self.job else JobType.NONE
        return {"type": kind, "operation": self.job}

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        disks = self.disks
        if flags & DomainXml.INACTIVE and self.disks_of_next_boot is not None:
            disks = self.disks_of_next_boot
        domain = ElementTree.Element("domain", type="qemu")
        ElementTree.SubElement(domain, "uuid").text = self.uuid
        devices = ElementTree.SubElement(domain, "devices")
        for number, path in enumerate(disks):
            devices.append(_disk_element(f"vd{number}", path))
        return ElementTree.tostring(domain, encoding="unicode")

    def abortJob(self) -> int:  # noqa: N802
        self.done.append("abort")
        return 0

    def migrateGetMaxSpeed(self, flags: int = 0) -> int:  # noqa: N802
        return self.speed

    def migrateSetMaxSpeed(self, bandwidth: int) -> int:  # noqa: N802
        self.done.append(f"speed {bandwidth}")
        self.speed = bandwidth
        return 0

    def migrateGetMaxDowntime(self, flags: int = 0) -> int:  # noqa: N802
        if not self.isActive():
            raise Refusal(Trouble.OPERATION_INVALID)
        return self.downtime

    def migrateSetMaxDowntime(self, downtime: int) -> int:  # noqa: N802
        self.done.append(f"downtime {downtime}")
        self.downtime = downtime
        return 0

    def resume(self) -> int:
        self.done.append("resume")
        self.at = (State.RUNNING, Running.UNPAUSED)
        return 0

    def destroy(self) -> int:
        self.done.append("destroy")
        self.at = (State.SHUTOFF, Shutoff.DESTROYED)
        if not self.persistent:
            del self.host.domains[self.uuid]
        return 0

    def undefineFlags(self, flags: int = 0) -> int:  # noqa: N802
        if self.uuid not in self.host.domains:
            raise Refusal(Trouble.NO_DOMAIN)
        self.done.append("undefine")
        del self.host.domains[self.uuid]
        return 0


def _disk_element(device: str, path: str) -> ElementTree.Element:
    """A disk as libvirt writes it. `pool:volume` names it by those, `top<base` has a base."""
    top, _, base = path.partition("<")
    pool, _, volume = top.rpartition(":")
    disk = ElementTree.Element("disk", type="volume" if pool else "file")
    place = {"pool": pool, "volume": volume} if pool else {"file": top}
    ElementTree.SubElement(disk, "source", place)
    if base:
        below = ElementTree.SubElement(disk, "backingStore", type="file")
        ElementTree.SubElement(below, "format", type="raw")
        ElementTree.SubElement(below, "source", file=base)
    ElementTree.SubElement(disk, "target", dev=device)
    return disk


@dataclass
class FakeVolume:
    """A file in a pool."""

    host: FakeLibvirt
    file: str
    capacity: int
    format: str = "qcow2"
    allocated: int = 200_704

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        return (
            f"<volume><capacity>{self.capacity}</capacity><allocation>{self.allocated}"
            f"</allocation><target><path>{self.file}</path><format type='{self.format}'/>"
            "</target></volume>"
        )

    def path(self) -> str:
        return self.file

    def info(self) -> list[int]:
        return [0, self.capacity, self.allocated]

    def delete(self, flags: int = 0) -> int:
        del self.host.files[self.file]
        return 0


@dataclass
class FakePool:
    """An active pool on a folder."""

    host: FakeLibvirt
    folder: str
    free_bytes: int = 2**40

    def info(self) -> list[int]:
        return [2, 2**41, 2**40, self.free_bytes]

    def isActive(self) -> int:  # noqa: N802
        return 1

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        return f"<pool type='dir'><target><path>{self.folder}</path></target></pool>"

    def storageVolLookupByName(self, name: str) -> FakeVolume:  # noqa: N802
        return self.host.storageVolLookupByPath(f"{self.folder}/{name}")

    def listAllVolumes(self, flags: int = 0) -> list[FakeVolume]:  # noqa: N802
        return [
            volume
            for path, volume in self.host.files.items()
            if path.rpartition("/")[0] == self.folder
        ]

    def refresh(self, flags: int = 0) -> int:
        return 0

    def destroy(self) -> int:
        self.host.pools.remove(self)
        return 0

    def createXML(self, text: str, flags: int = 0) -> FakeVolume:  # noqa: N802
        root = ElementTree.fromstring(text)
        path = f"{self.folder}/{root.findtext('name')}"
        volume = FakeVolume(self.host, path, int(root.findtext("capacity", "0")))
        self.host.files[path] = volume
        return volume


@dataclass
class FakeLibvirt:
    """The host: what libvirtd would find on it."""

    domains: dict[str, FakeDomain] = field(default_factory=dict)
    files: dict[str, FakeVolume] = field(default_factory=dict)
    pools: list[FakePool] = field(default_factory=list)

    def add(self, uuid: str, at: tuple[int, int], **facts: Any) -> FakeDomain:
        """A domain in this state."""
        domain = FakeDomain(self, uuid, at, **facts)
        self.domains[uuid] = domain
        return domain

    def add_pool(self, folder: str, **facts: Any) -> None:
        """An active pool."""
        self.pools.append(FakePool(self, folder, **facts))

    def storagePoolLookupByName(self, name: str) -> FakePool:  # noqa: N802
        for pool in self.pools:
            if pool.folder.endswith(f"/{name}"):
                return pool
        raise Refusal(Trouble.NO_STORAGE_POOL)

    def lookupByUUIDString(self, uuid: str) -> FakeDomain:  # noqa: N802
        if uuid not in self.domains:
            raise Refusal(Trouble.NO_DOMAIN)
        return self.domains[uuid]

    def listAllDomains(self, flags: int = 0) -> list[FakeDomain]:  # noqa: N802
        return list(self.domains.values())

    def listAllStoragePools(self, flags: int = 0) -> list[FakePool]:  # noqa: N802
        return list(self.pools)

    def storagePoolCreateXML(self, text: str, flags: int = 0) -> FakePool:  # noqa: N802
        pool = FakePool(self, ElementTree.fromstring(text).findtext("target/path", ""))
        self.pools.append(pool)
        return pool

    def storageVolLookupByPath(self, path: str) -> FakeVolume:  # noqa: N802
        shown = any(path.rpartition("/")[0] == pool.folder for pool in self.pools)
        if not shown or path not in self.files:
            raise Refusal(Trouble.NO_STORAGE_VOL)
        return self.files[path]


EVERY_STATE: list[tuple[int, int]] = [
    *((state, reason) for state in (1, 3, 5) for reason in range(15)),
    *((state, 1) for state in (0, 2, 4, 6, 7)),
]
"""Running, paused and shut off for every reason, and each other state."""
WAITS_THERE = (int(State.PAUSED), int(Paused.USER))
"""An arrived guest that waits for us."""
