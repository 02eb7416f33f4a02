"""The rows of migrations, from `accepted` to their end, and all a story writes about its server.

Called by `sql` in transactions. Every write for a story checks its fence first. Once a migration is
final it takes nothing and drops nothing: the server may belong to a later one by then.
"""

from dataclasses import dataclass
from functools import cache

from msgspec import structs
from sqlalchemy import bindparam, delete, insert, or_, select, update

from godwit.model.errors import Conflict, NotFound, Superseded
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance, TaskState
from godwit.model.migration import (
    FINAL,
    MAY_FOLLOW,
    Migration,
    MigrationStatus,
    advance,
    is_abortable,
    is_in_post_copy,
)
from godwit.model.progress import Progress
from godwit.model.reasons import Code, Reason, reason
from godwit.model.steering import Steering
from godwit.saga.log import Story
from godwit.store import claims, servers, slots, stories
from godwit.store.interface import Fence, MigrationChanges, Needs
from godwit.store.statements import Connection, Reads, Writes
from godwit.store.tables import decisions, migrations
from godwit.store.tables import stories as stories_table

S = MigrationStatus

FIELDS = Migration.__struct_fields__
LASTING = ("id", "uuid", "instance_uuid")
"""What never changes in a record. Written again, a key costs all the indexes and their checks."""


@dataclass(frozen=True)
class Standing:
    """What claims and slots need to know of a migration, and its story's newest generation. A whole
    record takes four times as long to read.
    """

    uuid: MigrationUuid
    instance_uuid: InstanceUuid
    source_compute: HostName
    status: MigrationStatus
    generation: int


_this = migrations.c.uuid == bindparam("key")

_standing = (
    select(
        migrations.c.uuid,
        migrations.c.instance_uuid,
        migrations.c.source_compute,
        migrations.c.status,
        stories_table.c.generation,
    )
    .select_from(stories_table)
    .join(migrations, stories_table.c.uuid == migrations.c.uuid)
    .where(_this)
)
STANDING = Reads(_standing, Standing)
TAKE_STANDING = Reads(_standing.with_for_update(key_share=True), Standing)
"""Locks the story and then its migration. Both: whoever had to wait for the one would otherwise see
the other as it was before.
"""
FIND = Reads(select(migrations).where(_this), Migration)
NUMBER = Reads(select(migrations.c.id).where(_this), int)
ACCEPT = Writes(insert(migrations), *(name for name in FIELDS if name != "id"))
SAVE = Writes(update(migrations).where(_this), *(name for name in FIELDS if name not in LASTING))
_newest = (
    select(stories_table.c.generation)
    .where(stories_table.c.uuid == bindparam("key"))
    .scalar_subquery()
)
SAY_PROGRESS = Writes(
    update(migrations).where(
        _this,
        _newest == bindparam("held"),
        claims.UNDER_WAY,
    ),
    "progress",
)
DECIDE = Writes(insert(decisions), *decisions.c.keys())
FORGET_DECISION = Writes(delete(decisions).where(decisions.c.migration_uuid == bindparam("of")))

PERSON_NEEDED = "person_needed"
"""Why a story rests that waits for a person."""


def find(connection: Connection, uuid: MigrationUuid) -> Migration | None:
    """The migration's record."""
    return FIND.first(connection, key=uuid)


def get(connection: Connection, uuid: MigrationUuid) -> Migration:
    """The migration's record. Raises `NotFound`."""
    migration = find(connection, uuid)
    if migration is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    return migration


def accept(connection: Connection, migration: Migration, story: Story, *, at: str) -> Migration:
    """See `Store.accept_migration`. Repeated, it returns the record as it stands."""
    found = servers.take(connection, migration.instance_uuid)
    before = find(connection, migration.uuid)
    if before is not None:
        return before
    instance = servers.known(found, migration.instance_uuid)
    if instance.task_state is not None:
        raise servers.busy(instance)
    if instance.host != migration.source_compute:
        task = f"at {instance.host}, no longer at {migration.source_compute}"
        raise Conflict(reason(Code.INSTANCE_BUSY, server=instance.uuid, task=task))
    _set_task(connection, instance, TaskState.MIGRATING, at)
    dated = structs.replace(migration, created_at=at, updated_at=at)
    ACCEPT.run(connection, **structs.asdict(dated))
    stories.keep(connection, story, at=at)
    return structs.replace(dated, id=NUMBER.first(connection, key=dated.uuid) or 0)


