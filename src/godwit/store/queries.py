"""`Queries`: the read-only door to the store, for the API, the CLI's answers and the conductor.

A read sees every write that has returned. On a file, lists are read in two threads, on connections
that cannot write: 300 rows take 8 ms and more, which must not hold up the event loop. A few rows by
their key are read at once, on the loop: that takes 0.05 ms, the way to a thread and back 0.1 ms
(measured). In memory all reads run at once.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, Engine, bindparam, exc, func, or_, select

from godwit.model.host import Host, Usage
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migration import FINAL, Migration, MigrationStatus
from godwit.saga.log import Debt, Entry, Story
from godwit.store import database, moves, servers, slots, stories
from godwit.store.interface import Decision
from godwit.store.news import News
from godwit.store.tables import allocations, debts, decisions, hosts, instances, migrations
from godwit.store.writer import translated, unavailable

T = TypeVar("T")

READERS_MAX: Final = 2
READ_TIMEOUT_S: Final = 10.0


HOST = select(hosts).where(hosts.c.name == bindparam("key"))
HOSTS = select(hosts).order_by(hosts.c.name)
HEARD_SINCE = select(hosts.c.name).where(hosts.c.heard_at_s >= bindparam("at_s"))
SEEN = (
    select(instances)
    .where(
        or_(
            instances.c.host == bindparam("host"),
            instances.c.uuid.in_(bindparam("uuids", expanding=True)),
        )
    )
    .order_by(instances.c.created_at, instances.c.uuid)
)
BY_NUMBER = select(migrations).where(migrations.c.id == bindparam("key"))
DECISION = select(decisions.c.at_host, decisions.c.why, decisions.c.at).where(
    decisions.c.migration_uuid == bindparam("key")
)
OWING = (
    select(debts.c.where)
    .join(migrations, migrations.c.uuid == debts.c.story_uuid)
    .where(migrations.c.instance_uuid == bindparam("key"))
    .distinct()
    .order_by(debts.c.where)
)
CLAIMED = select(
    allocations.c.host, func.sum(allocations.c.vcpus), func.sum(allocations.c.memory_mib)
).group_by(allocations.c.host)


class Reader(Protocol):
    """Whoever runs a reading function on a connection."""

    async def read(self, look: Callable[[Connection], T]) -> T:
        """What `look` returns. Raises `Unreachable` (store-unavailable) if the database fails."""
        ...

    async def glance(self, look: Callable[[Connection], T]) -> T:
        """As `read`, for a few rows found by their key."""
        ...

    def close(self) -> None:
        """Stop. Repeatable."""
        ...


class Queries:
    """All that may be asked of the store without changing it. Lists are in a stable order.

    What is not known is `None` or empty, never an error. Any method raises `Unreachable`
    (store-unavailable) if the database cannot be read now.
    """

    def __init__(self, reader: Reader) -> None:
        """Made by `SqlStore`, or by `open_queries` for a process that must not write."""
        self.read = reader.read
        self.glance = reader.glance
        self.news = News()
        self.close = reader.close

    async def hosts(self) -> tuple[Host, ...]:
        """Every known host, by name."""
        return await self.read(lambda c: tuple(Host(**row._mapping) for row in c.execute(HOSTS)))

    async def host(self, name: HostName) -> Host | None:
        """One host."""
        row = await self.glance(lambda c: c.execute(HOST, {"key": name}).first())
        return None if row is None else Host(**row._mapping)

    async def usage(self) -> Mapping[HostName, Usage]:
        """What is claimed at each known host; `transfers` counts those that run or wait there."""
        return {host.name: usage for host, usage in await self.hosts_in_use()}

    async def hosts_in_use(self) -> tuple[tuple[Host, Usage], ...]:
        """Every known host, by name, with what is claimed there."""
        return await self.read(_hosts_in_use)

    async def heard_since(self, at_s: float) -> frozenset[HostName]:
        """The hosts that have reported since then."""
        rows = await self.read(lambda c: c.execute(HEARD_SINCE, {"at_s": at_s}).scalars().all())
        return frozenset(map(HostName, rows))

    async def instances(
        self, *, host: HostName | None = None, name: str | None = None
    ) -> tuple[Instance, ...]:
        """Servers, by creation; at this host and of this name, where given."""
        query = select(instances)
        if host is not None:
            query = query.where(instances.c.host == host)
        if name is not None:
            query = query.where(instances.c.name == name)
        query = query.order_by(instances.c.created_at, instances.c.uuid)
        return await self.read(
            lambda c: tuple(Instance(**row._mapping) for row in c.execute(query))
        )

    async def instances_seen(
        self, host: HostName, uuids: Collection[InstanceUuid]
    ) -> tuple[Instance, ...]:
        """The servers on record at this host, and those of these uuids wherever they are."""
        keys = {"host": host, "uuids": tuple(uuids)}
        return await self.read(
            lambda c: tuple(Instance(**row._mapping) for row in c.execute(SEEN, keys))
        )

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
        query = select(migrations).order_by(migrations.c.id.desc())
        if instance_uuid is not None:
            query = query.where(migrations.c.instance_uuid == instance_uuid)
        if host is not None:
            query = query.where(
                or_(migrations.c.source_compute == host, migrations.c.dest_compute == host)
            )
        if status is not None:
            query = query.where(migrations.c.status == status)
        if unfinished:
            query = query.where(migrations.c.status.in_(set(MigrationStatus) - FINAL))
        if marker is not None:
            query = query.where(migrations.c.id < marker)
        if limit is not None:
            query = query.limit(limit)
        return await self.read(
            lambda c: tuple(Migration(**row._mapping) for row in c.execute(query))
        )

    async def migration(self, uuid_or_id: MigrationUuid | str | int) -> Migration | None:
        """One migration, by its uuid or by its number (also written as text)."""
        key = str(uuid_or_id)
        if not key.isdecimal():
            return await self.glance(lambda c: moves.find(c, MigrationUuid(key)))
        row = await self.glance(lambda c: c.execute(BY_NUMBER, {"key": int(key)}).first())
        return None if row is None else Migration(**row._mapping)

    async def story(self, uuid: str) -> Story | None:
        """A migration's story as it stands."""
        return await self.glance(lambda c: stories.find(c, uuid))

    async def timeline(self, uuid: str, *, after_sequence: int = 0) -> tuple[Entry, ...]:
        """What happened in a story after that entry, in order."""
        return await self.glance(lambda c: stories.timeline(c, uuid, after_sequence=after_sequence))

    async def debts(self) -> tuple[Debt, ...]:
        """What hosts still owe, oldest first."""
        query = select(*stories.DEBT).order_by(debts.c.number)
        return await self.read(lambda c: tuple(Debt(**row._mapping) for row in c.execute(query)))

    async def owing(self, instance_uuid: InstanceUuid) -> tuple[HostName, ...]:
        """Hosts that still owe the clean-up of a migration of this server, by name."""
        rows = await self.glance(lambda c: c.execute(OWING, {"key": instance_uuid}).scalars().all())
        return tuple(map(HostName, rows))

    async def decision(self, uuid: MigrationUuid) -> Decision | None:
        """What a person last said about this migration."""
        row = await self.glance(lambda c: c.execute(DECISION, {"key": uuid}).first())
        return None if row is None else Decision(**row._mapping)


