"""One simulated host: its hypervisor, the disk that survives its agent, and the agent's lives.

The compute manager, its fence and its transfers are the real ones. A transfer goes on when the
agent dies, as its process would; both end when the host loses its power.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from godwit.compute.fence import Deed, Fence
from godwit.compute.fence_keepers import MemoryFenceKeeper
from godwit.compute.manager import ComputeManager
from godwit.compute.managers import simulated_transfer_driver
from godwit.compute.reporter import Reporter
from godwit.model.ids import HostName, InstanceUuid
from godwit.rpc.address import CONDUCTORS, agent_of
from godwit.rpc.compute import Act, ComputeRpc, StartTransfer
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.exchange import Exchange
from godwit.runtime.settings import Settings
from godwit.sim.bus import Bus
from godwit.sim.journal import Acting, Changed, Journal
from godwit.sim.loop import OwnClock
from godwit.sim.process import Process
from godwit.sim.senders import MortalTransfers
from godwit.sim.shelf import Moment, Ordeal
from godwit.store.queries import Queries
from godwit.virt.driver import ComputeDriver, TransferDriver
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.half import Half, HalfState

CALL_S: Final = 0.05
"""A call to a hypervisor takes at most so long, unless it hangs."""


class WatchedFleet(SimulatedFleet):
    """The hypervisors, with every change told."""

    def __init__(self, hosts: Any, journal: Journal) -> None:
        super().__init__(hosts)
        self._journal = journal

    def put(self, host: HostName, half: Half) -> None:
        """See `SimulatedFleet`."""
        before = self.half(host, half.guest.uuid)
        super().put(host, half)
        if before is None or (before.state, before.job) != (half.state, half.job):
            self._journal.say(Changed(host, half.guest.uuid, before, half))

    def remove(self, host: HostName, uuid: InstanceUuid) -> None:
        """See `SimulatedFleet`."""
        before = self.half(host, uuid)
        super().remove(host, uuid)
        if before is not None:
            self._journal.say(Changed(host, uuid, before, None))


@dataclass
class Site:
    """What all hosts of a run share."""

    settings: Settings
    fleet: WatchedFleet
    journal: Journal
    tasks: asyncio.TaskGroup
    chance: random.Random
    queries: Queries
    """To see, at each act, where the guest is on record."""


class Agent:
    """One life of a host's compute manager."""

    def __init__(self, machine: "Machine", name: str, bus: Bus):
        site = machine.site
        self.ordeal: Ordeal | None = None
        self.process = Process(name, machine.host, tasks=site.tasks, journal=site.journal)
        driver = _SlowDriver(SimulatedDriver(site.fleet, machine.host), self, site.chance)
        self.manager = ComputeManager(
            machine.host,
            driver=cast("ComputeDriver", driver),
            transfers=machine.transfers,
            fence=_WatchedFence(machine, self),
        )
        exchange = bus.exchange(self.process, machine.clock)
        reporter = Reporter(
            self.manager,
            exchange.reach(ComputeTaskApi, CONDUCTORS),
            interval_s=site.settings.hosts_defaults.report_interval_s,
        )
        self.process.create_task(self._live(exchange, reporter), name=f"reports of {machine.host}")

    async def _live(self, exchange: Exchange, reporter: Reporter) -> None:
        await exchange.open()
        answerer: ComputeRpc = self.manager
        await exchange.answer(ComputeRpc, answerer, agent_of(self.manager.host))
        await reporter.run()

    async def perhaps_die(self, moment: Moment) -> None:
        """If this is the deed and the moment at which it dies."""
        ordeal = self.ordeal
        if ordeal is not None and ordeal.after == 0 and ordeal.moment is moment:
            self.process.kill()
            await self.process.passing()


