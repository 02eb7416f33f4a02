"""The whole system on real hosts: a `godwit serve` that drives the lab, and the guests it moves.

What the `test_serve_*` files stand on; their fixture `site` is in `serve_fixtures`. One serve is
for all of them; a test that leaves it with an unfinished story does not hand that on to the next.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from demo.control_plane import ControlPlane
from tests.lab.serve_records import HostSeen, Migration, Server

from godwit.cli.transport import HttpRequest, HttpResponse, transport_to
from godwit.compute.launch import PROCESS, Identity
from godwit.lab.control_plane import settings_for
from godwit.lab.guest import (
    DiskPlace,
    GuestDisk,
    GuestSpec,
    create_disk,
    known_guests,
    start_guest,
)
from godwit.lab.guest_program import PLACE_ON_HOSTS
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab

T = TypeVar("T")

IMAGE: Final = GuestDisk("image.qcow2", DiskPlace.SHARED, size_mib=96)
SETTINGS: Final = f"""
[migration]
stall_timeout_s = 5.0

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
KNOWN_TIMEOUT_S: Final = 15.0
STORY_TIMEOUT_S: Final = 60.0
CRAWLING, RUSHING = 2, 200
"""MiB per second: a copy that has a long middle, and one that is over at once."""
HTTP_TIMEOUT_S: Final = 30.0
FINAL: Final = frozenset({"completed", "failed", "cancelled", "error"})


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


