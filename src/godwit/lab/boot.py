"""Switches a host on: its files, its namespaces, its cables. Called by `host` alone.

The host's PID 1 is a shell script (`boot_files.init_script`) in network, mount, UTS, IPC and PID
namespaces of its own; everything else on the host is below it.
"""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path
from typing import Final

from godwit.lab import boot_files, network
from godwit.lab.errors import LabError
from godwit.lab.layout import POOLS, HostLayout, Software
from godwit.lab.processes import CLEAN_ENVIRONMENT, is_namespace_init, pids_ending_in
from godwit.lab.settings import LabSettings
from godwit.lab.software import newer_software

NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--mount-proc")
BOOT_TIMEOUT_S: Final = 60.0
FOLDERS: Final = (
    "etc/libvirt/qemu/autostart",
    "etc/pki",
    *(folder.strip("/") for folder in POOLS.values()),
    "var/lib/libvirt",
    "var/log/libvirt/qemu",
    "var/cache/libvirt/qemu",
    "var/tmp",
)


def boot(host: HostLayout, settings: LabSettings, shared: Path) -> None:
    """Switch a host on that is off and return when its networks work; libvirtd is not started.

    Its definitions and disks are as they were. LabError, with what the host said, if it does not
    come up; what has come up then stays, and `power_off` ends it.
    """
    _write_files(host, settings, shared)
    said = _start_init(host)
    candidates = pids_ending_in(_init_command(host)) if boot_files.BOOTED in said else []
    init_pid = next((pid for pid in candidates if is_namespace_init(pid)), None)
    if init_pid is None:
        raise LabError(f"{host.name} did not boot\n{said}")
    host.init_pid_file.write_text(str(init_pid))
    network.plug_in(host, init_pid)


def _write_files(host: HostLayout, settings: LabSettings, shared: Path) -> None:
    for part in FOLDERS:
        (host.folder / part).mkdir(parents=True, exist_ok=True)
    if not (host.folder / "var/run").is_symlink():
        (host.folder / "var/run").symlink_to("/run")
    libvirt = host.folder / "etc/libvirt"
    (libvirt / "libvirtd.conf").write_text(boot_files.libvirtd_conf(host, settings))
    (libvirt / "qemu.conf").write_text(boot_files.qemu_conf(host, settings))
    if not (libvirt / "storage").exists():
        _define_pools(host, libvirt / "storage")
    newer = newer_software() if host.software is Software.NEWER else None
    (host.folder / "init.sh").write_text(boot_files.init_script(host, shared, newer))


def _define_pools(host: HostLayout, definitions: Path) -> None:
    """For the first boot alone: what becomes of a pool later outlives a power cut."""
    (definitions / "autostart").mkdir(parents=True)
    for name in POOLS:
        (definitions / f"{name}.xml").write_text(boot_files.pool_xml(host, name))
        (definitions / f"autostart/{name}.xml").symlink_to(f"/etc/libvirt/storage/{name}.xml")


def _init_command(host: HostLayout) -> list[str]:
    return ["sh", str(host.folder / "init.sh")]


def _start_init(host: HostLayout) -> str:
    """Start the host's PID 1; return what it said until it was up, or gave up."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as said, os.fdopen(writing, "wb") as voice:
        # setsid -f: the host must not hang on the process that happens to switch it on.
        subprocess.run(
            ["setsid", "-f", "unshare", *NAMESPACES, *_init_command(host)],
            cwd="/",
            env=CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=voice,
            stderr=voice,
            check=True,
            timeout=BOOT_TIMEOUT_S,
        )
        voice.close()
        return _read_until_booted(said.fileno())


def _read_until_booted(descriptor: int) -> str:
    """What comes through the pipe until it says "booted", ends, or nothing has come for long."""
    said = b""
    while boot_files.BOOTED not in said.decode(errors="replace"):
        ready, _, _ = select.select([descriptor], [], [], BOOT_TIMEOUT_S)
        part = os.read(descriptor, 4096) if ready else b""
        if not part:
            break
        said += part
    return said.decode(errors="replace")
