"""Puts a lab back as it was when it came up, whatever was done to it: for tests and for people.

Hosts that are gone, frozen, cut off or full of guests are what a lab is for; the next test, or the
next idea, starts from hosts that are on, connected and empty.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from godwit.lab.errors import LabCommandFailed, LabError
from godwit.lab.guest import removal
from godwit.lab.guest_program import PLACE_ON_HOSTS
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import POOLS, Network, Software
from godwit.lab.network import CableState, read_cables
from godwit.lab.processes import RUN_TIMEOUT_S, thaw

ANSWER_TIMEOUT_S: Final = 15.0
"""For a libvirtd that may hang; a fresh one has all the time that a busy box needs."""
FRESH_LIBVIRTDS_MAX: Final = 3
BETWEEN: Final = "=pools="
KEPT: Final = {Path(PLACE_ON_HOSTS).name}


def restore(lab: Lab) -> None:
    """Make every host on, thawed, connected at full speed, without guests and disks, and with no
    storage pools but its own, which are empty.

    LabError if a host resists even a fresh libvirtd.
    """
    cables = read_cables([host.layout for host in lab.hosts])
    for host in lab.hosts:
        _restore_networks(host, cables)
        _restore_processes(host)
    with ThreadPoolExecutor(max_workers=len(lab.hosts)) as workers:
        list(workers.map(_empty, lab.hosts))
        for folder in (lab.shared, *(host.local for host in lab.hosts)):
            _remove_files(folder)
        list(workers.map(_make_pools_anew, lab.hosts))


def switch_on(lab: Lab) -> None:
    """Start what is not there, every host and every libvirtd; all else stays as it is."""
    for host in lab.hosts:
        host.power_on()
        host.start_libvirtd()


def _restore_networks(host: LabHost, cables: Mapping[tuple[str, Network], CableState]) -> None:
    for network in Network:
        state = cables.get((host.name, network))
        if state is None or not host.is_on:
            continue
        if state.is_cut:
            host.uncut(network)
        if state.limit_bytes_per_s is not None:
            host.slow(network, None)
        host.delay(network)


def _restore_processes(host: LabHost) -> None:
    if host.software is not Software.STOCK:
        host.change_software(Software.STOCK)
    host.power_on()
    thaw(host.qemu_pids())
    host.thaw_libvirtd()
    try:
        host.start_libvirtd()
    except LabError:  # It may die of a guest that it finds.
        host.kill_libvirtd()
        host.kill_all_qemus()
        host.start_libvirtd()


def _empty(host: LabHost) -> None:
    """Remove guests and strange pools; a libvirtd that hangs in something, or dies of it, is
    replaced.
    """
    problem = _problem_of_emptying(host, ANSWER_TIMEOUT_S)
    for _ in range(FRESH_LIBVIRTDS_MAX):
        if not problem:
            return
        host.kill_libvirtd()
        host.kill_all_qemus()
        host.start_libvirtd()
        problem = _problem_of_emptying(host, RUN_TIMEOUT_S)
    if problem:
        raise LabError(problem)


def _problem_of_emptying(host: LabHost, limit_s: float) -> str:
    """Why something is left on this host; nothing if nothing is."""
    try:
        left = _removed(host, _known(host, limit_s), limit_s)
        host.kill_all_qemus()
        if any(left):
            left = _known(host, limit_s)
    except LabCommandFailed as failed:
        return failed.message
    return f"{host.name} still knows {left.guests + left.pools}" if any(left) else ""


class _Names(NamedTuple):
    """What libvirt on a host knows by name; `pools` are those that the host did not boot with."""

    guests: list[str]
    pools: list[str]


def _known(host: LabHost, limit_s: float, *, first: Sequence[str] = ()) -> _Names:
    """What is known once these things were done, or could not be."""
    acts = [*first, "list --all --name", f"echo {BETWEEN}", "pool-list --all --name"]
    answer = host.run("virsh", "-q", "; ".join(acts), timeout_s=limit_s + len(first)).stdout
    guests, _, pools = answer.partition(BETWEEN)
    return _Names(guests.split(), [pool for pool in pools.split() if pool not in POOLS])


def _removed(host: LabHost, names: _Names, limit_s: float) -> _Names:
    """What is left of these once they were removed."""
    acts = [act for guest in names.guests for act in removal(guest)]
    for pool in names.pools:
        acts += [f"pool-destroy {pool}", f"pool-undefine {pool}"]
    return _known(host, limit_s, first=acts) if acts else names


def _make_pools_anew(host: LabHost) -> None:
    """Also where nothing was done to them: libvirt remembers files that are gone by now."""
    acts = [
        act.format(pool=pool, folder=folder)
        for pool, folder in POOLS.items()
        for act in (
            "pool-destroy {pool}",
            "pool-undefine {pool}",
            "pool-define-as {pool} dir --target {folder}",
            "pool-autostart {pool}",
            "pool-start {pool}",
        )
    ]
    # virsh goes on behind a command that fails, as the first two may; so the result is looked at.
    batch = "; ".join([*acts, "pool-list --name"])
    active = host.run("virsh", "-q", batch)
    if missing := POOLS.keys() - active.stdout.split():
        raise LabError(f"{host.name} has no pool {sorted(missing)}\n{active.stderr}")


def _remove_files(folder: Path) -> None:
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # A control plane that tidies up may be quicker.
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in KEPT:
                entry.unlink()
