"""The bus of a simulated run, and each process's line to it: letters in envelopes, which may be
lost, late, doubled or overtaken on their way. Above it all is real: calls, deadlines, answers.

A letter to a subject at which nobody listens is answered so at once, as a bus does it. A process
that stands still finds what came meanwhile when it goes on; one that is dead hears nothing.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from godwit.rpc.address import INBOXES, Address
from godwit.rpc.contract import Call
from godwit.rpc.exchange import Exchange
from godwit.rpc.line import Delivery, Down, Take
from godwit.runtime.clock import Clock
from godwit.sim.journal import Journal
from godwit.sim.process import Process


@dataclass(frozen=True)
class Weather:
    """What becomes of a letter, by chance."""

    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    """So many are delayed by up to `late_s`."""
    delay_s: float = 0.005
    late_s: float = 25.0


FINE: Final = Weather()


@dataclass(frozen=True)
class _Ear:
    """One who listens at every subject that is one word longer than `above`."""

    line: "SimLine"
    above: str
    group: str
    take: Take


class Bus:
    """All subjects, and the links below them. Cut ones carry nothing."""

    def __init__(self, chance: random.Random, journal: Journal) -> None:
        self.weather = FINE
        self.journal = journal
        self._chance = chance
        self._ears: dict[str, list[_Ear]] = {}
        self._lines: list[SimLine] = []
        self._cut: set[frozenset[str]] = set()
        self._late: dict[asyncio.TimerHandle, Callable[[], object]] = {}
        self._is_down = False

    def line(self, process: Process) -> "SimLine":
        """The connection of one life of a process."""
        line = SimLine(self, process, f"{INBOXES}{len(self._lines)}")
        self._lines.append(line)
        return line

    def exchange(self, process: Process, clock: Clock) -> Exchange:
        """The calls of one life of a process."""
        tasks = cast("asyncio.TaskGroup", process)  # it makes tasks, and ends them with itself
        return _StandingExchange(self.line(process), clock=clock, tasks=tasks, process=process)

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these two places."""
        self._cut.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        """Everything passes between them again."""
        self._cut.discard(frozenset((one, other)))

    def go_down(self) -> None:
        """Every connection breaks. What is on its way is lost."""
        self._is_down = True

    def come_back(self) -> None:
        """Every connection is made again."""
        if self._is_down:
            self._is_down = False
            for line in self._lines:
                line.has_returned()

    def heal(self) -> None:
        """No link is cut, nothing is lost, and what was late arrives now."""
        self._cut.clear()
        self.weather = FINE
        self.come_back()
        late, self._late = self._late, {}
        for timer, arrive in late.items():
            if not timer.cancelled() and timer.when() > asyncio.get_running_loop().time():
                timer.cancel()
                arrive()

    @property
    def is_down(self) -> bool:
        """Has nobody a connection?"""
        return self._is_down

    def listen(self, ear: _Ear) -> None:
        """From now on."""
        self._ears.setdefault(ear.above, []).append(ear)

    def ignore(self, line: "SimLine", above: str, group: str) -> None:
        """From now on."""
        here = self._ears.get(above, [])
        self._ears[above] = [ear for ear in here if (ear.line, ear.group) != (line, group)]

    def carry(self, sender: "SimLine", delivery: Delivery) -> None:
        """To one of each group, and to all who are in none."""
        above, _, _ = delivery.subject.rpartition(".")
        ears = [ear for ear in self._ears.get(above, ()) if ear.line.process.alive]
        groups = sorted({ear.group for ear in ears if ear.group})
        chosen = [ear for ear in ears if not ear.group]
        chosen += [self._chance.choice([e for e in ears if e.group == name]) for name in groups]
        if not chosen and delivery.reply_to:
            sender.say_that_nobody_listens(delivery)
        for ear in chosen:
            self._send(sender, ear, delivery)

    def _send(self, sender: "SimLine", ear: _Ear, delivery: Delivery) -> None:
        one, other = sender.process.place, ear.line.process.place

        def arrive() -> None:
            if not self._is_down:
                ear.line.take(ear, delivery)

        what = "an answer" if delivery.subject.startswith(INBOXES) else delivery.subject
        for delay_s in self._delays(one, other, what):
            timer = asyncio.get_running_loop().call_later(delay_s, arrive)
            if delay_s > self.weather.delay_s:
                self._late[timer] = arrive

    def _delays(self, one: str, other: str, what: str) -> list[float]:
        if frozenset((one, other)) in self._cut or self._chance.random() < self.weather.loss:
            self.journal.note(f"lost: {what} from {one} to {other}")
            return []
        copies = 2 if self._chance.random() < self.weather.twice else 1
        if copies == 2:
            self.journal.note(f"twice: {what} from {one} to {other}")
        return [self._delay_s() for _ in range(copies)]

    def _delay_s(self) -> float:
        if self._chance.random() < self.weather.late:
            return self._chance.uniform(0, self.weather.late_s)
        return self._chance.uniform(0.0002, self.weather.delay_s)


