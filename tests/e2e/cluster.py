"""Several real processes of Godwit on a real bus with TLS, for the tests of this folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.serving import END_LIMIT_S, Godwit, until
from tests.nats_server import NatsServer

from godwit.lab import certificates
from godwit.model.ids import HostName
from godwit.rpc import bus_users
from godwit.rpc.bus_users import BusUser
from godwit.rpc.keys import new_seed, public_key

HEARD_LIMIT_S = 120.0
APIS, CONDUCTORS = "apis", "conductors"


@dataclass
class Process:
    """`godwit VERB`, with a settings file and a log of its own."""

    name: str
    verb: tuple[str, ...]
    config: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin, and do not wait."""
        with self.config.with_name(f"{self.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "godwit", *self.verb, "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(with_signal)
        code = self.process.wait(END_LIMIT_S)
        self.process = None
        return code

    def stop_for_good(self) -> None:
        """Leave nothing running, whatever the test did."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        """What it has said so far."""
        return self.config.with_name(f"{self.name}.log").read_text()


class Cluster:
    """A bus, an API, conductors, and agents that act on some simulated hosts each."""

    def __init__(self, folder: Path, settings: str, *, agents: dict[str, tuple[str, ...]]) -> None:
        """`settings` holds the store, the hosts and all that is not of one process alone."""
        self.folder = folder
        self._settings = settings
        authority = certificates.make_authority(folder / "authority")
        pki = folder / "pki"
        certificates.issue(authority, pki, name="bus", alternatives=["IP:127.0.0.1"])
        seeds = {name: self._seed(name) for name in (APIS, CONDUCTORS, *agents)}
        users = [bus_users.of_apis(seeds[APIS]), bus_users.of_conductors(seeds[CONDUCTORS])]
        users += [_of_hosts(seeds[name], hosts) for name, hosts in agents.items()]
        tls = f'tls {{ cert_file: "{pki}/clientcert.pem", key_file: "{pki}/clientkey.pem" }}\n'
        self.bus = NatsServer(folder, tls + bus_users.server_part(users))
        self.api = Godwit(folder, self._of_process(APIS) + settings)
        self.answering = Process("api", ("api",), self.api.config)
        self.conductors = [self._process(f"conductor-{n}", CONDUCTORS) for n in (1, 2)]
        self.agents = {name: self._process(name, name, hosts) for name, hosts in agents.items()}

    @property
    def processes(self) -> list[Process]:
        """All but the bus."""
        return [self.answering, *self.conductors, *self.agents.values()]

    def start(self) -> None:
        """Start everything, and do not wait."""
        self.bus.start()
        for process in self.processes:
            process.start()

    def stop_for_good(self) -> None:
        """Leave nothing running."""
        for process in self.processes:
            process.stop_for_good()
        self.bus.kill()

    def wait_for(self, hosts: Iterable[str]) -> None:
        """Wait until the API shows all of these as up."""
        wanted = set(hosts)
        until(f"{sorted(wanted)} to be up", lambda: wanted <= self.up(), timeout_s=HEARD_LIMIT_S)

    def up(self) -> set[str]:
        """The hosts that the API shows as up and described; none while it does not answer."""
        try:
            shown = self.api.get("/godwit/v1/hosts")["hosts"]
        except (OSError, KeyError):
            return set()
        return {host["name"] for host in shown if host["up"] and host["facts"]}

    def logs(self) -> str:
        """What everybody has said."""
        return "\n".join(f"--- {process.name}\n{process.log()}" for process in self.processes)

    def _seed(self, name: str) -> str:
        """A new secret in a file; its public key."""
        seed = new_seed()
        (self.folder / f"{name}.seed").write_text(seed)
        return public_key(seed)

    def _of_process(self, who: str) -> str:
        bus = f'\n[bus]\nservers = ["tls://127.0.0.1:{self.bus.port}"]\n'
        ca = f'tls_ca = "{self.folder}/authority/cacert.pem"\n'
        return bus + ca + f'credentials = "{self.folder}/{who}.seed"\n'

    def _process(self, name: str, who: str, hosts: tuple[str, ...] = ()) -> Process:
        config = self.folder / f"{name}.toml"
        level = "debug" if hosts else "info"
        server = f'[server]\nstate_dir = "{self.folder}/{name}"\nlog_level = "{level}"\n'
        config.write_text(server + self._of_process(who) + self._settings)
        verb = ("compute", *(f"--host={host}" for host in hosts)) if hosts else ("conductor",)
        return Process(name, verb, config)


def _of_hosts(key: str, hosts: tuple[str, ...]) -> BusUser:
    """An agent that may act on several hosts: simulated ones live in one process."""
    users = [bus_users.of_host(HostName(host), key) for host in hosts]
    publish = tuple(subject for user in users for subject in user.publish)
    subscribe = tuple(subject for user in users for subject in user.subscribe)
    return BusUser(", ".join(hosts), key, publish=publish, subscribe=subscribe)
