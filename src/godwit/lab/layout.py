"""Names, addresses and folders of a lab: pure facts that follow from a host's place in the row.

Every other module of the lab asks here, so that an address or a folder is spelled in one place
only. Addresses never clash between labs, because each lab has a network namespace of its own.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never

from godwit.lab.errors import LabUsageError

HOSTS_MAX: Final = 8
HOSTS_DEFAULT: Final = 3
HOST_NAMES: Final = tuple(f"host-{letter}" for letter in "abcdefgh")

LAB_VARIABLE: Final = "GODWIT_LAB"
"""Environment variable holding the lab's base folder for whatever runs inside the lab."""

BASES: Final = Path("/run/godwit-lab")
"""In a sandbox: holds the base folder. Outside: holds the state files of background labs."""

LOCAL_FOLDER: Final = "/srv/local"
SHARED_FOLDER: Final = "/srv/shared"
POOLS: Final = {"local": LOCAL_FOLDER, "shared": SHARED_FOLDER}
"""The storage pools that every host has, and the folder for disks that each stands on."""

CONTROL_PLANE_ADDRESS: Final = "10.98.0.254"
TLS_PORT: Final = 16514
LIBVIRTD: Final = "libvirtd"
BEGAN: Final = "lab: libvirtd begins"
ENDED: Final = "lab: libvirtd ended: "
KILLED: Final = "lab: killed: "
"""Lines of a host's diary: before the exit code of libvirtd, and before `LIBVIRTD` or a guest."""

HOST_UUIDS: Final = uuid.UUID("9c0b5b0e-2f0b-5d55-9d5b-6a3f5f3c7f10")


class Software(StrEnum):
    """A host's libvirt and QEMU: the box's own, or newer ones (see `software`)."""

    STOCK = "stock"
    NEWER = "newer"


class Network(StrEnum):
    """The three networks of a lab; each host has one cable in each."""

    MANAGEMENT = "management"
    MIGRATION = "migration"
    GUESTS = "guests"

    @property
    def bridge(self) -> str:
        """The switch of this network, in the sandbox's own network namespace."""
        return f"br-{self.short}"

    @property
    def device(self) -> str:
        """The network card a host has in this network."""
        return f"{self.short}0"

    @property
    def short(self) -> str:
        """At most four letters: Linux allows 15 for a device name."""
        match self:
            case Network.MANAGEMENT:
                return "mgmt"
            case Network.MIGRATION:
                return "mig"
            case Network.GUESTS:
                return "vm"
            case _:
                assert_never(self)


@dataclass(frozen=True)
class HostLayout:
    """Where one host of a lab is to be found; nothing here says whether it is switched on."""

    name: str
    number: int
    folder: Path

    @property
    def management_address(self) -> str:
        """Where libvirtd listens."""
        return f"10.98.0.{self.number}"

    @property
    def migration_address(self) -> str:
        """Where guests' memory and disks arrive."""
        return f"10.98.1.{self.number}"

    @property
    def uuid(self) -> uuid.UUID:
        """Told to libvirtd, which would otherwise take all hosts of one box for the same one."""
        return uuid.uuid5(HOST_UUIDS, self.name)

    @property
    def software_file(self) -> Path:
        """Says which software the host has."""
        return self.folder / "software"

    @property
    def software(self) -> Software:
        """What the host has; the box's own unless something else was chosen."""
        try:
            return Software(self.software_file.read_text())
        except FileNotFoundError:
            return Software.STOCK

    @property
    def init_pid_file(self) -> Path:
        """Holds the number of the host's PID 1 while it is on."""
        return self.folder / "init.pid"

    def mac_address(self, network: Network) -> str:
        """Of the host's card in a network: the same after each boot, for peers keep it."""
        return f"02:67:77:00:{list(Network).index(network):02x}:{self.number:02x}"

    def switch_port(self, network: Network) -> str:
        """The switch's end of this host's cable."""
        return f"{self.name}-{network.short}"


def base_folder(lab_name: str) -> Path:
    """The folder of a lab, inside its own sandbox."""
    return BASES / lab_name


def host_layouts(base: Path, hosts: int) -> tuple[HostLayout, ...]:
    """The first `hosts` hosts of a lab; `check_number_of_hosts` has looked at the number."""
    return tuple(
        HostLayout(name=name, number=number, folder=base / "hosts" / name)
        for number, name in enumerate(HOST_NAMES[:hosts], start=1)
    )


def check_number_of_hosts(hosts: int) -> None:
    """Raise LabUsageError unless a lab can have this many hosts."""
    if not 1 <= hosts <= HOSTS_MAX:
        raise LabUsageError(
            f"a lab has 1 to {HOSTS_MAX} hosts, not {hosts}",
            remedy=f"say --hosts N with N from 1 to {HOSTS_MAX}",
        )


def check_lab_name(name: str) -> None:
    """Raise LabUsageError unless the name is safe as a file name and short enough to read."""
    if not (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 32):
        raise LabUsageError(
            f"{name!r} cannot be the name of a lab",
            remedy="use up to 32 letters, digits and hyphens",
        )
