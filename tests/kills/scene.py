"""A cluster on a lab, and everything in it that can be hit: killed, frozen, cut off, and back.

`Scene` does one act at a time and remembers what is away; `play` says which.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from demo.cluster import AGENT_FILES, BUS_PORT, Cluster, Process
from tests.kills.cells import Target, Verb
from tests.lab.asking import Asker
from tests.postgres_server import PostgresServer

from godwit.cli.transport import Unanswered
from godwit.compute.launch import PROCESS, Identity
from godwit.lab.errors import LabError
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.processes import (
    children_of,
    freeze,
    is_alive,
    pids_in_namespace_of,
    run,
    thaw,
    wait_until,
)

SOURCE, DESTINATION = "host-a", "host-b"
DEATH_LIMIT_S: Final = 60.0
HEARD_LIMIT_S: Final = 180.0
BUS_RULE: Final = ("INPUT", "-p", "tcp", "--dport", str(BUS_PORT), "-j", "DROP")
CABLES: Final = {
    Target.MANAGEMENT_SOURCE: (SOURCE, "management"),
    Target.MANAGEMENT_DESTINATION: (DESTINATION, "management"),
    Target.MIGRATION_SOURCE: (SOURCE, "migration"),
    Target.MIGRATION_DESTINATION: (DESTINATION, "migration"),
}
HOSTS: Final = {Target.HOST_SOURCE: SOURCE, Target.HOST_DESTINATION: DESTINATION}
LIBVIRTDS: Final = {Target.LIBVIRTD_SOURCE: SOURCE, Target.LIBVIRTD_DESTINATION: DESTINATION}
QEMUS: Final = {Target.QEMU_SOURCE: SOURCE, Target.QEMU_DESTINATION: DESTINATION}


class Scene(Asker):
    """The lab's hosts, the cluster that drives them, and one guest on its way."""

    plane: Cluster

    def __init__(self, lab: Lab, folder: Path, postgres: PostgresServer) -> None:
        super().__init__(lab)
        folder.mkdir(parents=True)
        self.plane = Cluster(lab, folder, postgres)
        self.guest = ""
        self.migration_uuid = ""
        self.hit: set[Target] = set()
        """What a cell has frozen, killed or cut, and not yet given back."""
        self._teller: Process | None = None

    # --- acts -------------------------------------------------------------------------------------

    def act(self, verb: Verb, on: Target) -> None:
        """Do it, and return when it is done; what is started may still be on its way."""
        if verb in (Verb.START, Verb.THAW, Verb.UNCUT):
            self.hit.discard(on)
        else:
            self.hit.add(on)
        if on in CABLES:
            self._cable(verb, on)
        elif on is Target.NATS and verb in (Verb.CUT, Verb.UNCUT):
            run(["iptables", "-w", "-A" if verb is Verb.CUT else "-D", *BUS_RULE])
        elif verb is Verb.START:
            self._start(on)
        elif on in HOSTS:
            # What was put on a host from outside, and stands still, would hold its namespaces.
            self.plane.agents[HOSTS[on]].kill()
            self.host(HOSTS[on]).power_off()
        else:
            self._signal(on, verb)

    def give_everything_back(self) -> None:
        """Whatever is still away is there again."""
        for target in sorted(self.hit):
            cut = target in CABLES
            for verb in (Verb.UNCUT,) if cut else (Verb.THAW, Verb.START):
                self.act(verb, target)
        run(["iptables", "-w", "-D", *BUS_RULE], check=False)

    def start(self) -> None:
        """Start all of it, on a box that may be busy; AssertionError if it does not come up."""
        self.plane.bus.start()
        for process in self.plane.processes:
            process.start()
        self.until("all hosts to be heard", self._heard_again, timeout_s=HEARD_LIMIT_S)

    def make_sure_all_run(self) -> None:
        """Every process runs, thawed, and every host is heard; AssertionError if that fails."""
        self._start_servers()
        for process in self.plane.processes:
            thaw(process.pids)
            if not process.pids:
                process.start()
        self.until("all hosts to be heard", self._heard_again, timeout_s=HEARD_LIMIT_S)

    def _heard_again(self) -> bool:
        try:
            return len(self.hosts()) == len(self.lab.hosts) and self.hears_all()
        except (OSError, AssertionError, Unanswered):
            return False

    # --- who is meant -----------------------------------------------------------------------------

    def pids_of(self, target: Target) -> list[int]:
        """The living processes of a target, by the numbers we see."""
        if target in LIBVIRTDS:
            pid = self.host(LIBVIRTDS[target]).libvirtd_pid
            return [pid] if pid else []
        if target in QEMUS:
            return self.host(QEMUS[target]).qemu_pids(self.guest)
        match target:
            case Target.NATS:
                bus = self.plane.bus.process
                return [bus.pid] if bus else []
            case Target.POSTGRES:
                pid = self.plane.postgres.process.pid
                return [each for each in (pid, *children_of(pid)) if is_alive(each)]
            case Target.TRANSFER:
                return transfer_pids(self.host(SOURCE), self.migration_uuid)
            case _:
                return [pid for each in self.processes_of(target) for pid in each.pids]

    def processes_of(self, target: Target) -> list[Process]:
        """Godwit's own processes of a target."""
        match target:
            case Target.API:
                return [self.plane.api]
            case Target.CONDUCTORS:
                return list(self.plane.conductors)
            case Target.CONDUCTOR:
                self._teller = self._teller or self._telling()
                return [self._teller]
            case Target.AGENT_SOURCE:
                return [self.plane.agents[SOURCE]]
            case Target.AGENT_DESTINATION:
                return [self.plane.agents[DESTINATION]]
            case _:
                raise AssertionError(f"{target} is no process of ours")

    def new_guest(self, name: str) -> None:
        """The next cell's guest; nobody tells its story yet."""
        self.guest, self.migration_uuid, self._teller = name, "", None

    # --- details ----------------------------------------------------------------------------------

    def _telling(self) -> Process:
        """The conductor that holds the story now."""
        at = {each: each.log.read_text().rfind(self.migration_uuid) for each in self._conductors()}
        found = [each for each, place in at.items() if place >= 0]
        if len(found) != 1:
            raise LabError(f"{len(found)} conductors tell of {self.migration_uuid}")
        return found[0]

    def _conductors(self) -> list[Process]:
        return list(self.plane.conductors)

    def _cable(self, verb: Verb, on: Target) -> None:
        name, network = CABLES[on]
        host = self.host(name)
        if verb is Verb.CUT:
            host.cut(network, silent=True)
        else:
            host.uncut(network)

    def _start(self, on: Target) -> None:
        if on in LIBVIRTDS:
            self.host(LIBVIRTDS[on]).start_libvirtd()
        elif on in HOSTS:
            self.host(HOSTS[on]).power_on()
            self.plane.start_agent_after_boot(HOSTS[on])
        elif on in (Target.NATS, Target.POSTGRES):
            self._start_servers()
        elif on not in (*QEMUS, Target.TRANSFER):
            for process in self.processes_of(on):
                if not process.pids:
                    process.start()

    def _start_servers(self) -> None:
        if self.plane.bus.process is None:
            self.plane.bus.start()
        if self.plane.postgres.process.poll() is not None:
            self.plane.postgres.start()

    def _signal(self, on: Target, verb: Verb) -> None:
        pids = self.pids_of(on)
        if verb is Verb.FREEZE:
            freeze(pids, what=str(on))
        elif verb is Verb.THAW:
            thaw(pids)
        else:
            if not pids:
                raise LabError(f"there is no {on} to be ended")
            self._end(on, pids, signal.SIGKILL if verb is Verb.KILL else signal.SIGTERM)

    def _end(self, on: Target, pids: list[int], by: signal.Signals) -> None:
        if on in LIBVIRTDS and by is signal.SIGKILL:
            self.host(LIBVIRTDS[on]).kill_libvirtd()
        elif on in QEMUS:
            self.host(QEMUS[on]).kill_qemu(self.guest)
        else:
            for pid in pids:
                os.kill(pid, by)
        if by is signal.SIGKILL:
            gone: Callable[[], bool] = lambda: not any(is_alive(pid) for pid in pids)  # noqa: E731
            wait_until(gone, what=f"{on} to be gone", timeout_s=DEATH_LIMIT_S)
        if on is Target.NATS:
            self.plane.bus.kill()
        if on is Target.POSTGRES:
            self.plane.postgres.process.wait(DEATH_LIMIT_S)


def transfer_pids(host: LabHost, migration: str) -> list[int]:
    """The transfer process of a migration, which knows itself by its number on its host."""
    found = (host.layout.folder / AGENT_FILES).rglob(f"transfers/{migration}/{PROCESS}")
    init_pid = host.init_pid
    signed = next(found, None)
    if init_pid is None or signed is None:
        return []
    number = msgspec.json.decode(signed.read_bytes(), type=Identity).pid
    here = pids_in_namespace_of(init_pid)
    return [pid for pid in here if number_inside(pid) == number and is_alive(pid)]


def number_inside(pid: int) -> int | None:
    """The number a process has in the innermost namespace it is in."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    lines = (line.split() for line in status.splitlines())
    return next((int(words[-1]) for words in lines if words[0] == "NSpid:"), None)
