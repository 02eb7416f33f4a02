"""Many hosts are asked the same at once, and each that does not answer is accounted for. Called by
the audit, by looks for a guest and by alarms.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from godwit.conductor.world import World
from godwit.model.errors import GodwitError
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.reasons import Code
from godwit.model.whereis import Shows
from godwit.rpc.compute import ComputeRpc, GuestHere, LookForGuest
from godwit.runtime.clock import iso

T = TypeVar("T")

AT_ONCE_MAX: Final = 64
"""So many hosts are asked at the same time; a silent one holds its place for its time-out."""


@dataclass(frozen=True)
class Response(Generic[T]):
    """What came of asking one host, and when (ISO 8601, UTC)."""

    at: str
    answer: T | None = None
    """None: it did not answer."""
    words: str = ""
    """Why."""
    without_power: bool = False
    """It was not asked: as a person confirms, and nothing contradicts, its power is off."""


async def ask_each(
    world: World, hosts: Iterable[HostName], ask: Callable[[ComputeRpc], Awaitable[T]]
) -> Mapping[HostName, Response[T]]:
    """The response of every host, in the order of `hosts`. A refusal is no answer."""
    gate = asyncio.Semaphore(AT_ONCE_MAX)
    async with asyncio.TaskGroup() as tasks:
        asked = {
            host: tasks.create_task(_ask(world, host, ask, gate), name=f"ask {host}")
            for host in hosts
        }
    return {host: task.result() for host, task in asked.items()}


async def _ask(
    world: World,
    host: HostName,
    ask: Callable[[ComputeRpc], Awaitable[T]],
    gate: asyncio.Semaphore,
) -> Response[T]:
    async with gate:
        try:
            answer = await ask(world.compute(host))
        except GodwitError as error:
            return Response(
                at=iso(world.clock.now_s()),
                words=error.reason.words,
                without_power=error.reason.code is Code.HOST_CONFIRMED_DOWN,
            )
        return Response(at=iso(world.clock.now_s()), answer=answer)


async def look_for_guest(
    world: World, uuid: InstanceUuid, hosts: Iterable[HostName]
) -> Mapping[HostName, Response[GuestHere]]:
    """What each of these hosts shows of the guest now."""
    ask = LookForGuest(instance_uuid=uuid)
    return await ask_each(world, hosts, lambda compute: compute.look_for_guest(ask))


def shows_of(response: Response[GuestHere]) -> Shows:
    """The word for what a host has shown, or for its silence."""
    if response.answer is not None:
        return response.answer.shows
    return Shows.NO_POWER if response.without_power else Shows.UNREACHABLE
