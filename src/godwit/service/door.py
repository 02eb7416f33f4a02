"""Where the API listens, and the HTTP server behind it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette

from godwit.api.app import end_long_polls
from godwit.model.errors import Refused
from godwit.model.reasons import Code, reason
from godwit.service.process import DRAIN_S

log = structlog.get_logger(__name__)


async def answer_requests(app: Starlette, door: socket.socket, stop: asyncio.Event) -> None:
    """Answer at `door` until `stop`; then finish those under way, at most `DRAIN_S`."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    log.info("listening", at=str(door.getsockname()))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_end_when_asked(server, app, stop), name="end of the door")
        await server.serve(sockets=[door])
        stop.set()


async def _end_when_asked(server: uvicorn.Server, app: Starlette, stop: asyncio.Event) -> None:
    await stop.wait()
    end_long_polls(app)
    server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: its own handling would end the process before the store."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@contextlib.contextmanager
def open_door(listen: str) -> Iterator[socket.socket]:
    """The listening socket of `server.listen`. A Unix socket is for its owner and group alone."""
    path = Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None
    try:
        door = _unix_door(path) if path else _loopback_door(listen)
    except OSError as error:
        expected = "name one that this process may use"
        problem = f"{listen}: {error.strerror}"
        said = reason(Code.INVALID_INPUT, field="server.listen", problem=problem, expected=expected)
        raise Refused(said) from error
    door.setblocking(False)
    with door:
        yield door
    if path:
        path.unlink(missing_ok=True)


def _unix_door(path: Path) -> socket.socket:
    """A socket left behind by a kill is replaced; any other file stands in the way and stays."""
    if path.is_socket():
        path.unlink()
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    path.chmod(0o660)
    door.listen()
    return door


def _loopback_door(listen: str) -> socket.socket:
    address, _, port = listen.rpartition(":")
    return socket.create_server((address.strip("[]"), int(port)))
