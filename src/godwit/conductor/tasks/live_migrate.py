"""THE STORY of a live migration, from top to bottom.

The table says what happens in which order and what undoes it; the functions below are its steps in
the same order. Before the pivot every step can be undone. At the pivot the guest is looked for at
both ends. After it only forward is safe, and nothing there touches the guest's state.
"""

from typing import Final

from msgspec.structs import replace

from godwit.conductor.tasks.checks import against_the_guest
from godwit.conductor.tasks.decision import decision_of, said_to_be_lost
from godwit.conductor.tasks.facts import (
    LiveMigrationFacts,
    Telling,
    Told,
    at_destination,
    at_source,
    destination_of,
    fence,
    move,
    request_of,
    rolling_back,
)
from godwit.conductor.tasks.far_half import FarHalf, far_half
from godwit.conductor.tasks.find_destination import drop_claims, find_destination
from godwit.conductor.tasks.look import host_on_record
from godwit.conductor.tasks.pivot import find_the_guest, live_migration
from godwit.conductor.tasks.slots import give_slots_back, wait_for_turn
from godwit.conductor.tasks.verdict_reason import why_it_needs_words
from godwit.model.errors import Refused
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.saga.step import Forward, NothingToUndo, Pivot, Saga, Step
from godwit.scheduler.host_state import why_unavailable
from godwit.store.interface import Ending, HoldSource, MigrationChanges, NewHost


async def check_instance(context: Telling) -> LiveMigrationFacts:
    """The guest runs or is paused, is Godwit's to move, and its host's service is up. Raises
    `Refused`.
    """
    source = await context.world.hosts.heard_again(at_source(context.facts))
    instance = context.facts.instance
    for refusal in (against_the_guest(instance, source.facts), why_unavailable(source)):
        if refusal is not None:
            raise Refused(refusal)
    return context.facts


async def hold_source_allocation(context: Telling) -> Told:
    """The server's claim at the source now belongs to the migration."""
    return Told(context.facts, HoldSource())


async def give_back_source_allocation(context: Telling) -> None:
    """Undo: the claim belongs to the server again."""
    await context.world.store.give_back_source_allocation(fence(context))


async def pre_live_migration(context: Telling) -> Told:
    """The destination connects volumes and plugs networks, and adds what it made to the agreement;
    the migration is `running` from here.

    Raises `Refused`, `Unreachable` or `HypervisorError`.
    """
    destination = context.world.compute(at_destination(context.facts))
    prepared = await destination.pre_live_migration(move(context))
    facts = replace(context.facts, migrate_data=prepared.migrate_data)
    return Told(facts, MigrationChanges(status=MigrationStatus.RUNNING))


async def rollback_at_destination(context: Telling) -> None:
    """Undo: the destination removes what it prepared and a half that never ran, never a guest that
    ran or may have run. What it has to leave is its debt, so a person sees it.
    """
    if await said_to_be_lost(context):
        return
    there = await far_half(context)
    if there is FarHalf.IS_THE_GUEST:
        return
    destination = context.world.compute(at_destination(context.facts))
    ask = rolling_back(context, may_have_run=there is FarHalf.MAY_BE_THE_GUEST)
    await destination.rollback_live_migration_at_destination(ask)


async def rollback_at_source(context: Telling) -> None:
    """Undo: the guest stays; the source puts back what the transfer cleared. Not autostart for one
    that is elsewhere since by another way: the next boot of the source would start a second one.
    """
    if await said_to_be_lost(context):
        return
    ask = move(context)
    if context.has_ended and await host_on_record(context) != at_source(context.facts):
        ask = replace(ask, migrate_data=replace(ask.migrate_data, autostart=False))
    source = context.world.compute(at_source(context.facts))
    await source.rollback_live_migration_at_source(ask)


async def record_new_host(context: Telling) -> Told:
    """The record follows the guest: host, node, allocation and slots in one transaction.

    The record comes first: if we die now, the guest is already findable, and what is left over at
    the source is a nuisance, not an outage.
    """
    destination, result = destination_of(context.facts), context.facts.result
    arrival = NewHost(
        host=destination.name,
        node=destination.node,
        statistics=result.statistics if result else None,
        end=context.facts.end,
    )
    return Told(context.facts, arrival)


async def post_live_migration_at_destination(context: Telling) -> LiveMigrationFacts:
    """Make the guest permanent there, as it was at the source."""
    destination = context.world.compute(at_destination(context.facts))
    await destination.post_live_migration_at_destination(move(context))
    return context.facts


async def post_live_migration_at_source(context: Telling) -> LiveMigrationFacts:
    """The source disconnects volumes and forgets the guest; not one that has come back since by
    another way: of that nothing is left over.
    """
    if context.has_ended and await host_on_record(context) == at_source(context.facts):
        return context.facts
    source = context.world.compute(at_source(context.facts))
    await source.post_live_migration_at_source(move(context))
    return context.facts


async def finish(context: Telling) -> Told:
    """Nothing is held any more, the server is in no task: completed."""
    decided = await decision_of(context)
    why = why_it_needs_words(
        context.facts.end,
        host=at_destination(context.facts),
        decided=decided.why if decided else None,
    )
    return Told(context.facts, Ending(MigrationStatus.COMPLETED, why))


async def unwound(context: Telling) -> Ending:
    """Everything is undone: cancelled if that was asked for, else failed. A guest that a person has
    given up is the one case of `error`.
    """
    status = MigrationStatus.FAILED
    if context.failure is not None and context.failure.code is Code.CANCELLED_BY_REQUEST:
        status = MigrationStatus.CANCELLED
    if await said_to_be_lost(context):
        status = MigrationStatus.ERROR
    return Ending(status, context.failure, context.facts.end)


LIVE_MIGRATION: Final = Saga(
    "live-migration",
    facts=LiveMigrationFacts,
    before=(
        Step(
            "check_instance",
            do=check_instance,
            undo=NothingToUndo("only reads"),
            only_reads=True,
        ),
        Step(
            "hold_source_allocation",
            do=hold_source_allocation,
            undo=give_back_source_allocation,
        ),
        Step("find_destination", do=find_destination, undo=drop_claims),
        Step("wait_for_turn", do=wait_for_turn, undo=give_slots_back),
        Step(
            "pre_live_migration",
            do=pre_live_migration,
            undo=rollback_at_destination,
            where=at_destination,
        ),
    ),
    pivot=Pivot(
        "live_migration",
        do=live_migration,
        resolve=find_the_guest,
        undo=rollback_at_source,
        where=at_source,
        told_later=True,
    ),
    after=(
        Forward("record_new_host", do=record_new_host),
        Forward(
            "post_live_migration_at_destination",
            do=post_live_migration_at_destination,
            where=at_destination,
            told_later=True,
        ),
        Forward(
            "post_live_migration_at_source",
            do=post_live_migration_at_source,
            where=at_source,
            told_later=True,
        ),
        Forward("finish", do=finish),
    ),
    unwound=unwound,
    request_id=request_of,
)