def change(
    connection: Connection, fence: Fence, changes: MigrationChanges, *, at: str
) -> Migration:
    """See `Store.change_migration`."""
    _fenced(connection, fence)
    write_changes(connection, fence.migration_uuid, changes, at)
    return get(connection, fence.migration_uuid)


def write_changes(
    connection: Connection, uuid: MigrationUuid, changes: MigrationChanges, at: str
) -> None:
    """The fields that change, and no other. Raises `IllegalTransition`, `NotFound`."""
    given: dict[str, object] = {
        name: value
        for name in ("dest_compute", "dest_node", "refusals", "reason", "person_needed")
        if (value := getattr(changes, name)) is not None
    }
    if changes.statistics is not None:
        given["statistics"] = changes.statistics
    if changes.forget_destination:
        given |= {"dest_compute": None, "dest_node": None}
    if changes.status is None:
        given["updated_at"] = at
        if not changing((), *given).run(connection, key=uuid, **given):
            get(connection, uuid)
    elif not go_on(connection, uuid, changes.status, **given, updated_at=at):
        advance(get(connection, uuid), changes.status)


def go_on(
    connection: Connection, uuid: MigrationUuid, *to: MigrationStatus, **given: object
) -> bool:
    """To the last of these statuses, from any of them or one that the first may follow; with these
    columns. False, with nothing written, from any other, and from a final one, however it ended.
    """
    return bool(changing(to, *given).run(connection, key=uuid, status=to[-1], **given))


@cache
def changing(to: tuple[MigrationStatus, ...], *columns: str) -> Writes:
    """Changes these columns, and the status if it may go `to` there."""
    if not to:
        return Writes(update(migrations).where(_this), *columns)
    before = sorted(s for s in S if s in {*to} - FINAL or to[0] in MAY_FOLLOW[s])
    is_before = or_(*(migrations.c.status == status for status in before))
    return Writes(update(migrations).where(_this, is_before), "status", *columns)


def record_progress(connection: Connection, fence: Fence, progress: Progress) -> None:
    """See `Store.record_progress`."""
    SAY_PROGRESS.run(connection, key=fence.migration_uuid, held=fence.generation, progress=progress)


def give_back_source(connection: Connection, fence: Fence) -> None:
    """See `Store.give_back_source_allocation`."""
    migration = _fenced(connection, fence)
    source = migration.source_compute
    claims.hand_over(connection, source, giver=migration.uuid, taker=migration.instance_uuid)


def claim_destination(
    connection: Connection, fence: Fence, host: HostName, needs: Needs
) -> Reason | None:
    """See `Store.claim_destination`."""
    migration = _taking(connection, fence)
    if host == migration.source_compute:
        return reason(Code.UNABLE_TO_MIGRATE_TO_SELF, host=host)
    # Until the record of a new host, the server's is the one that it is to leave.
    claims.drop_elsewhere(connection, migration.instance_uuid, migration.source_compute)
    return claims.claim(connection, migration.instance_uuid, host, needs)


def claims_elsewhere(connection: Connection, fence: Fence) -> bool:
    """Is there anything that `drop_claims` would drop?"""
    migration = _read_fenced(connection, fence)
    held = claims.held_by(connection, migration.instance_uuid)
    return not held <= {migration.source_compute}


def drop_claims(connection: Connection, fence: Fence) -> None:
    """See `Store.drop_claims`."""
    migration = _fenced(connection, fence)
    if migration.status not in FINAL:
        instance = servers.get(connection, migration.instance_uuid)
        claims.drop_elsewhere(connection, instance.uuid, instance.host)


def take_slots(connection: Connection, fence: Fence, slots_max: dict[HostName, int]) -> bool:
    """See `Store.take_slots`."""
    slots.LOCK.hold(connection)
    migration = _taking(connection, fence)
    return slots.take(connection, migration.uuid, migration.source_compute, slots_max)


