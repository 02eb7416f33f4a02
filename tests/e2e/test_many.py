"""Many at once, by the real command on a real `godwit serve`: a host of 200 guests is emptied."""

from __future__ import annotations

import json
import re

from tests.e2e.conftest import MakeGodwit

from godwit.cli.exits import Exit

GUESTS = 200
MEMORY_MIB = 512
ROOM_MIB = GUESTS // 2 * MEMORY_MIB
HOSTS = f"""
[hosts.full]
driver = "simulated"
guests = {GUESTS}
memory_mib = 200000
transfer_s = 0.05
transfers_max = 20

[hosts.left]
driver = "simulated"
memory_mib = {ROOM_MIB}
reserved_memory_mib = 0
transfers_max = 20

[hosts.right]
driver = "simulated"
memory_mib = {ROOM_MIB}
reserved_memory_mib = 0
transfers_max = 20
"""
"""Two hosts that together have room for exactly as many guests as the first one has."""


def test_a_full_host_is_emptied_into_exactly_the_room_there_is(make_godwit: MakeGodwit) -> None:
    godwit = make_godwit(HOSTS)
    godwit.start()
    moved = godwit.typed("migrate", "--from", "full", "--reason", "new fan")
    assert moved.returncode == Exit.MOVED, moved.stdout[-2000:] + moved.stderr
    assert f"moving {GUESTS} of {GUESTS}" in moved.stdout
    last = moved.stdout.splitlines()[-1]
    assert re.match(rf"{GUESTS} moved of {GUESTS}  in .*  longest downtime ", last), last
    hosts = {host["name"]: host for host in godwit.get("/godwit/v1/hosts")["hosts"]}
    for name, servers in (("full", 0), ("left", GUESTS // 2), ("right", GUESTS // 2)):
        usage = hosts[name]["usage"]
        held = (hosts[name]["servers"], usage["memory_mib"], usage["transfers"])
        assert held == (servers, servers * MEMORY_MIB, 0)
    nobody = godwit.typed("migrate", "--from", "full")
    assert (nobody.returncode, nobody.stdout) == (0, "full has no servers: nothing is moved\n")


def test_no_room_for_any_is_told_before_anything_is_moved(make_godwit: MakeGodwit) -> None:
    godwit = make_godwit(HOSTS.replace(f"memory_mib = {ROOM_MIB}", "memory_mib = 1"))
    godwit.start()
    asked = godwit.typed("migrate", "--from", "full", "--json")
    shown = json.loads(asked.stdout)
    assert asked.returncode == shown["exit_code"] == Exit.REFUSED
    assert {each["exit_code"] for each in shown["servers"]} == {Exit.REFUSED}
    assert godwit.get("/godwit/v1/migrations")["migrations"] == []
