"""What one migration costs: time from the request to `completed`, how many in a second, CPU."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.serving import Client, Serving

CALLERS = 8
WAIT_S = 30


@dataclass(frozen=True)
class Cost:
    """`p50_ms` is of migrations one by one, `check_ms` of one dry run against every host; the
    others are of many migrations at once.
    """

    p50_ms: float
    check_ms: float
    per_s: float
    cpu_ms: float
    written_kib: float


def cost_of(serving: Serving, *, one_by_one: int, at_once: int) -> Cost:
    """Migrate so many guests, each once. All must arrive: anything else is an error."""
    servers = serving.servers()
    first, then = servers[:one_by_one], servers[one_by_one : one_by_one + at_once]
    client = serving.client()
    check_s = [_checked(client, servers[0]) for _ in range(3)]
    took_s = [_timed(client, server) for server in first]
    serving.settle(2.0)
    written_kib, cpu_s, began_s = serving.written_kib(), serving.cpu_s(), time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        shares = [then[n::CALLERS] for n in range(CALLERS)]
        list(callers.map(lambda share: _all_of(serving.client(), share), shares))
    ended_s = time.monotonic()
    return Cost(
        p50_ms=1000 * median(took_s[len(took_s) // 10 :]),  # the first ones warm it up
        check_ms=1000 * median(check_s),
        per_s=len(then) / (ended_s - began_s),
        cpu_ms=1000 * (serving.cpu_s() - cpu_s) / len(then),
        written_kib=(serving.written_kib() - written_kib) / len(then),
    )


def _timed(client: Client, server: str) -> float:
    began_s = time.monotonic()
    _all_of(client, [server])
    return time.monotonic() - began_s


def _checked(client: Client, server: str) -> float:
    began_s = time.monotonic()
    answer = client.ask("POST", f"/godwit/v1/servers/{server}/check", {})
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.body}")
    return time.monotonic() - began_s


def _all_of(client: Client, servers: Sequence[str]) -> None:
    """Ask for all of them, then wait for the end of each."""
    for migration in [_accepted(client, server) for server in servers]:
        found = _ended(client, migration)
        if found["status"] != "completed":
            raise RuntimeError(f"{migration} is {found['status']}: {found['reason']}")


def _ended(client: Client, migration: str) -> Any:
    """The migration once its status is final, or after `WAIT_S`."""
    path = f"/godwit/v1/migrations/{migration}?wait_s={WAIT_S}"
    return client.ask("GET", path).body["migration"]


def _accepted(client: Client, server: str) -> str:
    ask = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    answer = client.ask("POST", f"/v2.1/servers/{server}/action", ask)
    if answer.status != 202:
        raise RuntimeError(f"{answer.status}: {answer.body}")
    return answer.headers["x-godwit-migration"]