def give_slots_back(connection: Connection, fence: Fence) -> tuple[str, ...]:
    """See `Store.give_slots_back`."""
    slots.LOCK.hold(connection)
    return slots.give_back(connection, _fenced(connection, fence).uuid)


def request_abort(
    connection: Connection, uuid: MigrationUuid, why: Reason, *, at: str
) -> Migration:
    """See `Store.request_abort`."""
    stories.LOCK.hold(connection, key=uuid)
    migration = _known_to_run(connection, uuid)
    if not is_abortable(migration):
        status = "in post-copy" if is_in_post_copy(migration) else migration.status
        raise Conflict(reason(Code.MIGRATION_NOT_ABORTABLE, migration=uuid, status=status))
    stories.request_abort(connection, uuid, why)
    return _save(connection, structs.replace(migration, abort_requested=True, updated_at=at))


def steer(connection: Connection, uuid: MigrationUuid, steering: Steering) -> Migration | None:
    """See `Store.steer_migration`."""
    stories.LOCK.hold(connection, key=uuid)
    migration = _known_to_run(connection, uuid)
    over = not is_abortable(migration)
    if over or migration.abort_requested:
        status = migration.status if over else "being stopped"
        raise Conflict(reason(Code.MIGRATION_NOT_STEERABLE, migration=uuid, status=status))
    if migration.steering.revision != steering.revision - 1:
        return None
    return _save(connection, structs.replace(migration, steering=steering))


def _known_to_run(connection: Connection, uuid: MigrationUuid) -> Migration:
    """The migration, unless it waits for a person: then its figures are old, and nobody obeys."""
    migration = get(connection, uuid)
    if migration.person_needed:
        raise Conflict(reason(Code.MIGRATION_NEEDS_A_PERSON, migration=uuid))
    return migration


def resolve_by_person(
    connection: Connection, uuid: MigrationUuid, *, at_host: HostName | None, why: Reason, at: str
) -> Migration:
    """See `Store.resolve_by_person`. A later word replaces an earlier one."""
    stories.LOCK.hold(connection, key=uuid)
    migration = get(connection, uuid)
    story = stories.find(connection, uuid)
    waits = migration.person_needed or (story is not None and story.resting == PERSON_NEEDED)
    if migration.status in FINAL or not waits:
        raise Conflict(reason(Code.MIGRATION_NEEDS_NOBODY, migration=uuid, status=migration.status))
    FORGET_DECISION.run(connection, of=uuid)
    DECIDE.run(connection, migration_uuid=uuid, at_host=at_host, why=why, at=at)
    stories.wake(connection, uuid)
    return migration


def _fenced(connection: Connection, fence: Fence) -> Standing:
    return _same_fence(TAKE_STANDING.first(connection, key=fence.migration_uuid), fence)


def _read_fenced(connection: Connection, fence: Fence) -> Standing:
    return _same_fence(STANDING.first(connection, key=fence.migration_uuid), fence)


def _same_fence(found: Standing | None, fence: Fence) -> Standing:
    if found is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=fence.migration_uuid))
    if found.generation != fence.generation:
        raise Superseded(reason(Code.SUPERSEDED, migration=fence.migration_uuid))
    return found


def standing(connection: Connection, uuid: MigrationUuid) -> Standing:
    """What claims and slots need to know of it. Raises `NotFound`, or `Superseded` once it is over:
    then its server may belong to a later one.
    """
    found = STANDING.first(connection, key=uuid)
    if found is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    return _not_over(found)


def _taking(connection: Connection, fence: Fence) -> Standing:
    """The migration, if it may still take something."""
    return _not_over(_fenced(connection, fence))


def _not_over(migration: Standing) -> Standing:
    """The migration, unless it is final: then its server may belong to a later one."""
    if migration.status in FINAL:
        raise Superseded(reason(Code.SUPERSEDED, migration=migration.uuid))
    return migration


def _set_task(connection: Connection, instance: Instance, task: TaskState | None, at: str) -> None:
    servers.SET_TASK.run(connection, key=instance.uuid, task_state=task, updated_at=at)


def _save(connection: Connection, migration: Migration) -> Migration:
    SAVE.run(connection, key=migration.uuid, **structs.asdict(migration))
    return migration