class ReaderThreads:
    """Reads of a file, in a few threads."""

    def __init__(self, path: Path) -> None:
        """The file must exist."""
        self._path = str(path)
        self._engine = database.open_reader(path, connections_max=READERS_MAX)
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="store-reader")
        self._glances = database.open_at_hand(path)
        self._at_hand: Connection | None = None

    async def read(self, look: Callable[[Connection], T]) -> T:
        """See `Reader`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await loop.run_in_executor(self._threads, _look, self._engine, look)
        except TimeoutError as error:
            raise unavailable(self._path, f"no answer in {READ_TIMEOUT_S:.0f} s") from error
        except exc.SQLAlchemyError as error:
            raise translated(error, self._path) from error

    async def glance(self, look: Callable[[Connection], T]) -> T:
        """See `Reader`."""
        try:
            if self._at_hand is None:
                self._at_hand = self._glances.connect()
            return look(self._at_hand)
        except exc.SQLAlchemyError:
            return await self.read(look)  # locked at this moment: not on the loop is it waited for

    def close(self) -> None:
        """See `Reader`."""
        if self._at_hand is not None:
            self._at_hand.close()
        self._glances.dispose()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()


class InlineReader:
    """Reads of a database in memory, at once."""

    def __init__(self, engine: Engine) -> None:
        """The engine that also writes."""
        self._engine = engine

    async def read(self, look: Callable[[Connection], T]) -> T:
        """See `Reader`."""
        return _look(self._engine, look)

    glance = read

    def close(self) -> None:
        """See `Reader`."""


def _look(engine: Engine, look: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        return look(connection)


def _hosts_in_use(connection: Connection) -> tuple[tuple[Host, Usage], ...]:
    in_flight = slots.in_flight(connection)
    claimed = {host: claim for host, *claim in connection.execute(CLAIMED)}
    found = []
    for row in connection.execute(HOSTS):
        host = Host(**row._mapping)
        vcpus, memory_mib = claimed.get(host.name, (0, 0))
        transfers = in_flight.get(host.name, 0)
        found.append((host, Usage(vcpus=vcpus, memory_mib=memory_mib, transfers=transfers)))
    return tuple(found)
