"""Many processes as the demo uses them: PostgreSQL, NATS with TLS, two conductors, an API, and an
agent on each host of the lab, in that host's own namespaces.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.nats_server import NatsServer
from tests.postgres_server import PostgresServer

from demo.control_plane import START_LIMIT_S, Console
from godwit.lab import certificates
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import CONTROL_PLANE_ADDRESS, SHARED_FOLDER
from godwit.lab.processes import pids_ending_in

BUS_PORT = 4222
AGENT_FILES = "var/lib/godwit"
"""Of a host, below its folder as we see it, and below `/` as the host itself does."""
END_LIMIT_S = 10.0


class Process:
    """A `godwit VERB`, killed and started again."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command = command
        self.log = log
        self._begun: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> list[int]:
        """Of the process and of what put it on its host."""
        return pids_ending_in(self.command[self.command.index("godwit") :])

    def start(self) -> None:
        """Start it and do not wait."""
        with self.log.open("ab") as log:
            begun = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._begun = [*(each for each in self._begun if each.poll() is None), begun]

    def kill(self) -> None:
        """`kill -9`: no farewell, no clean-up."""
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        give_up_at = time.monotonic() + END_LIMIT_S
        while self.pids and time.monotonic() < give_up_at:
            time.sleep(0.05)
        for begun in self._begun:
            begun.wait(END_LIMIT_S)


class Cluster(Console):
    """All of them, on one lab."""

    def __init__(self, lab: Lab, folder: Path, postgres: PostgresServer) -> None:
        super().__init__(f"unix:{folder}/api")
        self._lab = lab
        self._folder = folder
        self.postgres = postgres
        store = f'[store]\nurl = "{postgres.store().url}"\n'
        self.bus = self._bus()
        self.api = self._here("api", "api.seed", store)
        self.conductors = [
            self._here(f"conductor-{number}", "conductor.seed", store) for number in (1, 2)
        ]
        self.agents = {host.name: self._agent(host) for host in lab.hosts}

    @property
    def processes(self) -> list[Process]:
        """All of Godwit's."""
        return [self.api, *self.conductors, *self.agents.values()]

    def start(self) -> None:
        """Start everything and wait until every host is heard; RuntimeError if that fails."""
        self.bus.start()
        for process in self.processes:
            process.start()
        self.wait_for(set(self.agents))

    def wait_for(self, hosts: set[str]) -> None:
        """Wait until all of these report."""
        give_up_at = time.monotonic() + START_LIMIT_S
        while not hosts <= self._heard():
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"not all hosts are heard:\n{self.last_words()}")
            time.sleep(0.2)

    def silent_s(self) -> float:
        """How long the host that was heard least lately has not reported."""
        return max(float(host["silent_s"]) for host in self.ask("host", "list")["hosts"])

    def stop(self) -> None:
        """End everything; PostgreSQL is ended by who started it."""
        for process in self.processes:
            process.kill()
        self.bus.kill()

    def start_agent_after_boot(self, name: str) -> None:
        """Start the agent of a host that was off: its namespaces are others now."""
        self.agents[name].kill()
        self.agents[name] = self._agent(self._lab.host(name))
        self.agents[name].start()

    def teller_of(self, migration: str) -> Process:
        """The conductor that tells this story."""
        [telling] = [each for each in self.conductors if migration in each.log.read_text()]
        return telling

    def last_words(self) -> str:
        """See `Console`."""
        ends = [process.log.read_text().splitlines()[-8:] for process in self.processes]
        return "\n".join(line for end in ends for line in end)

    def _heard(self) -> set[str]:
        asked = self.typed("host", "list", "--json")
        if asked.returncode != 0:
            return set()
        shown = json.loads(asked.stdout)["hosts"]
        return {host["name"] for host in shown if host["up"] and host["facts"]}

    def _bus(self) -> NatsServer:
        """A server with a certificate, and a secret for everybody, made by the command itself."""
        authority = certificates.make_authority(self._folder / "authority")
        pki = self._folder / "bus-pki"
        address = [f"IP:{CONTROL_PLANE_ADDRESS}"]
        certificates.issue(authority, pki, name="bus", alternatives=address)
        names = [host.name for host in self._lab.hosts]
        made = self.typed("bus", "credentials", str(self._folder / "bus"), *names)
        if made.returncode != 0:
            raise RuntimeError(made.stderr)
        tls = f'tls {{ cert_file: "{pki}/clientcert.pem", key_file: "{pki}/clientkey.pem" }}\n'
        more = f'{tls}max_payload: 4MB\ninclude "bus/nats-users.conf"\n'
        return NatsServer(self._folder, more, port=BUS_PORT, address=CONTROL_PLANE_ADDRESS)

    def _here(self, name: str, seed: str, store: str) -> Process:
        config = self._folder / f"{name}.toml"
        server = f'[server]\nlisten = "unix:{self._folder}/api"\n'
        state = f'state_dir = "{self._folder}/{name}"\n'
        bus = _bus_part(self._folder / "authority/cacert.pem", self._folder / "bus" / seed)
        config.write_text(server + state + store + bus)
        verb = name.partition("-")[0]
        command = [sys.executable, "-m", "godwit", verb, "--config", str(config)]
        return Process(command, self._folder / f"{name}.log")

    def _agent(self, host: LabHost) -> Process:
        """Its files are the host's own; it knows no other host, and no database."""
        outside, inside = host.layout.folder / AGENT_FILES, Path("/") / AGENT_FILES
        outside.mkdir(parents=True, mode=0o700, exist_ok=True)
        shutil.copy(self._folder / "authority/cacert.pem", outside / "bus-ca.pem")
        shutil.copy(self._folder / f"bus/hosts/{host.name}.seed", outside / "bus.seed")
        (outside / "compute.toml").write_text(
            f'[server]\nstate_dir = "{inside}/state"\n'
            f"{_bus_part(inside / 'bus-ca.pem', inside / 'bus.seed')}"
            f'[hosts.{host.name}]\ndriver = "libvirt"\nuri = "qemu:///system"\n'
            f'peer_uri = "{host.peer_uri}"\nmigration_address = "{host.migration_address}"\n'
            f'[storages.shared]\npath = "{SHARED_FOLDER}"\n'
        )
        command = ["-m", "godwit", "compute", "--host", host.name]
        config = ["--config", str(inside / "compute.toml")]
        return Process(
            host.inside(sys.executable, *command, *config), self._folder / f"{host.name}.log"
        )


def _bus_part(ca: Path, seed: Path) -> str:
    servers = f'servers = ["tls://{CONTROL_PLANE_ADDRESS}:{BUS_PORT}"]'
    return f'[bus]\n{servers}\ntls_ca = "{ca}"\ncredentials = "{seed}"\n'
