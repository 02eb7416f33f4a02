"""`GET /godwit/v1/migrations/{id}/timeline`: the story as it happens, by long poll.

The client says what it has seen (`after`, the last line's sequence, and `seen`, the token of the
last answer) and is answered as soon as there is anything else, or after `wait_s`, or at once when
the server stops.
"""

import asyncio
import zlib
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer
from godwit.api.lookups import account_or_404, migration_named
from godwit.api.story import entry_views, full_view
from godwit.api.validation import Query
from godwit.api.waiting import WAIT_MAX_S, pause
from godwit.api.world import World, world_of
from godwit.model.ids import MigrationUuid
from godwit.saga.log import Direction, Story
from godwit.store.queries import Account


async def follow(request: Request) -> Response:
    """Lines after `after`, and the migration as it is now."""
    query = Query(request)
    after = query.number("after", 0, at_most=2**53)
    wait_s = query.seconds("wait_s", 0.0, at_most=WAIT_MAX_S)
    seen = query.text("seen")
    query.nothing_else()
    here = world_of(request)
    uuid = await migration_named(here.queries, request.path_params["migration_id"])
    account = await _news_of(here, uuid, after=after, seen=seen, wait_s=wait_s)
    lines = [line for line in entry_views(account.timeline) if line["sequence"] > after]
    return answer(
        {
            "entries": lines,
            "seen": token(account),
            "migration": full_view(account),
        }
    )


async def _news_of(
    here: World, uuid: MigrationUuid, *, after: int, seen: str | None, wait_s: float
) -> Account:
    """The migration with its timeline, as soon as they are not what the client has seen."""
    ends_at_s = asyncio.get_running_loop().time() + wait_s
    while True:
        changed = here.queries.news.change_of(uuid)
        account = await account_or_404(here.queries, uuid)
        now = token(account)
        seen = seen or now
        left_s = ends_at_s - asyncio.get_running_loop().time()
        if account.last_sequence > after or now != seen or left_s <= 0:
            return account
        if here.stopping.is_set() or _over(account.story):
            return account
        await pause(changed, left_s)


def _over(story: Story | None) -> bool:
    """Nothing more can be told."""
    return story is None or story.direction is Direction.ENDED


def token(account: Account) -> str:
    """Stands for all that a watcher is shown: another token, other news."""
    shown: list[Any] = [account.migration, account.last_sequence, account.queue]
    return f"{zlib.crc32(msgspec.json.encode(shown)):08x}"
