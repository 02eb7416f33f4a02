"""Which libvirt and QEMU a lab host has: the box's own, or newer ones, for rolling upgrades.

The newer ones come from Debian's backports, unpacked into the cache, and are laid over /usr in the
mount namespace of the host alone. Asked by `boot` and `host`; fetched by `godwit lab fetch`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from godwit.lab.debian_packages import PackageSet, unpacked
from godwit.lab.errors import LabError
from godwit.lab.layout import Software

NEWER: Final = PackageSet(
    "newer-hypervisor",
    (
        "qemu-system-x86",
        "qemu-utils",
        "libvirt-daemon",
        "libvirt-daemon-driver-qemu",
        "libvirt-daemon-driver-storage",
        "libvirt-clients",
    ),
    backports=True,
)
# Folders of plug-ins are replaced whole: modules of the older build refuse to load.
PLUGINS: Final = ("usr/lib/x86_64-linux-gnu/libvirt", "usr/lib/x86_64-linux-gnu/qemu")


def newer_software() -> Path | None:
    """Where the newer libvirt and QEMU are, if they were fetched."""
    return unpacked(NEWER)


def check_is_there(software: Software) -> None:
    """LabError if a host cannot have this software because it was not fetched."""
    if software is Software.NEWER and newer_software() is None:
        raise LabError(
            "the newer libvirt and QEMU are not on this box",
            remedy="godwit lab fetch, outside the lab: it has no way to the internet",
        )


def overlay_commands(newer: Path | None) -> list[str]:
    """What a host's first script does to see the newer software; nothing without. Pure."""
    if newer is None:
        return []
    over_usr = f"mount -t overlay overlay -o lowerdir={newer}/usr:/usr /usr"
    return [over_usr, *(f"mount --bind {newer}/{plugins} /{plugins}" for plugins in PLUGINS)]
