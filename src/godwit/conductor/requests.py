"""Requests about a move: what can be answered at once is answered, the rest is put on record and
carried out by the story. Called by the manager.
"""

from typing import Final

import msgspec

from godwit.conductor.alarms import refuse_if_alarmed
from godwit.conductor.steer import steering_of
from godwit.conductor.tasks.checks import against_the_guest
from godwit.conductor.tasks.facts import LiveMigrationFacts
from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.conductor.world import World
from godwit.model.errors import BadRequest, Conflict, NotFound, Refused
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migration import Migration
from godwit.model.reasons import Code, reason
from godwit.model.steering import Steering, SteeringWish, wished
from godwit.rpc.conductor import AbortMigration, LiveMigrate, ResolveMigration
from godwit.runtime.clock import iso
from godwit.runtime.ids import new_uuid
from godwit.saga.log import Story

FIRST_STEP: Final = LIVE_MIGRATION.before[0].name


async def accept(world: World, ask: LiveMigrate) -> Migration:
    """The accepted migration, on record together with its story, which is due at once.

    Raises `NotFound` (the server), `Conflict` (it is in a task, or in no state to move),
    `BadRequest` (the named host), `Refused` (its own host has never described itself).
    """
    facts = await facts_of(world, ask.instance_uuid, ask)
    uuid = MigrationUuid(new_uuid())
    migration = await world.store.accept_migration(
        record_of(world, uuid, ask, facts), first_row(uuid, facts)
    )
    world.notice(migration.uuid)
    return migration


async def facts_of(
    world: World, instance_uuid: InstanceUuid, ask: LiveMigrate
) -> LiveMigrationFacts:
    """What the story starts with. Raises as `accept` does."""
    instance = await known_server(world, instance_uuid)
    if instance.task_state is not None:
        task = instance.task_state.value
        raise Conflict(reason(Code.INSTANCE_BUSY, server=instance.name, task=task))
    source = await world.queries.host(instance.host)
    refusal = against_the_guest(instance, source.facts if source is not None else None)
    if refusal is not None:
        raise Conflict(refusal)
    await refuse_if_alarmed(world, instance)
    await check_named_host(world, ask.host, instance)
    if source is None or source.facts is None:
        problem = f"{instance.host} has not described itself yet"
        raise Refused(reason(Code.HYPERVISOR_UNAVAILABLE, host=instance.host, problem=problem))
    return LiveMigrationFacts(
        instance=instance,
        source=source.facts,
        requested_host=ask.host,
        block_migration=ask.block_migration,
        disk_over_commit=ask.disk_over_commit,
        permit_post_copy=steering_asked(world, ask.steering).permit_post_copy,
        request_id=ask.asked.request_id,
    )


async def known_server(world: World, uuid: InstanceUuid) -> Instance:
    """The server on record. Raises `NotFound`."""
    instance = await world.queries.instance(uuid)
    if instance is None:
        raise NotFound(reason(Code.SERVER_UNKNOWN, server=uuid))
    return instance


async def check_named_host(world: World, name: HostName | None, instance: Instance) -> None:
    """A host that is asked for must be known, and another one than the guest's own. Raises
    `BadRequest`.
    """
    if name is None:
        return
    if await world.queries.host(name) is None:
        raise BadRequest(reason(Code.HOST_UNKNOWN, name=name))
    if name == instance.host:
        raise BadRequest(reason(Code.UNABLE_TO_MIGRATE_TO_SELF, host=name))


def record_of(
    world: World, uuid: MigrationUuid, ask: LiveMigrate, facts: LiveMigrationFacts
) -> Migration:
    """The migration's first record."""
    now = iso(world.clock.now_s())
    return Migration(
        uuid=uuid,
        instance_uuid=facts.instance.uuid,
        source_compute=facts.source.name,
        source_node=facts.source.node,
        requested_host=ask.host,
        block_migration=ask.block_migration,
        steering=steering_asked(world, ask.steering),
        initiator=ask.asked.initiator,
        initiator_reason=ask.asked.reason,
        request_id=ask.asked.request_id,
        created_at=now,
        updated_at=now,
    )


def steering_asked(world: World, wish: SteeringWish) -> Steering:
    """What the settings say, and what was asked for otherwise."""
    return wished(steering_of(world.settings.migration), wish)


def first_row(uuid: MigrationUuid, facts: LiveMigrationFacts) -> Story:
    """The story before its first step."""
    return Story(
        uuid=uuid, saga=LIVE_MIGRATION.name, step=FIRST_STEP, facts=msgspec.json.encode(facts)
    )


async def abort(world: World, ask: AbortMigration) -> Migration:
    """The request to abort is on record, and a resting story looks at it at once.

    Raises `NotFound`, or `Conflict` once the guest has moved.
    """
    why = reason(Code.CANCELLED_BY_REQUEST, initiator=ask.asked.initiator)
    migration = await world.store.request_abort(ask.migration_uuid, why)
    world.notice(migration.uuid)
    return migration


async def resolve(world: World, ask: ResolveMigration) -> Migration:
    """A person's decision is on record; the story carries it out at its next look, which is now.

    Raises `NotFound`, `Conflict` (no person is needed), `BadRequest` (a host at neither end).
    """
    migration = await world.queries.migration(ask.migration_uuid)
    if migration is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=ask.migration_uuid))
    ends = (migration.source_compute, migration.dest_compute)
    if ask.at_host is not None and ask.at_host not in ends:
        raise BadRequest(
            reason(
                Code.INVALID_INPUT,
                field="at_host",
                problem=f"{ask.at_host} is neither end of this migration",
                expected=f"name one of its ends: {ends[0]}, {ends[1]}",
            )
        )
    choice = f"the guest is at {ask.at_host}" if ask.at_host else "the guest is lost"
    why = reason(
        Code.RESOLVED_BY_A_PERSON,
        initiator=ask.asked.initiator,
        choice=choice,
        why=ask.asked.reason or "no reason was given",
    )
    resolved = await world.store.resolve_by_person(ask.migration_uuid, at_host=ask.at_host, why=why)
    world.notice(resolved.uuid)
    return resolved