class _StandingExchange(Exchange):
    """Of a process that may stand still before a letter is dated, and after its reply has come: in
    between the line sees to it.
    """

    def __init__(
        self, line: "SimLine", *, clock: Clock, tasks: asyncio.TaskGroup, process: Process
    ) -> None:
        super().__init__(line, clock=clock, tasks=tasks)
        self._process = process

    async def ask(self, call: Call, address: Address, message: object) -> bytes:
        """See `Exchange`."""
        await self._process.passing()
        try:
            return await super().ask(call, address, message)
        finally:
            await self._process.passing()


class SimLine:
    """See `Line`. One life of a process at the bus."""

    def __init__(self, bus: Bus, process: Process, inbox: str) -> None:
        self.inbox = inbox
        self.process = process
        self._bus = bus
        self._up = asyncio.Event()
        self._up_since_s = asyncio.get_running_loop().time()
        self._told: Callable[[], None] = lambda: None

    @property
    def up_since_s(self) -> float:
        """See `Line`."""
        return self._up_since_s

    def on_return(self, told: Callable[[], None]) -> None:
        """See `Line`."""
        self._told = told

    async def send(
        self, subject: str, data: bytes, *, reply_to: str = "", patience_s: float
    ) -> None:
        """See `Line`."""
        await self.process.passing()
        if self._bus.is_down:
            await self._wait_until_up(patience_s)
        self._bus.carry(self, Delivery(subject, data, reply_to))

    async def listen(self, subject: str, take: Take, *, group: str = "") -> None:
        """See `Line`."""
        self._bus.listen(_Ear(self, _above(subject), group, take))

    async def ignore(self, subject: str, *, group: str = "") -> None:
        """See `Line`."""
        self._bus.ignore(self, _above(subject), group)

    def take(self, ear: _Ear, delivery: Delivery) -> None:
        """It has come. What it sets off goes on until the process dies."""
        if self.process.alive:
            self.process.create_task(self._taken(ear, delivery), name=f"take {delivery.subject}")

    def say_that_nobody_listens(self, delivery: Delivery) -> None:
        """To whoever waits for a reply here."""
        nobody = Delivery(delivery.reply_to, b"", nobody_there=True)
        self._bus.carry(self, nobody)

    def has_returned(self) -> None:
        """The connection was made again."""
        self._up_since_s = asyncio.get_running_loop().time()
        self._up.set()
        self._up.clear()
        if self.process.alive:
            self._told()

    async def _taken(self, ear: _Ear, delivery: Delivery) -> None:
        await self.process.passing()
        await ear.take(delivery)

    async def _wait_until_up(self, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._up.wait()
        except TimeoutError as error:
            raise Down("the bus is away") from error
        await self.process.passing()


def _above(subject: str) -> str:
    """Whoever listens leaves one word open: the call, who asks, or whose reply it is."""
    above, _, open_word = subject.rpartition(".")
    if open_word != "*" or "*" in above:
        raise AssertionError(f"this bus does not know who listens at {subject}")
    return above
