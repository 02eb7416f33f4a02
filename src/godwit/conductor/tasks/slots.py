"""The transfer slots: a story's turn, and handing it on to whoever waits next."""

from typing import Final

from msgspec.structs import replace

from godwit.conductor.tasks.checks import check_again
from godwit.conductor.tasks.facts import (
    LiveMigrationFacts,
    Telling,
    Told,
    destination_of,
    fence,
)
from godwit.conductor.tasks.find_destination import request_spec
from godwit.model.errors import Refused
from godwit.model.migration import MigrationStatus
from godwit.model.refusals import grouped
from godwit.saga.step import Rest
from godwit.store.interface import MigrationChanges

LOOK_ANYWAY_S: Final = 10.0
"""Whoever frees a slot wakes the next; should that wake be lost, the story looks by itself."""


async def wait_for_turn(context: Telling) -> Told:
    """A slot at the source and one at the destination; until both are free the story rests. With
    them the migration is `preparing`.

    After a wait both ends are checked again. Raises `Refused` if they no longer agree.
    """
    facts, store = context.facts, context.world.store
    destination = destination_of(facts)
    slots_max = {
        facts.source.name: facts.source.transfers_max,
        destination.name: destination.transfers_max,
    }
    if not await store.take_slots(fence(context), slots_max=slots_max):
        queued = MigrationChanges(status=MigrationStatus.QUEUED)
        await store.change_migration(fence(context), queued)
        raise Rest(MigrationStatus.QUEUED.value, again_after_s=LOOK_ANYWAY_S)
    if context.has_rested:
        facts = await _checked_again(context)
    return Told(facts, MigrationChanges(status=MigrationStatus.PREPARING))


async def _checked_again(context: Telling) -> LiveMigrationFacts:
    """What both ends agree on now."""
    destination = destination_of(context.facts)
    state = await context.world.hosts.one(destination.name)
    spec = await request_spec(context.world, context.facts)
    answer = await check_again(context.world, spec, state, destination)
    if answer.refusals or answer.migrate_data is None:
        against = [(destination.name, why) for why in answer.refusals]
        raise Refused(answer.refusals[0], refusals=grouped(against))
    return replace(context.facts, migrate_data=answer.migrate_data)


async def give_slots_back(context: Telling) -> None:
    """Nothing is held and no place in the line either; whoever waits next is woken."""
    for uuid in await context.world.store.give_slots_back(fence(context)):
        context.world.notice(uuid)
