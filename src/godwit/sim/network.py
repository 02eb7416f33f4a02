"""The network between the simulated processes, at the rpc seam: what is sent is encoded by the
codec, and may be lost, late, doubled or overtaken.

A request that finds nobody at its address is answered so at once, as a bus does it; whatever else
goes wrong shows as a time-out at the caller, while the work goes on at the other end. A message
that arrives after its deadline is not read.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final, TypeVar, cast

import msgspec

from godwit.rpc import codec
from godwit.rpc.answering import Answering, no_answer
from godwit.rpc.contract import Call, calls_of
from godwit.sim.journal import Journal
from godwit.sim.process import Process

P = TypeVar("P")

NOBODY: Final = b""
"""The answer of a bus that knows nobody at that address."""


@dataclass(frozen=True)
class Weather:
    """What becomes of a message, by chance."""

    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    """So many are delayed by up to `late_s`."""
    delay_s: float = 0.005
    late_s: float = 25.0


FINE: Final = Weather()


@dataclass(frozen=True)
class Address:
    """Who answers at this moment."""

    process: Process
    answerer: object


@dataclass(frozen=True)
class _Letter:
    """A request on its way, and until when it is read."""

    text: bytes
    deadline_s: float


Find = Callable[[], Address | None]


class Network:
    """All links. Cut ones carry nothing."""

    def __init__(self, chance: random.Random, journal: Journal) -> None:
        self.weather = FINE
        self._chance = chance
        self.journal = journal
        self._cut: set[frozenset[str]] = set()
        self._late: dict[asyncio.TimerHandle, Callable[[], object]] = {}

    def connect(self, protocol: Callable[..., P], find: Find, *, caller: Process, who: str) -> P:
        """An object with every remote method of `protocol`, answered by whom `find` finds."""
        if not isinstance(protocol, type):
            raise TypeError(f"{protocol!r} is no protocol")
        calls = calls_of(protocol)
        client = SimpleNamespace(
            **{name: _Caller(self, call, find, caller, who) for name, call in calls.items()}
        )
        return cast("P", client)  # it has every method of the protocol, made from it

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these two places."""
        self._cut.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        """Everything passes between them again."""
        self._cut.discard(frozenset((one, other)))

    def heal(self) -> None:
        """No link is cut, nothing is lost, and what was late arrives now."""
        self._cut.clear()
        self.weather = FINE
        late, self._late = self._late, {}
        for timer, arrive in late.items():
            if not timer.cancelled() and timer.when() > asyncio.get_running_loop().time():
                timer.cancel()
                arrive()

    def send(self, one: str, other: str, what: str, arrive: Callable[[], object]) -> None:
        """Have it arrive: once, later, twice or never."""
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


class _Caller:
    """One remote method, as one process calls it."""

    def __init__(self, network: Network, call: Call, find: Find, caller: Process, who: str) -> None:
        self._network = network
        self._call = call
        self._find = find
        self._caller = caller
        self._who = who
        self._answers = msgspec.msgpack.Decoder(call.answer)

    async def __call__(self, message: object) -> object:
        await self._caller.passing()
        letter = codec.encode(message)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._post(letter, answer)
        try:
            async with asyncio.timeout(self._call.remote.timeout_s):
                reply = await answer
        except TimeoutError as error:
            await self._caller.passing()
            raise no_answer(self._call, self._who) from error
        await self._caller.passing()
        if reply == NOBODY:
            raise no_answer(self._call, self._who)
        return codec.decode_reply(reply, self._answers)

    def _post(self, letter: bytes, answer: asyncio.Future[bytes]) -> None:
        found = self._find()
        if found is None:
            _settle(answer, NOBODY)
            return

        deadline_s = asyncio.get_running_loop().time() + self._call.remote.timeout_s

        def arrive() -> None:
            if found.process.alive:
                work = self._answered(found, _Letter(letter, deadline_s), answer)
                found.process.create_task(work, name=f"{self._who} {self._call.name}")
            else:
                _settle(answer, NOBODY)

        what = self._call.name
        self._network.send(self._caller.place, found.process.place, what, arrive)

    async def _answered(
        self, found: Address, letter: _Letter, answer: asyncio.Future[bytes]
    ) -> None:
        """The answerer's side. Never raises: a defect here must not end its process."""
        await found.process.passing()
        if asyncio.get_running_loop().time() > letter.deadline_s:
            self._network.journal.note(f"too late: {self._call.name}")
            return
        answer_call = getattr(found.answerer, self._call.name)
        reply = await Answering(self._call, answer_call, self._who).reply(letter.text)
        await found.process.passing()
        what = f"answer to {self._call.name}"
        self._network.send(
            found.process.place, self._caller.place, what, lambda: _settle(answer, reply)
        )


def _settle(answer: asyncio.Future[bytes], reply: bytes) -> None:
    if not answer.done():
        answer.set_result(reply)
