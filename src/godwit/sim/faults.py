"""What a seed means: the hosts, the guests, what is asked for, and all that goes wrong. Pure.

The plan is drawn before anything runs and printed first. After `HEALED_AT_S` nothing goes wrong any
more.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from godwit.model.ids import HostName
from godwit.sim.bus import Weather
from godwit.sim.shelf import Moment
from godwit.virt.simulated.copying import QUIET, Writes
from godwit.virt.simulated.faults import FaultKind, TransferFault

HEALED_AT_S: Final = 100.0
ASKED_FROM_S: Final = 1.0
ASKED_UNTIL_S: Final = 12.0
FEW_STEPS_S: Final = 3.0
"""So long a move takes beside its transfer."""
CONFIRMED_AFTER_S: Final = 35.0
"""So long a host without power has been silent when somebody says so: no conductor believes it
sooner."""
MIB: Final = 2**20


RESTLESS: Final = Writes(400 * MIB, 256 * MIB)
"""Outruns every link here."""


class Kind(StrEnum):
    """What goes wrong, or is asked for in between."""

    CONDUCTOR_DIES = "conductor dies"
    CONDUCTOR_STOPS = "conductor is stopped, as for an upgrade"
    CONDUCTOR_DIES_AT_RECORD = "conductor dies at a record"
    CONDUCTOR_STANDS_STILL = "conductor stands still, and wakes up late"
    CONDUCTOR_STANDS_STILL_AT_RECORD = "conductor stands still at a record"
    CONDUCTOR_CLOCK_JUMPS = "conductor's clock jumps"
    AGENT_DIES = "agent dies"
    AGENT_DIES_AT_ACT = "agent dies at an act"
    AGENT_STANDS_STILL = "agent stands still"
    AGENT_CLOCK_JUMPS = "host's clock jumps"
    STORE_REFUSES = "store refuses"
    STORE_REFUSES_ONE = "store refuses one conductor"
    STORE_LOSES_ANSWERS = "store loses answers"
    LINK_IS_CUT = "link is cut"
    BUS_GOES_DOWN = "bus goes down"
    WEATHER = "network is bad"
    HYPERVISOR_CALL = "hypervisor's calls go wrong"
    HYPERVISOR_UNREACHABLE = "hypervisor does not answer"
    TRANSFER = "transfer goes wrong"
    TRANSFER_PROCESS_DIES = "transfer process dies"
    MIGRATION_NETWORK_CUT = "migration network is cut"
    HOST_DIES = "host loses its power"
    HOST_IS_CONFIRMED_DOWN = "host loses its power, and is confirmed down"
    GUEST_ENDS = "guest shuts itself off"
    ABORT = "abort is asked for"
    FORCE = "force-complete is asked for"
    DISABLE = "host is disabled"


@dataclass(frozen=True)
class Fault:
    """One thing, at one moment. `where` is a host, a conductor or a guest's number."""

    at_s: float
    kind: Kind
    where: str = ""
    for_s: float = 0.0
    count: int = 0
    detail: str = ""
    other: str = ""

    def __str__(self) -> str:
        more = [self.where, self.other, self.detail]
        more += [f"number {self.count}"] if self.count else []
        more += [f"for {self.for_s:.1f} s"] if self.for_s else []
        return f"{self.at_s:6.2f} {self.kind}: {', '.join(filter(None, more))}"


@dataclass(frozen=True)
class Ask:
    """Somebody asks for a move."""

    at_s: float
    guest: int
    to: HostName | None = None
    post_copy: bool = False
    auto_converge: bool = False

    def __str__(self) -> str:
        how = ", post-copy allowed" if self.post_copy else ""
        return f"{self.at_s:6.2f} move guest {self.guest} to {self.to or 'any host'}{how}"


@dataclass(frozen=True)
class Resident:
    """A guest, and where it is at the start."""

    number: int
    host: HostName
    writes: Writes = QUIET
    paused: bool = False


@dataclass(frozen=True)
class Plan:
    """All there is to a run."""

    seed: int
    hosts: Mapping[HostName, float]
    """How long a transfer from there takes, in seconds."""
    residents: tuple[Resident, ...]
    conductors: int
    weather: Weather
    asks: tuple[Ask, ...]
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        happens = [(ask.at_s, str(ask)) for ask in self.asks]
        happens += [(fault.at_s, str(fault)) for fault in self.faults]
        guests = ", ".join(f"{each.number} at {each.host}" for each in self.residents)
        lines = [
            f"seed {self.seed}: {self.conductors} conductors, {len(self.hosts)} hosts, "
            f"guests {guests}",
            f"  weather {self.weather}",
            *(f"  {words}" for _, words in sorted(happens)),
        ]
        return "\n".join(lines)


