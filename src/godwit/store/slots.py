"""Transfer slots: so many migrations may run out of, and so many into, a host. Called by `sql`.

First come, first served at each host: a migration passes an earlier one only if they share no host.
Slots are granted here, in the transaction that frees them, so the order in which waiting stories
wake up does not matter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from sqlalchemy import (
    Boolean,
    Integer,
    String,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from godwit.model.ids import HostName, MigrationUuid
from godwit.store import stories
from godwit.store.statements import Connection, Locks, Reads, Writes
from godwit.store.tables import slots


@dataclass(frozen=True)
class Slot:
    """One migration's need at one host."""

    migration_uuid: str
    host: HostName
    outgoing: bool
    slots_max: int
    held: bool = False

    @property
    def way(self) -> tuple[HostName, bool]:
        """What is counted: into or out of which host."""
        return self.host, self.outgoing


@dataclass(frozen=True)
class Taken:
    """How many slots are held at one host, in one direction."""

    host: HostName
    outgoing: bool
    count: int


@dataclass(frozen=True)
class Place:
    """Where a migration stands in the line at one host."""

    host: HostName
    outgoing: bool
    place: int
    """1 is the first."""
    waiting: int
    """How many stand in that line, for a way out or a way in."""


_of = slots.c.migration_uuid == bindparam("of")
_slot = tuple(slots.c[name] for name in Slot.__dataclass_fields__)

LOCK = Locks(text("SELECT pg_advisory_xact_lock(hashtext('godwit slots'))"))
"""The line is one for all hosts. First of all locks, for whoever has it may wake other stories. Not
the table's own lock: while that is taken all the time, PostgreSQL never clears the table up.
"""
MINE = Reads(select(*_slot).where(_of), Slot)
DROP = Writes(delete(slots).where(_of))
HOLD = Writes(update(slots).where(_of).values(held=True))
WAITING = Reads(select(*_slot).where(~slots.c.held).order_by(slots.c.place, slots.c.host), Slot)
_line = (
    select(
        slots.c.migration_uuid,
        slots.c.host,
        slots.c.outgoing,
        func.row_number().over(partition_by=slots.c.host, order_by=slots.c.place).label("place"),
        func.count().over(partition_by=slots.c.host).label("waiting"),
    )
    .where(~slots.c.held)
    .subquery()
)
_place = tuple(_line.c[name] for name in Place.__dataclass_fields__)
PLACES = Reads(
    select(_line.c.migration_uuid, *_place).order_by(~_line.c.outgoing, _line.c.host),
    lambda migration_uuid, **place: (migration_uuid, Place(**place)),
)
PLACES_OF = Reads(
    select(*_place).where(_line.c.migration_uuid == bindparam("of")).order_by(~_line.c.outgoing),
    Place,
)
HELD = Reads(
    select(slots.c.host, slots.c.outgoing, func.count().label("count"))
    .where(slots.c.held)
    .group_by(slots.c.host, slots.c.outgoing),
    Taken,
)


def take(
    connection: Connection, uuid: MigrationUuid, source: HostName, slots_max: Mapping[HostName, int]
) -> bool:
    """Get in line, at the end unless the migration is in it already. True if its slots are held."""
    mine = MINE.all(connection, of=uuid)
    if {slot.host for slot in mine} != set(slots_max):
        if mine:
            DROP.run(connection, of=uuid)
        _get_in_line(connection, uuid, source, slots_max)
    elif all(slot.held for slot in mine):
        return True
    return uuid in grant(connection, but=uuid)


def give_back(connection: Connection, migration_uuid: str) -> tuple[str, ...]:
    """Leave the line, or what was held; whoever comes first gets it and is woken."""
    return grant(connection) if DROP.run(connection, of=migration_uuid) else ()


def grant(connection: Connection, *, but: str = "") -> tuple[str, ...]:
    """Give free slots to those who wait, first first, and return who they are. All are woken `but`
    one, which asks at this moment.
    """
    waiting = WAITING.all(connection)
    if not waiting:
        return ()
    held = {(taken.host, taken.outgoing): taken.count for taken in HELD.all(connection)}
    granted = tuple(first_come_first_served(held, waiting))
    for uuid in granted:
        HOLD.run(connection, of=uuid)
        if uuid != but:
            stories.wake(connection, uuid)
    return granted


def first_come_first_served(
    held: Mapping[tuple[HostName, bool], int], waiting: Sequence[Slot]
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


def places(connection: Connection) -> Mapping[MigrationUuid, tuple[Place, ...]]:
    """Where each that waits stands, at the host that it leaves first."""
    found: defaultdict[MigrationUuid, tuple[Place, ...]] = defaultdict(tuple)
    for uuid, place in PLACES.all(connection):
        found[uuid] += (place,)
    return dict(found)


def places_of(connection: Connection, uuid: MigrationUuid) -> tuple[Place, ...]:
    """Where this one stands; nothing if it does not wait."""
    return PLACES_OF.all(connection, of=uuid)


def _get_in_line(
    connection: Connection, uuid: MigrationUuid, source: HostName, slots_max: Mapping[HostName, int]
) -> None:
    needs: dict[str, object] = {}
    for nth, (host, maximum) in enumerate(sorted(slots_max.items())):
        needs |= {f"host_{nth}": host, f"out_{nth}": host == source, f"max_{nth}": maximum}
    getting_in_line(len(slots_max)).run(connection, of=uuid, **needs)


@cache
def getting_in_line(hosts: int) -> Writes:
    """Puts a migration at the end of the line, with its needs at so many hosts."""
    last = select(func.coalesce(func.max(slots.c.place), 0))
    rows = [
        {
            "migration_uuid": bindparam("of", type_=String),
            "host": bindparam(f"host_{nth}", type_=String),
            "outgoing": bindparam(f"out_{nth}", type_=Boolean),
            "slots_max": bindparam(f"max_{nth}", type_=Integer),
            "held": False,
            "place": last.scalar_subquery() + 1,
        }
        for nth in range(hosts)
    ]
    return Writes(insert(slots).values(rows))
