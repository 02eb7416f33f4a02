"""`godwit serve` as a process: starting, refusing to start, ending, killed, starting again."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.conftest import MakeGodwit
from tests.e2e.serving import (
    Godwit,
    body_of,
    everything_from,
    request_of,
    simulated_hosts,
    status_of,
    until,
)

END_AT_MOST_S = 20.0
"""Both the client and the guest would take longer."""
STORY_LIMIT_S = 120.0
FINAL = {"completed", "failed", "cancelled", "error"}


def test_a_second_serve_on_the_same_state_names_the_first_and_does_not_start(
    godwit: Godwit,
) -> None:
    assert godwit.process is not None
    second = godwit.typed("serve", "--config", str(godwit.config))
    assert second.returncode == 1
    assert f"in use by process {godwit.process.pid}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert godwit.typed("host", "list").returncode == 0


SERVER = "[server]\n"
HOST = '[hosts.one]\ndriver = "simulated"\n'
WRONG_SETTINGS = {
    "server.lisen": SERVER + "lisen = 1\n" + HOST,
    "server.log_level": SERVER + "log_level = 1\n" + HOST,
    "hosts.one.vcpus": HOST + "vcpus = 0\n",
    "server.listen": SERVER + 'listen = "0.0.0.0:8774"\n' + HOST,
}
"""The key that must be named, and a settings file in which it is unknown, of a wrong type, of a
wrong value, or not loopback.
"""
NO_START = ("locked", "read-only", "no file", *WRONG_SETTINGS)

Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """How `godwit serve` ended with each wrong settings file and unusable database."""
    made = {name: Godwit(tmp_path_factory.mktemp("refused"), HOST) for name in NO_START}
    for name, settings in WRONG_SETTINGS.items():
        made[name].config.write_text(settings)
    made["no file"].config.unlink()
    database_of(made["read-only"]).chmod(0o400)
    holding = sqlite3.connect(database_of(made["locked"]), isolation_level=None)
    with contextlib.closing(holding), ThreadPoolExecutor() as runners:
        holding.execute("BEGIN EXCLUSIVE")
        words = [("serve", "--config", str(each.config)) for each in made.values()]
        ended = runners.map(lambda each: made["locked"].typed(*each), words)
        return dict(zip(made, ended, strict=True))


def database_of(godwit: Godwit) -> Path:
    """Its database, made empty."""
    database = godwit.folder / "state/godwit.sqlite"
    database.parent.mkdir()
    database.touch()
    return database


@pytest.mark.parametrize("key", WRONG_SETTINGS)
def test_a_wrong_setting_is_named_in_one_line(refused: Mapping[str, Ended], key: str) -> None:
    assert refused[key].returncode == 2
    (line,) = refused[key].stderr.splitlines()
    assert line.startswith(f"godwit serve: {key}: ")


def test_a_missing_settings_file_is_named_in_one_line(refused: Mapping[str, Ended]) -> None:
    assert refused["no file"].returncode == 2
    (line,) = refused["no file"].stderr.splitlines()
    assert "godwit.toml: No such file or directory" in line


def test_a_file_where_the_socket_should_be_is_named_and_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("not a socket")
    godwit = Godwit(tmp_path, HOST, listen=f"unix:{precious}")
    ended = godwit.typed("serve", "--config", str(godwit.config))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"godwit serve: server.listen: unix:{precious}: ")
    assert precious.read_text() == "not a socket"


@pytest.mark.parametrize(
    ("name", "problem"), [("read-only", "it is read-only"), ("locked", "database is locked")]
)
def test_a_database_that_cannot_be_used_is_named_in_one_line(
    refused: Mapping[str, Ended], name: str, problem: str
) -> None:
    assert refused[name].returncode == 1
    (line,) = refused[name].stderr.splitlines()
    assert f"godwit.sqlite cannot be used: {problem}" in line


def test_it_ends_in_seconds_although_a_client_waits_and_a_guest_moves(
    make_godwit: MakeGodwit,
) -> None:
    godwit, uuid = in_the_middle_of_a_move(make_godwit, transfer_s=60.0)
    path = f"/godwit/v1/migrations/{uuid}/timeline?wait_s=30&after=1000"
    with godwit.send(request_of(f"GET {path} HTTP/1.1")) as waiting:
        began_s = time.monotonic()
        assert godwit.end() == 0
        assert time.monotonic() - began_s < END_AT_MOST_S
        assert status_of(everything_from(waiting)) == 200
    assert not (godwit.folder / "api").exists()


def test_a_story_in_flight_is_ended_by_the_next_start(make_godwit: MakeGodwit) -> None:
    """The guests of simulated hosts end with the process: where this one is cannot be asked for."""
    godwit, uuid = in_the_middle_of_a_move(make_godwit, transfer_s=10.0)
    godwit.end(signal.SIGKILL)
    godwit.start()
    until("the story to end", lambda: status(godwit, uuid) in FINAL, timeout_s=STORY_LIMIT_S)
    hosts = godwit.get("/godwit/v1/hosts")["hosts"]
    assert sum(host["usage"]["transfers"] for host in hosts) == 0
    assert sum(host["usage"]["vcpus"] for host in hosts) == len(godwit.servers())
    assert [host["debts"] for host in hosts] == [[], [], []]


def in_the_middle_of_a_move(make_godwit: MakeGodwit, *, transfer_s: float) -> tuple[Godwit, str]:
    """A serve, and the uuid of a migration whose transfer runs."""
    godwit = make_godwit(simulated_hosts(transfer_s))
    godwit.start()
    uuid = godwit.begin_to_move("host-a-guest-1")
    godwit.until_it_runs(uuid)
    return godwit, uuid


def test_of_two_requests_in_the_same_millisecond_one_is_accepted(godwit: Godwit) -> None:
    server = godwit.servers()["host-a-guest-4"]
    body = json.dumps({"os-migrateLive": {"host": None, "block_migration": "auto"}}).encode()
    request = request_of(f"POST /v2.1/servers/{server}/action HTTP/1.1", body)
    both = [godwit.send(request[:-1]) for _ in range(2)]
    for connection in both:
        connection.sendall(request[-1:])
    with ThreadPoolExecutor() as readers:
        answers = list(readers.map(everything_from, both))
    for connection in both:
        connection.close()
    assert sorted(map(status_of, answers)) == [202, 409]
    refused = next(answer for answer in answers if status_of(answer) == 409)
    assert body_of(refused)["conflictingRequest"]["reason"] == "instance-busy"
    known = godwit.get(f"/godwit/v1/migrations?instance_uuid={server}")["migrations"]
    assert len(known) == 1


def status(godwit: Godwit, uuid: str) -> str:
    """Of a migration, now."""
    return str(godwit.get(f"/godwit/v1/migrations/{uuid}")["migration"]["status"])
