"""A real `godwit serve` on the lab's hosts and, for comparison, `virsh` on the same ones.

Both are outside of the hosts and reach every libvirtd over TLS, with the same certificate.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from demo.control_plane import Console, ControlPlane

from bench.serving import Client
from godwit.lab.control_plane import settings_for
from godwit.lab.guest import GuestSpec, create_disk, known_guests, remove_guest, start_guest
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab

LIMIT_S = 30.0
ACCEPTED = 202
RELY_ON_LOCKS = "fences = true\n\n[migration]\nrely_on_fencing = true\n"
"""What follows `[storages.shared]`, the last table of the lab's settings."""


class RealHosts:
    """The lab, its control plane, and both ways to move a guest."""

    def __init__(self, lab: Lab, plane: Console) -> None:
        """`plane` moves the lab's guests."""
        self.lab = lab
        self.plane = plane

    @contextmanager
    def guests(self, host: str, specs: Sequence[GuestSpec], beats: Heartbeats) -> Iterator[None]:
        """They run there and Godwit knows them; in the end they are gone from everywhere, and each
        must have run on one host at a time. RuntimeError if it has not.
        """
        for spec in specs:
            for disk in spec.disks:
                create_disk(self.lab.host(host), disk)
            start_guest(self.lab.host(host), spec)
            beats.wait(spec.name, host)
        self.until_known({spec.name: host for spec in specs})
        try:
            yield
        finally:
            names = {spec.name for spec in specs}
            for each in self.lab.hosts:
                for name in names.intersection(known_guests(each)):
                    remove_guest(each, name)
        if problems := [line for spec in specs for line in beats.check_ran_once(spec.name)]:
            raise RuntimeError(f"{problems}")

    def until_known(self, places: Mapping[str, str]) -> None:
        """Godwit hears every host, and its record says that each of these guests is at its own."""
        until("all hosts to be heard", self._hears_all)
        until(
            f"{', '.join(places)} to be known",
            lambda: {name: self.servers().get(name, ("", ""))[1] for name in places} == places,
        )

    def servers(self) -> dict[str, tuple[str, str]]:
        """By name: uuid and host."""
        found = self._client().ask("GET", "/v2.1/servers/detail").body["servers"]
        return {each["name"]: (each["id"], each["OS-EXT-SRV-ATTR:host"]) for each in found}

    def godwit(self, guest: str, source: str, to: str) -> float:
        """Move the guest; the time from the request until it is known to be completed."""
        uuid, known_at = self.servers()[guest]
        if known_at != source:
            raise RuntimeError(f"{guest} is not known at {source}, but at {known_at}")
        client = self._client()
        ask = {"os-migrateLive": {"host": to, "block_migration": "auto"}}
        began_s = time.monotonic()
        accepted = client.ask("POST", f"/v2.1/servers/{uuid}/action", ask)
        if accepted.status != ACCEPTED:
            raise RuntimeError(f"{guest} is not moved to {to}: {accepted.body}")
        number = accepted.headers["x-godwit-migration"]
        path = f"/godwit/v1/migrations/{number}?wait_s=30"
        migration = client.ask("GET", path).body["migration"]
        took_s = time.monotonic() - began_s
        if migration["status"] != "completed" or guest in known_guests(self.lab.host(source)):
            raise RuntimeError(f"{guest} is not at {to} alone: {migration}")
        return took_s

    def settle(self, pause_s: float) -> None:
        """Let everything come to rest."""
        time.sleep(pause_s)

    def virsh(self, guest: str, source: str, to: str) -> float:
        """Move the guest with virsh and the flags that Godwit uses; how long that took."""
        began_s = time.monotonic()
        run(virsh_migrate(guest, self.lab.host(source), self.lab.host(to)))
        return time.monotonic() - began_s

    def _hears_all(self) -> bool:
        hosts = self._client().ask("GET", "/godwit/v1/hosts").body["hosts"]
        return all(host["up"] and host["facts"] and not host["trouble"] for host in hosts)

    def _client(self) -> Client:
        return Client(Path(self.plane.url.removeprefix("unix:")))


def serving(lab: Lab, folder: Path, *, relies_on_locks: bool = False) -> ControlPlane:
    """A `godwit serve` for these hosts, not started. `relies_on_locks`: the operator says that the
    shared storage fences.
    """
    folder.mkdir()
    return ControlPlane(folder, settings_for(lab) + (RELY_ON_LOCKS if relies_on_locks else ""))


def virsh_migrate(guest: str, source: LabHost, to: LabHost, *more: str) -> list[str]:
    """The command; memory goes over TLS, as Godwit has it unless its settings say otherwise, and
    `--unsafe`: libvirt knows nothing of the lab's shared folder.
    """
    flags = [
        "--live",
        "--p2p",
        "--persistent",
        "--undefinesource",
        "--unsafe",
        "--abort-on-error",
        "--tls",
    ]
    where = [to.peer_uri, f"tcp://{to.migration_address}"]
    return ["virsh", "-q", "-c", source.uri, "migrate", *flags, *more, guest, *where]


def run(command: Sequence[str]) -> None:
    """Run it to its end; RuntimeError with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def until(what: str, is_so: Callable[[], bool]) -> None:
    """Wait for it; RuntimeError if it does not become true."""
    give_up_s = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > give_up_s:
            raise RuntimeError(f"waited {LIMIT_S:g} s in vain for {what}")
        time.sleep(0.05)
