"""A real `godwit serve` on simulated hosts, and the real command, for the tests of this folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

START_LIMIT_S = 120.0
END_LIMIT_S = 60.0
COMMAND_LIMIT_S = 120.0
POLL_S = 0.03

HOSTS = """
[hosts.host-a]
driver = "simulated"
guests = 4
transfer_s = {transfer_s}

[hosts.host-b]
driver = "simulated"
transfer_s = {transfer_s}

[hosts.host-c]
driver = "simulated"
hypervisor_version = 6002000
"""
"""host-c is too old for the guests of host-a."""


def simulated_hosts(transfer_s: float = 0.1) -> str:
    """Four guests on the first of three hosts; a transfer takes so long."""
    return HOSTS.format(transfer_s=transfer_s)


@dataclass
class Godwit:
    """One `godwit serve` and the command that talks to it. `folder` holds all its files."""

    folder: Path
    settings: str
    listen: str = ""
    process: subprocess.Popen[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Write the settings file; nothing is started yet."""
        self.listen = self.listen or f"unix:{self.folder}/api"
        self.config = self.folder / "godwit.toml"
        server = f'[server]\nlisten = "{self.listen}"\nstate_dir = "{self.folder}/state"\n'
        self.config.write_text(server + self.settings)

    @property
    def url(self) -> str:
        """What GODWIT_URL says."""
        return self.listen if self.listen.startswith("unix:") else f"http://{self.listen}"

    def begin(self) -> subprocess.Popen[str]:
        """Start the process and do not wait; its log is in `serve.log`."""
        with (self.folder / "serve.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "godwit", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and wait until it hears its hosts."""
        self.process = self.begin()
        until("the hosts to be heard", self._hears_its_hosts, timeout_s=START_LIMIT_S)

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(with_signal)
        code = self.process.wait(timeout=END_LIMIT_S)
        self.process = None
        return code

    def stop_for_good(self) -> None:
        """Leave nothing running, whatever the test did."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def typed(
        self, *words: str, python_options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Type `godwit WORDS`."""
        return subprocess.run(
            [sys.executable, *python_options, "-m", "godwit", *words],
            env={**os.environ, "GODWIT_URL": self.url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )

    def typing(self, *words: str) -> subprocess.Popen[str]:
        """Type `godwit WORDS` and do not wait for the end."""
        return subprocess.Popen(
            [sys.executable, "-m", "godwit", *words],
            env={**os.environ, "GODWIT_URL": self.url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def send(self, request: bytes) -> socket.socket:
        """A connection on which this much of a request has been sent."""
        over_unix = self.listen.startswith("unix:")
        host, _, port = self.listen.rpartition(":")
        connection = socket.socket(socket.AF_UNIX if over_unix else socket.AF_INET)
        connection.settimeout(COMMAND_LIMIT_S)
        try:
            connection.connect(port if over_unix else (host, int(port)))
            connection.sendall(request)
        except OSError:
            connection.close()
            raise
        return connection

    def get(self, path: str) -> Any:
        """What a GET answers."""
        return body_of(self.answer_to(f"GET {path} HTTP/1.1"))

    def answer_to(self, line: str, body: bytes = b"") -> bytes:
        """The whole answer to one request."""
        with self.send(request_of(line, body)) as connection:
            return everything_from(connection)

    def begin_to_move(self, guest: str, to: str | None = None) -> str:
        """Have a migration accepted, as quickly as can be; its uuid."""
        path = f"/v2.1/servers/{self.servers()[guest]}/action"
        body = msgspec.json.encode({"os-migrateLive": {"host": to, "block_migration": "auto"}})
        answer = self.answer_to(f"POST {path} HTTP/1.1", body)
        assert status_of(answer) == 202, answer
        headers = answer.partition(b"\r\n\r\n")[0].decode().lower().splitlines()
        (uuid,) = (
            each.split(": ")[1] for each in headers if each.startswith("x-godwit-migration:")
        )
        return uuid

    def until_it_runs(self, migration: str) -> None:
        """Wait until the transfer of a migration runs."""
        path = f"/godwit/v1/migrations/{migration}"
        until(
            "the transfer to run",
            lambda: self.get(path)["migration"]["status"] == "running",
            timeout_s=START_LIMIT_S,
        )

    def servers(self) -> Mapping[str, str]:
        """The uuids of all servers, by name."""
        return {each["name"]: each["id"] for each in self.get("/v2.1/servers")["servers"]}

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "serve.log").read_text()

    def _hears_its_hosts(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            hosts = self.get("/godwit/v1/hosts")["hosts"]
        except OSError:
            return False
        return bool(hosts) and all(host["up"] and host["facts"] for host in hosts)


def request_of(line: str, body: bytes = b"") -> bytes:
    """The bytes of one request, after which the connection is closed."""
    kind = "Content-Type: application/json\r\n" if body else ""
    length = f"Content-Length: {len(body)}\r\n"
    return f"{line}\r\nHost: localhost\r\nConnection: close\r\n{kind}{length}\r\n".encode() + body


def everything_from(connection: socket.socket) -> bytes:
    """What is received until the other side closes."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def status_of(answer: bytes) -> int:
    """The status of an HTTP answer."""
    return int(answer.split(b" ", 2)[1])


def body_of(answer: bytes) -> Any:
    """The JSON in an HTTP answer."""
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


def free_port() -> int:
    """A TCP port of loopback that nobody uses at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


def until(what: str, is_so: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait for something to become true; fails if it does not."""
    give_up_at_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at_s, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(POLL_S)  # noqa: TID251 - real processes live in real time
