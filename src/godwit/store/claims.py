"""What servers and migrations hold at hosts: memory and vCPUs. Called by `sql` in transactions.

The destination's share belongs to the server, the source's to the migration while it is under way,
so at most one claim per consumer and host, and every claim's owner is known.
"""

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from godwit.model.host import Usage
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migration import FINAL
from godwit.model.reasons import Code, Reason, reason
from godwit.store.interface import Needs
from godwit.store.statements import Connection, Locks, Reads, Writes
from godwit.store.tables import allocations, hosts, instances, migrations

_of = allocations.c.consumer == bindparam("of")
_at = allocations.c.host == bindparam("at")
LOCK_HOST = Locks(select(hosts.c.name).where(hosts.c.name == bindparam("at")))
HELD_BY = Reads(select(allocations.c.host).where(_of), HostName)
HAS = Reads(select(allocations.c.host).where(_of, _at), HostName)
PUT = Writes(insert(allocations), "consumer", "host", "vcpus", "memory_mib")
DROP = Writes(delete(allocations).where(_of))
DROP_AT = Writes(delete(allocations).where(_of, _at))
DROP_ELSEWHERE = Writes(delete(allocations).where(_of, allocations.c.host != bindparam("at")))
HAND_OVER = Writes(update(allocations).where(_of, _at), "consumer")
USED = Reads(
    select(
        func.coalesce(func.sum(allocations.c.vcpus), 0).label("vcpus"),
        func.coalesce(func.sum(allocations.c.memory_mib), 0).label("memory_mib"),
    ).where(_at),
    Usage,
)

UNDER_WAY = and_(*(migrations.c.status != each for each in sorted(FINAL)))
_its_server = (
    select(migrations.c.instance_uuid).where(migrations.c.uuid == bindparam("of")).scalar_subquery()
)
_its_home = select(instances.c.host).where(instances.c.uuid == _its_server).scalar_subquery()
_its_source = (
    select(migrations.c.source_compute)
    .where(migrations.c.uuid == bindparam("of"))
    .scalar_subquery()
)
_mine = allocations.alias("mine")
HOLD_SOURCE = Writes(
    update(allocations)
    .where(
        allocations.c.consumer
        == select(migrations.c.instance_uuid)
        .where(migrations.c.uuid == bindparam("of"), UNDER_WAY)
        .scalar_subquery(),
        allocations.c.host == _its_source,
        ~select(_mine.c.host)
        .where(_mine.c.consumer == bindparam("of"), _mine.c.host == _its_source)
        .exists(),
    )
    .values(consumer=bindparam("of"))
)
_there = allocations.alias("there")
PUT_AT_HOME = Writes(
    insert(allocations).from_select(
        ["consumer", "host", "vcpus", "memory_mib"],
        select(instances.c.uuid, instances.c.host, instances.c.vcpus, instances.c.memory_mib).where(
            instances.c.uuid == _its_server,
            ~select(_there.c.host)
            .where(_there.c.consumer == instances.c.uuid, _there.c.host == instances.c.host)
            .exists(),
        ),
    )
)
DROP_ALL_ELSE = Writes(
    delete(allocations).where(
        (allocations.c.consumer == _its_server) & (allocations.c.host != _its_home) | _of
    )
)

_at_home = (allocations.c.consumer == instances.c.uuid) & (allocations.c.host == instances.c.host)
_arriving = (allocations.c.consumer == migrations.c.instance_uuid) & (
    allocations.c.host != migrations.c.source_compute
)
_leaving = (allocations.c.consumer == migrations.c.uuid) & (
    allocations.c.host == migrations.c.source_compute
)
IS_STRAY = (
    ~select(instances.c.uuid).where(_at_home).exists(),
    ~select(migrations.c.uuid).where(UNDER_WAY, _arriving | _leaving).exists(),
)
STRAY = Reads(
    select(allocations.c.consumer, allocations.c.host).where(*IS_STRAY),
    "{consumer} has a claim at {host} that nobody knows of".format,
)


@dataclass(frozen=True)
class Share:
    """What one consumer takes at one host."""

    vcpus: int
    memory_mib: int


def share_of(instance: Instance) -> Share:
    """What a server takes where it is."""
    return Share(instance.vcpus, instance.memory_mib)


