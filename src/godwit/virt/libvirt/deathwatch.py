"""The source guest's QEMU, watched as a process of this machine while its move's call is out.

libvirt polls for up to 200 ms until a QEMU it has killed is dead, and its call returns after that.
Where Godwit runs on the source host itself, a pidfd tells at once; `migration` weighs what that
proves. Nothing here ends or changes anything.
"""

import asyncio
import contextlib
import os
import select
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from godwit.model.ids import InstanceUuid
from godwit.virt.libvirt import reads
from godwit.virt.libvirt.abi import Libvirt
from godwit.virt.libvirt.connection import Connection
from godwit.virt.libvirt.errors import LibvirtError

PID_FILES: Final = Path("/run/libvirt/qemu")
"""Where the system's libvirtd keeps the pid of each QEMU it has started, by the guest's name."""


class Deathwatch:
    """Over one QEMU, or over none."""

    def __init__(self, uri: str) -> None:
        """`uri`: how the source's libvirtd is reached."""
        self._is_here = is_here(uri)
        self._handle: int | None = None
        self._died = asyncio.Event()

    async def begin(self, source: Connection, uuid: InstanceUuid) -> None:
        """Find the guest's QEMU, if it runs on this machine, and watch it until `close`. Raises
        `Unreachable`.
        """
        if not self._is_here:
            return
        handle = None
        with contextlib.suppress(LibvirtError):
            handle = await source.call(
                "finding its QEMU", lambda libvirt: _qemu_here(libvirt, uuid)
            )
        if handle is not None:
            self._watch(handle)

    async def sees_it_die(self) -> bool:
        """True as soon as it is dead, all its threads with it. False at once if none is watched."""
        if self._handle is None:
            return False
        await self._died.wait()
        return True

    def close(self) -> None:
        """Give the handle back."""
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None

    def _watch(self, handle: int) -> None:
        self._handle = handle
        asyncio.get_running_loop().add_reader(handle, self._told)

    def _told(self) -> None:
        self._died.set()
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)


def is_here(uri: str) -> bool:
    """Does this URI lead to the system's own libvirtd, by its own socket?"""
    parts = urlsplit(uri)
    is_own = not (parts.netloc or parts.query) and parts.path == "/system"
    return is_own and parts.scheme in ("qemu", "qemu+unix")


def _qemu_here(libvirt: Libvirt, uuid: InstanceUuid) -> int | None:
    domain = reads.find_domain(libvirt, uuid)
    return None if domain is None else qemu_of(uuid, domain.name())


def qemu_of(uuid: InstanceUuid, name: str, *, pid_files: Path = PID_FILES) -> int | None:
    """A handle (pidfd) of the living QEMU of this guest, which the caller closes.

    None where it cannot be had: another PID namespace or mount, no right to look, another guest's.
    """
    try:
        pid = int((pid_files / f"{name}.pid").read_text())
        handle = os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError):
        return None
    # In this order no other process can be meant: the number is given away again only after the
    # handle's process has died.
    if _runs(pid, uuid) and not _is_dead(handle):
        return handle
    os.close(handle)
    return None


def _runs(pid: int, uuid: InstanceUuid) -> bool:
    """Is the guest of this uuid what the process was started for?"""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return (b"-uuid", uuid.encode()) in pairwise(words)


def _is_dead(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])
