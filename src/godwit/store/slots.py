"""Transfer slots: so many migrations may run out of, and so many into, a host. Called by `sql`.

First come, first served at each host: a migration passes an earlier one only if they share no host.
Slots are granted here, in the transaction that frees them, so the order in which waiting stories
wake up does not matter.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from godwit.model.ids import HostName
from godwit.model.migration import Migration
from godwit.store import stories
from godwit.store.tables import slots

OF = slots.c.migration_uuid == bindparam("of")
MINE = select(slots.c.host, slots.c.held).where(OF)
DROP = delete(slots).where(OF)
HOLD = update(slots).where(OF).values(held=True)
LAST_PLACE = select(func.coalesce(func.max(slots.c.place), 0))
WAITING = (
    select(slots.c.migration_uuid, slots.c.host, slots.c.outgoing, slots.c.slots_max)
    .where(~slots.c.held)
    .order_by(slots.c.place, slots.c.host)
)
IN_FLIGHT = select(slots.c.host, func.count()).group_by(slots.c.host)
HELD = (
    select(slots.c.host, slots.c.outgoing, func.count())
    .where(slots.c.held)
    .group_by(slots.c.host, slots.c.outgoing)
)


@dataclass(frozen=True)
class Slot:
    """One migration's need at one host."""

    migration_uuid: str
    host: HostName
    outgoing: bool
    slots_max: int

    @property
    def way(self) -> tuple[HostName, bool]:
        """What is counted: into or out of which host."""
        return self.host, self.outgoing


def take(connection: Connection, migration: Migration, slots_max: Mapping[HostName, int]) -> bool:
    """Get in line, at the end unless the migration is in it already. True if its slots are held."""
    rows = connection.execute(MINE, {"of": migration.uuid}).all()
    if {row.host for row in rows} != set(slots_max):
        if rows:
            connection.execute(DROP, {"of": migration.uuid})
        _get_in_line(connection, migration, slots_max)
    elif all(row.held for row in rows):
        return True
    return migration.uuid in grant(connection)


def give_back(connection: Connection, migration_uuid: str) -> tuple[str, ...]:
    """Leave the line, or what was held; whoever comes first gets it and is woken."""
    freed = connection.execute(DROP, {"of": migration_uuid}).rowcount
    return grant(connection) if freed else ()


def grant(connection: Connection) -> tuple[str, ...]:
    """Give free slots to those who wait, first first; wake them, and return who they are."""
    waiting = [Slot(**row._mapping) for row in connection.execute(WAITING)]
    if not waiting:
        return ()
    held = {(host, outgoing): count for host, outgoing, count in connection.execute(HELD)}
    granted = tuple(first_come_first_served(held, waiting))
    for uuid in granted:
        connection.execute(HOLD, {"of": uuid})
        stories.wake(connection, uuid)
    return granted


def first_come_first_served(
    held: Mapping[tuple[HostName, bool], int], waiting: list[Slot]
) -> Iterator[str]:
    """Who of the waiting (in their order) gets all its slots now. A pure decision.

    `held` counts by host and direction.
    """
    taken = Counter(held)
    barred: set[HostName] = set()
    for uuid, group in groupby(waiting, key=lambda slot: slot.migration_uuid):
        wanted = list(group)
        if all(slot.host not in barred and taken[slot.way] < slot.slots_max for slot in wanted):
            taken.update(slot.way for slot in wanted)
            yield uuid
        else:
            barred |= {slot.host for slot in wanted}


def in_flight(connection: Connection) -> dict[HostName, int]:
    """Per host, how many migrations hold a slot there or wait for one."""
    return {host: count for host, count in connection.execute(IN_FLIGHT)}  # noqa: C416 - typed rows


def _get_in_line(
    connection: Connection, migration: Migration, slots_max: Mapping[HostName, int]
) -> None:
    last = connection.execute(LAST_PLACE).scalar_one()
    rows = [
        {
            "migration_uuid": migration.uuid,
            "host": host,
            "outgoing": host == migration.source_compute,
            "slots_max": maximum,
            "held": False,
            "place": last + 1,
        }
        for host, maximum in sorted(slots_max.items())
    ]
    connection.execute(insert(slots), rows)
