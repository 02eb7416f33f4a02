"""A conductor and a store in memory, for tests of the API and of the CLI, and a client without
sockets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Table, bindparam, func, select
from starlette.applications import Starlette

from godwit.api.app import make_app
from godwit.model.audit import Audit
from godwit.model.errors import NotFound
from godwit.model.host import Host, HostFacts, HostReport, PersonsWord
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Disk, Instance, Nic, PowerState, TaskState, VmState
from godwit.model.migration import Migration
from godwit.model.reasons import Code, Reason, reason
from godwit.model.steering import Force, ForceKind
from godwit.model.whereis import HostShows, Place, Shows, Whereis, holders
from godwit.rpc.compute import Destroyed, Nothing
from godwit.rpc.conductor import (
    AbortMigration,
    AskAudit,
    CheckLiveMigration,
    ConfirmPower,
    CreateServer,
    FindServer,
    ForceComplete,
    Forced,
    ForServer,
    LiveMigrate,
    ResolveMigration,
    SetHostEnabled,
    SteerMigration,
    Verdicts,
)
from godwit.runtime.settings_file import parse_settings
from godwit.saga.log import Debt, Entry, Story, What
from godwit.sim.loop import START_S, VirtualClock, run
from godwit.store.database import open_in_memory
from godwit.store.queries import Queries
from godwit.store.readers import InlineReader
from godwit.store.statements import Connection, Reads, Writes, transaction
from godwit.store.tables import (
    debts,
    decisions,
    hosts,
    instances,
    metadata,
    migrations,
    slots,
    stories,
    story_entries,
)

HOST_A, HOST_B, HOST_C = HostName("host-a"), HostName("host-b"), HostName("host-c")
GUEST = InstanceUuid("11111111-1111-4111-8111-111111111111")
MOVE = MigrationUuid("77777777-7777-4777-8777-777777777777")
AT = "2026-01-02T03:04:05.000006"

SETTINGS = parse_settings("""
    [hosts]
    host-a = { driver = "simulated" }
    host-b = { driver = "simulated" }
    host-c = { driver = "simulated" }
    [flavors.small]
    memory_mib = 512
    disk_mib = 1500
    [images.tick]
    path = "/images/tick.qcow2"
""")


def a_host(name: HostName = HOST_A, **changes: Any) -> Host:
    """A host that reported just now."""
    facts = HostFacts(
        name=name,
        node=f"{name}.example",
        hypervisor_type="QEMU",
        hypervisor_version=7002022,
        vcpus=8,
        memory_mib=16384,
        networks=("brvm",),
        migration_address="10.0.2.1",
    )
    return replace(Host(name=name, facts=facts, heard_at_s=START_S), **changes)


def a_server(**changes: Any) -> Instance:
    """A discovered, running server on host-a."""
    server = Instance(
        uuid=GUEST,
        name="guest-1",
        host=HOST_A,
        node="host-a.example",
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        vcpus=2,
        memory_mib=1024,
        disks=(Disk(device="vda", path="/d/1.qcow2", format="qcow2", size_bytes=2**30),),
        nics=(Nic(mac="52:54:00:00:00:01", network="brvm"),),
        created_at=AT,
        updated_at=AT,
    )
    return replace(server, **changes)


def a_migration(**changes: Any) -> Migration:
    """Migration 12 of guest-1, just accepted."""
    migration = Migration(
        uuid=MOVE,
        id=12,
        instance_uuid=GUEST,
        source_compute=HOST_A,
        source_node="host-a.example",
        initiator="local:ana",
        created_at=AT,
        updated_at=AT,
    )
    return replace(migration, **changes)


def a_story(**changes: Any) -> Story:
    """The story of `MOVE`, at its first step."""
    return replace(
        Story(uuid=MOVE, saga="live-migration", step="check_instance", facts=b"{}"), **changes
    )


@cache
def _the_database() -> Connection:
    """One for all houses: to make its tables is most of a test's time."""
    return open_in_memory()


@cache
def _keeping(table: Table, key: str, fields: tuple[str, ...]) -> tuple[Writes, Writes]:
    """Statements that replace, or else add, a row."""
    change = table.update().where(table.c[key] == bindparam("this"))
    return Writes(change, *fields), Writes(table.insert(), *fields)


