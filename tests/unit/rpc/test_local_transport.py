"""What only the transport within one process must see to; the rest is in `tests/contract`."""

import asyncio
import typing

import msgspec
import pytest
from tests.contract.parrot import Answer, Ask, Parrot, repeat, scripted

from godwit.model.errors import Unreachable
from godwit.rpc import local
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import calls_of
from godwit.sim.loop import run


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
        await asyncio.sleep(0.1)
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
                await (await connected).take_its_time(Ask())

    run(main())


@pytest.mark.parametrize("protocol", [ComputeRpc, ComputeTaskApi])
def test_every_message_and_answer_has_a_shape_that_crosses_a_wire(protocol: type) -> None:
    for call in calls_of(protocol).values():
        for kind in (call.message, call.answer):
            msgspec.msgpack.Decoder(kind)
            assert issubclass(kind, msgspec.Struct)
        assert set(typing.get_type_hints(call.message)), call.name
