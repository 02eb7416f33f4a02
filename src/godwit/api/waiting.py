"""Waiting for something to happen to a migration, for the resources that answer late (long polls).

A write in this process wakes who waits; for those of another process it is looked now and then.
"""

import asyncio
from typing import Final

from godwit.api.lookups import migration_or_404
from godwit.api.world import World
from godwit.model.ids import MigrationUuid
from godwit.model.migration import FINAL

WAIT_MAX_S: Final = 30.0
LOOK_AGAIN_S: Final = 1.0


async def until_ended(here: World, uuid: MigrationUuid, *, wait_s: float) -> None:
    """Until the migration's status is final; `wait_s` at most, and no longer than the server runs.
    Raises `NotFound`.
    """
    ends_at_s = asyncio.get_running_loop().time() + wait_s
    while True:
        ended = here.queries.news.end_of(uuid)
        migration = await migration_or_404(here.queries, uuid)
        left_s = ends_at_s - asyncio.get_running_loop().time()
        if migration.status in FINAL or left_s <= 0 or here.stopping.is_set():
            return
        await pause(ended, left_s)
        if ended.is_set():
            return


async def pause(news: asyncio.Event, left_s: float) -> None:
    """Until there is news, or it is time to look anyway; `left_s` at most."""
    try:
        async with asyncio.timeout(min(LOOK_AGAIN_S, left_s)):
            await news.wait()
    except TimeoutError:
        return
