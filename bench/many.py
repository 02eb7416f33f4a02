"""Many real processes of Godwit on a real bus and a real PostgreSQL server, and what a migration
costs them.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from tests.e2e.cluster import Cluster
from tests.postgres_server import PostgresServer

from bench.memory import descendants
from bench.serving import Client

LIMIT_S = 90.0
CALLERS = 8
IDLE_S = 10.0


@dataclass(frozen=True)
class CostOfMany:
    """CPU is of all processes, the two servers too. `p50_ms` is of migrations one by one."""

    p50_ms: float
    per_s: float
    cpu_ms: float
    wal_kib: float
    """Per migration, of the database's log."""
    idle_cpu_percent: float
    """Of one core, with nothing to do but to hear the hosts."""


class Many:
    """API, two conductors, and agents with as many hosts each."""

    def __init__(
        self, folder: Path, postgres: PostgresServer, *, hosts: int, agents: int, host: str
    ) -> None:
        """Nothing runs yet. `host` is what the settings say of each."""
        self.postgres = postgres
        self.url = postgres.store().url
        names = [f"h{number:04}" for number in range(hosts)]
        self._agents = {f"agent-{n}": tuple(names[n::agents]) for n in range(agents)}
        described = "".join(f'[hosts.{name}]\ndriver = "simulated"\n{host}' for name in names)
        settings = f'[store]\nurl = "{self.url}"\n{described}'
        self.cluster = Cluster(folder, settings, agents=self._agents)
        self.start_s = 0.0
        """How long it took until all was known."""

    def start(self, *, guests: int) -> None:
        """Start all, and wait until every guest is known and every host is up."""
        began_s = time.monotonic()
        self.cluster.start()
        self.until("all hosts to be up", lambda: self._is_whole(guests))
        self.start_s = time.monotonic() - began_s

    def stop(self) -> None:
        """Leave nothing running; PostgreSQL is ended by who started it."""
        self.cluster.stop_for_good()

    def client(self) -> Client:
        """A new connection to the API."""
        return Client(self.cluster.folder / "api")

    def servers(self) -> dict[str, str]:
        """Every server's host, by uuid; none while nobody answers."""
        found: dict[str, str] = {}
        with suppress(OSError, KeyError):
            client, page = self.client(), None
            while page is None or page:
                after = f"?marker={list(found)[-1]}" if found else ""
                page = client.ask("GET", f"/v2.1/servers/detail{after}").body["servers"]
                found |= {each["id"]: each["OS-EXT-SRV-ATTR:host"] for each in page}
        return found

    def move(self, client: Client, server: str, host: str) -> str:
        """Ask for a move to another host of the same agent, for simulated guests cannot leave their
        process; the migration's uuid.
        """
        [mates] = [hosts for hosts in self._agents.values() if host in hosts]
        beside = mates[(mates.index(host) + 1) % len(mates)]
        ask = {"os-migrateLive": {"host": beside, "block_migration": "auto"}}
        answer = client.ask("POST", f"/v2.1/servers/{server}/action", ask)
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {answer.body}")
        return answer.headers["x-godwit-migration"]

    def ended(self, client: Client, migration: str) -> Any:
        """The migration once its status is final, or after half a minute."""
        return client.ask("GET", f"/godwit/v1/migrations/{migration}?wait_s=30").body["migration"]

    def cpu_s(self) -> float:
        """What everything has used so far, the servers too."""
        godwit = [each.process for each in self.cluster.processes]
        roots = [each.pid for each in (*godwit, self.cluster.bus.process) if each is not None]
        roots.append(self.postgres.process.pid)
        return sum(_cpu_s(pid) for root in roots for pid in (root, *descendants(root)))

    def asked(self, query: Any) -> list[tuple[Any, ...]]:
        """What the database answers to who looks from outside."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def kill_all_but_hosts(self) -> None:
        """`kill -9`; PostgreSQL stops as in a crash (SIGQUIT). Hosts and transfers live on."""
        for process in (self.cluster.answering, *self.cluster.conductors):
            process.stop_for_good()
        self.cluster.bus.kill()
        self.postgres.process.send_signal(signal.SIGQUIT)
        self.postgres.process.wait(timeout=30)

    def start_again(self) -> None:
        """All that was killed, the servers first."""
        self.postgres.start()
        self.cluster.bus.start()
        for process in (self.cluster.answering, *self.cluster.conductors):
            process.start()

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait for it; RuntimeError if it does not become true."""
        give_up_s = time.monotonic() + LIMIT_S
        while not is_so():
            if time.monotonic() > give_up_s:
                raise RuntimeError(f"waited in vain for {what}:\n{self.cluster.logs()[-3000:]}")
            time.sleep(0.2)

    def settle(self, pause_s: float) -> None:
        """Let everything come to rest, or go on for a while."""
        time.sleep(pause_s)

    def _is_whole(self, guests: int) -> bool:
        if len(self.servers()) < guests:
            return False
        hosts = self.client().ask("GET", "/godwit/v1/hosts").body["hosts"]
        return all(host["up"] and host["facts"] for host in hosts)


def cost_of_many(many: Many, *, one_by_one: int, at_once: int) -> CostOfMany:
    """Migrate so many guests, each once. All must arrive: anything else is an error."""
    servers = list(many.servers().items())
    many.settle(5.0)
    idle_s = many.cpu_s()
    many.settle(IDLE_S)
    idle_s = many.cpu_s() - idle_s
    client = many.client()
    took_s = [_timed(many, client, server) for server in servers[:one_by_one]]
    many.settle(3.0)
    then = servers[one_by_one : one_by_one + at_once]
    log_bytes, cpu_s, began_s = _log_bytes(many), many.cpu_s(), time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        shares = [then[n::CALLERS] for n in range(CALLERS)]
        list(callers.map(lambda share: _all_of(many, many.client(), share), shares))
    took, cpu_s = time.monotonic() - began_s, many.cpu_s() - cpu_s
    return CostOfMany(
        p50_ms=1000 * median(took_s[len(took_s) // 10 :]),
        per_s=len(then) / took,
        cpu_ms=1000 * (cpu_s - took * idle_s / IDLE_S) / len(then),
        wal_kib=(_log_bytes(many) - log_bytes) / 1024 / len(then),
        idle_cpu_percent=100 * idle_s / IDLE_S,
    )


def _timed(many: Many, client: Client, server: tuple[str, str]) -> float:
    began_s = time.monotonic()
    _all_of(many, client, [server])
    return time.monotonic() - began_s


def _all_of(many: Many, client: Client, servers: Sequence[tuple[str, str]]) -> None:
    for migration in [many.move(client, *server) for server in servers]:
        found = many.ended(client, migration)
        if found["status"] != "completed":
            raise RuntimeError(f"{migration} is {found['status']}: {found['reason']}")


def _log_bytes(many: Many) -> int:
    [[position]] = many.asked("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
    return int(position)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
