"""A process's place on the bus: connected before anything else, left after everything else."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from godwit.model.errors import Conflict
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.rpc.address import agent_of
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.exchange import Exchange
from godwit.rpc.nats import NatsLine
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.runtime.settings_table import bad

HELLO_S: Final = 2.0
"""So long an agent that starts waits for another one to speak up; mostly the bus says that there is
none."""


@asynccontextmanager
async def joined(
    settings: Settings, name: str, *, hears_itself: bool = True
) -> AsyncIterator[NatsLine]:
    """The line, connected and kept so. Raises `BadRequest` (no bus in the settings) or `Refused`
    (bus-refused); waits for a bus that is away.
    """
    line = _line(settings, name, hears_itself=hears_itself)
    await line.connect()
    try:
        yield line
    finally:
        await line.close()


@asynccontextmanager
async def joining(
    settings: Settings, name: str, tasks: asyncio.TaskGroup
) -> AsyncIterator[NatsLine]:
    """The same for a process that can do something without a bus: it does not wait for one. Being
    refused there ends `tasks`.
    """
    line = _line(settings, name)
    tasks.create_task(line.connect(), name="first connection to the bus")
    try:
        yield line
    finally:
        await line.close()


def _line(settings: Settings, name: str, *, hears_itself: bool = True) -> NatsLine:
    if not settings.bus.servers:
        expected = 'name them, servers = ["tls://ADDRESS:4222"]: this process is reached over a bus'
        raise bad("bus.servers", "there are none", expected)
    return NatsLine(settings.bus, name=name, hears_itself=hears_itself)


async def exchange_on(line: NatsLine, clock: Clock, tasks: asyncio.TaskGroup) -> Exchange:
    """The calls over this line, out and in."""
    exchange = Exchange(line, clock=clock, tasks=tasks)
    tasks.create_task(line.keep(), name="line to the bus")
    await exchange.open()
    return exchange


async def refuse_second(exchange: Exchange, hosts: Collection[HostName]) -> None:
    """Of two agents of one host, at two machines, each would get a part of what is asked. Raises
    `Conflict` (agent-elsewhere) if one of the hosts has an agent that is not of this process.

    Asked before this one listens, so that it takes nothing from an agent that acts already, and
    once more when it does: of two that begin at once neither saw the other before. The line must
    not hear itself.
    """
    asked = (exchange.is_answered(agent_of(host), within_s=HELLO_S) for host in hosts)
    for host, has_agent in zip(hosts, await asyncio.gather(*asked), strict=True):
        if has_agent:
            raise Conflict(reason(Code.AGENT_ELSEWHERE, host=host))


class Agents(dict[HostName, ComputeRpc]):
    """The compute manager of any host that has an agent: hosts are known by their reports."""

    def __init__(self, exchange: Exchange) -> None:
        """A way to each is made when it is first asked for."""
        super().__init__()
        self._exchange = exchange

    def __missing__(self, host: HostName) -> ComputeRpc:
        way = self._exchange.reach(ComputeRpc, agent_of(host))
        self[host] = way
        return way
