"""A whole house in one process and in virtual time: simulated hosts, their compute managers and
reporters, an in-memory store, and a conductor that can die and be followed by another.

Everything but the hypervisors is the real thing, down to the codec between conductor and hosts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from godwit.compute.manager import ComputeManager
from godwit.compute.managers import ComputeManagers
from godwit.compute.reporter import Reporter
from godwit.conductor.disagreements import disagreements
from godwit.conductor.sweeper import Conductor
from godwit.conductor.world import World
from godwit.model.audit import Stock
from godwit.model.errors import Unreachable
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid, RequestId
from godwit.model.instance import Guest, Nic, PowerState
from godwit.model.migration import FINAL, Migration
from godwit.model.reasons import Code, reason
from godwit.model.refusals import Refusal
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import (
    AbortMigration,
    Asked,
    CheckLiveMigration,
    LiveMigrate,
    ResolveMigration,
    SetHostEnabled,
    Verdicts,
)
from godwit.rpc.local import connect
from godwit.runtime.settings import (
    MigrationSettings,
    Settings,
    SimulatedHostSettings,
)
from godwit.sim.loop import VirtualClock
from godwit.store import claims
from godwit.store.interface import Store
from godwit.store.sql import SqlStore
from godwit.virt.simulated.fleet import SimulatedFleet

A, B, C = HostName("host-a"), HostName("host-b"), HostName("host-c")
GUEST = InstanceUuid("00000000-0000-0000-0000-000000000001")
ASKED = Asked(initiator="tester", reason="to see it move", request_id=RequestId("req-1"))
STORE = "store"
REPORTED_S = 7.0
"""After so long every host has reported again."""


@dataclass
class Wire:
    """The way to one host's compute manager, or to the store, and what goes wrong on it."""

    behind: Any
    where: str
    unheard: dict[str, int] = field(default_factory=dict)
    """So many requests of this call never arrive."""
    lost: dict[str, int] = field(default_factory=dict)
    """So many answers are lost: it acts, then nobody hears of it."""
    heard: list[str] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)
    """What these calls answer, whatever is true behind."""
    first: Callable[[str], Awaitable[None]] | None = None
    """Called with the call before each act."""
    then: Callable[[str, str], Awaitable[None]] | None = None
    """Called with the wire's end and the call after each act, before it is answered."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*message: Any, **more: Any) -> Any:
            if _takes(self.unheard, name):
                raise _unanswered(self.where, name)
            act = getattr(self.behind, name)
            self.heard.append(name)
            if name in self.says:
                return self.says[name]
            if self.first is not None:
                await self.first(name)
            answer = await act(*message, **more)
            if self.then is not None:
                await self.then(self.where, name)
            if _takes(self.lost, name):
                raise _unanswered(self.where, name)
            return answer

        return call


def _takes(counted: dict[str, int], name: str) -> bool:
    left = counted.get(name, 0)
    counted[name] = max(0, left - 1)
    return left > 0


def _unanswered(where: str, name: str) -> Unreachable:
    return Unreachable(reason(Code.NO_ANSWER, who=where, call=name, timeout_s=1))


class JumpingClock(VirtualClock):
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        self.set_by_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.set_by_s


@dataclass
class House:
    """What a test sees and does."""

    fleet: SimulatedFleet
    managers: Mapping[HostName, ComputeManager]
    store: SqlStore
    settings: Settings
    wires: dict[HostName, Wire]
    shelf: Wire
    """The way of conductor and stories to the store."""
    tasks: asyncio.TaskGroup
    world: World
    clock: JumpingClock
    conductor: Conductor
    running: asyncio.Task[None]
    silent: set[HostName] = field(default_factory=set)
    """Hosts whose reports nobody hears."""
    lives: int = 1

    # --- what a person does -----------------------------------------------------------------------

    async def ask(self, guest: InstanceUuid = GUEST, **wishes: Any) -> Migration:
        """Ask for a move; returns once it is accepted."""
        ask = LiveMigrate(asked=ASKED, instance_uuid=guest, **wishes)
        return await self.conductor.manager.live_migrate_instance(ask)

    async def migrate(self, guest: InstanceUuid = GUEST, **wishes: Any) -> Migration:
        """Ask for a move and wait for its end."""
        return await self.end_of((await self.ask(guest, **wishes)).uuid)

    async def abort(self, uuid: MigrationUuid) -> Migration:
        ask = AbortMigration(asked=ASKED, migration_uuid=uuid)
        return await self.conductor.manager.abort_live_migration(ask)

    async def resolve(self, uuid: MigrationUuid, *, at: HostName | None) -> Migration:
        ask = ResolveMigration(asked=ASKED, migration_uuid=uuid, at_host=at)
        return await self.conductor.manager.resolve_live_migration(ask)

    async def disable(self, host: HostName) -> None:
        ask = SetHostEnabled(asked=ASKED, host=host, enabled=False)
        await self.conductor.manager.set_host_enabled(ask)

    async def check(self, guest: InstanceUuid = GUEST) -> Verdicts:
        """The dry run. It also reads all hosts anew."""
        ask = CheckLiveMigration(instance_uuid=guest)
        return await self.conductor.manager.check_live_migration(ask)

    # --- what a test waits for --------------------------------------------------------------------

    async def see(self, uuid: MigrationUuid) -> Migration:
        migration = await self.store.queries.migration(uuid)
        assert migration is not None
        return migration

    async def until(
        self, uuid: MigrationUuid, is_so: Callable[[Migration], bool], *, within_s: float = 900.0
    ) -> Migration:
        async with asyncio.timeout(within_s):
            migration, pause_s = await self.see(uuid), 0.1
            while not is_so(migration):
                await asyncio.sleep(pause_s)
                migration, pause_s = await self.see(uuid), min(2.0, pause_s * 1.1)
        return migration

    async def end_of(self, uuid: MigrationUuid, *, within_s: float = 900.0) -> Migration:
        return await self.until(uuid, lambda each: each.status in FINAL, within_s=within_s)

    async def all_paid(self) -> None:
        """Wait until no host owes anything."""
        async with asyncio.timeout(900):
            owed = await self.store.queries.debts()
            while owed:
                await asyncio.sleep(1)
                owed = await self.store.queries.debts()

    async def steps(self, uuid: MigrationUuid) -> list[tuple[str, str]]:
        """The timeline as (step, what)."""
        return [(e.step, e.what.value) for e in await self.store.queries.timeline(uuid)]

    # --- what happens to it -----------------------------------------------------------------------

    def kill_conductor(self) -> None:
        """As `kill -9`: nothing it held in memory is left, calls under way at the hosts go on."""
        self.running.cancel()

    async def next_conductor(self) -> None:
        """Another life of the process begins."""
        await asyncio.wait([self.running])
        self.lives += 1
        self.conductor = Conductor(self.world, owner=f"life-{self.lives}", alone=True)
        self.running = self.tasks.create_task(self.conductor.run(), name=f"life {self.lives}")

    # --- what must always hold --------------------------------------------------------------------

    async def assert_sound(self, guest: InstanceUuid = GUEST, *, again: bool = True) -> None:
        """One running guest, where the record says; nothing held or owed; it can move again."""
        await self.all_paid()
        await asyncio.sleep(REPORTED_S)
        assert self.fleet.violations() == ()
        instance = await self.store.queries.instance(guest)
        assert instance is not None
        assert instance.task_state is None
        assert self.fleet.running_at(guest) == (instance.host,)
        assert instance.power_state is PowerState.RUNNING
        holding = [host for host in self.fleet.hosts() if self.fleet.half(host, guest) is not None]
        assert holding == [instance.host]
        assert await self.store.queries.read(claims.leaks) == ()
        usage = await self.store.queries.usage()
        assert [each for each in usage.values() if each.transfers or each.waiting] == []
        await self._assert_claims_follow_the_servers(usage)
        await self._assert_an_audit_finds_nothing()
        if again:
            await self._assert_it_moves_again(guest)

    async def _assert_claims_follow_the_servers(self, usage: Any) -> None:
        claimed = dict.fromkeys(usage, 0)
        for each in await self.store.queries.instances():
            claimed[each.host] += each.memory_mib
        assert {host: each.memory_mib for host, each in usage.items()} == claimed

    async def _assert_an_audit_finds_nothing(self) -> None:
        stocks = [
            Stock(
                host=host,
                facts=await manager.driver.host_facts(),
                guests=await manager.driver.guests(),
            )
            for host, manager in self.managers.items()
            if self.fleet.is_up(host)
        ]
        now_s = self.clock.now_s()
        assert disagreements(await self.store.queries.ledger(at_s=now_s), stocks) == ()

    async def _assert_it_moves_again(self, guest: InstanceUuid) -> None:
        self.fleet.heal()
        for host in self.fleet.hosts():
            self.fleet.refuse(host)
        for wire in (*self.wires.values(), self.shelf):
            wire.lost.clear()
            wire.unheard.clear()
            wire.then = None
        await asyncio.sleep(REPORTED_S)
        moved = await self.migrate(guest)
        assert moved.status == "completed", moved.reason
        await self.assert_sound(guest, again=False)


def said_by(refusals: Iterable[Refusal]) -> dict[HostName, Code]:
    """The code of each host that refused."""
    return {host: refusal.code for refusal in refusals for host in refusal.hosts}


def host_settings(**changes: Any) -> SimulatedHostSettings:
    return SimulatedHostSettings(**({"transfer_s": 2.0} | changes))


def a_guest(number: int = 1, **changes: Any) -> Guest:
    plain: dict[str, Any] = {
        "uuid": InstanceUuid(f"00000000-0000-0000-0000-{number:012}"),
        "name": f"guest-{number}",
        "power_state": PowerState.RUNNING,
        "vcpus": 1,
        "memory_mib": 512,
        "nics": (Nic(mac=f"52:54:00:00:00:{number:02x}", network="brvm"),),
    }
    return Guest(**(plain | changes))


@asynccontextmanager
async def a_house(
    *,
    hosts: dict[HostName, SimulatedHostSettings] | None = None,
    guests: Mapping[HostName, tuple[Guest, ...]] | None = None,
    migration: MigrationSettings | None = None,
    **more: Any,
) -> AsyncIterator[House]:
    """Three hosts and one guest at the first, unless told otherwise; discovered and reporting.

    `more`: further sections of the settings, such as `groups`.
    """
    settings = Settings(
        hosts=dict(hosts or {name: host_settings() for name in (A, B, C)}),
        migration=migration or MigrationSettings(),
        **more,
    )
    fleet = SimulatedFleet(
        {n: h for n, h in settings.hosts.items() if isinstance(h, SimulatedHostSettings)}
    )
    for host, here in (guests or {A: (a_guest(),)}).items():
        for guest in here:
            fleet.add_guest(host, guest)
    clock = JumpingClock()
    store = SqlStore.in_memory(clock)
    async with asyncio.TaskGroup() as tasks:
        managers = ComputeManagers(settings, tasks=tasks, clock=clock, fleet=fleet)
        made = managers.make(settings.hosts)
        wires = {
            host: Wire(_connected(manager, tasks, host), host) for host, manager in made.items()
        }
        shelf = Wire(store, STORE)
        world = World(
            store=cast("Store", shelf),
            queries=store.queries,
            computes=cast("dict[HostName, ComputeRpc]", wires),
            clock=clock,
            settings=settings,
        )
        conductor = Conductor(world, owner="life-1", alone=True)
        house = House(
            fleet=fleet,
            managers=made,
            store=store,
            settings=settings,
            wires=wires,
            shelf=shelf,
            tasks=tasks,
            world=world,
            clock=clock,
            conductor=conductor,
            running=tasks.create_task(conductor.run(), name="life 1"),
        )
        await store.ensure_hosts(tuple(settings.hosts))
        reporting = [
            tasks.create_task(_report_for_ever(house, made[host]), name=f"reports of {host}")
            for host in settings.hosts
        ]
        await asyncio.sleep(1)
        yield house
        house.running.cancel()
        for task in reporting:
            task.cancel()
        managers.close()
    store.close()


def _connected(manager: ComputeRpc, tasks: asyncio.TaskGroup, host: HostName) -> ComputeRpc:
    return connect(ComputeRpc, manager, tasks=tasks, who=host)


async def _report_for_ever(house: House, manager: Any) -> None:
    """A host reports to whichever conductor lives."""
    while True:
        reporter = Reporter(manager, house.conductor.manager, interval_s=5.0)
        if manager.host not in house.silent:
            await reporter.report()
        await asyncio.sleep(5.0)
