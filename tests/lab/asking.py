"""A person at the command's other end: asks the API of a control plane that drives a lab, begins
moves, waits for their ends, and compares what is on record with what stands on the hosts.

The base of `whole.Site` and of the clusters of `tests/kills`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from typing import Any, Final, TypeVar

import msgspec
from demo.control_plane import Console
from tests.lab.serve_records import HostSeen, Migration, Server

from godwit.cli.transport import HttpRequest, HttpResponse, transport_to
from godwit.lab.guest import DiskPlace, GuestSpec, known_guests
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab

T = TypeVar("T")

STORY_TIMEOUT_S: Final = 180.0
"""How soon is not what these tests claim: a box may be busy."""
HTTP_TIMEOUT_S: Final = 60.0
OF_THE_RECORD: Final = frozenset(
    {"claim-left", "claim-missing", "claim-differs", "slot-left", "task-without-story"}
)
FINAL: Final = frozenset({"completed", "failed", "cancelled", "error"})


class Asker:
    """One who asks; `plane` is whose API it is, and is set by whoever inherits."""

    plane: Console

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

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
        return [(entry["step"], entry["what"]) for entry in self.timeline(uuid)]

    def timeline(self, uuid: str) -> list[dict[str, Any]]:
        """All that is told of a migration, line by line."""
        answer = self.send("GET", f"/godwit/v1/migrations/{uuid}/timeline")
        entries: list[dict[str, Any]] = msgspec.json.decode(answer.body)["entries"]
        return entries

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

        self.until(f"memory of migration {uuid} to be copied", part_is_across)

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
        ours = {str(guest.uuid) for guest in places}
        self.until("an audit to find nothing", lambda: not self._found_by_an_audit(ours))

    def _found_by_an_audit(self, ours: Set[str]) -> list[dict[str, Any]]:
        """What an audit finds about these guests, or wrong with the record by itself."""
        answer = self.send("GET", "/godwit/v1/audit")
        assert answer.status == 200, answer
        found = msgspec.json.decode(answer.body)["audit"]["disagreements"]
        return [each for each in found if each["subject"] in ours or each["kind"] in OF_THE_RECORD]

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

    def is_at_rest(self) -> bool:
        """Nothing is owed, and every story has ended."""
        known = self.read("/godwit/v1/migrations?limit=50", list[dict[str, Any]])
        return self.owes_nothing() and all(each["status"] in FINAL for each in known)

    def hears_all(self) -> bool:
        """Every host is up, described, and without trouble."""
        hosts = self.hosts().values()
        return all(host.up and host.facts is not None and not host.trouble for host in hosts)

    def forgets_all(self) -> bool:
        """Ask to forget every server; true if none was known."""
        return all(self.forgets(server.id) for server in self.servers())

    def forgets(self, uuid: str) -> bool:
        """Ask to forget a server; true if it was forgotten before."""
        path = f"/godwit/v1/servers/{uuid}/forget"
        return self.send("POST", path, {"reason": "next test"}).status == 404


def now_s() -> float:
    """The clock that heartbeats are seen by."""
    return time.monotonic()
