"""PID 1 of a lab's sandbox: mounts what the lab needs, brings the hosts up, runs one command, reaps
orphans.

Started by `sandbox` through unshare(1), never by hand: it mounts over /run and /etc of the
namespace it is in. When it ends, the kernel kills everything in the sandbox and frees its mounts,
networks and files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from godwit.lab import settings
from godwit.lab.errors import LabError
from godwit.lab.lab import Lab, bring_up
from godwit.lab.layout import LAB_VARIABLE, HostLayout, base_folder, host_layouts
from godwit.lab.processes import run
from godwit.lab.settings import LabSettings

READY: Final = "ready"
"""The line that tells the waiting `lab up` that the lab is up; lines before it are for people."""

CHILDLESS_PAUSE_S: Final = 0.2
EXIT_INTERRUPTED: Final = 130
EXIT_NOT_FOUND: Final = 127


def main(arguments: Sequence[str]) -> int:
    """`keeper SETTINGS [CMD...]`: run the command and return its exit code, or stay for ever."""
    made_with = settings.decode(arguments[0])
    command = list(arguments[1:])
    try:
        prepare_mounts(made_with)
        lab = bring_up(made_with, say)
    except LabError as error:
        say(f"error: {error.message}")
        if error.remedy:
            say(f"  {error.remedy}")
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if command:
        return run_command(lab, command)
    say(READY)
    _let_go_of_output()
    return reap_until_gone(None)


def prepare_mounts(made_with: LabSettings) -> None:
    """Give the sandbox its own /run, where the lab's folder is, /dev/shm and /etc, in memory.

    /etc is the box's with a few files changed: a user libvirtd insists on, the hosts' names, and
    mount points the box may lack. The changes exist in the sandbox alone.
    """
    base = base_folder(made_with.name)
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm"])
    changed, work = base / "etc/changed", base / "etc/work"
    for folder in (changed / "libvirt", changed / "pki", work, Path("/run/lock")):
        folder.mkdir(parents=True)
    for name, lines in etc_additions(host_layouts(base, made_with.hosts)).items():
        text = Path("/etc", name).read_text()
        missing = [line for line in lines if not _has_entry(text, line)]
        (changed / name).write_text("\n".join([text.rstrip("\n"), *missing, ""]))
        (changed / name).chmod(0o644)
    options = f"lowerdir=/etc,upperdir={changed},workdir={work}"
    run(["mount", "-t", "overlay", "-o", options, "overlay", "/etc"])


def etc_additions(hosts: Sequence[HostLayout]) -> dict[str, list[str]]:
    """Lines the sandbox's /etc files need. Pure."""
    return {
        # libvirtd refuses to start without this user, even where QEMU runs as root.
        "passwd": ["libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin"],
        "group": ["libvirt-qemu:x:64055:"],
        "hosts": [f"{host.management_address} {host.name}" for host in hosts],
    }


def run_command(lab: Lab, command: Sequence[str]) -> int:
    """Run one command where a control plane would stand; return its exit code as a shell would."""
    # Ctrl-C reaches the command by itself; the keeper stays until that has ended its own way.
    signal.signal(signal.SIGINT, _stay)
    environment = {**os.environ, LAB_VARIABLE: str(lab.base)}
    try:
        process = subprocess.Popen(list(command), env=environment)
    except OSError as error:
        say(f"error: cannot run {command[0]}: {error.strerror}")
        return EXIT_NOT_FOUND
    return reap_until_gone(process.pid)


def reap_until_gone(pid: int | None) -> int:
    """Reap every orphan until the process `pid` ends; return its exit code. None: for ever."""
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            if pid is not None:
                raise
            time.sleep(CHILDLESS_PAUSE_S)  # Every host is off; orphans may come again.
            continue
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def say(line: str) -> None:
    """One line for the person who waits; never on stdout, which belongs to the command."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


def _stay(_signal_number: int, _frame: object) -> None:
    """Do nothing, unlike SIG_IGN without passing that on to the command."""


def _has_entry(text: str, line: str) -> bool:
    key = line.split(":")[0] if ":" in line else line
    return any(existing.split(":")[0] == key for existing in text.splitlines())


def _let_go_of_output() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
