"""Wires the rooms into the process `godwit serve`; the one place that knows them all.

Ending is the reverse of making: first no new requests, then no new acts, then the connections, the
store last. A transfer process goes on: it is not ours to end.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

import click
import structlog
import uvicorn
from starlette.applications import Starlette

from godwit.api.app import end_long_polls, make_app
from godwit.compute.manager import ComputeManager
from godwit.compute.managers import ComputeManagers
from godwit.compute.reporter import Reporter
from godwit.conductor.sweeper import Conductor
from godwit.conductor.world import World
from godwit.model.errors import BadRequest, GodwitError, Refused
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.rpc import local
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime import logs
from godwit.runtime.clock import SystemClock
from godwit.runtime.ids import new_uuid
from godwit.runtime.settings import Settings, read_settings
from godwit.store.opening import open_store
from godwit.store.sql import SqlStore
from godwit.virt.registry import simulated_fleet

EXIT_CANNOT: Final = 1
EXIT_USAGE: Final = 2
DRAIN_S: Final = 5
"""How long requests under way may take after a stop was asked for."""
NEW_OBJECTS_MAX: Final = 5_000
"""So many are made before the collector looks for cycles among them."""

log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/godwit.toml"),
    show_default=True,
    help="The settings file; examples/godwit.toml shows every key.",
)
def serve(config: Path) -> None:
    """Run API, conductor, scheduler and the compute managers of all hosts in one process."""
    try:
        settings = read_settings(config)
        logs.configure(settings.server.log_level)
        asyncio.run(_serve(settings))
    except GodwitError as error:
        print(f"godwit serve: {error.reason.words}; {error.reason.remedy}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_USAGE if isinstance(error, BadRequest) else EXIT_CANNOT)


async def _serve(settings: Settings) -> None:
    """Serve until a signal asks to stop. Raises `GodwitError` if it cannot begin."""
    clock = SystemClock()
    store = open_store(settings, clock)
    try:
        with _door(settings.server.listen) as door, contextlib.suppress(_Over):
            await store.ensure_hosts(tuple(settings.hosts))
            await _tell_and_answer(settings, clock, store, door)
    finally:
        store.close()


async def _tell_and_answer(
    settings: Settings, clock: SystemClock, store: SqlStore, door: socket.socket
) -> None:
    """Make the rooms, connect them, and run them until the API has stopped; ends with `_Over`."""
    try:
        async with asyncio.TaskGroup() as tasks:
            maker = ComputeManagers(
                settings, tasks=tasks, clock=clock, fleet=simulated_fleet(settings)
            )
            managers = maker.make(settings.hosts)
            computes = {host: _compute(manager, tasks) for host, manager in managers.items()}
            world = World(store, store.queries, computes, clock, settings)
            conductor = Conductor(world, owner=new_uuid(), alone=store.alone)
            api = _conductor(conductor.manager, tasks)
            telling = tasks.create_task(conductor.run(), name="conductor")
            for manager in managers.values():
                reporter = Reporter(
                    manager, api, interval_s=settings.hosts_defaults.report_interval_s
                )
                tasks.create_task(reporter.run(), name=f"reports of {manager.host}")
            app = make_app(api, store.queries, settings, clock)
            _spare_the_collector()
            await _answer(app, door)
            conductor.stop()
            await telling
            await _end(managers, maker)
    except* _Over:
        log.info("stopped")


def _spare_the_collector() -> None:
    """What was made by now stays for life. Looked through for cycles again and again, it costs a
    tenth of all CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, *gc.get_threshold()[1:])


def _compute(manager: ComputeManager, tasks: asyncio.TaskGroup) -> ComputeRpc:
    answerer: ComputeRpc = manager
    return local.connect(ComputeRpc, answerer, tasks=tasks, who=manager.host)


def _conductor(manager: ComputeTaskApi, tasks: asyncio.TaskGroup) -> ComputeTaskApi:
    return local.connect(ComputeTaskApi, manager, tasks=tasks, who="conductor")


async def _end(managers: Mapping[HostName, ComputeManager], maker: ComputeManagers) -> NoReturn:
    for manager in managers.values():
        await manager.close()
    maker.close()
    raise _Over


async def _answer(app: Starlette, door: socket.socket) -> None:
    """Answer at `door` until SIGTERM or SIGINT; then finish those under way, at most `DRAIN_S`."""
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

    def stop() -> None:
        end_long_polls(app)
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    log.info("listening", at=str(door.getsockname()))
    await server.serve(sockets=[door])


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: its own handling would end the process before the store."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class _Over(Exception):
    """Ends the task group with all that is still being done for somebody: it can be repeated."""


@contextlib.contextmanager
def _door(listen: str) -> Iterator[socket.socket]:
    """The listening socket of `server.listen`. A Unix socket is for its owner and group alone."""
    path = Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None
    try:
        door = _unix_door(path) if path else _loopback_door(listen)
    except OSError as error:
        raise _unusable("server.listen", listen, error) from error
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


def _unusable(field: str, value: str, error: OSError) -> Refused:
    return Refused(
        reason(
            Code.INVALID_INPUT,
            field=field,
            problem=f"{value}: {error.strerror}",
            expected="name one that this process may use",
        )
    )
