"""The figures of the control plane alone: simulated hosts that need no time to transfer."""

import tempfile
from pathlib import Path

from bench.figures import Figure
from bench.migrations import Cost, cost_of
from bench.serving import Serving

IDLE_HOSTS = 8


def control_plane_figures() -> list[Figure]:
    """What one migration costs with few hosts and with many, and memory at rest."""
    few = measured(hosts=10, guests=30, one_by_one=60, at_once=200)
    many = measured(hosts=1000, guests=1, one_by_one=20, at_once=200)
    return [
        Figure("noop_p50_ms_10", few.p50_ms, 15),
        Figure("noop_migrations_per_s_10", few.per_s, 200, more_is_better=True),
        Figure("noop_cpu_ms_10", few.cpu_ms, 6),
        Figure("noop_written_kib_10", few.written_kib),
        Figure("noop_p50_ms", many.p50_ms, 30),
        Figure("noop_migrations_per_s", many.per_s, 100, more_is_better=True),
        Figure("noop_cpu_ms", many.cpu_ms, 12),
        Figure("check_ms", many.check_ms, 1000),
        Figure("idle_pss_mib_simulated", idle_pss_mib(), 120),
    ]


def measured(*, hosts: int, guests: int, one_by_one: int, at_once: int) -> Cost:
    """The cost of migrations between so many hosts with so many guests each."""
    print(f"{hosts} hosts: {one_by_one} migrations one by one, then {at_once} at once", flush=True)
    with _folder() as folder, Serving(Path(folder), hosts=hosts, guests=guests) as serving:
        return cost_of(serving, one_by_one=one_by_one, at_once=at_once)


def idle_pss_mib() -> float:
    """The memory of a server that does nothing but hear its hosts' reports."""
    with _folder() as folder, Serving(Path(folder), hosts=IDLE_HOSTS, guests=2) as serving:
        serving.settle(6.0)  # a round of reports
        return serving.pss_mib()


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="godwit-bench-")