class FakeHouse:
    """A conductor that keeps what it was asked, beside a real store in memory."""

    def __init__(self) -> None:
        """Three hosts, and guest-1 on host-a. Whatever an earlier house held is gone."""
        self.database = _the_database()
        with transaction(self.database) as connection:
            for table in reversed(metadata.sorted_tables):
                Writes(table.delete()).run(connection)
        self.queries = Queries(InlineReader(self.database))
        self.verdicts = Verdicts()
        self.asked: list[Any] = []
        self.settings = SETTINGS
        self.trouble: Exception | None = None
        self.place = Place.AS_RECORDED
        self.sightings: tuple[HostShows, ...] = (HostShows(host=HOST_A, shows=Shows.RUNS),)
        self.found = Audit(servers=1, hosts=3, looked_at=AT)
        self.left: tuple[str, ...] = ()
        """Raised by every change that is asked for."""
        for name in (HOST_B, HOST_A, HOST_C):
            self.put(a_host(name))
        self.put(a_server())

    def put(self, record: Host | Instance | Migration | Story) -> None:
        """Keep the record, in place of the one before."""
        table, key = _TABLES[type(record)]
        fields = tuple(field for field in record.__struct_fields__ if field in table.c)
        row = {field: getattr(record, field) for field in fields}
        if table is stories:
            row["woken"] = False
        change, add = _keeping(table, key, tuple(row))
        with transaction(self.database) as connection:
            if not change.run(connection, this=row[key], **row):
                add.run(connection, **row)

    def tell(self, *entries: Entry) -> None:
        """Lines of the timeline of `MOVE`, numbered from where it stands."""
        known = Reads(select(stories.c.uuid), str).first(self.database) is not None
        begin = Reads(select(func.count()).select_from(story_entries), int).first(self.database)
        if not known:
            self.put(a_story())
        with transaction(self.database) as connection:
            for sequence, entry in enumerate(entries, (begin or 0) + 1):
                line = replace(entry, sequence=sequence, at=entry.at or AT)
                row = {field: getattr(line, field) for field in line.__struct_fields__}
                Writes(story_entries.insert().values(story_uuid=MOVE, **row)).run(connection)

    def change(self, **changes: Any) -> None:
        """The record of `MOVE` as it is from now on."""
        with transaction(self.database) as connection:
            Writes(migrations.update().values(**changes)).run(connection)

    def owe(self, debt: Debt) -> None:
        """A host owes something to `MOVE`."""
        self.put(a_story())
        row = {field: getattr(debt, field) for field in debt.__struct_fields__}
        with transaction(self.database) as connection:
            Writes(debts.insert().values(**row)).run(connection)

    def wait(self, *lines: tuple[MigrationUuid, HostName, int]) -> None:
        """From now on these alone stand in line, each at its place for a way out of the host."""
        with transaction(self.database) as connection:
            Writes(slots.delete()).run(connection)
            for uuid, host, place in lines:
                row = {"migration_uuid": uuid, "host": host, "place": place, "outgoing": True}
                Writes(slots.insert().values(**row, slots_max=1, held=False)).run(connection)

    def decide(self, at_host: HostName | None, why: Reason) -> None:
        """A person has spoken about `MOVE`."""
        with transaction(self.database) as connection:
            row = {"migration_uuid": MOVE, "at_host": at_host, "why": why, "at": AT}
            Writes(decisions.insert().values(**row)).run(connection)

    async def server(self, uuid: InstanceUuid) -> Instance:
        """That server, which is there."""
        found = await self.queries.instance(uuid)
        if found is None:
            raise AssertionError(f"no server {uuid}")
        return found

    async def move(self, uuid: MigrationUuid) -> Migration:
        """That migration, which is there."""
        found = await self.queries.migration(uuid)
        if found is None:
            raise AssertionError(f"no migration {uuid}")
        return found

    # --- changing ---

    def _ask(self, ask: Any) -> None:
        self.asked.append(ask)
        if self.trouble is not None:
            raise self.trouble

    async def live_migrate_instance(self, ask: LiveMigrate) -> Migration:
        self._ask(ask)
        move = a_migration(
            instance_uuid=ask.instance_uuid,
            requested_host=ask.host,
            initiator=ask.asked.initiator,
            initiator_reason=ask.asked.reason,
            block_migration=ask.block_migration,
        )
        server = await self.server(ask.instance_uuid)
        self.put(replace(server, task_state=TaskState.MIGRATING))
        self.put(move)
        return move

    async def check_live_migration(self, ask: CheckLiveMigration) -> Verdicts:
        self._ask(ask)
        return self.verdicts

    async def rehearse_live_migration(self, ask: CheckLiveMigration) -> Verdicts:
        self._ask(ask)
        willing = [replace(each, rehearsed=True) for each in self.verdicts.willing]
        return replace(self.verdicts, willing=tuple(willing))

    async def whereis(self, ask: FindServer) -> Whereis:
        self._ask(ask)
        server = await self.server(ask.instance_uuid)
        return Whereis(
            server_uuid=server.uuid,
            server=server.name,
            recorded_host=server.host,
            task_state=server.task_state,
            place=self.place,
            at_hosts=tuple(each.host for each in holders(self.sightings)),
            sightings=self.sightings,
            looked_at=AT,
        )

    async def audit(self, ask: AskAudit) -> Audit:
        self._ask(ask)
        return self.found

    async def abort_live_migration(self, ask: AbortMigration) -> Migration:
        self._ask(ask)
        return await self.move(ask.migration_uuid)

    async def steer_live_migration(self, ask: SteerMigration) -> Migration:
        self._ask(ask)
        return await self.move(ask.migration_uuid)

    async def force_complete_live_migration(self, ask: ForceComplete) -> Forced:
        self._ask(ask)
        return Forced(force=Force(kind=ForceKind.PAUSE, pause_ms=1600), expected_pause_ms=800)

    async def resolve_live_migration(self, ask: ResolveMigration) -> Migration:
        self._ask(ask)
        return await self.move(ask.migration_uuid)

    async def set_host_enabled(self, ask: SetHostEnabled) -> Nothing:
        self._ask(ask)
        host = await self.queries.host(ask.host)
        if host is None:
            raise NotFound(reason(Code.HOST_UNKNOWN, name=ask.host))
        why = "" if ask.enabled else ask.asked.reason
        self.put(replace(host, disabled=not ask.enabled, disabled_reason=why))
        return Nothing()

    async def confirm_power(self, ask: ConfirmPower) -> Host:
        self._ask(ask)
        host = await self.queries.host(ask.host)
        if host is None:
            raise NotFound(reason(Code.HOST_UNKNOWN, name=ask.host))
        word = PersonsWord(by=ask.asked.initiator, at=AT, why=ask.asked.reason)
        down, up = (word, None) if ask.is_down else (None, word)
        self.put(replace(host, confirmed_down=down, confirmed_up=up))
        return replace(host, confirmed_down=down, confirmed_up=up)

    async def create_server(self, ask: CreateServer) -> Instance:
        self._ask(ask)
        return a_server(name=ask.name, flavor=ask.flavor, image=ask.image, discovered=False)

    async def delete_server(self, ask: ForServer) -> Destroyed:
        self._ask(ask)
        return Destroyed(left=self.left)

    async def forget_server(self, ask: ForServer) -> Nothing:
        self._ask(ask)
        return Nothing()

    async def report_host(self, ask: HostReport) -> Nothing:
        raise AssertionError("hosts do not report through the API")

    def app(self) -> Starlette:
        """The application in front of this house."""
        return make_app(self, self.queries, self.settings, VirtualClock())


_TABLES: dict[type, tuple[Table, str]] = {
    Host: (hosts, "name"),
    Instance: (instances, "uuid"),
    Migration: (migrations, "uuid"),
    Story: (stories, "uuid"),
}


@dataclass(frozen=True)
class Said:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON it carries."""
        return json.loads(self.raw)


async def ask(
    app: Starlette,
    method: str,
    target: str,
    *,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Said:
    """One request, without a socket. `body`: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = target.partition("?")
    given = {"host": "localhost:8774", **(headers or {})}
    if body is not None:
        given.setdefault("content-type", "application/json")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8774),
        "state": {},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        # A defect is answered first, then handed on to the server's log. Without an answer: fail.
        if not sent:
            raise
    headers_out = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Said(sent[0]["status"], headers_out, b"".join(m.get("body", b"") for m in sent[1:]))


def line(step: str, what: What, words: str = "") -> Entry:
    """One line of a timeline."""
    return Entry(step=step, what=what, words=words)


def asked(
    house: FakeHouse,
    method: str,
    target: str,
    *,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Said:
    """`ask` in a loop of its own."""
    return run(ask(house.app(), method, target, body=body, headers=headers))
