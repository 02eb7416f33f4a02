"""The whole system of one run: conductors, hosts, store and network in one event loop, and what
strikes them. Everything but the hypervisors, the wires and the processes is the real thing.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final, cast

from godwit.conductor.sweeper import Conductor
from godwit.conductor.world import World as ConductorsWorld
from godwit.model.errors import Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest, Nic, PowerState
from godwit.rpc.address import CONDUCTORS, agent_of
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import calls_of
from godwit.rpc.exchange import Exchange
from godwit.runtime.settings import HostsSettings, Settings, SimulatedHostSettings
from godwit.sim.bus import Bus
from godwit.sim.checkers import Checkers
from godwit.sim.faults import Plan, Resident
from godwit.sim.journal import Journal
from godwit.sim.loop import OwnClock, VirtualClock
from godwit.sim.machine import Machine, Site, WatchedFleet
from godwit.sim.process import Process
from godwit.sim.shelf import Shelf, Trouble, Window
from godwit.store.interface import Store
from godwit.store.queries import Queries
from godwit.store.sql import SqlStore
from godwit.store.store_clock import StoreClock

BEGUN_AGAIN_S: Final = 2.0
PEOPLE: Final = "people"
AUDIT_EVERY_S: Final = 40.0
"""By the conductors themselves, in turn: a few times in every run."""
"""Where requests come from."""


@dataclass
class Seat:
    """The place of one conductor: its lives follow each other here."""

    name: str
    clock: OwnClock = field(default_factory=OwnClock)
    trouble: Trouble = field(default_factory=Trouble)
    lives: int = 0
    process: Process | None = None
    shelf: Shelf | None = None
    exchange: Exchange | None = None
    conductor: Conductor | None = None


class World:
    """One run's processes and the wires between them."""

    def __init__(self, plan: Plan, tasks: asyncio.TaskGroup) -> None:
        """Nothing runs before `begin`."""
        self.plan = plan
        self.journal = Journal()
        self.settings = _settings(plan)
        self.fleet = WatchedFleet(_hosts(plan), self.journal)
        self.checkers = Checkers(self.fleet)
        self.journal.hear = self.checkers.hear
        self.store = SqlStore.in_memory(VirtualClock())
        self.trouble = Trouble()
        """Of the store, for everybody."""
        self.lost: set[InstanceUuid] = set()
        """Guests that the operator has given up."""
        self.chance = random.Random(f"run of {plan.seed}")
        self.bus = Bus(self.chance, self.journal)
        self.people = Process(PEOPLE, PEOPLE, tasks=tasks, journal=self.journal)
        self._peoples = self.bus.exchange(self.people, VirtualClock())
        self.api = self._peoples.reach(ComputeTaskApi, CONDUCTORS)
        self.seats = {
            f"conductor-{n}": Seat(f"conductor-{n}") for n in range(1, plan.conductors + 1)
        }
        self._tasks = tasks
        site = Site(self.settings, self.fleet, self.journal, tasks, self.chance, self.store.queries)
        self.machines = {host: Machine(host, site, self.bus) for host in sorted(plan.hosts)}

    async def begin(self) -> None:
        """Guests are there, and every process has begun."""
        for resident in self.plan.residents:
            self.fleet.add_guest(resident.host, guest_of(resident))
            self.fleet.set_writes(uuid_of(resident.number), resident.writes)
        await self.store.ensure_hosts(tuple(self.settings.hosts))
        await self._peoples.open()
        self.bus.weather = self.plan.weather
        self.begin_everywhere()

    def begin_everywhere(self) -> None:
        """Whatever does not live begins a new life."""
        for seat in self.seats.values():
            self.begin_conductor(seat)
        for machine in self.machines.values():
            machine.power_on()

    def begin_conductor(self, seat: Seat) -> None:
        """A new life of this conductor, unless it lives."""
        if seat.process is not None and seat.process.alive:
            return
        seat.lives += 1
        name = f"{seat.name}-{seat.lives}"
        process = Process(name, seat.name, tasks=self._tasks, journal=self.journal)
        troubles = (self.trouble, seat.trouble)
        window = Window(self.store, process, troubles, self.chance)
        clock = StoreClock(seat.clock, steady_s=asyncio.get_running_loop().time)
        exchange = self.bus.exchange(process, clock)
        shelf = Shelf(self.store, process, self.journal, troubles=troubles, chance=self.chance)
        world = ConductorsWorld(
            store=cast("Store", shelf),
            queries=cast("Queries", window),
            computes={host: exchange.reach(ComputeRpc, agent_of(host)) for host in self.machines},
            clock=clock,
            settings=self.settings,
        )
        seat.process, seat.shelf, seat.exchange = process, shelf, exchange
        seat.conductor = Conductor(world, owner=name, alone=False)
        process.create_task(_answer(seat.conductor, exchange), name=f"{name} answers")
        process.create_task(_conduct(seat.conductor, clock, window, process), name=name)
        self.journal.note(f"{name} begins")

    def heal(self) -> None:
        """From now on nothing goes wrong; guests that are off stay off. The clocks of conductors'
        machines stay as wrong as they are: nobody goes by them.
        """
        self.journal.note("healed")
        self.bus.heal()
        self.trouble.refuses_until_s = self.trouble.answers_lost = 0.0
        for seat in self.seats.values():
            seat.trouble.refuses_until_s = seat.trouble.answers_lost = 0.0
            if seat.shelf is not None:
                seat.shelf.ordeal = None
        for machine in self.machines.values():
            machine.clock.set_by_s = 0.0
            if machine.agent is not None:
                machine.agent.ordeal = None
        self.begin_everywhere()
        self.fleet.heal()

    def end(self) -> None:
        """Every process dies, and the store is closed."""
        self.people.kill()
        for seat in self.seats.values():
            if seat.process is not None:
                seat.process.kill()
        for machine in self.machines.values():
            machine.end()


