"""Follow a transfer until its process has ended: keep its progress on record, hand its slots on as
soon as nothing is sent any more, pass on requests to abort and to steer. Used by the pivot, and
again when the pivot is resolved and the transfer still goes on.
"""

import asyncio
import contextlib
from typing import Final

from godwit.conductor.tasks.facts import Telling, act, at_source, fence, uuid_of
from godwit.conductor.tasks.slots import give_slots_back
from godwit.model.errors import GodwitError, HypervisorError, Superseded, Unreachable
from godwit.model.progress import TransferPhase
from godwit.rpc.compute import FollowTransfer, ForTransfer, SteerTransfer, TransferNews

ASK_EVERY_S: Final = 0.5
"""How soon a request to abort is noticed, and how soon a silent source is asked again."""
SILENCES_MAX: Final = 3
"""So many answers in a row may fail before the source counts as unreachable."""


async def follow(context: Telling, *, silences_max: int = SILENCES_MAX) -> TransferNews | None:
    """The news that the transfer has ended, or None if the source no longer answers, or can no
    longer end it.

    Requests to abort and to steer are passed on. Ends no transfer by itself: one that makes no
    progress is stopped by the transfer process, not from here.
    """
    async with asyncio.TaskGroup() as tasks:
        passing_on = tasks.create_task(
            pass_on_requests(context), name=f"requests about {context.story_uuid}"
        )
        news = await _until_ended(context, silences_max)
        passing_on.cancel()
    return news


async def _until_ended(context: Telling, silences_max: int) -> TransferNews | None:
    """Has no bound but the transfer's own: every turn waits for news at the source."""
    sequence, silences = 0, 0
    while silences < silences_max:
        news = await _next_news(context, sequence)
        if news is None:
            silences += 1
            await asyncio.sleep(ASK_EVERY_S)
            continue
        if news.sequence > sequence:
            await _keep_progress(context, news)
            await _hand_slots_on(context, news)
        if news.ended:
            return news
        if news.stuck:
            return None
        if news.sequence == sequence:
            await asyncio.sleep(ASK_EVERY_S)
        sequence, silences = news.sequence, 0
    return None


async def _keep_progress(context: Telling, news: TransferNews) -> None:
    """Best effort: a store that cannot be written now must not end the watch of a transfer."""
    if news.progress is not None:
        with contextlib.suppress(GodwitError):
            await context.world.store.record_progress(fence(context), news.progress)


async def _hand_slots_on(context: Telling, news: TransferNews) -> None:
    """A slot is the right to send. Best effort: what is not handed on now is with the record of the
    new host, as where the transfer has ended by now: that record is next.
    """
    arrived = news.progress is not None and news.progress.phase is TransferPhase.ARRIVED
    if arrived and not news.ended:
        with contextlib.suppress(GodwitError):
            await give_slots_back(context)


async def _next_news(context: Telling, after_sequence: int) -> TransferNews | None:
    ask = FollowTransfer(migration_uuid=uuid_of(context), after_sequence=after_sequence)
    try:
        return await context.world.compute(at_source(context.facts)).follow_transfer(ask)
    except (Unreachable, HypervisorError):
        return None


async def pass_on_requests(context: Telling) -> None:
    """Tell the source of a request to abort, once, and of every new steering. Lives no longer than
    the transfer.
    """
    stopping, revision = False, 0
    while True:
        await asyncio.sleep(ASK_EVERY_S)
        if not stopping and await _abort_is_requested(context):
            stopping = await ask_to_stop(context)
        revision = await pass_on_steering(context, known_revision=revision)


async def pass_on_steering(context: Telling, *, known_revision: int = 0) -> int:
    """Tell the source how the transfer is to be steered, if that was changed since the start and it
    does not know; the revision that it knows now.
    """
    with contextlib.suppress(GodwitError):
        migration = await context.world.queries.migration(uuid_of(context))
        if migration is None or migration.steering.revision <= known_revision:
            return known_revision
        await context.world.compute(at_source(context.facts)).steer_transfer(
            SteerTransfer(act=act(context), steering=migration.steering)
        )
        return migration.steering.revision
    return known_revision


async def _abort_is_requested(context: Telling) -> bool:
    """Whether the store says so; a store that cannot be read now is asked again."""
    with contextlib.suppress(GodwitError):
        return await context.world.store.abort_request(context.story_uuid) is not None
    return False


async def ask_to_stop(context: Telling) -> bool:
    """Ask the source to stop the transfer. False: it did not answer, ask again."""
    try:
        await context.world.compute(at_source(context.facts)).abort_live_migration(
            ForTransfer(act=act(context))
        )
    except Superseded:
        return True  # a newer conductor acts for this migration, and has seen the request, too
    except (Unreachable, HypervisorError):
        return False
    return True


async def watch_orphan(context: Telling, news: TransferNews) -> TransferNews:
    """Have the source look after a transfer that has lost its process, with every request known
    there; the news afterwards, or `news` if it did not answer.
    """
    if await _abort_is_requested(context):
        await ask_to_stop(context)
    await pass_on_steering(context)
    ask = ForTransfer(act=act(context))
    try:
        watched = await context.world.compute(at_source(context.facts)).watch_transfer(ask)
    except (Unreachable, HypervisorError):
        return news
    await _keep_progress(context, watched)
    return watched


async def close(context: Telling) -> TransferNews | None:
    """Let nothing begin any more at the source. None: it does not answer, so it may still begin."""
    try:
        return await context.world.compute(at_source(context.facts)).close_transfer(
            ForTransfer(act=act(context))
        )
    except (Unreachable, HypervisorError):
        return None
