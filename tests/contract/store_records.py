"""Records to fill a store with, and the two stores that every store test is held against."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from godwit.model.finding import InstanceChange, InstanceChangeKind
from godwit.model.host import HostFacts, HostReport
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Guest, Instance, PowerState, TaskState, VmState
from godwit.model.migration import Migration
from godwit.model.reasons import Code, reason
from godwit.runtime.clock import SystemClock
from godwit.saga.log import Story
from godwit.sim.loop import VirtualClock, run
from godwit.store import claims
from godwit.store.interface import Fence, Needs
from godwit.store.postgres import Server
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection

A: Final = HostName("host-a")
B: Final = HostName("host-b")
C: Final = HostName("host-c")
D: Final = HostName("host-d")
HOSTS: Final = (A, B, C, D)
WHY: Final = reason(Code.CANCELLED_BY_REQUEST, initiator="me")
NEEDS: Final = Needs(vcpus=1, memory_mib=512, vcpus_max=8, memory_max_mib=2048)

Tale = Callable[[SqlStore], Awaitable[None]]
Tell = Callable[[Tale], None]


def told_in_memory(tale: Tale) -> None:
    """Run a test's tale against a store in memory, in virtual time."""

    async def main() -> None:
        store = SqlStore.in_memory(VirtualClock())
        try:
            await tale(store)
            assert await store.queries.read(leaks) == ()
        finally:
            store.close()

    run(main())


def told_in_a_file(tale: Tale, path: Path) -> None:
    """Run a test's tale against a store in a file, with its threads."""

    async def main() -> None:
        store = SqlStore.open(path, SystemClock())
        try:
            await tale(store)
            assert await store.queries.read(leaks) == ()
        finally:
            store.close()

    asyncio.run(main())


def told_on_a_server(tale: Tale, server: Server) -> None:
    """Run a test's tale against a store on a PostgreSQL server, with its threads."""

    async def main() -> None:
        store = SqlStore.connect(server, SystemClock())
        try:
            await tale(store)
            assert await store.queries.read(leaks) == ()
        finally:
            store.close()

    asyncio.run(main())


async def along(store: SqlStore, fence: Fence, write: object) -> None:
    """What a story writes along with its next record."""
    unheard_of = Story(uuid=fence.migration_uuid, saga="s", step="a", facts=b"{}")
    story = await store.story_of(fence.migration_uuid) or unheard_of
    await store.record(replace(story, generation=fence.generation), along=write)


def leaks(connection: Connection) -> tuple[str, ...]:
    """Claims that nobody can account for: none, ever."""
    return claims.leaks(connection)


def guest(number: int, **changes: object) -> Guest:
    """A guest as a host reports it."""
    fields: dict[str, object] = {
        "uuid": InstanceUuid(f"guest-{number}"),
        "name": f"name-{number}",
        "power_state": PowerState.RUNNING,
        "vcpus": 1,
        "memory_mib": 512,
    }
    return Guest(**{**fields, **changes})  # type: ignore[arg-type]


def instance(number: int, host: HostName = A, **changes: object) -> Instance:
    """A server as Godwit creates it."""
    fields: dict[str, object] = {
        "uuid": InstanceUuid(f"guest-{number}"),
        "name": f"name-{number}",
        "host": host,
        "node": f"node of {host}",
        "vm_state": VmState.BUILDING,
        "power_state": PowerState.NOSTATE,
        "task_state": TaskState.SPAWNING,
        "vcpus": 1,
        "memory_mib": 512,
        "discovered": False,
    }
    return Instance(**{**fields, **changes})  # type: ignore[arg-type]


def facts(host: HostName) -> HostFacts:
    """What a host says of itself."""
    return HostFacts(
        name=host,
        node=f"node of {host}",
        hypervisor_type="QEMU",
        hypervisor_version=7002022,
        vcpus=4,
        memory_mib=8192,
    )


def report(host: HostName, **changes: object) -> HostReport:
    """A report of a host that answers."""
    fields: dict[str, object] = {"host": host, "facts": facts(host)}
    return HostReport(**{**fields, **changes})  # type: ignore[arg-type]


def change(kind: InstanceChangeKind, number: int, host: HostName, **seen: object) -> InstanceChange:
    """A finding of discovery; `VANISHED` comes without a guest."""
    there = None if kind is InstanceChangeKind.VANISHED else guest(number, **seen)
    return InstanceChange(
        kind=kind, uuid=InstanceUuid(f"guest-{number}"), host=host, node="seen", guest=there
    )


def migration(number: int, source: HostName = A, key: str = "") -> Migration:
    """A request to move guest `number`; `key` tells several of one guest apart."""
    return Migration(
        uuid=MigrationUuid(f"move-{number}{key}"),
        instance_uuid=InstanceUuid(f"guest-{number}"),
        source_compute=source,
        source_node=f"node of {source}",
    )


def story_of(move: Migration) -> Story:
    """The story that goes with it."""
    return Story(uuid=move.uuid, saga="live-migration", step="first", facts=b"{}")


async def with_guests(store: SqlStore, *numbers: int, host: HostName = A) -> None:
    """Hosts, and discovered guests on one of them."""
    await store.ensure_hosts(HOSTS)
    found = tuple(change(InstanceChangeKind.APPEARED, number, host) for number in numbers)
    await store.record_report(report(host), found, now_s=1.0)


async def accepted(store: SqlStore, number: int, source: HostName = A, key: str = "") -> Fence:
    """A migration whose story is held: its fence."""
    move = migration(number, source, key)
    await store.accept_migration(move, story_of(move))
    return await held(store, move.uuid)


async def held(store: SqlStore, uuid: MigrationUuid, owner: str = "me") -> Fence:
    """Take (over) the story's lease."""
    story = await store.claim(uuid, owner=owner, until_s=250.0, now_s=0.0, alone=True)
    assert story is not None
    return Fence(uuid, story.generation)


async def allocated(store: SqlStore, host: HostName) -> tuple[int, int]:
    """vCPUs and MiB claimed at a host."""
    usage = (await store.queries.usage())[host]
    return usage.vcpus, usage.memory_mib
