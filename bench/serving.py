"""A real `godwit serve` process on simulated hosts that need no time to transfer; its use of
CPU and memory. The API is asked over a Unix socket.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.memory import pss_mib

START_S = 60.0
REQUEST_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: Any


class Client(http.client.HTTPConnection):
    """One connection to the server, kept open between requests."""

    def __init__(self, path: Path) -> None:
        super().__init__("godwit", timeout=REQUEST_S)
        self._path = path

    def connect(self) -> None:
        """See `HTTPConnection`."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(REQUEST_S)
        self.sock.connect(str(self._path))

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """One request and its answer."""
        content = None if body is None else json.dumps(body)
        self.request(method, path, content, {"Content-Type": "application/json"})
        response = self.getresponse()
        text = response.read()
        return Answer(response.status, response.headers, json.loads(text) if text else None)


class Serving:
    """The process, from its start to its end."""

    def __init__(self, folder: Path, *, hosts: int, guests: int) -> None:
        """`guests` on each host. Everything it writes is in `folder`."""
        self._folder = folder
        self._hosts = hosts
        self._guests = guests
        self._door = folder / "api"

    def __enter__(self) -> Self:
        """Returns once every guest has been discovered."""
        settings = self._folder / "godwit.toml"
        settings.write_text(self._settings())
        command = [sys.executable, "-m", "godwit", "serve", "--config", str(settings)]
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        give_up_s = time.monotonic() + START_S
        while len(self.servers()) < self._hosts * self._guests:
            if time.monotonic() > give_up_s or self._process.poll() is not None:
                self._end()
                raise RuntimeError(
                    (self._folder / "log").read_text()[-2000:] or "no server came up"
                )
            time.sleep(0.5)
        self.settle(2.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def client(self) -> Client:
        """A new connection."""
        return Client(self._door)

    def servers(self) -> list[str]:
        """The uuids of all servers that are known now; none while nobody answers."""
        found: list[str] = []
        with suppress(OSError):
            client, page = self.client(), None
            while page is None or page:
                after = f"?marker={found[-1]}" if found else ""
                page = client.ask("GET", f"/v2.1/servers{after}").body["servers"]
                found += [server["id"] for server in page]
        return found

    def settle(self, pause_s: float) -> None:
        """Let the server come to rest."""
        time.sleep(pause_s)

    def cpu_s(self) -> float:
        """What it has used so far, in all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written_kib(self) -> float:
        """What it has written so far: to its store, the log is quiet."""
        lines = Path(f"/proc/{self._process.pid}/io").read_text().splitlines()
        [written] = [int(line.split()[1]) for line in lines if line.startswith("write_bytes:")]
        return written / 1024

    def pss_mib(self) -> float:
        """Its memory, shared pages counted by their share."""
        return pss_mib(self._process.pid)

    def _settings(self) -> str:
        head = f'[server]\nlisten = "unix:{self._door}"\nstate_dir = "{self._folder}/state"\n'
        head += 'log_level = "warning"\n'
        host = (
            'driver = "simulated"\n'
            f"guests = {self._guests}\ntransfer_s = 0.0\ntransfers_max = 200\n"
        )
        return head + "".join(f"[hosts.h{n:04}]\n{host}" for n in range(self._hosts))

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
