"""`godwit api`: answers people. Reads the database and changes nothing there; every change is asked
of a conductor, over the bus.
"""

from pathlib import Path

import click
import structlog

from godwit.api.app import make_app
from godwit.rpc.address import CONDUCTORS
from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import Settings
from godwit.service.door import answer_requests, open_door
from godwit.service.on_bus import exchange_on, joining
from godwit.service.process import life, run, settings_file, spare_the_collector, stop_asked
from godwit.store.opening import open_queries
from godwit.store.store_clock import StoreClock

log = structlog.get_logger(__name__)


@click.command()
@settings_file
def api(config: Path) -> None:
    """Answer requests; conductors on the bus carry them out."""
    run("api", config, _answer)


async def _answer(settings: Settings) -> None:
    """Answer until a signal asks to stop, then finish the requests under way."""
    stop, clock = stop_asked(), StoreClock(SystemClock())
    queries = open_queries(settings)
    try:
        with open_door(settings.server.listen) as door:
            async with life() as tasks, joining(settings, "API", tasks) as line:
                await clock.keep(queries.time, tasks)
                exchange = await exchange_on(line, clock, tasks)
                conductors = exchange.reach(ComputeTaskApi, CONDUCTORS)
                spare_the_collector()
                await answer_requests(make_app(conductors, queries, settings, clock), door, stop)
    finally:
        queries.close()
    log.info("stopped")
