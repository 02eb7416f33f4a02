"""The transport within one process behaves as a wire does."""

import asyncio
import typing
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import pytest

from godwit.model.errors import GodwitError, HypervisorError, Superseded, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.model.refusals import grouped
from godwit.rpc import codec, local
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import calls_of, remote
from godwit.sim.loop import run


class Ask(msgspec.Struct, frozen=True):
    """A question."""

    words: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """An answer."""

    words: tuple[str, ...] = ()


class Parrot(Protocol):
    """Says what it is told."""

    @remote(timeout_s=5, repeat="says it again")
    async def say(self, ask: Ask) -> Answer: ...


Saying = Callable[[Ask], Awaitable[Answer]]


class ScriptedParrot:
    """Answers as the test says."""

    def __init__(self, saying: Saying) -> None:
        self._saying = saying

    async def say(self, ask: Ask) -> Answer:
        return await self._saying(ask)


def scripted(saying: Saying) -> Parrot:
    """A parrot that answers so."""
    return ScriptedParrot(saying)


def talk(saying: Saying, ask: Ask) -> Answer:
    """One call, in virtual time, until all that it caused has ended."""

    async def main() -> Answer:
        async with asyncio.TaskGroup() as tasks:
            parrot = local.connect(Parrot, scripted(saying), tasks=tasks, who="parrot")
            [answer] = await asyncio.gather(parrot.say(ask), return_exceptions=True)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return run(main())


async def repeat(ask: Ask) -> Answer:
    return Answer(ask.words)


def raises(error: Exception) -> Saying:
    async def saying(_ask: Ask) -> Answer:
        raise error

    return saying


def test_the_answer_comes_back() -> None:
    assert talk(repeat, Ask(("hello",))) == Answer(("hello",))


def test_the_answerer_sees_a_copy_as_it_came_over_the_wire() -> None:
    seen: list[Ask] = []

    async def keep(ask: Ask) -> Answer:
        seen.append(ask)
        return Answer()

    asked = Ask(("hello",))
    talk(keep, asked)
    assert seen == [asked]
    assert seen[0] is not asked


@pytest.mark.parametrize("kind", [kind for kind in codec.KINDS.values() if kind is not GodwitError])
def test_an_expected_error_comes_out_as_it_went_in(kind: type[GodwitError]) -> None:
    why = reason(Code.HOST_UNKNOWN, name="x")
    refusals = grouped([reason(Code.UUID_TAKEN, host=HostName("y"), uuid="z")])
    with pytest.raises(kind) as caught:
        talk(raises(kind(why, refusals=refusals)), Ask())
    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.refusals) == (why, refusals)


def test_an_error_of_a_kind_that_only_the_answerer_knows_comes_out_as_the_kind_above_it() -> None:
    class Own(Superseded):
        """Known nowhere else."""

    with pytest.raises(Superseded):
        talk(raises(Own(reason(Code.SUPERSEDED, migration="m"))), Ask())


def test_a_defect_comes_out_as_a_hypervisor_error_that_names_it() -> None:
    with pytest.raises(HypervisorError, match="ValueError: seven") as caught:
        talk(raises(ValueError("seven")), Ask())
    assert caught.value.reason.code is Code.INTERNAL_ERROR


def test_a_caller_gives_up_after_the_marks_timeout_and_the_answerer_goes_on() -> None:
    ended: list[float] = []

    async def slow(_ask: Ask) -> Answer:
        await asyncio.sleep(60)
        ended.append(asyncio.get_running_loop().time())
        return Answer()

    async def main() -> float:
        async with asyncio.TaskGroup() as tasks:
            parrot = local.connect(Parrot, scripted(slow), tasks=tasks, who="parrot")
            with pytest.raises(Unreachable, match="parrot did not answer say within 5 s"):
                await parrot.say(Ask())
            return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(5)
    assert ended == [pytest.approx(60)]


def test_an_error_after_the_caller_gave_up_harms_nobody() -> None:
    async def late(_ask: Ask) -> Answer:
        await asyncio.sleep(60)
        raise ValueError("late")

    with pytest.raises(Unreachable):
        talk(late, Ask())


def test_a_cancelled_caller_does_not_cancel_the_answerer() -> None:
    done: list[str] = []

    async def slow(_ask: Ask) -> Answer:
        await asyncio.sleep(3)
        done.append("acted")
        return Answer()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            parrot = local.connect(Parrot, scripted(slow), tasks=tasks, who="parrot")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await parrot.say(Ask())

    run(main())
    assert done == ["acted"]


def test_an_answerer_whose_process_has_ended_is_unreachable() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            parrot = local.connect(Parrot, scripted(repeat), tasks=tasks, who="parrot")
        with pytest.raises(Unreachable):
            await parrot.say(Ask())

    run(main())


def test_an_answerer_that_is_stopped_while_it_answers_is_unreachable() -> None:
    async def for_ever(_ask: Ask) -> Answer:
        await asyncio.sleep(1_000)
        return Answer()

    async def stop_soon() -> None:
        await asyncio.sleep(1)
        raise RuntimeError("the service stops")

    async def serve(connected: asyncio.Future[Parrot]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                parrot = local.connect(Parrot, scripted(for_ever), tasks=tasks, who="parrot")
                connected.set_result(parrot)
                await stop_soon()
        except* RuntimeError:
            pass

    async def main() -> None:
        connected: asyncio.Future[Parrot] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as ours:
            ours.create_task(serve(connected))
            with pytest.raises(Unreachable):
                await (await connected).say(Ask())

    run(main())


@pytest.mark.parametrize("protocol", [ComputeRpc, ComputeTaskApi])
def test_every_message_and_answer_has_a_shape_that_crosses_a_wire(protocol: type) -> None:
    for call in calls_of(protocol).values():
        for kind in (call.message, call.answer):
            msgspec.msgpack.Decoder(kind)
            assert issubclass(kind, msgspec.Struct)
        assert set(typing.get_type_hints(call.message)), call.name
