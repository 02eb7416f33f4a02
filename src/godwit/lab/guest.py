"""Guests of the lab: what one is made of, its libvirt definition, its disks, and starting it on a
host.

Used by the tests, the demo and `godwit lab guest`. The guest itself is the C program in `guest/`;
where it runs and whether it is well is read by `heartbeat`.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from godwit.lab.errors import LabCommandFailed, LabUsageError
from godwit.lab.guest_program import install_guest_program
from godwit.lab.host import LabHost
from godwit.lab.layout import POOLS

GUEST_UUIDS: Final = uuid.UUID("5f7c52a2-6c1c-5c0e-8a51-0a1f1b1f4d55")
MACHINE: Final = "pc-i440fx-7.2"
"""Pinned: `pc` means another machine to each QEMU, and an older QEMU refuses a newer machine."""

EMULATOR: Final = "/usr/bin/qemu-system-x86_64"
LOG_FOLDER: Final = "/var/log/libvirt"
NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
CPU_MODES: Final = ("host-model", "maximum")
DESTROY_TIMEOUT_S: Final = 30.0
STATE_ATTEMPTS_MAX: Final = 3
FORGETTING: Final = "--managed-save --snapshots-metadata --keep-nvram"
KEYS: Final = {"\n": "ret"}


class DiskPlace(StrEnum):
    """Who sees a disk: all hosts, or one. Also the name of the storage pool it stands in."""

    SHARED = "shared"
    LOCAL = "local"


@dataclass(frozen=True)
class GuestDisk:
    """One disk of a guest; the first one is written and checked by the guest itself."""

    name: str
    place: DiskPlace
    size_mib: int = 16
    format: str = "qcow2"
    base: str = ""
    """The qcow2 image that this one is an overlay on."""

    @property
    def path(self) -> str:
        """The file, by the same name on every host."""
        return f"{POOLS[self.place]}/{self.name}"


@dataclass(frozen=True)
class GuestSpec:
    """All that a lab guest is; its definition follows from this alone."""

    name: str
    memory_mib: int = 16
    working_set_mib: int = 4
    dirty_pages_per_s: int = 0
    heartbeat_ms: int = 20
    disks: tuple[GuestDisk, ...] = ()
    disk_write_ms: int = 40
    nic: bool = True
    machine: str = MACHINE
    cpu: str = "qemu64"
    cpu_features: tuple[str, ...] = ()
    persistent: bool = True
    autostart: bool = False
    given_uuid: uuid.UUID | None = None
    elements: tuple[str, ...] = ()
    """Further parts of its definition, in libvirt's XML; those of an `os` join the one there is."""
    devices: tuple[str, ...] = ()
    """Further devices, in libvirt's XML."""

    def __post_init__(self) -> None:
        """A name with a space in it would end up as two words on the guest's command line."""
        if not NAME_PATTERN.fullmatch(self.name):
            remedy = "use up to 63 letters, digits, dots, hyphens and underscores"
            raise LabUsageError(f"{self.name!r} cannot be the name of a lab guest", remedy=remedy)

    @property
    def uuid(self) -> uuid.UUID:
        """The given one, or one that follows from the name."""
        return self.given_uuid or uuid.uuid5(GUEST_UUIDS, self.name)

    @property
    def mac_address(self) -> str:
        """In QEMU's own range; follows from the uuid."""
        return "52:54:00:" + ":".join(f"{octet:02x}" for octet in self.uuid.bytes[:3])

    @property
    def command_line(self) -> str:
        """What the guest program is told at its start."""
        disk_ms = self.disk_write_ms if self.disks else 0
        return (
            f"name={self.name} heartbeat={self.heartbeat_ms} rate={self.dirty_pages_per_s} "
            f"set={self.working_set_mib} disk={disk_ms}"
        )


@dataclass(frozen=True)
class GuestProgram:
    """What a guest boots: paths as its hosts see them, and the kernel's command line."""

    kernel: str
    command_line: str
    initrd: str | None = None


def start_guest(host: LabHost, spec: GuestSpec) -> None:
    """Define the guest on the host, unless it is transient, and start it; its disks must exist.

    Returns when libvirt says that it runs; its first heartbeat comes some 0.1 s later.
    """
    define_and_start(host, spec, _tiny_program(host, spec))


def define_guest(host: LabHost, spec: GuestSpec) -> None:
    """Define the guest on the host without starting it."""
    _do(host, _definition(spec), domain_xml(spec, _tiny_program(host, spec)))


def define_and_start(host: LabHost, spec: GuestSpec, program: GuestProgram) -> None:
    """What `start_guest` does, for a guest that boots another program."""
    acts = [*_definition(spec), f"start {spec.name}"] if spec.persistent else ["create /dev/stdin"]
    _do(host, acts, domain_xml(spec, program))


def create_disk(host: LabHost, disk: GuestDisk) -> None:
    """Make an empty disk image where the host sees it; LabUsageError if the file is there already.

    A migration that copies a local disk makes its image at the destination by itself, in the pool
    there.
    """
    if host.run("test", "-e", disk.path, check=False).returncode == 0:
        raise LabUsageError(f"{disk.path} exists already on {host.name}")
    below = ["-b", disk.base, "-F", "qcow2"] if disk.base else []
    size = f"{disk.size_mib}M"
    host.run("qemu-img", "create", "-q", "-f", disk.format, *below, disk.path, size)


def remove_guest(host: LabHost, name: str) -> None:
    """End the guest on the host, if it runs there, and forget its definition; its disks stay."""
    acts = "; ".join(removal(name))
    host.run("virsh", "-q", acts, timeout_s=DESTROY_TIMEOUT_S, check=False)


