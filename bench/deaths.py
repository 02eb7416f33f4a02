"""How soon stories go on whose conductor was killed, and end when everything was."""

import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import median, quantiles

from tests.e2e.cluster import Process

from bench.many import Many

MOVES = 20
"""Begun before each death, and told by two conductors."""
BEGUN_S = 2.0
OWNERS = "SELECT count(DISTINCT owner) FROM stories WHERE direction <> 'ended'"
TAKEN_OVER = "SELECT at FROM story_entries WHERE what = 'taken-over' AND at >= '{}'"
UNFINISHED = "SELECT count(*) FROM stories WHERE direction <> 'ended'"
NOT_COMPLETED = "SELECT count(*) FROM migrations WHERE status <> 'completed'"


@dataclass(frozen=True)
class Takeovers:
    """From the kill to the entry of who went on, by the timeline of each story."""

    p50_s: float
    p99_s: float
    count: int


@dataclass(frozen=True)
class Recovery:
    """After the kill of everything but the hosts."""

    took_s: float
    """From the start of the processes until every story had ended."""
    not_completed: int


def takeovers(many: Many, *, deaths: int) -> Takeovers:
    """Kill the two conductors in turn, with moves under way; each comes back before the next."""
    servers = list(many.servers().items())
    took_s: list[float] = []
    for death in range(deaths):
        _begin(many, servers[death * MOVES : (death + 1) * MOVES])
        many.settle(BEGUN_S)
        dying, living = many.cluster.conductors[:: 1 if death % 2 else -1]
        many.until("the other to be there", partial(_is_on_the_bus, living, 1 + (death + 1) // 2))
        dying.end(signal.SIGKILL)
        died_at = datetime.now(UTC).replace(tzinfo=None)
        many.until("one conductor to hold all", lambda: many.asked(OWNERS) <= [(1,)])
        took_s += [
            (datetime.fromisoformat(at) - died_at).total_seconds()
            for [at] in many.asked(TAKEN_OVER.format(died_at.isoformat()))
        ]
        dying.start()
    many.until("all to end", lambda: many.asked(UNFINISHED) == [(0,)])
    return Takeovers(median(took_s), quantiles(took_s, n=100)[98], len(took_s))


def recovery_after_all_died(many: Many, *, in_flight: int) -> Recovery:
    """Kill API, conductors, bus and database with so many moves under way, and start them again."""
    _begin(many, list(many.servers().items())[-in_flight:])
    many.settle(BEGUN_S)
    many.kill_all_but_hosts()
    many.settle(BEGUN_S)
    began_s = time.monotonic()
    many.start_again()
    many.until("all to end", lambda: many.asked(UNFINISHED) == [(0,)])
    took_s = time.monotonic() - began_s
    [[not_completed]] = many.asked(NOT_COMPLETED)
    return Recovery(took_s, not_completed)


def _is_on_the_bus(conductor: Process, lives: int) -> bool:
    return conductor.log().count("bus connected") >= lives


def _begin(many: Many, servers: list[tuple[str, str]]) -> None:
    client = many.client()
    for server, host in servers:
        many.move(client, server, host)
