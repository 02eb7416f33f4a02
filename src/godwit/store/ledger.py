"""All that is recorded, read in one look for an audit, and what a repair writes. Called by
`queries` and `sql`.

A repair was decided on a record that may have changed since. So each looks again, in its own
transaction, whether what it would mend is still so; if not, it changes nothing.
"""

from msgspec import structs
from sqlalchemy import bindparam, delete, select

from godwit.model.audit import (
    Action,
    Claim,
    Disagreement,
    Fenced,
    Ledger,
    MoveUnderWay,
    Owed,
    SlotTaken,
)
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance, TaskState, VmState
from godwit.saga.log import Direction
from godwit.store import claims, repairs, servers, slots
from godwit.store.statements import Connection, Reads, Writes
from godwit.store.tables import allocations, debts, hosts, instances, migrations, stories
from godwit.store.tables import slots as slots_table

SERVERS = Reads(select(instances).order_by(instances.c.name, instances.c.uuid), Instance)
CLAIMS = Reads(select(allocations).order_by(allocations.c.consumer, allocations.c.host), Claim)
SLOTS = Reads(
    select(slots_table.c.migration_uuid, slots_table.c.host, slots_table.c.held).order_by(
        slots_table.c.migration_uuid, slots_table.c.host
    ),
    SlotTaken,
)
MOVES = Reads(
    select(
        migrations.c.uuid,
        migrations.c.instance_uuid,
        migrations.c.source_compute.label("source"),
        migrations.c.dest_compute.label("destination"),
        migrations.c.updated_at,
        (stories.c.direction == Direction.ENDED).label("story_ended"),
        stories.c.owner,
        stories.c.lease_until_s,
        stories.c.wake_at_s,
    )
    .join(stories, stories.c.uuid == migrations.c.uuid)
    .where(claims.UNDER_WAY)
    .order_by(migrations.c.id),
    MoveUnderWay,
)
OWED = Reads(
    select(migrations.c.instance_uuid, debts.c.where.label("host"))
    .join(migrations, migrations.c.uuid == debts.c.story_uuid)
    .distinct()
    .order_by(migrations.c.instance_uuid, debts.c.where),
    Owed,
)
FENCED = Reads(
    select(hosts.c.name.label("host"), hosts.c.confirmed_down.label("word"))
    .where(hosts.c.confirmed_down.is_not(None))
    .order_by(hosts.c.name),
    Fenced,
)
MOVE_OF = Reads(
    select(migrations.c.uuid).where(
        claims.UNDER_WAY, migrations.c.instance_uuid == bindparam("of")
    ),
    MigrationUuid,
)
IS_UNDER_WAY = Reads(
    select(migrations.c.uuid).where(claims.UNDER_WAY, migrations.c.uuid == bindparam("key")),
    MigrationUuid,
)
DROP_STRAY = Writes(
    delete(allocations).where(
        allocations.c.consumer == bindparam("of"),
        allocations.c.host == bindparam("at"),
        *claims.IS_STRAY,
    )
)


def read(connection: Connection, *, at_s: float) -> Ledger:
    """All of it, as it is at one moment if the connection sees one."""
    return Ledger(
        read_at_s=at_s,
        servers=SERVERS.all(connection),
        moves=MOVES.all(connection),
        claims=CLAIMS.all(connection),
        slots=SLOTS.all(connection),
        owed=OWED.all(connection),
        fenced=FENCED.all(connection),
    )


def repair(connection: Connection, found: Disagreement, *, by: str, at: str) -> bool:
    """See `Store.repair`."""
    mended = _mend(connection, found, at)
    if mended:
        repairs.keep(connection, found, by=by, at=at)
    return mended


def _mend(connection: Connection, wanted: Disagreement, at: str) -> bool:
    match wanted.action:
        case Action.FOLLOW_THE_GUEST:
            return True
        case Action.GIVE_SLOT_BACK:
            return _give_slot_back(connection, MigrationUuid(wanted.subject))
        case Action.DROP_CLAIM if wanted.host is not None:
            claims.LOCK_HOST.hold(connection, at=wanted.host)
            return bool(DROP_STRAY.run(connection, of=wanted.subject, at=wanted.host))
        case Action.PUT_CLAIM:
            return _put_claim(connection, InstanceUuid(wanted.subject), wanted.host)
        case Action.LEAVE_TASK:
            return _leave_task(connection, InstanceUuid(wanted.subject), at)
        case Action.LOCK_AGAIN:
            return _lock_again(connection, InstanceUuid(wanted.subject), at)
        case _:
            raise AssertionError(f"{wanted} is no repair of the record alone")


def _give_slot_back(connection: Connection, uuid: MigrationUuid) -> bool:
    slots.LOCK.hold(connection)
    if IS_UNDER_WAY.first(connection, key=uuid) is not None:
        return False
    had = bool(slots.MINE.all(connection, of=uuid))
    slots.give_back(connection, uuid)
    return had


def _put_claim(connection: Connection, uuid: InstanceUuid, host: HostName | None) -> bool:
    instance = servers.take(connection, uuid)
    if instance is None or instance.task_state is not None or instance.host != host:
        return False
    if instance.vm_state is VmState.MISSING:
        return False
    claims.put(connection, uuid, instance.host, claims.share_of(instance))
    return True


def _leave_task(connection: Connection, uuid: InstanceUuid, at: str) -> bool:
    return _set_task(connection, uuid, was=TaskState.MIGRATING, becomes=None, at=at)


def _lock_again(connection: Connection, uuid: InstanceUuid, at: str) -> bool:
    return _set_task(connection, uuid, was=None, becomes=TaskState.MIGRATING, at=at)


def _set_task(
    connection: Connection,
    uuid: InstanceUuid,
    *,
    was: TaskState | None,
    becomes: TaskState | None,
    at: str,
) -> bool:
    """Only if the task is what it was, and migrations agree with what it becomes."""
    instance = servers.take(connection, uuid)
    if instance is None or instance.task_state is not was:
        return False
    moves = MOVE_OF.first(connection, of=uuid) is not None
    if moves is not (becomes is TaskState.MIGRATING):
        return False
    servers.save(connection, structs.replace(instance, task_state=becomes, updated_at=at))
    return True
