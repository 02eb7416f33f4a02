"""The story of many processes: guests move between real hosts while conductors, agents, the bus and
the database are killed.
"""

import time
from contextlib import ExitStack
from pathlib import Path

from tests import postgres_server

from demo.cluster import Cluster
from demo.real import (
    BUSY,
    CALM,
    LEDGER,
    QUIET_AFTER_COPY_S,
    SLOW,
    WAIT_LIMIT_S,
    Row,
    is_copying,
    is_final,
    moved,
    row_of,
    say,
    silence_of,
    start_guests,
    until,
    verdict,
)
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.lab import Lab

TAKEOVER_S = 10.0
TAKEN_OVER = "another process goes on"
ALL_OF_IT = "the loss of everything but the hosts"


def cluster_story(lab: Lab, folder: Path) -> int:
    """Tell it; 0 only if all ended well and every guest ran on exactly one host throughout."""
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server.running())
        beats = stack.enter_context(Heartbeats(lab, [CALM.name, LEDGER.name, BUSY.name]))
        start_guests(lab, beats)
        say("PostgreSQL, NATS with TLS, an API, two conductors, and an agent on each of 3 hosts")
        cluster = Cluster(lab, folder, postgres)
        stack.callback(cluster.stop)
        cluster.start()
        until(
            "all three guests are known as servers",
            lambda: len(cluster.ask("server", "list")["servers"]) >= 3,
        )
        cluster.godwit("host", "list")
        rows = [moved(cluster, beats, CALM.name, "host-c")]
        for name in ("host-a", "host-b"):
            lab.host(name).slow("migration", SLOW)
        undisturbed = moved(cluster, beats, BUSY.name, "host-b")
        rows += [undisturbed, while_its_conductor_dies(cluster, beats, BUSY.name, "host-a")]
        killed = while_everything_dies(cluster, beats, BUSY.name, "host-b")
        rows += [killed, moved(cluster, beats, LEDGER.name, "host-b")]
        return verdict(
            rows, refused=True, undisturbed=undisturbed, killed=killed, through=ALL_OF_IT
        )


def while_its_conductor_dies(cluster: Cluster, beats: Heartbeats, guest: str, to: str) -> Row:
    """The conductor that tells the story is killed in the middle of the copy."""
    say(f"$ godwit migrate {guest} --to {to} --no-wait, then kill -9 of its conductor")
    began_s, uuid = time.monotonic(), begun(cluster, guest, to)
    killed = cluster.teller_of(uuid)
    killed.kill()
    killed_s = time.monotonic()
    until("another conductor goes on", lambda: is_taken_over(cluster, uuid))
    took_s = time.monotonic() - killed_s
    print(f"the other conductor goes on after {took_s:.1f} s")
    if took_s > TAKEOVER_S:
        raise RuntimeError(f"that took longer than {TAKEOVER_S:.0f} s")
    until("the story has ended", lambda: is_final(cluster, uuid))
    cluster.godwit("migration", "show", uuid)
    killed.start()
    beats.wait(guest, to)
    return row_of(cluster, beats, guest, silence_of(beats, guest, began_s))


def while_everything_dies(cluster: Cluster, beats: Heartbeats, guest: str, to: str) -> Row:
    """All conductors, the API, every agent, the bus and the database, in the middle of the copy."""
    say(f"$ godwit migrate {guest} --to {to} --no-wait, then kill -9 of everything")
    began_s, uuid = time.monotonic(), begun(cluster, guest, to)
    for process in cluster.processes:
        process.kill()
    cluster.bus.kill()
    cluster.postgres.stop()
    print("API, conductors, agents, NATS and PostgreSQL are dead; the transfer process goes on")
    beats.wait(guest, to, timeout_s=WAIT_LIMIT_S)
    print(f"{guest} beats at {to}; nobody is in charge for another {QUIET_AFTER_COPY_S:.0f} s")
    time.sleep(QUIET_AFTER_COPY_S)
    silence = silence_of(beats, guest, began_s)
    cluster.postgres.start()
    cluster.start()
    until("every host has reported again", lambda: cluster.silent_s() < QUIET_AFTER_COPY_S)
    print("everything is back")
    until("the story has ended", lambda: is_final(cluster, uuid))
    cluster.godwit("migration", "show", uuid)
    return row_of(cluster, beats, guest, silence)


def begun(cluster: Cluster, guest: str, to: str) -> str:
    """The uuid of a migration whose memory is being copied."""
    uuid: str = cluster.ask("migrate", guest, "--to", to, "--no-wait")["migration"]["uuid"]
    until("memory is being copied", lambda: is_copying(cluster, uuid))
    return uuid


def is_taken_over(cluster: Cluster, uuid: str) -> bool:
    """Does its story say so?"""
    return TAKEN_OVER in cluster.typed("migration", "show", uuid).stdout
