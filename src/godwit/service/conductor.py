"""`godwit conductor`: tells stories and answers for the APIs and the hosts. Any number of them may
run on one database; whoever dies is followed by another.
"""

from pathlib import Path

import click
import structlog

from godwit.conductor.sweeper import Conductor
from godwit.conductor.world import World
from godwit.rpc.address import CONDUCTORS
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import calls_of
from godwit.rpc.exchange import Exchange
from godwit.runtime.clock import Clock, SystemClock
from godwit.runtime.ids import new_life
from godwit.runtime.settings import Settings
from godwit.service.on_bus import Agents, exchange_on, joined
from godwit.service.process import (
    DRAIN_S,
    life,
    run,
    settings_file,
    spare_the_collector,
    stop_asked,
)
from godwit.store.opening import open_store
from godwit.store.sql import SqlStore
from godwit.store.store_clock import StoreClock

log = structlog.get_logger(__name__)


@click.command()
@settings_file
def conductor(config: Path) -> None:
    """Tell the stories of migrations, beside any number of other conductors."""
    run("conductor", config, _conduct)


async def _conduct(settings: Settings) -> None:
    """Tell stories until a signal asks to stop; then hand them over to the other conductors."""
    stop, clock = stop_asked(), StoreClock(SystemClock())
    store = open_store(settings, clock)
    try:
        async with joined(settings, "conductor") as line, life() as tasks:
            await clock.keep(store.queries.time, tasks)
            exchange = await exchange_on(line, clock, tasks)
            teller = await answering_conductor(store, settings, clock, exchange)
            telling = tasks.create_task(teller.run(), name="stories")
            spare_the_collector()
            await stop.wait()
            await exchange.stop_answering(within_s=DRAIN_S)
            teller.stop()
            await telling
    finally:
        store.close()
    log.info("stopped")


async def answering_conductor(
    store: SqlStore, settings: Settings, clock: Clock, exchange: Exchange
) -> Conductor:
    """A conductor that answers on the bus and reaches every host by its agent. Its stories are told
    once it is run.

    It hears every report, also those that another conductor puts on record: what it finds about a
    guest rests on the latest of every host.
    """
    world = World(store, store.queries, Agents(exchange), clock, settings, by_agents=True)
    made = Conductor(world, owner=new_life(), alone=store.alone)
    answerer: ComputeTaskApi = made.manager
    reports = calls_of(ComputeTaskApi)["report_host"]
    await exchange.overhear(reports, CONDUCTORS, made.manager.overhear_report)
    await exchange.answer(ComputeTaskApi, answerer, CONDUCTORS)
    return made