def drawn(seed: int) -> Plan:
    """The plan of this seed: always the same."""
    chance = random.Random(f"plan of {seed}")
    hosts = {
        HostName(f"host-{letter}"): chance.choice((0.5, 1.0, 2.0, 5.0, 10.0))
        for letter in "abcd"[: chance.choice((2, 3, 3, 4))]
    }
    residents = tuple(
        _resident(chance, number, sorted(hosts)) for number in range(1, chance.randint(1, 3) + 1)
    )
    asks = tuple(_ask(chance, residents, sorted(hosts)) for _ in range(chance.randint(1, 4)))
    travellers = tuple(sorted({ask.guest for ask in asks}))
    conductors = chance.choice((2, 2, 3))
    names = tuple(f"conductor-{number}" for number in range(1, conductors + 1))
    people = _People(tuple(sorted(hosts)), names, travellers)
    busy = [(ask.at_s, ask.at_s + max(hosts.values()) + FEW_STEPS_S) for ask in asks]
    faults = tuple(
        _fault(chance, people, round(chance.uniform(*chance.choice(busy)), 2))
        for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4, 6)))
    )
    return Plan(
        seed=seed,
        hosts=hosts,
        residents=residents,
        conductors=conductors,
        weather=_weather(chance),
        asks=tuple(sorted(asks, key=lambda ask: ask.at_s)),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
    )


@dataclass(frozen=True)
class _People:
    """Who can be struck."""

    hosts: tuple[HostName, ...]
    conductors: tuple[str, ...]
    travellers: tuple[int, ...]
    """Guests that are asked to move."""


def _resident(chance: random.Random, number: int, hosts: list[HostName]) -> Resident:
    writes = chance.choice((QUIET, QUIET, QUIET, Writes(20 * MIB, 64 * MIB), RESTLESS))
    return Resident(number, chance.choice(hosts), writes, paused=chance.random() < 0.1)


def _ask(chance: random.Random, residents: tuple[Resident, ...], hosts: list[HostName]) -> Ask:
    return Ask(
        at_s=round(chance.uniform(ASKED_FROM_S, ASKED_UNTIL_S), 2),
        guest=chance.choice(residents).number,
        to=chance.choice(hosts) if chance.random() < 0.3 else None,
        post_copy=chance.random() < 0.25,
        auto_converge=chance.random() < 0.5,
    )


def _weather(chance: random.Random) -> Weather:
    if chance.random() < 0.4:
        return Weather()
    return Weather(
        loss=chance.choice((0.0, 0.01, 0.05)),
        twice=chance.choice((0.0, 0.02, 0.1)),
        late=chance.choice((0.0, 0.01, 0.05)),
        delay_s=chance.choice((0.005, 0.05, 0.5)),
    )


def _fault(chance: random.Random, people: _People, at_s: float) -> Fault:
    kind = chance.choices(tuple(_DRAW), tuple(OFTEN.get(kind, 1) for kind in _DRAW))[0]
    return _DRAW[kind](chance, people, at_s, kind)


_Draw = Callable[[random.Random, _People, float, Kind], Fault]


def _short_s(chance: random.Random) -> float:
    return round(chance.choice((0.0, 1.0, 5.0, 20.0, 35.0)) + chance.random(), 2)


