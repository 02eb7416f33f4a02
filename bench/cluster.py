"""The figures of many processes: PostgreSQL, NATS with TLS, an API, two conductors, and simulated
hosts in a few agents.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.nats_server import BINARY
from tests.postgres_server import programs, running

from bench.changes import changes_per_s
from bench.deaths import recovery_after_all_died, takeovers
from bench.figures import Figure
from bench.many import Many, cost_of_many

HOSTS, AGENTS = 1000, 4
DEATHS = 8
IN_FLIGHT = 200


def cluster_figures() -> list[Figure]:
    """All of them; none, and that is said, where a server is missing."""
    if BINARY is None or programs() is None:
        print("left out: all of a cluster: PostgreSQL or NATS is not installed", flush=True)
        return []
    return [*changes(), *migrations(), *deaths()]


def changes() -> list[Figure]:
    """What the stores can keep, with nothing else to do."""
    print("durable changes of stories, 64 at once", flush=True)
    with _folder() as folder, running(durable=True) as postgres:
        return [
            Figure("changes_per_s_sqlite", changes_per_s(folder / "store.db")),
            Figure("changes_per_s_postgresql", changes_per_s(postgres.store())),
        ]


def migrations() -> list[Figure]:
    """What a migration costs."""
    print(f"{HOSTS} hosts in {AGENTS} agents: 40 moves one by one, then 200 at once", flush=True)
    with _many(hosts=HOSTS, agents=AGENTS, guests=1, transfer_s=0.0) as many:
        cost = cost_of_many(many, one_by_one=40, at_once=200)
    return [
        Figure("cluster_noop_p50_ms", cost.p50_ms, 60),
        Figure("cluster_migrations_per_s", cost.per_s, 80, more_is_better=True),
        Figure("cluster_cpu_ms", cost.cpu_ms),
        Figure("cluster_wal_kib", cost.wal_kib),
        Figure("cluster_idle_cpu_percent", cost.idle_cpu_percent),
        Figure("cluster_start_s", many.start_s),
    ]


def deaths() -> list[Figure]:
    """How soon others go on with what the dead have left."""
    print(f"{DEATHS} deaths of a conductor; of everything, {IN_FLIGHT} under way", flush=True)
    with _many(hosts=8, agents=1, guests=60, transfer_s=15.0) as many:
        taken = takeovers(many, deaths=DEATHS)
        recovery = recovery_after_all_died(many, in_flight=IN_FLIGHT)
    return [
        Figure("takeover_p50_s", taken.p50_s),
        Figure("takeover_p99_s", taken.p99_s, 10),
        Figure("takeovers", taken.count),
        Figure("recovery_200_s", recovery.took_s),
        Figure("recovery_200_not_completed", recovery.not_completed, 0),
    ]


@contextmanager
def _many(*, hosts: int, agents: int, guests: int, transfer_s: float) -> Iterator[Many]:
    host = f"guests = {guests}\ntransfer_s = {transfer_s}\ntransfers_max = 400\n"
    with _folder() as folder, running(durable=True) as postgres:
        many = Many(folder, postgres, hosts=hosts, agents=agents, host=host)
        try:
            many.start(guests=hosts * guests)
            yield many
        finally:
            many.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as name:
        yield Path(name)
