"""A small cluster in one event loop, seen through its seams: two conductors, a store, an agent on
each host. Any process may die, stand still or be cut off; the fault that awaits a call strikes it.

What hosts are made of is the `Ground`: simulated hypervisors in virtual time, or the lab's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from tests.faults.seams import Crossing, Door, Point, Seam, watched
from tests.faults.strikes import Strike, store_unavailable
from tests.faults.table import Tale

from godwit.compute.fence import Fence, FenceKeeper
from godwit.compute.manager import ComputeManager
from godwit.compute.reporter import Reporter
from godwit.compute.transfers import Transfers
from godwit.conductor.sweeper import Conductor
from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.conductor.world import World
from godwit.model.errors import Conflict
from godwit.model.host import HostReport
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid, RequestId
from godwit.model.instance import PowerState
from godwit.model.migration import FINAL, Migration
from godwit.rpc.answering import no_answer
from godwit.rpc.compute import ComputeRpc, Nothing
from godwit.rpc.conductor import AbortMigration, Asked, LiveMigrate
from godwit.rpc.contract import calls_of
from godwit.rpc.local import connect
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.saga.log import Direction
from godwit.sim.journal import Journal
from godwit.sim.process import Process
from godwit.store import claims
from godwit.store.interface import Store
from godwit.store.queries import Queries
from godwit.store.sql import SqlStore
from godwit.virt.driver import ComputeDriver

ASKED: Final = Asked(initiator="tester", reason="to break it", request_id=RequestId("req-1"))
STORE: Final = "store"
CONDUCTORS: Final = ("conductor-1", "conductor-2")
AGENT_BACK_S: Final = 5.0
CONDUCTOR_BACK_S: Final = 30.0
ENDED_WITHIN_S: Final = 900.0


class Ground(Protocol):
    """The hosts and the guest to be moved."""

    settings: Settings
    guest: InstanceUuid
    patience_max_s: float
    """Nobody waits for a lost answer longer than this."""

    def driver(self, host: HostName) -> ComputeDriver:
        """The driver of this host's agent."""
        ...

    def transfers(self, stage: Stage, host: HostName) -> Transfers:
        """What outlives this host's agents."""
        ...

    def keeper(self, host: HostName) -> FenceKeeper:
        """What this host's fence remembers, whoever lives."""
        ...

    async def prepare(self, stage: Stage, tale: Tale) -> None:
        """Let the next move go like this."""
        ...

    async def end_tale(self) -> None:
        """Whoever refuses takes guests again."""
        ...

    async def problems(self, at: HostName) -> list[str]:
        """What speaks against: the guest is well at this host, and nothing of it is elsewhere."""
        ...


@dataclass
class Seat:
    """The place of a conductor, and who sits there now."""

    process: Process
    conductor: Conductor


@dataclass
class Agent:
    """One life of a host's compute manager."""

    process: Process
    answers: ComputeRpc