def removal(name: str) -> list[str]:
    """What virsh is told to remove a guest. Pure."""
    return [f"destroy {name}", f"undefine {name} {FORGETTING}"]


def set_dirty_rate(host: LabHost, guest: str, pages_per_s: int) -> None:
    """Tell a running guest how many pages to write per second; works in a migration, too."""
    type_line(host, guest, f"r{pages_per_s}")


def type_line(host: LabHost, guest: str, line: str) -> None:
    """Type a line on the guest's keyboard; `guest/main.c` lists what it obeys.

    Through QEMU's monitor, because libvirt's own send-key waits until a migration is over.
    """
    keys = [{"type": "qcode", "data": KEYS.get(letter, letter)} for letter in f"{line}\n"]
    for key in keys:
        command = {"execute": "send-key", "arguments": {"keys": [key], "hold-time": 1}}
        host.run("virsh", "-q", "qemu-monitor-command", guest, json.dumps(command))


def running_guests(host: LabHost) -> list[str]:
    """The names of the guests libvirt knows as active on the host."""
    return host.run("virsh", "-q", "list", "--name").stdout.split()


def known_guests(host: LabHost) -> list[str]:
    """The names of all guests libvirt knows on the host, running or not."""
    return host.run("virsh", "-q", "list", "--all", "--name").stdout.split()


def domain_state(host: LabHost, guest: str) -> str:
    """State and reason in virsh's words, as "running (booted)"; "absent" if there is none."""
    said = ""
    for _ in range(STATE_ATTEMPTS_MAX):  # It may appear between the two questions.
        result = host.run("virsh", "-q", "domstate", "--reason", guest, check=False)
        if result.returncode == 0:
            return result.stdout.strip()
        if guest not in known_guests(host):
            return "absent"
        said = result.stderr.strip()
    raise LabCommandFailed(f"cannot read the state of {guest} on {host.name}: {said}")


def domain_xml(spec: GuestSpec, program: GuestProgram) -> str:
    """The libvirt definition of a guest that boots this program. Pure."""
    domain = Element("domain", type="qemu")
    SubElement(domain, "name").text = spec.name
    SubElement(domain, "uuid").text = str(spec.uuid)
    SubElement(domain, "memory", unit="MiB").text = str(spec.memory_mib)
    SubElement(domain, "vcpu").text = "1"
    system = SubElement(domain, "os")
    SubElement(system, "type", arch="x86_64", machine=spec.machine).text = "hvm"
    SubElement(system, "kernel").text = program.kernel
    if program.initrd is not None:
        SubElement(system, "initrd").text = program.initrd
    SubElement(system, "cmdline").text = program.command_line
    SubElement(SubElement(domain, "features"), "acpi")
    cpu = _cpu(domain, spec.cpu)
    for feature in spec.cpu_features:
        SubElement(cpu, "feature", policy="require", name=feature)
    for part in map(ElementTree.fromstring, spec.elements):
        if part.tag == system.tag:
            system.extend(part)
        else:
            domain.append(part)
    _add_devices(domain, spec)
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode") + "\n"


def _cpu(domain: Element, wanted: str) -> Element:
    """A model by name, or one of libvirt's modes that take what the host can give."""
    if wanted in CPU_MODES:
        return SubElement(domain, "cpu", mode=wanted)
    cpu = SubElement(domain, "cpu", mode="custom", match="exact")
    SubElement(cpu, "model").text = wanted
    return cpu


def _tiny_program(host: LabHost, spec: GuestSpec) -> GuestProgram:
    return GuestProgram(install_guest_program(host.shared), spec.command_line)


def _definition(spec: GuestSpec) -> list[str]:
    return ["define /dev/stdin", *([f"autostart {spec.name}"] if spec.autostart else [])]


def _do(host: LabHost, acts: list[str], xml: str) -> None:
    """In one virsh: to start one takes as long as many an act. It goes on behind one that fails."""
    done = host.run("virsh", "-q", "; ".join(acts), stdin_text=xml)
    if done.stderr.strip():
        raise LabCommandFailed(f"virsh on {host.name}: {done.stderr.strip()}")


def _add_devices(domain: Element, spec: GuestSpec) -> None:
    devices = SubElement(domain, "devices")
    SubElement(devices, "emulator").text = EMULATOR
    for number, disk in enumerate(spec.disks):
        _add_disk(devices, disk, "hd" + "abcd"[number])
    devices.extend(ElementTree.fromstring(text) for text in spec.devices)
    SubElement(devices, "controller", type="usb", model="none")
    if spec.nic:
        card = SubElement(devices, "interface", type="bridge")
        SubElement(card, "mac", address=spec.mac_address)
        SubElement(card, "source", bridge="brvm")
        SubElement(card, "model", type="virtio")
    serial = SubElement(devices, "serial", type="file")
    # The same path on every host, but a file of its own on each: it tells where the guest runs.
    SubElement(serial, "source", path=f"{LOG_FOLDER}/{spec.name}.serial", append="on")
    SubElement(serial, "target", port="0")
    SubElement(devices, "memballoon", model="none")


def _add_disk(devices: Element, disk: GuestDisk, device: str) -> None:
    element = SubElement(devices, "disk", type="file", device="disk")
    SubElement(element, "driver", name="qemu", type=disk.format)
    SubElement(element, "source", file=disk.path)
    SubElement(element, "target", dev=device, bus="ide")
