"""`GET /godwit/v1/migrations/{id}/timeline`: the story as it happens, by long poll.

The client says what it has seen (`after`, the last line's sequence, and `seen`, the token of the
last answer) and is answered as soon as there is anything else, or after `wait_s`, or at once when
the server stops.
"""

import asyncio
import zlib
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer
from godwit.api.godwit import whole
from godwit.api.lookups import migration_or_404
from godwit.api.story import entry_views
from godwit.api.validation import Query
from godwit.api.world import World, world_of
from godwit.model.ids import MigrationUuid
from godwit.model.migration import Migration
from godwit.saga.log import Direction, Entry

WAIT_MAX_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.2
"""A watched story is looked at this often. Progress changes about once a second."""


async def follow(request: Request) -> Response:
    """Lines after `after`, and the migration as it is now."""
    query = Query(request)
    after = query.number("after", 0, at_most=2**53)
    wait_s = query.seconds("wait_s", 0.0, at_most=WAIT_MAX_S)
    seen = query.text("seen")
    query.nothing_else()
    here = world_of(request)
    migration = await migration_or_404(here.queries, request.path_params["migration_id"])
    seen = seen or await _token(here, migration)
    migration = await _news_of(here, migration.uuid, after=after, seen=seen, wait_s=wait_s)
    timeline = await here.queries.timeline(migration.uuid)
    lines = [line for line in entry_views(timeline) if line["sequence"] > after]
    return answer(
        {
            "entries": lines,
            "seen": token(migration, _last(timeline)),
            "migration": await whole(here, migration),
        }
    )


async def _news_of(
    here: World, uuid: MigrationUuid, *, after: int, seen: str, wait_s: float
) -> Migration:
    """The migration, as soon as it or its timeline is not what the client has seen."""
    ends_at_s = asyncio.get_running_loop().time() + wait_s
    while True:
        migration = await migration_or_404(here.queries, uuid)
        last = _last(await here.queries.timeline(uuid, after_sequence=after))
        news = last > after or token(migration, max(last, after)) != seen
        left_s = ends_at_s - asyncio.get_running_loop().time()
        if news or left_s <= 0 or here.stopping.is_set() or await _over(here, uuid):
            return migration
        await _pause(here.stopping, min(LOOK_AGAIN_S, left_s))


async def _over(here: World, uuid: MigrationUuid) -> bool:
    """Nothing more can be told: the last line is written a moment after the final status."""
    story = await here.queries.story(uuid)
    return story is None or story.direction is Direction.ENDED


async def _pause(stopping: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await stopping.wait()
    except TimeoutError:
        return


async def _token(here: World, migration: Migration) -> str:
    return token(migration, _last(await here.queries.timeline(migration.uuid)))


def token(migration: Migration, last_sequence: int) -> str:
    """Stands for all that a watcher is shown: another token, other news."""
    shown: list[Any] = [migration, last_sequence]
    return f"{zlib.crc32(msgspec.json.encode(shown)):08x}"


def _last(timeline: tuple[Entry, ...]) -> int:
    return timeline[-1].sequence if timeline else 0