class Machine:
    """A host."""

    def __init__(self, host: HostName, site: Site, bus: Bus) -> None:
        self.host = host
        self.site = site
        self.clock = OwnClock()
        self._bus = bus
        self._lives = 0
        self._senders = Process(f"{host} transfers", host, tasks=site.tasks, journal=site.journal)
        self._sent: list[StartTransfer] = []
        self.keeper = MemoryFenceKeeper()
        self.transfers = MortalTransfers(
            host,
            power=self._senders,
            clock=self.clock,
            make_driver=self._driver,
            stall_timeout_s=site.settings.migration.stall_timeout_s,
        )
        self.agent: Agent | None = None

    def start_agent(self) -> None:
        """A new life of the agent, unless one lives or the host has no power."""
        if not self.has_agent and self.site.fleet.is_up(self.host):
            self._lives += 1
            name = f"agent-{self.host}-{self._lives}"
            self.agent = Agent(self, name, self._bus)
            self.site.journal.note(f"{name} begins")

    def kill_agent(self) -> None:
        """It dies; what it has started goes on."""
        if self.agent is not None:
            self.agent.process.kill()

    @property
    def has_agent(self) -> bool:
        """Does anybody answer for this host?"""
        return self.agent is not None and self.agent.process.alive

    def power_off(self) -> None:
        """Everything here ends at once, and what was arriving elsewhere from here goes with it."""
        fleet = self.site.fleet
        self.site.journal.note(f"{self.host} loses its power")
        self.kill_agent()
        self._senders.kill()
        fleet.power_off(self.host)
        for sent in self._sent:
            there, uuid = sent.destination.name, sent.instance.uuid
            half = fleet.half(there, uuid)
            if half is not None and half.state is HalfState.RECEIVING:
                fleet.remove(there, uuid)

    def power_on(self) -> None:
        """The power is back; guests stay off, and the agent begins a new life."""
        if not self.site.fleet.is_up(self.host):
            self.site.journal.note(f"{self.host} has power again")
            self.site.fleet.power_on(self.host)
            self._senders.begin_again()
        self.start_agent()

    def end(self) -> None:
        """Nothing goes on here."""
        self.kill_agent()
        self._senders.kill()

    def _driver(self, ask: StartTransfer) -> TransferDriver:
        self._sent.append(ask)
        driver = simulated_transfer_driver(self.site.fleet, self.host, ask)
        driver.leave_jobs_to(self._senders)
        return driver


class _WatchedFence(Fence):
    """The host's fence: whatever passes it is told, and the agent may die around it."""

    def __init__(self, machine: Machine, agent: Agent) -> None:
        super().__init__(machine.keeper)
        self._machine = machine
        self._agent = agent

    @asynccontextmanager
    async def acting(self, act: Act, deed: Deed) -> AsyncIterator[bool]:
        """See `Fence`."""
        if self._agent.ordeal is not None:
            self._agent.ordeal.strikes()
        await self._agent.perhaps_die(Moment.BEFORE)
        async with super().acting(act, deed) as is_wanted:
            if is_wanted:
                await self._tell(act, deed)
            yield is_wanted
        await self._agent.perhaps_die(Moment.AFTER)

    async def _tell(self, act: Act, deed: Deed) -> None:
        site = self._machine.site
        migration = await site.queries.migration(act.migration_uuid)
        instance = await site.queries.instance(migration.instance_uuid) if migration else None
        if instance is not None:
            uuid, generation, host = act.migration_uuid, act.generation, self._machine.host
            site.journal.say(Acting(host, uuid, generation, deed, instance.uuid, instance.host))


class _SlowDriver:
    """The host's driver: every call takes a moment, and the agent may die in the middle of one."""

    def __init__(self, driver: SimulatedDriver, agent: Agent, chance: random.Random) -> None:
        self.changes = driver.changes
        self._driver = driver
        self._agent = agent
        self._chance = chance

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        act = getattr(self._driver, name)

        async def call(*message: Any, **more: Any) -> Any:
            await self._agent.process.passing()
            await asyncio.sleep(self._chance.uniform(0, CALL_S))
            result = await act(*message, **more)
            await self._agent.perhaps_die(Moment.DURING)
            return result

        return call
