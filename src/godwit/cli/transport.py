"""How one HTTP request travels: over TCP or a Unix socket, with the standard library alone."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from godwit.cli.exits import Exit, Failure


@dataclass(frozen=True)
class HttpRequest:
    """What is sent. `timeout_s` bounds each wait for the server."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 15.0


@dataclass(frozen=True)
class HttpResponse:
    """What came back. Header names are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Unanswered(Exception):
    """No answer came. `arrived` says that the server may have got the request."""

    def __init__(self, why: str, *, arrived: bool) -> None:
        """`why` is for people."""
        super().__init__(why)
        self.arrived = arrived


class Transport(Protocol):
    """The one seam between the verbs and the wire."""

    def send(self, ask: HttpRequest) -> HttpResponse:
        """Send and wait for the answer. Raises `Unanswered`."""
        ...


@dataclass(frozen=True)
class HttpTransport:
    """A connection per request, to `unix_path` if there is one, else to host and port."""

    host: str = "127.0.0.1"
    port: int = 8774
    unix_path: str = ""

    def send(self, ask: HttpRequest) -> HttpResponse:
        """See `Transport`."""
        try:
            door = self._connected(ask.timeout_s)
        except OSError as error:
            raise Unanswered(_plainly(error), arrived=False) from error
        with door:
            return _exchange(door, self, ask)

    def _connected(self, timeout_s: float) -> socket.socket:
        if not self.unix_path:
            return socket.create_connection((self.host, self.port), timeout=timeout_s)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.settimeout(timeout_s)
        try:
            door.connect(self.unix_path)
        except OSError:
            door.close()
            raise
        return door


def _exchange(door: socket.socket, to: HttpTransport, ask: HttpRequest) -> HttpResponse:
    # Imported where it is needed: it takes a quarter of the client's time to start, for TLS that
    # is not used, and every `--help` and completion would pay it.
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(to.host, to.port)
    connection.sock = door
    try:
        connection.request(ask.method, ask.path, body=ask.body, headers=dict(ask.headers))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return HttpResponse(answer.status, answer.read(), headers)
    except (OSError, HTTPException) as error:
        raise Unanswered(_plainly(error), arrived=True) from error
    finally:
        connection.close()


def _plainly(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).lower() or type(error).__name__


def transport_to(url: str) -> HttpTransport:
    """The way to `http://HOST[:PORT]` or `unix:/path`. Raises `Failure` (wrong usage)."""
    if url.startswith("unix:"):
        return HttpTransport(
            host="localhost", unix_path="/" + url.removeprefix("unix:").lstrip("/")
        )
    try:
        parts = urlsplit(url)
        port = parts.port or 8774
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise Failure(
            Exit.WRONG_USAGE,
            f"--url: {url!r} is no address of a server",
            "http://HOST:PORT or unix:/path/of/socket",
        )
    return HttpTransport(host=parts.hostname, port=port)