async def _answer(conductor: Conductor, exchange: Exchange) -> None:
    """As `service.conductor` has it answer."""
    await exchange.open()
    answerer: ComputeTaskApi = conductor.manager
    reports = calls_of(ComputeTaskApi)["report_host"]
    await exchange.overhear(reports, CONDUCTORS, conductor.manager.overhear_report)
    await exchange.answer(ComputeTaskApi, answerer, CONDUCTORS)


async def _conduct(
    conductor: Conductor, clock: StoreClock, window: Window, process: Process
) -> None:
    """Where the store cannot be reached at the start, the process ends, and is begun again."""
    while True:
        try:
            await clock.keep(window.time, process)
            break
        except Unreachable:
            await asyncio.sleep(BEGUN_AGAIN_S)
    await conductor.run()


def uuid_of(number: int) -> InstanceUuid:
    """The guest of this number."""
    return InstanceUuid(f"00000000-0000-0000-0000-{number:012}")


def guest_of(resident: Resident) -> Guest:
    """The guest as it is at the start."""
    number = resident.number
    return Guest(
        uuid=uuid_of(number),
        name=f"guest-{number}",
        power_state=PowerState.PAUSED if resident.paused else PowerState.RUNNING,
        vcpus=1,
        memory_mib=512,
        nics=(Nic(mac=f"52:54:00:00:00:{number:02x}", network="brvm"),),
    )


def _hosts(plan: Plan) -> dict[HostName, SimulatedHostSettings]:
    return {
        host: SimulatedHostSettings(transfer_s=transfer_s, transfers_max=1)
        for host, transfer_s in sorted(plan.hosts.items())
    }


def _settings(plan: Plan) -> Settings:
    return Settings(
        hosts=dict(_hosts(plan)),
        hosts_defaults=HostsSettings(
            report_interval_s=10.0, down_after_s=30.0, audit_every_s=AUDIT_EVERY_S
        ),
    )
