"""What libvirt learned about QEMU, kept: asking takes it 2 s per host, reading its notes 50 ms.

libvirt keeps its notes in each host's cache folder and checks by itself whether they still fit its
own version, QEMU's and the kernel's. Here they are carried from host to host and from lab to lab,
apart for each kind of software. Called by `lab` while it comes up and by `host` when its software
changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from godwit.lab.cache import cache_folder, put_folder_files
from godwit.lab.layout import HostLayout, Software

NOTES: Final = "var/cache/libvirt/qemu/capabilities"


def seed(host: HostLayout) -> bool:
    """Give a host that is off the notes kept for its software; False if there are none."""
    notes, known = host.folder / NOTES, _kept(host.software)
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir(parents=True)
    if not known.is_dir():
        return False
    put_folder_files(known, notes)
    return True


def learn(host: HostLayout, ask: Callable[[], object]) -> bool:
    """Keep what the host's libvirt notes down while it is asked; False if that is nothing new."""
    before = _content(host)
    ask()
    is_new = _content(host) != before
    if is_new:
        put_folder_files(host.folder / NOTES, _kept(host.software))
    return is_new


def _kept(software: Software) -> Path:
    return cache_folder() / f"capabilities-{software}"


def _content(host: HostLayout) -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in (host.folder / NOTES).iterdir()}
