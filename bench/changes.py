"""How many durable changes a store keeps in a second, with nothing else to do."""

import asyncio
import time
from pathlib import Path

from godwit.runtime.clock import SystemClock
from godwit.saga.log import Entry, Story, What
from godwit.store.postgres import Server
from godwit.store.sql import SqlStore

STORIES = 64
CHANGES = 50
FACTS = b'{"of": "' + b"x" * 2500 + b'"}'
"""As large as those of a move."""


def changes_per_s(place: Path | Server) -> float:
    """Records of stories, each with a line of its timeline, on a file or a server."""
    clock = SystemClock()
    if isinstance(place, Path):
        store = SqlStore.open(place, clock)
    else:
        store = SqlStore.connect(place, clock)
    try:
        return asyncio.run(_measured(store))
    finally:
        store.close()


async def _measured(store: SqlStore) -> float:
    began = [Story(uuid=f"story-{n}", saga="s", step="s", facts=FACTS) for n in range(STORIES)]
    for story in began:
        await store.begin(story)
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for story in began:
            tasks.create_task(_tell(store, story), name=story.uuid)
    return STORIES * CHANGES / (time.monotonic() - began_s)


async def _tell(store: SqlStore, story: Story) -> None:
    for _ in range(CHANGES):
        await store.record(story, Entry(step="s", what=What.DONE))