class Stage:
    """What a test sees and does."""

    def __init__(self, ground: Ground, *, tasks: asyncio.TaskGroup, clock: Clock) -> None:
        self.ground = ground
        self.settings = settings = ground.settings
        self.journal = Journal()
        self._lives = 0
        self._tasks = tasks
        self.tasks = self._process("what outlives every process")
        self.store = SqlStore.in_memory(clock)
        self.strike: Strike | None = None
        self.seen: dict[Point, None] = {}
        """Every call that a story has made so far."""
        self.complaints: list[str] = []
        self.unheard_renewals: set[str] = set()
        """Of these conductors."""
        self.bus_is_out_until_s = 0.0
        self.store_is_out_until_s = 0.0
        self._clock = clock
        self._still: dict[str, float] = {}
        """Until when these conductors stand still."""
        self._transfers = {host: ground.transfers(self, host) for host in settings.hosts}
        self._keepers = {host: ground.keeper(host) for host in settings.hosts}
        self.agents: dict[HostName, Agent] = {}
        self.seats: dict[str, Seat] = {}

    async def begin(self) -> None:
        """Everybody lives, and every host is known."""
        await self.store.ensure_hosts(tuple(self.settings.hosts))
        self._begin_everywhere()

        async def is_known() -> bool:
            return await self.store.queries.instance(self.ground.guest) is not None

        await self.until(is_known)

    def end(self) -> None:
        """Everybody dies."""
        agents = [agent.process for agent in self.agents.values()]
        for process in (*agents, *(seat.process for seat in self.seats.values()), self.tasks):
            process.kill()

    # --- what a person does -----------------------------------------------------------------------

    async def ask(self) -> MigrationUuid:
        """Ask for a move; returns once it is accepted."""
        ask = LiveMigrate(asked=ASKED, instance_uuid=self.ground.guest)
        return (await self.a_conductor().manager.live_migrate_instance(ask)).uuid

    async def abort(self, uuid: str) -> None:
        """Ask for it to be cancelled; it may be too late for that."""
        ask = AbortMigration(asked=ASKED, migration_uuid=MigrationUuid(uuid))
        try:
            await self.a_conductor().manager.abort_live_migration(ask)
        except Conflict as conflict:
            self.journal.note(f"too late to abort: {conflict.reason.code}")

    async def end_of(self, uuid: MigrationUuid) -> Migration:
        """The migration once it is over."""

        async def is_over() -> bool:
            story = await self.store.queries.story(uuid)
            return story is not None and story.direction is Direction.ENDED

        await self.until(is_over)
        ended = await self.store.queries.migration(uuid)
        assert ended is not None
        assert ended.status in FINAL
        return ended

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait for that."""
        pause_s = 0.1
        async with asyncio.timeout(ENDED_WITHIN_S):
            while not await is_so():
                await asyncio.sleep(pause_s)
                pause_s = min(1.0, pause_s * 1.2)

    # --- what happens to it -----------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """A conductor dies, and is started again much later."""
        process.kill()
        self.tasks.create_task(self._later(CONDUCTOR_BACK_S), name="next life")

    def kill_agent(self, host: HostName) -> None:
        """An agent dies, and is started again soon."""
        self.agents[host].process.kill()
        self.tasks.create_task(self._later(AGENT_BACK_S), name="next life")

    def stand_still(self, process: Process, for_s: float) -> None:
        """A conductor stands still; nobody asks anything of it meanwhile."""
        self._still[process.name] = asyncio.get_running_loop().time() + for_s
        process.stand_still(for_s)

    async def _later(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._begin_everywhere()

    async def mend(self) -> None:
        """From now on nothing goes wrong: everybody lives, and is heard."""
        strike, self.strike = self.strike, None
        if strike is not None:
            await self.until(strike.is_over)
        self.unheard_renewals.clear()
        self.bus_is_out_until_s = self.store_is_out_until_s = 0.0
        await self.ground.end_tale()
        self._begin_everywhere()
        mended_at_s = self._clock.now_s()

        async def all_are_heard() -> bool:
            heard = await self.store.queries.heard_since(mended_at_s)
            return heard >= set(self.settings.hosts)

        await self.until(all_are_heard)

    # --- what must hold afterwards ----------------------------------------------------------------

    async def assert_sound(self) -> None:
        """THE checker: one running guest, where the record says; nothing held, owed or left over.
        And it can be moved again at once, with the same to be said afterwards.
        """
        assert self.complaints == []
        await self._assert_nothing_left()
        again = await self.end_of(await self.ask())
        assert again.status == "completed", (again.reason, self.story())
        await self._assert_nothing_left()

    async def _assert_nothing_left(self) -> None:
        queries = self.store.queries

        async def all_is_paid() -> bool:
            return not await queries.debts()

        await self.until(all_is_paid)
        instance = await queries.instance(self.ground.guest)
        assert instance is not None
        assert (instance.task_state, instance.power_state) == (None, PowerState.RUNNING)
        assert await self.ground.problems(instance.host) == [], self.story()
        assert await queries.read(claims.leaks) == ()
        await self._assert_claims_follow_the_servers()
        for migration in await queries.migrations():
            story = await queries.story(migration.uuid)
            assert story is not None
            assert story.owner == "", "a lease outlives its story"
            for host, transfers in self._transfers.items():
                assert not await transfers.is_alive(migration.uuid), host

    async def _assert_claims_follow_the_servers(self) -> None:
        usage = await self.store.queries.usage()
        assert [each for each in usage.values() if each.transfers or each.waiting] == []
        claimed = dict.fromkeys(usage, 0)
        for each in await self.store.queries.instances():
            claimed[each.host] += each.memory_mib
        assert {host: each.memory_mib for host, each in usage.items()} == claimed

    def story(self) -> str:
        """The last that happened, for the message of a failed assertion."""
        return "\n".join(self.journal.lines)

    # --- the seams --------------------------------------------------------------------------------

    async def crossed(self, at: Crossing) -> Any:
        """Let a call through, unless a fault awaits it."""
        if at.process is not None:
            await at.process.passing()
        if at.point is not None:
            self.seen[at.point] = None
            self.journal.note(f"{at.process.name if at.process else 'transfer'} {at.point}")
        strike = self.strike
        if strike is not None:
            await strike.before(at)
        self._refuse_if_out(at)
        answer = await at.act()
        if strike is not None:
            await strike.behind(at)
        if at.process is not None:
            await at.process.passing()
        return answer

    def _refuse_if_out(self, at: Crossing) -> None:
        unheard = at.call == "renew" and at.process and at.process.name in self.unheard_renewals
        if at.place == STORE and (unheard or self.store_is_out()):
            raise store_unavailable(at.call)

    async def sent(self, host: HostName, call: str, message: Any) -> Any:
        """Over the bus, to whoever answers for this host. Nobody does: that is said at once."""
        promise = calls_of(ComputeRpc)[call]
        if self.bus_is_out():
            await asyncio.sleep(promise.remote.timeout_s)
            raise no_answer(promise, host)
        agent = self.agents[host]
        if not agent.process.alive:
            raise no_answer(promise, host)
        answer = await getattr(agent.answers, call)(message)
        if self.bus_is_out():
            await asyncio.sleep(promise.remote.timeout_s)
            raise no_answer(promise, host)
        return answer

    def bus_is_out(self) -> bool:
        """Does it carry nothing now?"""
        return asyncio.get_running_loop().time() < self.bus_is_out_until_s

    def store_is_out(self) -> bool:
        """Does it refuse everything now?"""
        return asyncio.get_running_loop().time() < self.store_is_out_until_s

    # --- who lives --------------------------------------------------------------------------------

    def _process(self, name: str) -> Process:
        self._lives += 1
        return Process(f"{name}/{self._lives}", name, tasks=self._tasks, journal=self.journal)

    def _begin_everywhere(self) -> None:
        """Whoever does not live begins a new life."""
        for name in CONDUCTORS:
            if name not in self.seats or not self.seats[name].process.alive:
                self._begin_conductor(name)
        for host in self.settings.hosts:
            if host not in self.agents or not self.agents[host].process.alive:
                self._begin_agent(host)

    def _begin_conductor(self, name: str) -> None:
        process = self._process(name)

        def door(behind: Any, seam: Seam, place: str) -> Any:
            return Door(behind, seam, place, self.crossed, process)

        world = World(
            store=cast("Store", door(self.store, Seam.STORE, STORE)),
            queries=cast("Queries", door(self.store.queries, Seam.READS, STORE)),
            computes={h: door(Address(self, h), Seam.RPC, h) for h in self.settings.hosts},
            clock=self._clock,
            settings=self.settings,
        )
        conductor = Conductor(world, owner=process.name, alone=False, saga=watched(LIVE_MIGRATION))
        self.seats[name] = Seat(process, conductor)
        process.create_task(conductor.run(), name=process.name)

    def _begin_agent(self, host: HostName) -> None:
        process = self._process(f"agent of {host}")
        driver = Door(
            self.ground.driver(host), Seam.DRIVER, host, self.crossed, process, plain=("changes",)
        )
        manager = ComputeManager(
            host,
            driver=cast("ComputeDriver", driver),
            transfers=self._transfers[host],
            fence=Fence(self._keepers[host]),
        )
        answerer: ComputeRpc = manager
        tasks = cast("asyncio.TaskGroup", process)  # as far as `connect` needs one
        self.agents[host] = Agent(process, connect(ComputeRpc, answerer, tasks=tasks, who=host))
        interval_s = self.settings.hosts_defaults.report_interval_s
        reporter = Reporter(manager, Ear(self), interval_s=interval_s)
        process.create_task(reporter.run(), name=f"reports of {host}")

    def a_conductor(self) -> Conductor:
        """Any that answers."""
        now_s = asyncio.get_running_loop().time()
        return next(
            seat.conductor
            for seat in self.seats.values()
            if seat.process.alive and self._still.get(seat.process.name, 0.0) <= now_s
        )


@dataclass
class Address:
    """Whoever answers for one host, over the bus."""

    stage: Stage
    host: HostName

    def __getattr__(self, name: str) -> Any:
        async def call(message: Any) -> Any:
            return await self.stage.sent(self.host, name, message)

        return call


@dataclass
class Ear:
    """Any conductor that lives, as hosts reach it."""

    stage: Stage

    async def report_host(self, ask: HostReport) -> Nothing:
        """See `ComputeTaskApi`."""
        if self.stage.bus_is_out():
            raise store_unavailable("report_host")
        return await self.stage.a_conductor().manager.report_host(ask)


@asynccontextmanager
async def a_stage(ground: Ground, clock: Clock) -> AsyncIterator[Stage]:
    """Everybody lives; at the end nobody does."""
    async with asyncio.TaskGroup() as tasks:
        stage = Stage(ground, tasks=tasks, clock=clock)
        await stage.begin()
        yield stage
        stage.end()
    stage.store.close()
