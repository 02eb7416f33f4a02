"""What the README says to type does what it says, and scripts can rely on the exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.e2e.conftest import MakeGodwit
from tests.e2e.serving import COMMAND_LIMIT_S, Godwit, simulated_hosts

README = Path(__file__).resolve().parents[2] / "README.md"
TYPED = {
    "godwit serve --config /etc/godwit.toml",
    "godwit host list",
    "godwit migrate web-1 --check",
    "godwit migrate web-1 --to host-b",
    "godwit migrate --from host-a",
}
"""What the tests here and in `test_many` type, with their own names for settings, server, host."""

SERVER_PARTS = (
    *("sqlalchemy", "starlette", "uvicorn", "libvirt", "structlog"),
    *("godwit.api", "godwit.conductor", "godwit.compute", "godwit.service", "godwit.store"),
    *("godwit.virt", "godwit.saga", "godwit.rpc", "godwit.scheduler"),
)


def test_every_godwit_line_of_the_readme_is_typed_here() -> None:
    lines = re.findall(r"^ {4}(godwit .*?)\s*(?:#.*)?$", README.read_text(), re.MULTILINE)
    assert set(lines) == TYPED


def test_host_list_and_server_list_show_who_is_there(godwit: Godwit) -> None:
    hosts, servers = godwit.typed("host", "list"), godwit.typed("server", "list")
    assert (hosts.returncode, servers.returncode) == (0, 0)
    assert all(name in hosts.stdout for name in ("host-a", "host-b", "host-c"))
    assert "host-a-guest-1" in servers.stdout


def test_a_dry_run_names_every_host_with_its_reason_and_moves_nothing(godwit: Godwit) -> None:
    checked = godwit.typed("migrate", "host-a-guest-1", "--check")
    assert checked.returncode == 0, checked.stderr
    assert re.search(r"host-b +yes", checked.stdout)
    assert re.search(r"host-c +no +destination-hypervisor-too-old", checked.stdout)
    assert godwit.get("/v2.1/os-migrations")["migrations"] == []


def test_a_migration_tells_its_story_and_can_be_shown_afterwards(godwit: Godwit) -> None:
    moved = godwit.typed("migrate", "host-a-guest-2", "--to", "host-b", "--reason", "empty it")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    last = moved.stdout.splitlines()[-1]
    assert last.startswith("completed  host-a-guest-2  host-a → host-b")
    number = re.match(r"migration (\d+)", moved.stdout)
    assert number is not None
    shown = godwit.typed("migration", "show", number[1])
    assert shown.returncode == 0
    assert "empty it" in shown.stdout
    assert all(step in shown.stdout for step in ("find_destination", "live_migration", "finish"))
    as_json = json.loads(godwit.typed("migration", "show", number[1], "--json").stdout)
    assert as_json["migration"]["status"] == "completed"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("migrate", "nobody"), 1, "no server is known as nobody"),
        (("migration", "show", "99"), 1, "no migration is known as 99"),
        (("host", "list", "--url", "unix:/nonexistent"), 1, "does not answer"),
        (("migrate",), 2, "name the servers to move"),
        (("migrate", "host-a-guest-1", "--block", "--shared"), 2, "exclude each other"),
        (("migrate", "host-a-guest-1", "--to", "host-c"), 3, "destination-hypervisor-too-old"),
        (("migrate", "host-a-guest-1", "--to", "host-c", "--check"), 3, "host-c"),
        (("migrate", "host-a-guest-1", "--to", "host-a"), 3, "host-a already runs the guest"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_has_its_own_exit_code_and_words(
    godwit: Godwit, words: tuple[str, ...], code: int, said: str
) -> None:
    typed = godwit.typed(*words)
    assert (typed.returncode, said in typed.stdout + typed.stderr) == (code, True), typed


def test_an_aborted_migration_ends_with_6_for_whoever_watches_it(make_godwit: MakeGodwit) -> None:
    godwit = make_godwit(simulated_hosts(transfer_s=300.0))
    godwit.start()
    begun = godwit.typed("migrate", "host-a-guest-1", "--no-wait", "--json")
    number = str(json.loads(begun.stdout)["migration"]["id"])
    with godwit.typing("migration", "show", number, "--watch") as watching:
        aborted = godwit.typed("migration", "abort", number)
        assert aborted.returncode == 0, aborted.stderr
        said, _ = watching.communicate(timeout=COMMAND_LIMIT_S)
    assert watching.returncode == 6, said
    assert "cancelled" in said


def test_the_client_loads_nothing_of_the_server(godwit: Godwit) -> None:
    typed = godwit.typed("host", "list", python_options=("-X", "importtime"))
    loaded = {line.rpartition("|")[2].strip() for line in typed.stderr.splitlines()}
    assert "godwit.cli.hosts" in loaded
    of_the_server = {name for name in loaded if name.startswith(SERVER_PARTS)}
    assert of_the_server == set()


def test_the_same_lines_work_over_loopback(make_godwit: MakeGodwit) -> None:
    godwit = make_godwit(over_tcp=True)
    godwit.start()
    assert godwit.typed("host", "list").returncode == 0
    moved = godwit.typed("migrate", "host-a-guest-1", "--to", "host-b")
    assert moved.returncode == 0, moved.stdout
