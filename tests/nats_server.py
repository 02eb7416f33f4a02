"""A real NATS server on loopback, for the contract of transports and for whole processes."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_LIMIT_S = 60.0
END_LIMIT_S = 10.0
POLL_S = 0.02
BINARY = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")

needs_nats_server = pytest.mark.skipif(
    BINARY is None, reason="there is no nats-server: run tools/set-up as root on Debian"
)


@dataclass
class NatsServer:
    """One server, with a port that it keeps. `more` is written below its listen line."""

    folder: Path
    more: str = ""
    port: int = 0
    address: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Nothing is started yet."""
        self.port = self.port or _free_port()
        self.config = self.folder / "nats.conf"
        self.write(self.more)

    @property
    def url(self) -> str:
        """Where it listens, without TLS."""
        return f"nats://{self.address}:{self.port}"

    def write(self, more: str) -> None:
        """Another configuration; read at the next start, or at `reload`."""
        self.config.write_text(f'listen: "{self.address}:{self.port}"\n{more}')

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.folder / "nats.log").open("a") as log:
            self.process = subprocess.Popen(
                [str(BINARY), "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until_s = time.monotonic() + START_LIMIT_S
        while not self._listens():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until_s, self.log()
            time.sleep(POLL_S)  # noqa: TID251 - real processes live in real time

    def reload(self) -> None:
        """Have it read its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """As by `kill -9`, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(END_LIMIT_S)
            self.process = None

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "nats.log").read_text()

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def nats_server(folder: Path, more: str = "") -> Iterator[NatsServer]:
    """A server that runs, and never outlives the test."""
    server = NatsServer(folder, more)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port
