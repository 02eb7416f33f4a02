"""`godwit serve`: everything in one process. With a bus, all but the hosts: each has its agent."""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

import click
import structlog

from godwit.api.app import make_app
from godwit.compute.manager import ComputeManager
from godwit.conductor.sweeper import Conductor
from godwit.conductor.world import World
from godwit.rpc import local
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime.clock import SystemClock
from godwit.runtime.ids import new_life
from godwit.runtime.settings import Settings
from godwit.service.door import answer_requests, open_door
from godwit.service.hosts import HostsHere, held
from godwit.service.process import life, run, settings_file, spare_the_collector, stop_asked
from godwit.store.opening import open_store
from godwit.store.sql import SqlStore
from godwit.store.store_clock import StoreClock

log = structlog.get_logger(__name__)


@click.command()
@settings_file
def serve(config: Path) -> None:
    """Run API, conductor, scheduler and the compute managers of all hosts in one process."""
    run("serve", config, _serve)


async def _serve(settings: Settings) -> None:
    """Serve until a signal asks to stop. Raises `GodwitError` if it cannot begin."""
    clock = StoreClock(SystemClock())
    stop = stop_asked()
    store = open_store(settings, clock, with_hosts=not settings.bus.servers)
    try:
        with open_door(settings.server.listen) as door:
            serving = Serving(settings, clock, store, door, stop)
            if settings.bus.servers:
                # The client of the bus is imported only where there is one.
                from godwit.service.with_agents import serve_with_agents

                await serve_with_agents(serving)
            else:
                await store.ensure_hosts(tuple(settings.hosts))
                with held(settings, settings.hosts):
                    await _serve_with_hosts_here(serving)
    finally:
        store.close()
    log.info("stopped")


@dataclass(frozen=True)
class Serving:
    """What one life of the process begins with."""

    settings: Settings
    clock: StoreClock
    store: SqlStore
    door: socket.socket
    stop: asyncio.Event

    async def tell_and_answer(self, conductor: Conductor, tasks: asyncio.TaskGroup) -> None:
        """Tell stories and answer requests until a stop is asked for and both have ended."""
        api = _conductor(conductor.manager, tasks)
        telling = tasks.create_task(conductor.run(), name="conductor")
        app = make_app(api, self.store.queries, self.settings, self.clock)
        spare_the_collector()
        await answer_requests(app, self.door, self.stop)
        conductor.stop()
        await telling


async def _serve_with_hosts_here(serving: Serving) -> None:
    """Make the rooms, connect them, and run them until the API has stopped."""
    settings, store, clock = serving.settings, serving.store, serving.clock
    async with life() as tasks:
        await clock.keep(store.queries.time, tasks)
        hosts = HostsHere(settings, settings.hosts, tasks=tasks, clock=clock)
        computes = {host: _compute(manager, tasks) for host, manager in hosts.managers.items()}
        world = World(store, store.queries, computes, clock, settings)
        conductor = Conductor(world, owner=new_life(), alone=store.alone)
        hosts.report_to(_conductor(conductor.manager, tasks))
        await serving.tell_and_answer(conductor, tasks)
        await hosts.close()


def _compute(manager: ComputeManager, tasks: asyncio.TaskGroup) -> ComputeRpc:
    answerer: ComputeRpc = manager
    return local.connect(ComputeRpc, answerer, tasks=tasks, who=manager.host)


def _conductor(manager: ComputeTaskApi, tasks: asyncio.TaskGroup) -> ComputeTaskApi:
    return local.connect(ComputeTaskApi, manager, tasks=tasks, who="conductor")
