"""A server (Nova: instance): the guest as Godwit's record of it, and as a host reports it."""

from enum import StrEnum

import msgspec

from godwit.model.ids import HostName, InstanceUuid, StorageId


class PowerState(StrEnum):
    """What the hypervisor says of the guest. The words are Nova's."""

    NOSTATE = "nostate"
    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"
    SUSPENDED = "suspended"


class VmState(StrEnum):
    """The server's stable state. It follows the power state and nothing else."""

    BUILDING = "building"
    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    MISSING = "missing"


class TaskState(StrEnum):
    """What is being done to the server at this moment."""

    SPAWNING = "spawning"
    MIGRATING = "migrating"
    DELETING = "deleting"


class DeviceType(StrEnum):
    """What a disk is to the guest. The words are Nova's."""

    DISK = "disk"
    CDROM = "cdrom"
    FLOPPY = "floppy"
    LUN = "lun"


class SourceType(StrEnum):
    """What a disk was made from. The words are Nova's."""

    IMAGE = "image"
    VOLUME = "volume"
    BLANK = "blank"


class DestinationType(StrEnum):
    """Where a disk is kept: at a host, or on a network storage. The words are Nova's."""

    LOCAL = "local"
    VOLUME = "volume"


class BackingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file below an overlay, which holds part of its contents."""

    path: str
    format: str
    storage: StorageId | None = None


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A writable or read-only disk of a guest. `storage` is None where no known storage has it."""

    device: str
    path: str
    """A file, a block device, or `PROTOCOL:NAME` of a network volume."""
    format: str
    size_bytes: int = 0
    allocated_bytes: int = 0
    read_only: bool = False
    network: bool = False
    """A volume of a network storage, which every host reaches by itself: it is never copied."""
    is_file: bool = True
    """A plain file, of which a copy can be made."""
    storage: StorageId | None = None
    backing: tuple[BackingFile, ...] = ()
    """Nearest first, where the disk is an overlay."""
    device_type: DeviceType = DeviceType.DISK
    bus: str = ""
    boot_index: int | None = None
    """Its place in the order in which the guest tries its disks; None: it does not boot from it."""

    @property
    def destination_type(self) -> DestinationType:
        """Nova's word for whether a host keeps it."""
        return DestinationType.VOLUME if self.network else DestinationType.LOCAL

    def room_bytes(self, *, disk_over_commit: bool) -> int:
        """What a copy must find room for: all that it may grow to, or only what it holds now."""
        return self.allocated_bytes if disk_over_commit else self.size_bytes


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A network card of a guest. `network` is the bridge or network it is plugged into."""

    mac: str
    network: str
    model: str = "virtio"


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest's definition says beside sizes, disks and cards: the machine it believes to be,
    what it takes of its host (a destination must offer the very same), and whose it is.
    """

    virtualisation: str = ""
    """What runs its instructions, such as `kvm` or `qemu`."""
    architecture: str = ""
    machine_type: str = ""
    emulator: str = ""
    cpu: str = ""
    """Its CPU in the hypervisor's own words, for the driver of the destination to compare."""
    pinned_cpus: tuple[int, ...] = ()
    """CPUs of its host that its threads are pinned to."""
    memory_cells: tuple[int, ...] = ()
    """NUMA cells of its host that its memory is bound to."""
    huge_pages_kib: tuple[int, ...] = ()
    """Its memory stands in pages of these sizes; empty: in ordinary ones."""
    links: tuple[str, ...] = ()
    """Network devices of its host that its cards sit on directly (macvtap)."""
    firmware: str = ""
    """The file it boots its firmware from; empty: what every host has."""
    tpm: str = ""
    """Its TPM's backend, such as `emulator`."""
    secrets: tuple[str, ...] = ()
    """Uuids of the secrets, kept by its host, that open its disks or its TPM."""
    managers: tuple[str, ...] = ()
    """Other managers that have written their name into it, such as `nova`."""
    tagged: bool = False
    """It carries Godwit's own tag."""


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest as its host sees it. Two reports of an unchanged guest are equal."""

    uuid: InstanceUuid
    name: str
    power_state: PowerState
    vcpus: int
    memory_mib: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    platform: Platform | None = None
    persistent: bool = True
    autostart: bool = False
    arriving: bool = False
    """True for the half of a guest that a migration is still filling: it is not here yet."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """Godwit's record of a server. `host` is the record's claim; the hypervisors hold the truth."""

    uuid: InstanceUuid
    name: str
    host: HostName
    node: str
    vm_state: VmState
    power_state: PowerState
    task_state: TaskState | None = None
    vcpus: int
    memory_mib: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    platform: Platform | None = None
    """As its host last reported it; None where the driver does not say."""
    discovered: bool = True
    flavor: str | None = None
    image: str | None = None
    group: str | None = None
    created_at: str = ""
    updated_at: str = ""

    @property
    def disk_mib(self) -> int:
        """What its own disks may grow to, in MiB, rounded up; network volumes not counted."""
        return -(-sum(disk.size_bytes for disk in self.disks if not disk.network) // 2**20)

    @property
    def root_disk(self) -> Disk | None:
        """The disk it boots from: the first in the boot order, else its first hard disk."""
        hard_disks = [disk for disk in self.disks if disk.device_type is DeviceType.DISK]
        in_order = [disk for disk in hard_disks if disk.boot_index is not None]
        first = min(in_order, key=lambda disk: disk.boot_index or 0, default=None)
        return first or next(iter(hard_disks), None)

    @property
    def is_volume_backed(self) -> bool:
        """Does it boot from a network volume, so that no host holds its root disk?"""
        root = self.root_disk
        return root is not None and root.network


def vm_state_of(power_state: PowerState) -> VmState:
    """The server's state as it follows from what the hypervisor says."""
    return _VM_STATES[power_state]


_VM_STATES = {
    PowerState.NOSTATE: VmState.BUILDING,
    PowerState.RUNNING: VmState.ACTIVE,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.SHUTDOWN: VmState.STOPPED,
    PowerState.CRASHED: VmState.STOPPED,
    PowerState.SUSPENDED: VmState.SUSPENDED,
}