def claim(
    connection: Connection, server: InstanceUuid, host: HostName, needs: Needs
) -> Reason | None:
    """Take what is needed at `host` for a server that has no claim there, or say why it does not
    fit.
    """
    LOCK_HOST.hold(connection, at=host)
    refusal = _does_not_fit(connection, host, needs)
    if refusal is None:
        PUT.run(
            connection, consumer=server, host=host, vcpus=needs.vcpus, memory_mib=needs.memory_mib
        )
    return refusal


def put(
    connection: Connection, consumer: InstanceUuid | MigrationUuid, host: HostName, share: Share
) -> None:
    """Write a claim without asking whether it fits; one that is there is replaced."""
    drop(connection, consumer, host)
    PUT.run(
        connection, consumer=consumer, host=host, vcpus=share.vcpus, memory_mib=share.memory_mib
    )


def drop(
    connection: Connection, consumer: InstanceUuid | MigrationUuid, host: HostName | None = None
) -> None:
    """Drop the consumer's claim at `host`, or all it has."""
    if host is None:
        DROP.run(connection, of=consumer)
    else:
        DROP_AT.run(connection, of=consumer, at=host)


def held_by(connection: Connection, consumer: InstanceUuid) -> frozenset[HostName]:
    """The hosts at which the consumer has a claim."""
    return frozenset(HELD_BY.all(connection, of=consumer))


def drop_elsewhere(connection: Connection, consumer: InstanceUuid, host: HostName) -> None:
    """Drop the consumer's claims at every host but this one."""
    DROP_ELSEWHERE.run(connection, of=consumer, at=host)


def hand_over(
    connection: Connection,
    host: HostName,
    *,
    giver: InstanceUuid | MigrationUuid,
    taker: InstanceUuid | MigrationUuid,
) -> bool:
    """The giver's claim at `host` becomes the taker's. False if there was none."""
    if not has(connection, giver, host):
        return False
    drop(connection, taker, host)
    HAND_OVER.run(connection, of=giver, at=host, consumer=taker)
    return True


def hold_source(connection: Connection, migration: MigrationUuid) -> bool:
    """The server's claim where the migration takes it away becomes the migration's. False if there
    is none, or the migration has one, or is over.
    """
    return HOLD_SOURCE.run(connection, of=migration) > 0


def has(connection: Connection, consumer: InstanceUuid | MigrationUuid, host: HostName) -> bool:
    """Has the consumer a claim there?"""
    return HAS.first(connection, of=consumer, at=host) is not None


def only_at_home(connection: Connection, migration: MigrationUuid) -> None:
    """The server of the migration has its claim where it is, nowhere else, and the migration has
    none.
    """
    PUT_AT_HOME.run(connection, of=migration)
    DROP_ALL_ELSE.run(connection, of=migration)


def used(connection: Connection, host: HostName) -> Usage:
    """What is claimed at one host."""
    return USED.first(connection, at=host) or Usage()


def leaks(connection: Connection) -> tuple[str, ...]:
    """Claims that nobody can account for, one sentence each. Empty, always: tests ask.

    A claim belongs to a server on that host, to a server on its way to that host, or to a migration
    on its way from that host.
    """
    return STRAY.all(connection)


def _does_not_fit(connection: Connection, host: HostName, needs: Needs) -> Reason | None:
    there = used(connection, host)
    free_mib = needs.memory_max_mib - there.memory_mib
    if needs.memory_mib > free_mib:
        return reason(
            Code.NOT_ENOUGH_MEMORY, host=host, free_mib=free_mib, needed_mib=needs.memory_mib
        )
    free = needs.vcpus_max - there.vcpus
    if needs.vcpus > free:
        return reason(Code.NOT_ENOUGH_VCPUS, host=host, free=free, needed=needs.vcpus)
    if needs.group_members_barred and _barred(connection, host, needs.group_members_barred):
        return reason(Code.ANTI_AFFINITY_VIOLATED, host=host, group=needs.group)
    return None


def _barred(connection: Connection, host: HostName, members: tuple[InstanceUuid, ...]) -> bool:
    """Is one of the members on the host, or on its way to it (it has a claim there)?"""
    there = select(instances.c.uuid).where(instances.c.uuid.in_(members), instances.c.host == host)
    coming = select(allocations.c.consumer).where(
        allocations.c.consumer.in_(members), allocations.c.host == host
    )
    return Reads(there.union(coming), str).first(connection) is not None
