"""`Queries`: the read-only door to the store, for the API, the CLI's answers and the conductor.

A read sees every write that has returned. Lists are read in a few threads, on connections that
cannot write: 300 rows take 8 ms and more, which must not hold up the event loop. A few rows by
their key are read from a file at once, on the loop: that takes 0.05 ms, the way to a thread and
back 0.1 ms (measured); from a server in the threads, too. In memory all reads run at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, or_, select

from godwit.model.audit import Alarm, Ledger, Repaired
from godwit.model.host import Host, PersonsWord, Usage
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migration import FINAL, Migration, MigrationStatus
from godwit.saga.log import Debt, Entry, Story
from godwit.store import account, alarms, ledger, moves, power, repairs, servers, slots, stories
from godwit.store.account import Account as Account
from godwit.store.interface import Decision
from godwit.store.news import Listen, News
from godwit.store.readers import Reader
from godwit.store.statements import Connection, Reads
from godwit.store.store_clock import Reading, read_clock
from godwit.store.tables import (
    allocations,
    debts,
    hosts,
    instances,
    migrations,
)
from godwit.store.tables import slots as slots_table

FEW: Final = 16
"""So many rows are read on the loop: half a millisecond."""


@dataclass(frozen=True)
class _At:
    """A part of what is in use at one host."""

    host: HostName
    vcpus: int = 0
    memory_mib: int = 0
    transfers: int = 0
    waiting: int = 0


HOSTS = Reads(select(hosts).order_by(hosts.c.name), Host)
HEARD_SINCE = Reads(select(hosts.c.name).where(hosts.c.heard_at_s >= bindparam("at_s")), HostName)
INSTANCES = select(instances).order_by(instances.c.created_at, instances.c.uuid)
EVERY_INSTANCE = Reads(INSTANCES, Instance)
INSTANCES_AT = Reads(INSTANCES.where(instances.c.host == bindparam("host")), Instance)
BY_NUMBER = Reads(select(migrations).where(migrations.c.id == bindparam("key")), Migration)
DEBTS = Reads(select(*stories.DEBT).order_by(debts.c.number), Debt)
OWING = Reads(
    select(debts.c.where)
    .join(migrations, migrations.c.uuid == debts.c.story_uuid)
    .where(migrations.c.instance_uuid == bindparam("key"))
    .distinct()
    .order_by(debts.c.where),
    HostName,
)
CLAIMED = Reads(
    select(
        allocations.c.host,
        func.sum(allocations.c.vcpus).label("vcpus"),
        func.sum(allocations.c.memory_mib).label("memory_mib"),
    ).group_by(allocations.c.host),
    _At,
)
IN_FLIGHT = Reads(
    select(
        slots_table.c.host,
        func.count().filter(slots_table.c.held).label("transfers"),
        func.count().filter(~slots_table.c.held).label("waiting"),
    ).group_by(slots_table.c.host),
    _At,
)
"""Per host, how many migrations hold a slot there, and how many wait for one."""


class Queries:
    """All that may be asked of the store without changing it. Lists are in a stable order.

    What is not known is `None` or empty, never an error. Any method raises `Unreachable`
    (store-unavailable) if the database cannot be read now.
    """

    def __init__(self, reader: Reader, *, listen: Listen | None = None) -> None:
        """Made by `SqlStore`, or by `open_queries` for a process that must not write. `listen`:
        where others write, too.
        """
        self.read = reader.read
        self.glance = reader.glance
        self.news = News(listen)
        self._reader = reader

    def close(self) -> None:
        """Read no more. Repeatable."""
        self.news.close()
        self._reader.close()

    async def time(self) -> Reading | None:
        """What the server's clock says; None: no other process writes here, ours is as good."""
        return await self.glance(read_clock)

    async def hosts(self) -> tuple[Host, ...]:
        """Every known host, by name."""
        return await self.read(HOSTS.all)

    async def host(self, name: HostName) -> Host | None:
        """One host."""
        return await self.glance(lambda c: servers.HOST.first(c, key=name))

    async def confirmed_down(self) -> Mapping[HostName, PersonsWord]:
        """The hosts that have no power, as people state."""
        return dict(await self.read(power.DOWN.all))

    async def usage(self) -> Mapping[HostName, Usage]:
        """What is claimed at each known host, and how many moves hold a slot or stand in line."""
        return {host.name: usage for host, usage in await self.hosts_in_use()}

    async def hosts_in_use(self) -> tuple[tuple[Host, Usage], ...]:
        """Every known host, by name, with what is claimed there."""
        return await self.read(_hosts_in_use)

    async def heard_since(self, at_s: float) -> frozenset[HostName]:
        """The hosts that have reported since then."""
        return frozenset(await self.read(lambda c: HEARD_SINCE.all(c, at_s=at_s)))

    async def instances(
        self, *, host: HostName | None = None, name: str | None = None
    ) -> tuple[Instance, ...]:
        """Servers, by creation; at this host and of this name, where given."""
        if host is None and name is None:
            return await self.read(EVERY_INSTANCE.all)
        query = INSTANCES
        if host is not None:
            query = query.where(instances.c.host == host)
        if name is not None:
            query = query.where(instances.c.name == name)
        return await self.read(Reads(query, Instance).all)

    async def instances_seen(
        self, host: HostName, uuids: Collection[InstanceUuid]
    ) -> tuple[Instance, ...]:
        """The servers on record at this host, and those of these uuids wherever they are."""
        if len(uuids) > FEW:
            return await self.read(lambda c: _instances_seen(c, host, uuids))
        here = await self.glance(lambda c: INSTANCES_AT.all(c, host=host))
        if {instance.uuid for instance in here}.issuperset(uuids):
            return here  # as nearly always: one statement, which sees one moment by itself
        return await self.glance(lambda c: _instances_seen(c, host, uuids), together=True)

    async def instance(self, uuid: InstanceUuid) -> Instance | None:
        """One server."""
        return await self.glance(lambda c: servers.find(c, uuid))

    async def migrations(
        self,
        *,
        instance_uuid: InstanceUuid | None = None,
        host: HostName | None = None,
        status: MigrationStatus | None = None,
        unfinished: bool = False,
        limit: int | None = None,
        marker: int | None = None,
    ) -> tuple[Migration, ...]:
        """Migrations, the newest first. `host` is at either end; `marker` is the `id` after which
        the page begins.
        """
        query: Select[Any] = select(migrations).order_by(migrations.c.id.desc())
        if instance_uuid is not None:
            query = query.where(migrations.c.instance_uuid == instance_uuid)
        if host is not None:
            query = query.where(
                or_(migrations.c.source_compute == host, migrations.c.dest_compute == host)
            )
        if status is not None:
            query = query.where(migrations.c.status == status)
        if unfinished:
            query = query.where(migrations.c.status.not_in(sorted(FINAL)))
        if marker is not None:
            query = query.where(migrations.c.id < marker)
        if limit is not None:
            query = query.limit(limit)
        return await self.read(Reads(query, Migration).all)

    async def migration(self, uuid_or_id: MigrationUuid | str | int) -> Migration | None:
        """One migration, by its uuid or by its number (also written as text)."""
        key = str(uuid_or_id)
        if not key.isdecimal():
            return await self.glance(lambda c: moves.find(c, MigrationUuid(key)))
        return await self.glance(lambda c: BY_NUMBER.first(c, key=int(key)))

    async def story(self, uuid: str) -> Story | None:
        """A migration's story as it stands."""
        return await self.glance(lambda c: stories.find(c, uuid))

    async def account(self, uuid: MigrationUuid) -> Account | None:
        """Everything about one migration."""
        return await self.glance(lambda c: account.find(c, uuid), together=True)

    async def queue(self) -> Mapping[MigrationUuid, tuple[slots.Place, ...]]:
        """Where each migration stands that waits for its turn."""
        return await self.read(slots.places)

    async def timeline(self, uuid: str, *, after_sequence: int = 0) -> tuple[Entry, ...]:
        """What happened in a story after that entry, in order."""
        return await self.glance(lambda c: stories.timeline(c, uuid, after_sequence=after_sequence))

    async def ledger(self, *, at_s: float) -> Ledger:
        """All that is recorded at one moment, for an audit; `at_s` is when it is asked for."""
        return await self.read(lambda c: ledger.read(c, at_s=at_s))

    async def repairs(self) -> tuple[Repaired, ...]:
        """What was repaired lately, the last first."""
        return await self.read(repairs.LATEST.all)

    async def alarms(self) -> tuple[Alarm, ...]:
        """Guests that run twice or nowhere, the oldest alarm first."""
        return await self.read(alarms.ALL.all)

    async def alarm(self, uuid: InstanceUuid) -> Alarm | None:
        """The alarm about one guest."""
        return await self.glance(lambda c: alarms.OF.first(c, key=uuid))

    async def debts(self) -> tuple[Debt, ...]:
        """What hosts still owe, oldest first."""
        return await self.read(DEBTS.all)

    async def owing(self, instance_uuid: InstanceUuid) -> tuple[HostName, ...]:
        """Hosts that still owe the clean-up of a migration of this server, by name."""
        return await self.glance(lambda c: OWING.all(c, key=instance_uuid))

    async def decision(self, uuid: MigrationUuid) -> Decision | None:
        """What a person last said about this migration."""
        return await self.glance(lambda c: account.DECISION.first(c, key=uuid))


def _instances_seen(
    connection: Connection, host: HostName, uuids: Collection[InstanceUuid]
) -> tuple[Instance, ...]:
    here = INSTANCES_AT.all(connection, host=host)
    elsewhere = set(uuids) - {instance.uuid for instance in here}
    found = (servers.find(connection, uuid) for uuid in sorted(elsewhere))
    return (*here, *(instance for instance in found if instance is not None))


def _hosts_in_use(connection: Connection) -> tuple[tuple[Host, Usage], ...]:
    in_flight = {each.host: each for each in IN_FLIGHT.all(connection)}
    claimed = {each.host: each for each in CLAIMED.all(connection)}
    found = []
    for host in HOSTS.all(connection):
        claim = claimed.get(host.name, _At(host.name))
        moving = in_flight.get(host.name, _At(host.name))
        usage = Usage(
            vcpus=claim.vcpus,
            memory_mib=claim.memory_mib,
            transfers=moving.transfers,
            waiting=moving.waiting,
        )
        found.append((host, usage))
    return tuple(found)
