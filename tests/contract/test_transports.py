"""What every transport promises: within a process, over a real bus and over the simulated one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from random import Random  # noqa: TID251 - the simulated bus is given a source
from typing import Any, Protocol, TypeVar

import pytest
from tests.contract.parrot import PATIENCE_S, Answer, Ask, Parrot, raises, repeat, scripted
from tests.nats_server import BINARY, NatsServer, nats_server

from godwit.model.errors import GodwitError, HypervisorError, Superseded, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.rpc import codec, local
from godwit.rpc.address import Address
from godwit.rpc.exchange import Exchange
from godwit.rpc.nats import NatsLine
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import BusSettings
from godwit.sim.bus import Bus
from godwit.sim.journal import Journal
from godwit.sim.loop import VirtualClock, run
from godwit.sim.process import Process

T = TypeVar("T")
PARROT = Address("parrot", "parrot")
Connect = Callable[[Parrot], Awaitable[Parrot]]
Scenario = Callable[[Connect], Coroutine[Any, Any, T]]


class Carrier(Protocol):
    """Runs a scenario, which connects as it likes, until all that it caused has ended."""

    def run(self, scenario: Scenario[T]) -> T: ...


class Local:
    """Within a process, in virtual time."""

    def run(self, scenario: Scenario[T]) -> T:
        async def main() -> T:
            async with asyncio.TaskGroup() as tasks:

                async def connect(answerer: Parrot) -> Parrot:
                    return local.connect(Parrot, answerer, tasks=tasks, who="parrot")

                return await scenario(connect)

        return run(main())


class Nats:
    """Over a real server, in real time."""

    def __init__(self, server: NatsServer) -> None:
        self._settings = BusSettings(servers=(server.url,))

    def run(self, scenario: Scenario[T]) -> T:
        async def main() -> T:
            lines = [NatsLine(self._settings, name=name) for name in ("parrot", "caller")]
            async with asyncio.TaskGroup() as tasks:

                async def connect(answerer: Parrot) -> Parrot:
                    there, here = (Exchange(e, clock=SystemClock(), tasks=tasks) for e in lines)
                    for line, exchange in zip(lines, (there, here), strict=True):
                        await line.connect()
                        await exchange.open()
                    await there.answer(Parrot, answerer, PARROT)
                    return here.reach(Parrot, PARROT)

                result = await scenario(connect)
            for line in lines:
                await line.close()
            return result

        return asyncio.run(main())


class Simulated:
    """On the bus of the simulator, in virtual time."""

    def run(self, scenario: Scenario[T]) -> T:
        async def main() -> T:
            journal = Journal()
            bus = Bus(Random(1), journal)
            async with asyncio.TaskGroup() as tasks:

                async def connect(answerer: Parrot) -> Parrot:
                    there, here = (
                        bus.exchange(Process(n, n, tasks=tasks, journal=journal), VirtualClock())
                        for n in ("parrot", "caller")
                    )
                    for exchange in (there, here):
                        await exchange.open()
                    await there.answer(Parrot, answerer, PARROT)
                    return here.reach(Parrot, PARROT)

                return await scenario(connect)

        return run(main())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture(params=["local", "simulated", "nats"])
def carrier(request: pytest.FixtureRequest) -> Carrier:
    if request.param == "local":
        return Local()
    if request.param == "simulated":
        return Simulated()
    if BINARY is None:
        pytest.skip("there is no nats-server: run tools/set-up as root on Debian")
    return Nats(request.getfixturevalue("server"))


def asked(carrier: Carrier, answerer: Parrot, ask: Ask) -> Answer:
    """One call; its answer, or raises what it raised, once everything has ended."""

    async def scenario(connect: Connect) -> Answer | BaseException:
        parrot = await connect(answerer)
        [outcome] = await asyncio.gather(parrot.say(ask), return_exceptions=True)
        return outcome

    outcome = carrier.run(scenario)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def test_the_answer_comes_back(carrier: Carrier) -> None:
    assert asked(carrier, scripted(repeat), Ask(("hello",))) == Answer(("hello",))


def test_the_answerer_sees_a_copy_as_it_came_over_the_wire(carrier: Carrier) -> None:
    seen: list[Ask] = []

    async def keep(ask: Ask) -> Answer:
        seen.append(ask)
        return Answer()

    said = Ask(("hello",))
    asked(carrier, scripted(keep), said)
    assert seen == [said]
    assert seen[0] is not said


def test_an_expected_error_comes_out_as_it_went_in(carrier: Carrier) -> None:
    why = reason(Code.HOST_UNKNOWN, name="x")
    refusals = grouped(by_themselves([reason(Code.UUID_TAKEN, host=HostName("y"), uuid="z")]))
    kinds = [kind for kind in codec.KINDS.values() if kind is not GodwitError]
    left = list(kinds)

    async def saying(_ask: Ask) -> Answer:
        raise left.pop(0)(why, refusals=refusals)

    async def scenario(connect: Connect) -> list[BaseException | Answer]:
        parrot = await connect(scripted(saying))
        outcomes: list[BaseException | Answer] = []
        for _ in kinds:
            outcomes += await asyncio.gather(parrot.say(Ask()), return_exceptions=True)
        return outcomes

    outcomes = carrier.run(scenario)
    assert [type(outcome) for outcome in outcomes] == kinds
    for outcome in outcomes:
        assert isinstance(outcome, GodwitError)
        assert (outcome.reason, outcome.refusals) == (why, refusals)


def test_an_error_of_a_kind_that_only_the_answerer_knows_comes_out_as_the_kind_above_it(
    carrier: Carrier,
) -> None:
    class Own(Superseded):
        """Known nowhere else."""

    with pytest.raises(Superseded):
        asked(carrier, scripted(raises(Own(reason(Code.SUPERSEDED, migration="m")))), Ask())


def test_a_defect_comes_out_as_a_hypervisor_error_that_names_it(carrier: Carrier) -> None:
    with pytest.raises(HypervisorError, match="ValueError: seven") as caught:
        asked(carrier, scripted(raises(ValueError("seven"))), Ask())
    assert caught.value.reason.code is Code.INTERNAL_ERROR


def test_a_caller_gives_up_after_the_marks_timeout_and_the_answerer_goes_on(
    carrier: Carrier,
) -> None:
    ended: list[str] = []

    async def slow(_ask: Ask) -> Answer:
        await asyncio.sleep(2 * PATIENCE_S)
        ended.append("acted")
        return Answer()

    with pytest.raises(Unreachable, match=r"parrot did not answer say within") as caught:
        asked(carrier, scripted(slow), Ask())
    assert caught.value.reason.code is Code.NO_ANSWER
    assert ended == ["acted"]


def test_an_error_after_the_caller_gave_up_harms_nobody(carrier: Carrier) -> None:
    async def late(_ask: Ask) -> Answer:
        await asyncio.sleep(1.5 * PATIENCE_S)
        raise ValueError("late")

    with pytest.raises(Unreachable):
        asked(carrier, scripted(late), Ask())


def test_a_cancelled_caller_does_not_cancel_the_answerer(carrier: Carrier) -> None:
    done: list[str] = []

    async def slow(_ask: Ask) -> Answer:
        await asyncio.sleep(PATIENCE_S)
        done.append("acted")
        return Answer()

    async def scenario(connect: Connect) -> None:
        parrot = await connect(scripted(slow))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE_S / 3):
                await parrot.take_its_time(Ask())

    carrier.run(scenario)
    assert done == ["acted"]


def test_calls_are_answered_side_by_side(carrier: Carrier) -> None:
    async def slow(ask: Ask) -> Answer:
        await asyncio.sleep(PATIENCE_S / 2)
        return Answer(ask.words)

    async def scenario(connect: Connect) -> float:
        parrot = await connect(scripted(slow))
        began_s = asyncio.get_running_loop().time()
        calls = [parrot.take_its_time(Ask((str(number),))) for number in range(20)]
        answers = await asyncio.gather(*calls)
        assert [answer.words for answer in answers] == [(str(number),) for number in range(20)]
        return asyncio.get_running_loop().time() - began_s

    assert carrier.run(scenario) < PATIENCE_S * 2


def test_a_large_answer_comes_whole(carrier: Carrier) -> None:
    words = tuple(f"{number:01000}" for number in range(2_000))

    async def much(_ask: Ask) -> Answer:
        return Answer(words)

    async def scenario(connect: Connect) -> Answer:
        return await (await connect(scripted(much))).take_its_time(Ask())

    assert carrier.run(scenario) == Answer(words)
