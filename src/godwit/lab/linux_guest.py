"""A real Linux guest, for what needs a network stack: an address, an echo service, a heartbeat.

Debian's cloud kernel and a busybox, fetched once; boots in some 5 s and takes 128 MiB. Only for
hosts with the newer QEMU: under emulation, QEMU 7.2 loses memory in migrations, as
docs/operating/lab.md explains.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from godwit.lab.cache import cache_folder, put_file
from godwit.lab.debian_packages import PackageSet, unpacked
from godwit.lab.errors import LabError, LabUsageError
from godwit.lab.guest import GuestProgram, GuestSpec, define_and_start
from godwit.lab.host import LabHost
from godwit.lab.layout import SHARED_FOLDER, Software

PACKAGES: Final = PackageSet("linux-guest-packages", ("linux-image-cloud-amd64", "busybox-static"))
INIT: Final = Path(__file__).parent / "guest/linux-init.sh"
MODULES: Final = (
    "virtio",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
)
"""In the order they need each other."""

KERNEL_PLACE: Final = f"{SHARED_FOLDER}/godwit-linux"
INITRAMFS_PLACE: Final = f"{SHARED_FOLDER}/godwit-linux.initramfs"
MEMORY_MIB: Final = 128
HEARTBEAT_MS: Final = 100
# Without what only real hardware needs, it boots in half the time.
QUICK_BOOT: Final = "quiet console=tty0 panic=1 mitigations=off nokaslr tsc=reliable no_timer_check"
ECHO_PORT: Final = 7


@dataclass(frozen=True)
class CpioEntry:
    """One file or folder of an initramfs."""

    name: str
    content: bytes = b""
    mode: int = 0o100755


def linux_packages() -> Path | None:
    """Where the kernel and busybox are, if they were fetched."""
    return unpacked(PACKAGES)


def start_linux_guest(host: LabHost, spec: GuestSpec, *, address: str) -> None:
    """Start a Linux guest with this address ("10.98.2.10/24"); it answers some 4 s later.

    LabUsageError on a host with the box's own QEMU, LabError if `godwit lab fetch` was not done.
    """
    if host.software is not Software.NEWER:
        raise LabUsageError(
            f"the QEMU of {host.name} would break a Linux guest when it is migrated",
            remedy=f"godwit lab upgrade {host.name}, then the same line again",
        )
    _install(host.shared)
    words = f"name={spec.name} address={address} heartbeat={HEARTBEAT_MS} {QUICK_BOOT}"
    program = GuestProgram(KERNEL_PLACE, words, INITRAMFS_PLACE)
    define_and_start(host, replace(spec, memory_mib=max(spec.memory_mib, MEMORY_MIB)), program)


def cpio(entries: Iterable[CpioEntry]) -> bytes:
    """An archive in the kernel's "newc" format. Pure."""
    archive = b""
    for number, entry in enumerate([*entries, CpioEntry("TRAILER!!!", mode=0)], start=1):
        name = entry.name.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        archive += _padded(header + name) + _padded(entry.content)
    return archive


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def _install(shared: Path) -> None:
    """Make kernel and initramfs visible to all hosts of the lab."""
    packages = linux_packages()
    if packages is None:
        raise LabError(
            "the Linux guest's kernel is not on this box",
            remedy="godwit lab fetch, outside the lab: it has no way to the internet",
        )
    kernel, initramfs = _kernel(packages), _initramfs(packages)
    for made, place in ((kernel, KERNEL_PLACE), (initramfs, INITRAMFS_PLACE)):
        if not (shared / Path(place).name).exists():
            put_file(made, shared / Path(place).name)


def _kernel(packages: Path) -> Path:
    return _only(packages.glob("boot/vmlinuz-*"), "kernel")


def _initramfs(packages: Path) -> Path:
    """The initramfs in the cache; made again when the init script or the packages changed."""
    modules = [
        _only(packages.glob(f"lib/modules/*/kernel/**/{module}.ko"), f"module {module}")
        for module in MODULES
    ]
    content = hashlib.sha256(INIT.read_bytes() + str(_kernel(packages)).encode()).hexdigest()
    place = cache_folder() / f"linux-guest-{content[:16]}.initramfs"
    if not place.exists():
        busybox = _only(packages.glob("bin/busybox"), "busybox")
        with tempfile.NamedTemporaryFile() as made:
            made.write(gzip.compress(cpio(_files(busybox, modules)), compresslevel=1))
            made.flush()
            put_file(Path(made.name), place)
    return place


def _files(busybox: Path, modules: Sequence[Path]) -> list[CpioEntry]:
    folders = [CpioEntry(name, mode=0o040755) for name in ("bin", "modules")]
    order = "\n".join(module.name for module in modules).encode()
    return [
        *folders,
        CpioEntry("bin/busybox", busybox.read_bytes()),
        CpioEntry("init", INIT.read_bytes()),
        CpioEntry("modules/order", order),
        *(CpioEntry(f"modules/{module.name}", module.read_bytes()) for module in modules),
    ]


def _only(found: Iterable[Path], what: str) -> Path:
    paths = sorted(found)
    if not paths:
        raise LabError(f"the packages of the Linux guest hold no {what}")
    return paths[-1]
