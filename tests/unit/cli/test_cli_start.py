"""The client is a client: it starts quickly, alone, and speaks HTTP over TCP and Unix sockets."""

import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.api.fake_house import FakeHouse, a_migration
from tests.unit.cli.wire import SilentTransport, typed

from godwit.__main__ import CLIENT_VERBS, main
from godwit.cli.exits import UNKNOWN_NAMES, Exit
from godwit.cli.refusals import OBVIOUS
from godwit.cli.transport import HttpRequest, Unanswered, transport_to
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code

SERVER_ROOMS = ("sqlalchemy", "starlette", "uvicorn", "libvirt", "structlog", "asyncio", "rich")


def test_importing_the_client_imports_nothing_of_the_server() -> None:
    look = (
        "import sys, json, godwit.__main__;"
        "print(json.dumps([name.split('.')[:2] for name in sys.modules]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60
    )
    modules = json.loads(said.stdout)
    assert not {name[0] for name in modules} & set(SERVER_ROOMS)
    assert {name[1] for name in modules if name[0] == "godwit" and len(name) > 1} == {
        "__main__",
        "cli",
    }


def test_the_verbs_are_those_that_are_documented() -> None:
    assert [verb.name for verb in CLIENT_VERBS] == [
        "host",
        "server",
        "migrate",
        "migration",
        "audit",
        "debt",
        "completion",
    ]


def test_the_reason_codes_the_client_knows_are_in_the_catalogue() -> None:
    known = {str(code) for code in Code}
    names = {code for code in known if code.endswith("-unknown")} - {"whereabouts-unknown"}
    assert names == UNKNOWN_NAMES
    assert known >= OBVIOUS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    said = typed(None, "completion", shell)
    assert said.exit_code == 0
    assert "_GODWIT_COMPLETE" in said.stdout


def completed(house: FakeHouse | None, words: str) -> list[str]:
    """What the shell is offered for the last of these words."""
    from click.shell_completion import ShellComplete
    from tests.unit.cli.wire import HouseTransport

    from godwit.cli.asking import Wiring

    transport = HouseTransport(house) if house else SilentTransport()
    wiring = Wiring(connect=lambda _url: transport, user=lambda: "ana")
    *before, last = words.split(" ")
    shell = ShellComplete(main, {"obj": wiring}, "godwit", "_GODWIT_COMPLETE")
    return [str(item.value) for item in shell.get_completions(before, last)]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("host show host-", ["host-a", "host-b", "host-c"]),
        ("host disable host-b", ["host-b"]),
        ("server show ", ["guest-1"]),
        ("migrate gue", ["guest-1"]),
        ("migrate guest-1 --to host-c", ["host-c"]),
        ("migration show ", ["12"]),
        ("server create web --flavor ", ["small"]),
    ],
)
def test_names_complete_by_asking_the_server(words: str, offered: list[str]) -> None:
    house = FakeHouse()
    house.put(a_migration(status=MigrationStatus.RUNNING))
    assert completed(house, words) == offered
    assert completed(None, words) == []


# --- real sockets ---------------------------------------------------------------------------------


class _Answering(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("X-Godwit-Migration", "u")
        self.end_headers()
        self.wfile.write(self.path.encode() + b" " + body)

    def do_GET(self) -> None:
        self.wfile.write(b"no HTTP at all\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def address_string(self) -> str:
        return "client"


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=60)
        server.server_close()


ASK = HttpRequest("PUT", "/x?y=1", b"{}", {"Content-Type": "application/json"}, timeout_s=5)


def test_a_request_travels_over_tcp() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Answering)
    with serving(server):
        answer = transport_to(f"http://127.0.0.1:{server.server_port}").send(ASK)
    assert (answer.status, answer.body) == (202, b"/x?y=1 {}")
    assert answer.headers["x-godwit-migration"] == "u"


def test_a_request_travels_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "godwit.sock"
    with serving(socketserver.UnixStreamServer(str(path), _Answering)):
        answer = transport_to(f"unix:{path}").send(ASK)
    assert (answer.status, answer.body) == (202, b"/x?y=1 {}")


def test_what_speaks_no_http_is_no_answer_that_may_have_acted() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Answering)
    with serving(server), pytest.raises(Unanswered) as raised:
        transport_to(f"http://127.0.0.1:{server.server_port}").send(HttpRequest("GET", "/"))
    assert raised.value.arrived


def test_where_nobody_listens_nothing_has_arrived(tmp_path: Path) -> None:
    with pytest.raises(Unanswered) as raised:
        transport_to(f"unix:{tmp_path}/nobody").send(ASK)
    assert not raised.value.arrived
    assert str(raised.value) == "no such file or directory"


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "words", [b"<html>", b'{"a": "\xff"}', b'{"a": ' + b"[" * 100_000, b"[" * 100_000]
)
def test_somebody_else_at_that_address_is_noticed(words: bytes, status: int) -> None:
    class Stranger(_Answering):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(words)

    server = HTTPServer(("127.0.0.1", 0), Stranger)
    with serving(server):
        url = f"http://127.0.0.1:{server.server_port}"
        said = CliRunner().invoke(main, ["server", "list", "--json", "--url", url])
    told = "does not answer like a Godwit server" if status == 200 else "the server answered 500"
    assert told in said.stderr
    assert said.exit_code == Exit.CANNOT_ASK


LEARNT_BY_MANY = """
import sys, threading, msgspec
from godwit.cli.answers import converted, decode
sys.setswitchinterval(1e-6)
RAW = b'{"a": {"b": {"c": 1}, "d": [{"c": 2}]}}'
for number in range(60):
    inner = msgspec.defstruct(f"Inner{number}", [("c", int)])
    middle = msgspec.defstruct(f"Middle{number}", [("b", inner), ("d", list[inner])])
    outer = msgspec.defstruct(f"Outer{number}", [("a", middle)])
    together = threading.Barrier(8)
    def learn():
        together.wait()
        decode(RAW, outer)
        converted({"b": {"c": 1}, "d": []}, middle)
    threads = [threading.Thread(target=learn) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@pytest.mark.slow
def test_a_kind_of_answer_that_many_threads_read_at_once_for_the_first_time_crashes_nobody() -> (
    None
):
    subprocess.run([sys.executable, "-c", LEARNT_BY_MANY], check=True, timeout=60)
