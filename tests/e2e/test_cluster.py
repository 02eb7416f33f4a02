"""API, two conductors and two agents as real processes on a real bus and a real PostgreSQL server;
any of them dies, and work goes on.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from tests.e2e.cluster import Cluster, Process
from tests.e2e.serving import until
from tests.nats_server import needs_nats_server
from tests.postgres_server import PostgresServer

pytestmark = needs_nats_server

IN_THE_END_S = 120.0
"""Nothing is claimed about how soon."""
AT_ONCE_S = 15.0
"""Less than an agent has for its answer. A command's own start and end are in it."""
LEASE_S = 15.0
HANDED_OVER_S = 9.5
"""Less than is left of a lease that was not given back; the rest of a transfer is in it."""
HOSTS = f"""
[migration]
lease_s = {LEASE_S}

[hosts_defaults]
report_interval_s = 0.5

[hosts.host-a]
driver = "simulated"
guests = 8
transfer_s = 3

[hosts.host-b]
driver = "simulated"

[hosts.host-c]
driver = "simulated"
"""
AGENTS = {"west": ("host-a", "host-b"), "east": ("host-c",)}
ALL = ("host-a", "host-b", "host-c")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[Cluster]:
    store = f'[store]\nurl = "{postgres.store().url}"\n'
    made = Cluster(tmp_path_factory.mktemp("cluster"), store + HOSTS, agents=AGENTS)
    try:
        made.start()
        made.wait_for(ALL)
        yield made
    finally:
        made.stop_for_good()


def begin(cluster: Cluster, guest: str) -> str:
    """Have it moved to host-b; the uuid of a migration whose transfer runs."""
    uuid = cluster.api.begin_to_move(guest, "host-b")
    cluster.api.until_it_runs(uuid)
    return uuid


def status(cluster: Cluster, uuid: str) -> str:
    return str(cluster.api.get(f"/godwit/v1/migrations/{uuid}")["migration"]["status"])


def teller_of(cluster: Cluster, uuid: str) -> Process:
    """The conductor that tells this story."""
    [telling] = [each for each in cluster.conductors if f"story={uuid}" in each.log()]
    return telling


def is_taken_over(cluster: Cluster, uuid: str) -> bool:
    entries = cluster.api.get(f"/godwit/v1/migrations/{uuid}/timeline")["entries"]
    return any(entry["what"] == "taken-over" for entry in entries)


def test_a_guest_moves_between_agents_over_the_bus(cluster: Cluster) -> None:
    moved = cluster.api.typed("migrate", "host-a-guest-1", "--to", "host-b")
    assert moved.returncode == 0, moved.stdout + cluster.logs()
    assert moved.stdout.splitlines()[-1].startswith("completed  host-a-guest-1  host-a → host-b")


def test_the_request_that_asked_for_a_move_is_named_by_the_agent_at_every_act(
    cluster: Cluster,
) -> None:
    uuid = begin(cluster, "host-a-guest-7")
    until("the end", lambda: status(cluster, uuid) == "completed", timeout_s=IN_THE_END_S)
    asked = cluster.api.get(f"/godwit/v1/migrations/{uuid}")["migration"]["request_id"]
    assert asked.startswith("req-")
    lines = [line for line in cluster.agents["west"].log().splitlines() if uuid in line]
    assert any("act=pre_live_migration" in line for line in lines), lines
    assert all(f"request_id={asked}" in line and "generation=" in line for line in lines), lines


def test_another_conductor_goes_on_with_the_stories_of_a_killed_one(cluster: Cluster) -> None:
    uuid = begin(cluster, "host-a-guest-2")
    killed = teller_of(cluster, uuid)
    killed.end(signal.SIGKILL)
    until("takeover", lambda: is_taken_over(cluster, uuid), timeout_s=IN_THE_END_S)
    until("the end", lambda: status(cluster, uuid) == "completed", timeout_s=IN_THE_END_S)
    killed.start()


def test_a_conductor_that_is_stopped_hands_its_stories_over_at_once(cluster: Cluster) -> None:
    until(
        "both conductors to be there",
        lambda: all("bus connected" in each.log() for each in cluster.conductors),
        timeout_s=IN_THE_END_S,
    )
    uuid = begin(cluster, "host-a-guest-3")
    stopped = teller_of(cluster, uuid)
    assert stopped.end(signal.SIGTERM) == 0
    until("the end", lambda: status(cluster, uuid) == "completed", timeout_s=HANDED_OVER_S)
    stopped.start()


def test_a_second_agent_of_a_host_does_not_start(cluster: Cluster) -> None:
    config = str(cluster.agents["east"].config)
    second = cluster.api.typed("compute", "--host=host-c", "--config", config)
    assert second.returncode == 1, second.stdout + second.stderr
    assert "another agent answers for host-c" in second.stderr


def test_an_agent_that_was_killed_is_refused_at_once_and_comes_back_by_itself(
    cluster: Cluster,
) -> None:
    cluster.agents["east"].end(signal.SIGKILL)
    began_s = time.monotonic()
    refused = cluster.api.typed("migrate", "host-a-guest-4", "--to", "host-c", "--check")
    assert time.monotonic() - began_s < AT_ONCE_S
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "agent-unreachable" in refused.stdout
    cluster.agents["east"].start()
    until(
        "host-c to take guests again",
        lambda: _checked(cluster, "host-c") == 0,
        timeout_s=IN_THE_END_S,
    )


def _checked(cluster: Cluster, host: str) -> int:
    return cluster.api.typed("migrate", "host-a-guest-4", "--to", host, "--check").returncode


def test_all_come_back_by_themselves_when_the_bus_was_away(cluster: Cluster) -> None:
    uuid = begin(cluster, "host-a-guest-5")
    cluster.bus.kill()
    cluster.answering.end(signal.SIGKILL)
    cluster.answering.start()
    until("the API to answer without a bus", lambda: len(cluster.up()) == 3, timeout_s=IN_THE_END_S)
    asked = cluster.api.typed("migrate", "host-a-guest-6", "--to", "host-b")
    assert asked.returncode == 1
    assert "no connection to the bus" in asked.stdout + asked.stderr
    cluster.bus.start()
    moved = cluster.api.typed("migrate", "host-a-guest-6", "--to", "host-b")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    until("the end", lambda: status(cluster, uuid) == "completed", timeout_s=IN_THE_END_S)
    guests = cluster.api.servers()
    assert len(guests) == 8


def test_a_conductor_ends_although_the_bus_went_with_it(cluster: Cluster) -> None:
    """As when a machine is shut down: the client of the bus is just trying to connect again."""
    cluster.bus.kill()
    assert [conductor.end() for conductor in cluster.conductors] == [0, 0]
