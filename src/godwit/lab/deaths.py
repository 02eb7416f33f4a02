"""Who has died by itself on the hosts of a lab, and with which last words: for the report of a test
that failed.

Each host's `libvirtd.out` tells that libvirtd began and how it ended, between what it printed, and
whom the lab has killed (`LabHost` writes that down first). QEMU's death is told by libvirt, in a
log of each guest. Looks only, and asks no libvirtd.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import BEGAN, ENDED, KILLED, LIBVIRTD

CRASHED: Final = "shutting down, reason=crashed"
LAST_LINES: Final = 30
SIGNAL_BASE: Final = 128
"""What a shell adds to the number of the signal that has ended a program."""

Mark = Mapping[Path, int]
"""How many lines each log of the hosts had at some moment."""


def mark(lab: Lab) -> Mark:
    """This moment, to be given to `deaths_since`."""
    return {log: len(_lines(log)) for host in lab.hosts for log in _logs(host)}


def deaths_since(lab: Lab, since: Mark) -> list[str]:
    """Who has died since then without having been killed by the lab, in lines for people: each
    death, then the last words of that host. Empty if nobody has.
    """
    return [line for host in lab.hosts for line in _deaths_at(host, since)]


def libvirtd_deaths(diary: Sequence[str], since: int) -> list[str]:
    """How libvirtd ended when it was not asked to, from this line of its host's diary on. Pure."""
    found: list[str] = []
    killed = False
    for number, line in enumerate(diary):
        if line == BEGAN:
            killed = False
        elif line == f"{KILLED}{LIBVIRTD}":
            killed = True
        elif line.startswith(ENDED):
            code = int(line.removeprefix(ENDED))
            if code and not killed and number >= since:
                found.append(f"libvirtd died by itself: {_words(code)}")
    return found


def qemu_deaths(guest: str, log: Sequence[str], diary: Sequence[str]) -> list[str]:
    """How often the guest's QEMU died of nobody's hand, by libvirt's log of the guest and its
    host's diary, both of the same time. Pure.
    """
    died = sum(line.endswith(CRASHED) for line in log)
    killed = sum(line == f"{KILLED}{guest}" for line in diary)
    return [f"the QEMU of {guest} died by itself"] * max(0, died - killed)


def _deaths_at(host: LabHost, since: Mark) -> list[str]:
    diary = _lines(host.diary)
    new = {log: _lines(log)[since.get(log, 0) :] for log in _logs(host)}
    found = libvirtd_deaths(diary, since.get(host.diary, 0))
    for log, lines in new.items():
        if log.parent.name == "qemu":
            found += qemu_deaths(log.stem, lines, new[host.diary])
    if not found:
        return []
    words = [f"{host.name}: {each}" for each in found]
    for log in (host.diary, host.libvirtd_log):
        words += [f"--- the end of {log.name} of {host.name}", *new[log][-LAST_LINES:]]
    return words


def _words(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(code - SIGNAL_BASE).name
    return f"exit code {code}"


def _logs(host: LabHost) -> list[Path]:
    of_guests = sorted((host.log_folder / "qemu").glob("*.log"))
    return [host.diary, host.libvirtd_log, *of_guests]


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
