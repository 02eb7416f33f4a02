"""Transfer slots: so many migrations may run out of, and so many into, a host. Called by `sql`.

First come, first served at each host: a migration passes an earlier one only if they share no host.
Slots are granted here, in the transaction that frees them, so the order in which waiting stories
wake up does not matter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, delete, func, insert, select, update

from godwit.model.ids import HostName
from godwit.model.migration import Migration
from godwit.store import stories
from godwit.store.tables import slots


@dataclass(frozen=True)
class Slot:
    """One migration's need at one host."""

    migration_uuid: str
    host: HostName
    outgoing: bool
    slots_max: int


def take(connection: Connection, migration: Migration, slots_max: Mapping[HostName, int]) -> bool:
    """Get in line, at the end unless the migration is in it already. True if its slots are held."""
    mine = slots.c.migration_uuid == migration.uuid
    rows = connection.execute(select(slots.c.host, slots.c.held).where(mine)).all()
    if {row.host for row in rows} != set(slots_max):
        connection.execute(delete(slots).where(mine))
        _get_in_line(connection, migration, slots_max)
    elif all(row.held for row in rows):
        return True
    grant(connection)
    return connection.execute(select(slots.c.held).where(mine)).scalars().first() or False


def give_back(connection: Connection, migration_uuid: str) -> tuple[str, ...]:
    """Leave the line, or what was held; whoever comes first gets it and is woken."""
    connection.execute(delete(slots).where(slots.c.migration_uuid == migration_uuid))
    return grant(connection)


def grant(connection: Connection) -> tuple[str, ...]:
    """Give free slots to those who wait, first first; wake them, and return who they are."""
    held, waiting = _slots(connection, held=True), _slots(connection, held=False)
    granted = tuple(first_come_first_served(held, waiting))
    for uuid in granted:
        connection.execute(update(slots).where(slots.c.migration_uuid == uuid).values(held=True))
        stories.wake(connection, uuid)
    return granted


def first_come_first_served(held: list[Slot], waiting: list[Slot]) -> Iterator[str]:
    """Who of the waiting (in their order) gets all its slots now. A pure decision."""
    taken = [*held]
    barred: set[HostName] = set()
    for uuid, group in groupby(waiting, key=lambda slot: slot.migration_uuid):
        wanted = list(group)
        if all(slot.host not in barred and _is_free(slot, taken) for slot in wanted):
            taken += wanted
            yield uuid
        else:
            barred |= {slot.host for slot in wanted}


def in_flight(connection: Connection) -> dict[HostName, int]:
    """Per host, how many migrations hold a slot there or wait for one."""
    query = select(slots.c.host, func.count()).group_by(slots.c.host)
    return {host: count for host, count in connection.execute(query)}  # noqa: C416 - typed rows


def _get_in_line(
    connection: Connection, migration: Migration, slots_max: Mapping[HostName, int]
) -> None:
    last = connection.execute(select(func.coalesce(func.max(slots.c.place), 0))).scalar_one()
    for host, maximum in sorted(slots_max.items()):
        connection.execute(
            insert(slots).values(
                migration_uuid=migration.uuid,
                host=host,
                outgoing=host == migration.source_compute,
                slots_max=maximum,
                held=False,
                place=last + 1,
            )
        )


def _slots(connection: Connection, *, held: bool) -> list[Slot]:
    """All that are held, or waited for, in the order of the line."""
    columns = (slots.c.migration_uuid, slots.c.host, slots.c.outgoing, slots.c.slots_max)
    query = select(*columns).where(slots.c.held == held).order_by(slots.c.place, slots.c.host)
    return [Slot(**row._mapping) for row in connection.execute(query)]


def _is_free(wanted: Slot, taken: list[Slot]) -> bool:
    same = [slot for slot in taken if (slot.host, slot.outgoing) == (wanted.host, wanted.outgoing)]
    return len(same) < wanted.slots_max
