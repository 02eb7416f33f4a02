"""Can this box have a lab? Looks only; called by `cli` before anything is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from godwit.lab.errors import LabError
from godwit.lab.processes import CLEAN_ENVIRONMENT

PACKAGES: Final = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "bridge": "iproute2",
    "tc": "iproute2",
    "openssl": "openssl",
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "gcc": "gcc",
}
"""Each program the lab runs, and the Debian package it comes in."""

QEMU_DRIVER: Final = "*/libvirt/connection-driver/libvirt_driver_qemu.so"
QEMU_DRIVER_PACKAGE: Final = "libvirt-daemon-driver-qemu"


def check_this_box() -> None:
    """Raise LabError, with what to do about it, if this box or this user cannot have a lab."""
    check_requirements(
        user_id=os.geteuid(),
        find=lambda name: shutil.which(name, path=CLEAN_ENVIRONMENT["PATH"]),
        driver_is_there=any(Path("/usr").glob(f"lib*/{QEMU_DRIVER}")),
    )


def check_requirements(
    *, user_id: int, find: Callable[[str], str | None], driver_is_there: bool
) -> None:
    """The decision of `check_this_box`. Pure."""
    if user_id != 0:
        raise LabError("a lab needs root", remedy="run the same line with sudo")
    missing = [name for name in PACKAGES if find(name) is None]
    packages = sorted({PACKAGES[name] for name in missing})
    if not driver_is_there:
        missing.append("libvirt's QEMU driver")
        packages.append(QEMU_DRIVER_PACKAGE)
    if missing:
        raise LabError(
            "a lab needs what this box does not have: " + ", ".join(missing),
            remedy="apt-get install " + " ".join(packages),
        )