def _of_conductor(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    return Fault(at_s, kind, chance.choice(people.conductors), _short_s(chance))


def _of_record(chance: random.Random, people: _People, _at_s: float, kind: Kind) -> Fault:
    detail = chance.choice((Moment.BEFORE, Moment.AFTER))
    where = chance.choice(people.conductors)
    return Fault(ASKED_FROM_S, kind, where, count=chance.randint(1, 20), detail=detail)


def _of_long_record(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    """For so long that another takes the story from it, which it does not know."""
    fault = _of_record(chance, people, at_s, kind)
    return replace(fault, for_s=chance.choice((10.0, 20.0, 35.0)))


def _of_clock(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    by_s = chance.choice((-3600, -40, -10, 10, 40, 3600))
    return Fault(at_s, kind, chance.choice(people.conductors), count=by_s)


def _of_hosts_clock(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    by_s = chance.choice((-3600, -40, 40, 3600))
    return Fault(at_s, kind, chance.choice(people.hosts), count=by_s)


def _of_host(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    return Fault(at_s, kind, chance.choice(people.hosts), _short_s(chance))


def _of_dead_host(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    dead_s = CONFIRMED_AFTER_S + _short_s(chance)
    return Fault(at_s, kind, chance.choice(people.hosts), dead_s)


def _of_act(chance: random.Random, people: _People, _at_s: float, kind: Kind) -> Fault:
    where, detail = chance.choice(people.hosts), chance.choice(tuple(Moment))
    return Fault(ASKED_FROM_S, kind, where, count=chance.randint(1, 8), detail=detail)


def _of_name(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    return Fault(at_s, kind, chance.choice(people.hosts))


def _of_link(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    where, other = chance.choice(people.hosts), chance.choice((*people.conductors, "everybody"))
    return Fault(at_s, kind, where, _short_s(chance), other=other)


def _of_call(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    how, call = chance.choice(tuple(FaultKind)), chance.choice(CALLS)
    where, for_s = chance.choice(people.hosts), chance.choice((2.0, 40.0))
    for_s = 2.0 if call in REPORTED else for_s
    return Fault(at_s, kind, where, for_s, chance.choice((1, 1, 2, 8)), how, call)


def _of_transfer(chance: random.Random, people: _People, _at_s: float, kind: Kind) -> Fault:
    guest = str(chance.choice(people.travellers))
    return Fault(ASKED_FROM_S, kind, guest, detail=chance.choice(tuple(TransferFault)))


def _of_guest(chance: random.Random, people: _People, at_s: float, kind: Kind) -> Fault:
    return Fault(at_s, kind, str(chance.choice(people.travellers)))


def _of_all(chance: random.Random, _people: _People, at_s: float, kind: Kind) -> Fault:
    return Fault(at_s, kind, for_s=_short_s(chance))


REPORTED: Final = ("guests", "host_facts")
"""A report that hangs for longer is still on its way when the guests are to be moved again."""
CALLS: Final = (
    "pre_live_migration",
    "rollback_live_migration_at_destination",
    "rollback_live_migration_at_source",
    "post_live_migration_at_destination",
    "post_live_migration_at_source",
    "end_source",
    "let_run",
    "let_run_at_destination",
    "sight_source",
    "sight_destination",
    "open",
    "clear_autostart",
    "transfer",
    "source_is_gone",
    "progress",
    "abort",
    "limit",
    "start_post_copy",
    "resume_post_copy",
    "check_can_live_migrate_destination",
    "check_can_live_migrate_source",
    *REPORTED,
)

OFTEN: Final = {
    Kind.TRANSFER: 4,
    Kind.HYPERVISOR_CALL: 3,
    Kind.TRANSFER_PROCESS_DIES: 3,
    Kind.CONDUCTOR_STANDS_STILL: 2,
    Kind.CONDUCTOR_STANDS_STILL_AT_RECORD: 3,
    Kind.CONDUCTOR_DIES_AT_RECORD: 2,
    Kind.AGENT_DIES_AT_ACT: 2,
    Kind.ABORT: 2,
}
"""These have many forms, or seldom meet what they could break: they are drawn so many times as
often as the others.
"""

_DRAW: Final[Mapping[Kind, _Draw]] = {
    Kind.CONDUCTOR_DIES: _of_conductor,
    Kind.CONDUCTOR_STOPS: _of_conductor,
    Kind.CONDUCTOR_DIES_AT_RECORD: _of_record,
    Kind.CONDUCTOR_STANDS_STILL: _of_conductor,
    Kind.CONDUCTOR_STANDS_STILL_AT_RECORD: _of_long_record,
    Kind.CONDUCTOR_CLOCK_JUMPS: _of_clock,
    Kind.AGENT_DIES: _of_host,
    Kind.AGENT_DIES_AT_ACT: _of_act,
    Kind.AGENT_STANDS_STILL: _of_host,
    Kind.AGENT_CLOCK_JUMPS: _of_hosts_clock,
    Kind.STORE_REFUSES: _of_all,
    Kind.STORE_REFUSES_ONE: _of_conductor,
    Kind.STORE_LOSES_ANSWERS: _of_conductor,
    Kind.LINK_IS_CUT: _of_link,
    Kind.BUS_GOES_DOWN: _of_all,
    Kind.WEATHER: _of_all,
    Kind.HYPERVISOR_CALL: _of_call,
    Kind.HYPERVISOR_UNREACHABLE: _of_host,
    Kind.TRANSFER: _of_transfer,
    Kind.TRANSFER_PROCESS_DIES: _of_guest,
    Kind.MIGRATION_NETWORK_CUT: _of_all,
    Kind.HOST_DIES: _of_host,
    Kind.HOST_IS_CONFIRMED_DOWN: _of_dead_host,
    Kind.GUEST_ENDS: _of_guest,
    Kind.ABORT: _of_guest,
    Kind.FORCE: _of_guest,
    Kind.DISABLE: _of_name,
}