class Site:
    """The lab's hosts and the control plane that drives them."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self._folder = folder
        self._planes = 0
        self.plane = self._new_plane()

    def host(self, name: str) -> LabHost:
        """One of the lab's hosts."""
        return self.lab.host(name)

    # --- what can be asked ------------------------------------------------------------------------

    def send(self, method: str, path: str, body: object = None) -> HttpResponse:
        """One HTTP request, whatever the answer's status."""
        raw = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if raw else {}
        request = HttpRequest(method, path, raw, headers, HTTP_TIMEOUT_S)
        return transport_to(self.plane.url).send(request)

    def read(self, path: str, kind: type[T]) -> T:
        """What the one field of the answer to a GET holds."""
        answer = self.send("GET", path)
        assert answer.status == 200, answer
        (field,) = msgspec.json.decode(answer.body).values()
        return msgspec.convert(field, kind)

    def servers(self) -> list[Server]:
        """All servers on record."""
        return self.read("/v2.1/servers/detail", list[Server])

    def server(self, name: str) -> Server | None:
        """The server of this name, if it is known."""
        return next((server for server in self.servers() if server.name == name), None)

    def hosts(self) -> Mapping[str, HostSeen]:
        """All hosts on record, by name."""
        return {host.name: host for host in self.read("/godwit/v1/hosts", list[HostSeen])}

    def migration(self, uuid: str) -> Migration:
        """One migration as it is now."""
        return self.read(f"/godwit/v1/migrations/{uuid}", Migration)

    def newest(self, guest: str) -> Migration:
        """The latest migration of a guest."""
        server = self.server(guest)
        assert server is not None
        path = f"/godwit/v1/migrations?limit=1&instance_uuid={server.id}"
        (found,) = self.read(path, list[dict[str, Any]])
        return self.migration(found["uuid"])

    def steps(self, uuid: str) -> list[tuple[str, str]]:
        """What was done in a migration, step by step."""
        answer = self.send("GET", f"/godwit/v1/migrations/{uuid}/timeline")
        entries = msgspec.json.decode(answer.body)["entries"]
        return [(entry["step"], entry["what"]) for entry in entries]

    # --- moving -----------------------------------------------------------------------------------

    def begin(self, guest: str, to: str | None = None, **wish: object) -> str:
        """Have a migration accepted; its uuid."""
        answer = self.ask_to_move(guest, to, **wish)
        assert answer.status == 202, answer
        return answer.headers["x-godwit-migration"]

    def ask_to_move(self, guest: str, to: str | None = None, **wish: object) -> HttpResponse:
        """Ask for a migration; the bare answer."""
        server = self.server(guest)
        assert server is not None, f"{guest} is not known"
        body = {"os-migrateLive": {"host": to, "block_migration": "auto", **wish}}
        return self.send("POST", f"/v2.1/servers/{server.id}/action", body)

    def ended(self, uuid: str, *, timeout_s: float = STORY_TIMEOUT_S) -> Migration:
        """The migration once its story has told its last line."""
        self.until(
            f"migration {uuid} to end",
            lambda: self.migration(uuid).direction == "ended",
            timeout_s=timeout_s,
        )
        return self.migration(uuid)

    def moved(self, guest: str, to: str, **wish: object) -> Migration:
        """Move a guest; it must arrive."""
        migration = self.ended(self.begin(guest, to, **wish))
        assert (migration.status, migration.reason) == ("completed", None), self.story(migration)
        return migration

    def copying(self, guest: str, to: str) -> str:
        """Begin to move a guest and wait until part of its memory is across."""
        uuid = self.begin(guest, to)
        self.until_copying(uuid)
        return uuid

    def until_copying(self, uuid: str, *, sent_mib: int = 3) -> None:
        """Wait until so much of the guest's memory is across."""

        def part_is_across() -> bool:
            migration = self.migration(uuid)
            assert migration.status not in FINAL, self.story(migration)
            progress = migration.progress
            return (
                progress is not None
                and progress.phase == "copying-memory"
                and progress.memory_processed_bytes > sent_mib * 2**20
            )

        self.until(f"memory of migration {uuid} to be copied", part_is_across, timeout_s=30.0)

    def until_status(self, uuid: str, *wanted: str) -> str:
        """Wait for one of these statuses, or for a final one; the one that came."""
        seen: list[str] = []

        def has_come() -> bool:
            seen.append(self.migration(uuid).status)
            return seen[-1] in FINAL or seen[-1] in wanted

        self.until(f"migration {uuid} to be {wanted}", has_come, poll_s=0.01)
        return seen[-1]

    def story(self, migration: Migration) -> str:
        """All that is on record about it, for the message of a failed assertion."""
        return f"{migration}\n{self.steps(migration.uuid)}\n{self.plane.last_words()}"

    # --- what must hold afterwards ----------------------------------------------------------------

    def until(
        self,
        what: str,
        is_so: Callable[[], bool],
        *,
        timeout_s: float = STORY_TIMEOUT_S,
        poll_s: float = 0.1,
    ) -> None:
        """Wait for something to become true; fails with the control plane's last words."""
        give_up_at_s = now_s() + timeout_s
        while not is_so():
            assert now_s() < give_up_at_s, (
                f"waited {timeout_s:g} s in vain: {what}\n{self.plane.last_words()}"
            )
            time.sleep(poll_s)

    def assert_at_rest(self, places: Mapping[GuestSpec, str]) -> None:
        """Each guest is defined and known at its host alone, and nothing is held or owed."""
        self.until("nothing to be owed", self.owes_nothing)
        for guest, name in places.items():
            assert [h.name for h in self.lab.hosts if guest.name in known_guests(h)] == [name]
            server = self.server(guest.name)
            assert server is not None
            assert (server.host, server.task_state) == (name, None)
            self._assert_defined(guest, self.host(name))
            self._assert_disks_only_at(guest, name)
        for host in self.lab.hosts:
            here = [guest for guest, name in places.items() if name == host.name]
            wanted = (len(here), sum(guest.memory_mib for guest in here), 0)
            assert self.claimed(host.name) == wanted, host.name

    def _assert_defined(self, guest: GuestSpec, host: LabHost) -> None:
        said = host.run("virsh", "dominfo", guest.name).stdout
        facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        autostart = "enable" if guest.autostart else "disable"
        assert facts["Persistent"].strip() == ("yes" if guest.persistent else "no")
        assert facts["Autostart"].strip() == autostart

    def _assert_disks_only_at(self, guest: GuestSpec, name: str) -> None:
        for disk in (disk for disk in guest.disks if disk.place is DiskPlace.LOCAL):
            there = [host.name for host in self.lab.hosts if (host.local / disk.name).exists()]
            assert there == [name]

    def claimed(self, host: str) -> tuple[int, int, int]:
        """vCPUs, MiB of memory and transfer slots claimed at a host."""
        usage = self.hosts()[host].usage
        return (usage.vcpus, usage.memory_mib, usage.transfers)

    def owes_nothing(self) -> bool:
        """Every host has done all that it owed."""
        return not any(host.debts for host in self.hosts().values())

    # --- the control plane ------------------------------------------------------------------------

    def make_ready(self) -> None:
        """A control plane that hears every host, knows no server and holds nothing.

        One that has not got over the test before is replaced by a new one with an empty record.
        """
        if not self.plane.is_running:
            self.plane.start()
        if not self._is_at_rest():
            self.plane.stop()
            self.plane = self._new_plane()
            self.plane.start()
        self.until("all hosts to be heard", self._hears_all, timeout_s=KNOWN_TIMEOUT_S)
        self.until("no server to be known", self._forgets_all, timeout_s=KNOWN_TIMEOUT_S)

    def _is_at_rest(self) -> bool:
        known = self.read("/godwit/v1/migrations?limit=50", list[dict[str, Any]])
        return self.owes_nothing() and all(each["status"] in FINAL for each in known)

    def _hears_all(self) -> bool:
        hosts = self.hosts().values()
        return all(host.up and host.facts is not None and not host.trouble for host in hosts)

    def _forgets_all(self) -> bool:
        return all(self.forgets(server.id) for server in self.servers())

    def forgets(self, uuid: str) -> bool:
        """Ask to forget a server; true if it was forgotten before."""
        path = f"/godwit/v1/servers/{uuid}/forget"
        return self.send("POST", path, {"reason": "next test"}).status == 404

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
                site.until(f"{spec.name} to be known", is_known(site, spec), timeout_s=15.0)
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


def is_known(site: Site, spec: GuestSpec) -> Callable[[], bool]:
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


def now_s() -> float:
    """The clock that heartbeats are seen by."""
    return time.monotonic()
