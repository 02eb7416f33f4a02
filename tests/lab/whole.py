"""The whole system on real hosts: a `godwit serve` that drives the lab, and the guests it moves.

What the `test_serve_*` files stand on; their fixture `site` is in `serve_fixtures`. One serve is
for all of them; a test that leaves it with an unfinished story does not hand that on to the next.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
from demo.control_plane import ControlPlane
from tests.lab.asking import Asker

from godwit.compute.launch import PROCESS, Identity
from godwit.lab.control_plane import settings_for
from godwit.lab.guest import (
    DiskPlace,
    GuestDisk,
    GuestSpec,
    create_disk,
    start_guest,
)
from godwit.lab.guest_program import PLACE_ON_HOSTS
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab

IMAGE: Final = GuestDisk("image.qcow2", DiskPlace.SHARED, size_mib=96)
SETTINGS: Final = f"""
[migration]
stall_timeout_s = 12.0

[hosts_defaults]
report_interval_s = 1.0
down_after_s = 10.0

[flavors.tiny]
memory_mib = 16
disk_mib = {IMAGE.size_mib}

[images.tiny]
path = "{IMAGE.path}"
kernel = "{PLACE_ON_HOSTS}"
command_line = "name=own"

"""
CALL_TIMEOUT_S: Final = 3.0
ONE_AT_A_TIME: Final = "host-c"
"""This host takes one transfer at a time, so that a second one is queued."""
CRAWLING, RUSHING = 2, 200
"""MiB per second: a copy that has a long middle, and one that is over at once."""


def local_disk(guest: str) -> GuestDisk:
    """A disk that only one host sees."""
    return GuestDisk(f"{guest}.qcow2", DiskPlace.LOCAL)


def small_disk(guest: str) -> GuestDisk:
    """One that even a crawling copy has across in a second."""
    return replace(local_disk(guest), size_mib=2)


def shared_disk(guest: str) -> GuestDisk:
    """A disk that every host sees."""
    return GuestDisk(f"{guest}.qcow2", DiskPlace.SHARED)


def roomy(name: str, *disks: GuestDisk, set_mib: int = 24) -> GuestSpec:
    """A guest whose copy takes long enough to break something in its middle.

    It writes less to its disk than a crawling copy sends: such a copy would never be complete.
    """
    return GuestSpec(
        name, memory_mib=set_mib + 24, working_set_mib=set_mib, disks=disks, disk_write_ms=400
    )


def endless(name: str, *disks: GuestDisk, set_mib: int = 24) -> GuestSpec:
    """A guest that writes faster than a crawling copy sends: such a copy is never complete."""
    return replace(roomy(name, *disks, set_mib=set_mib), dirty_pages_per_s=1500)


class Site(Asker):
    """The lab's hosts and the control plane that drives them."""

    plane: ControlPlane

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._folder = folder
        self._planes = 0
        super().__init__(lab)
        self.plane = self._new_plane()

    # --- the control plane ------------------------------------------------------------------------

    def make_ready(self) -> None:
        """A control plane that hears every host, knows no server and holds nothing.

        One that has not got over the test before is replaced by a new one with an empty record.
        """
        if not self.plane.is_running:
            self.plane.start()
        if not self.is_at_rest():
            self.plane.stop()
            self.plane = self._new_plane()
            self.plane.start()
        self.until("all hosts to be heard", self.hears_all)
        self.until("no server to be known", self.forgets_all)

    def _new_plane(self) -> ControlPlane:
        self._planes += 1
        folder = self._folder / str(self._planes)
        folder.mkdir()
        return self.plane_in(folder)

    def plane_in(self, folder: Path, *, migration: str = "") -> ControlPlane:
        """A control plane with an empty record; `migration`: further lines of that table."""
        limit = f'driver = "libvirt"\ncall_timeout_s = {CALL_TIMEOUT_S}\n'
        hosts = settings_for(self.lab).replace('driver = "libvirt"\n', limit)
        for host in self.lab.hosts:  # each by its name: Godwit itself uses the address
            hosts = hosts.replace(f'"{host.peer_uri}"', f'"qemu+tls://{host.name}/system"')
        one = f"[hosts.{ONE_AT_A_TIME}]\n"
        hosts = hosts.replace(one, f"{one}transfers_max = 1\n")
        settings = SETTINGS.replace("[migration]\n", f"[migration]\n{migration}")
        return ControlPlane(folder, f"{settings}{hosts}fences = true\n")  # of the shared storage


@contextmanager
def guests(site: Site, **placed: tuple[GuestSpec, ...]) -> Iterator[Heartbeats]:
    """Guests that run, are known as servers, and are watched: `guests(site, a=(one, two))`.

    At the end each must be alive, well, and have run on exactly one host all the time.
    """
    specs = [spec for here in placed.values() for spec in here]
    with Heartbeats(site.lab, [spec.name for spec in specs]) as beats:
        for letter, here in placed.items():
            start(site.host(f"host-{letter}"), here)
        for letter, here in placed.items():
            for spec in here:
                beats.wait(spec.name, f"host-{letter}")
                site.until(f"{spec.name} to be known", is_known(site, spec))
        yield beats
        for spec in specs:
            beats.wait(spec.name)
            assert beats.check_ran_once(spec.name) == []


def start(host: LabHost, specs: tuple[GuestSpec, ...]) -> None:
    """Make the guests' disks, and start them."""
    for spec in specs:
        for disk in spec.disks:
            create_disk(host, disk)
        start_guest(host, spec)


def is_known(site: Asker, spec: GuestSpec) -> Callable[[], bool]:
    """Asks whether the guest is on record and runs."""

    def known() -> bool:
        server = site.server(spec.name)
        return server is not None and server.status == "ACTIVE"

    return known


@contextmanager
def slowed(site: Site, rate: str, *letters: str) -> Iterator[None]:
    """The migration network of these hosts at this rate, so that a copy has a middle."""
    hosts = [site.host(f"host-{letter}") for letter in letters]
    for host in hosts:
        host.slow("migration", rate)
    try:
        yield
    finally:
        for host in (host for host in hosts if host.is_on):
            host.slow("migration", None)


def kill_transfer_process(site: Site, uuid: str) -> None:
    """`kill -9`: it leaves no result."""
    (signed,) = site.plane.folder.rglob(f"transfers/{uuid}/{PROCESS}")
    os.kill(msgspec.json.decode(signed.read_bytes(), type=Identity).pid, signal.SIGKILL)


def set_pace(host: LabHost, mib_per_s: int, *names: str) -> None:
    """Copy these guests out of this host at this pace from now on."""
    for name in names:
        host.run("virsh", "-q", "migrate-setspeed", name, str(mib_per_s))
