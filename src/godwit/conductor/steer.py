"""Requests to steer a transfer that is under way or about to begin: decided on the newest figures,
put on record, and passed on to the source by the story. Called by the manager.
"""

from typing import Final

from msgspec import structs

from godwit.conductor.tasks.facts import facts_of
from godwit.conductor.world import World
from godwit.model.errors import Conflict, NotFound
from godwit.model.ids import MigrationUuid
from godwit.model.migrate_data import Guard
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.progress import NO_WAY_BACK, Progress, TransferPhase
from godwit.model.reasons import Code, Reason, reason
from godwit.model.steering import Force, ForceKind, Steering, wished
from godwit.rpc.conductor import ForceComplete, Forced, SteerMigration
from godwit.runtime.settings import MigrationSettings

ATTEMPTS_MAX: Final = 5
"""Two people may steer at once: whoever comes second decides anew, at most so often."""
ROOM: Final = 2
"""A forced pause may be so many times what is expected: a guest does not write evenly."""
BEFORE: Final = frozenset(
    {MigrationStatus.ACCEPTED, MigrationStatus.QUEUED, MigrationStatus.PREPARING}
)
AFTER: Final = frozenset({TransferPhase.SWITCHING, TransferPhase.ARRIVED, *NO_WAY_BACK})
MIB: Final = 2**20


def steering_of(settings: MigrationSettings) -> Steering:
    """What the settings say of how every transfer is steered."""
    return Steering(
        bandwidth_mib_per_s=settings.bandwidth_mib_per_s,
        max_downtime_ms=settings.max_downtime_ms,
        downtime_steps=settings.downtime_steps,
        completion_timeout_s=settings.completion_timeout_s,
        auto_converge=settings.auto_converge,
        permit_post_copy=settings.permit_post_copy,
        parallel_connections=settings.parallel_connections,
    )


async def steer(world: World, ask: SteerMigration) -> Migration:
    """The migration as it is steered from now on. Raises `NotFound`, or `Conflict` once there is
    nothing left to steer.
    """
    for _ in range(ATTEMPTS_MAX):
        migration = await _known(world, ask.migration_uuid)
        changed = await _put(world, migration, wished(migration.steering, ask.wish))
        if changed is not None:
            return changed
    raise _too_many(ask.migration_uuid)


async def force_complete(world: World, ask: ForceComplete) -> Forced:
    """How it is brought to its end. Raises `NotFound`, or `Conflict`: it copies no memory yet or no
    more, or the guest would have to pause for too long.
    """
    for _ in range(ATTEMPTS_MAX):
        migration = await _known(world, ask.migration_uuid)
        guard = await _guard_of(world, ask.migration_uuid)
        longest_ms = world.settings.migration.force_complete_max_pause_ms
        forced = how_to_force(migration, guard, longest_ms=longest_ms)
        steering = structs.replace(migration.steering, force=forced.force)
        if await _put(world, migration, steering) is not None:
            return forced
    raise _too_many(ask.migration_uuid)


def how_to_force(migration: Migration, guard: Guard, *, longest_ms: int) -> Forced:
    """Post-copy with its guard; with any other a pause, if it is not longer than `longest_ms`.

    Raises `Conflict` with the figures. The guest is never suspended: where a transfer fails after
    that, or we die, it would stay so.
    """
    progress = migration.progress
    if migration.person_needed:  # its figures are old
        raise Conflict(reason(Code.MIGRATION_NEEDS_A_PERSON, migration=migration.uuid))
    if migration.status in BEFORE or progress is None:
        raise _too_early(migration)
    if migration.status is not MigrationStatus.RUNNING or progress.phase in AFTER:
        status = f"{migration.status}, {progress.phase}"
        raise Conflict(
            reason(Code.MIGRATION_NOT_STEERABLE, migration=migration.uuid, status=status)
        )
    if progress.phase is not TransferPhase.COPYING_MEMORY or progress.rate_bytes_per_s <= 0:
        raise _too_early(migration)
    if guard is Guard.POSTCOPY:
        return Forced(force=Force(kind=ForceKind.POST_COPY))
    needed_ms = expected_pause_ms(progress)
    if needed_ms > longest_ms:
        raise Conflict(_too_long(progress, needed_ms, longest_ms))
    least_ms = migration.steering.max_downtime_ms
    pause_ms = min(longest_ms, max(ROOM * needed_ms, least_ms))
    force = Force(kind=ForceKind.PAUSE, pause_ms=max(1, pause_ms), longest_ms=longest_ms)
    return Forced(force=force, expected_pause_ms=needed_ms)


def expected_pause_ms(progress: Progress) -> int:
    """So long the guest would stand still if it were stopped now: until what is left is sent, or
    what a round leaves over, whichever is more.
    """
    left_ms = 1000 * progress.memory_remaining_bytes // progress.rate_bytes_per_s
    return max(left_ms, progress.expected_downtime_ms or 0)


async def _known(world: World, uuid: MigrationUuid) -> Migration:
    migration = await world.queries.migration(uuid)
    if migration is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    return migration


async def _put(world: World, migration: Migration, steering: Steering) -> Migration | None:
    """None: somebody else was quicker."""
    following = structs.replace(steering, revision=migration.steering.revision + 1)
    return await world.store.steer_migration(migration.uuid, following)


async def _guard_of(world: World, uuid: MigrationUuid) -> Guard:
    story = await world.queries.story(uuid)
    facts = facts_of(story) if story else None
    return facts.migrate_data.guard if facts and facts.migrate_data else Guard.PAUSED


def _too_early(migration: Migration) -> Conflict:
    phase = migration.progress.phase if migration.progress else ""
    status = f"{migration.status}, {phase}" if phase else migration.status
    return Conflict(reason(Code.FORCED_TOO_EARLY, migration=migration.uuid, status=status))


def _too_long(progress: Progress, needed_ms: int, longest_ms: int) -> Reason:
    return reason(
        Code.FORCED_PAUSE_TOO_LONG,
        needed_ms=needed_ms,
        left_mib=needed_ms * progress.rate_bytes_per_s / 1000 / MIB,
        rate_mib_per_s=progress.rate_bytes_per_s / MIB,
        allowed_ms=longest_ms,
    )


def _too_many(uuid: MigrationUuid) -> Conflict:
    status = "being steered by others"
    return Conflict(reason(Code.MIGRATION_NOT_STEERABLE, migration=uuid, status=status))
