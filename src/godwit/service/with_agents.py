"""`godwit serve` where the settings name a bus: API and conductor, and every host has its agent."""

from godwit.service.conductor import answering_conductor
from godwit.service.on_bus import exchange_on, joined
from godwit.service.process import DRAIN_S, life
from godwit.service.serve import Serving


async def serve_with_agents(serving: Serving) -> None:
    """Serve until the API has stopped. Raises as `joined` does."""
    settings, store, clock = serving.settings, serving.store, serving.clock
    async with joined(settings, "serve") as line, life() as tasks:
        await clock.keep(store.queries.time, tasks)
        exchange = await exchange_on(line, clock, tasks)
        conductor = await answering_conductor(store, settings, clock, exchange)
        await serving.tell_and_answer(conductor, tasks)
        await exchange.stop_answering(within_s=DRAIN_S)
