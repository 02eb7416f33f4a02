"""The hosts that people have confirmed down: nothing is asked of them. One per conductor. Not to be
confused with `compute/fence`, which refuses acts of an older generation.

The list is read again after a moment, for another conductor may have been told. Such a host has no
power when that is stated; until it has any again, every conductor has read it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, cast

from godwit.model.errors import GodwitError, Unreachable
from godwit.model.host import PersonsWord
from godwit.model.ids import HostName
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.contract import calls_of
from godwit.store.queries import Queries

KEPT_S: Final = 1.0
LONG_AGO: Final = float("-inf")


class Fences:
    """Which hosts are fenced out, as one conductor knows it."""

    def __init__(self, queries: Queries) -> None:
        """Nothing has been read yet."""
        self._queries = queries
        self._down: Mapping[HostName, PersonsWord] = {}
        self._read_at_s: float | None = None
        self._forgotten = 0
        """So often was something stated here: a read that was begun before may not show it."""
        self._reading = asyncio.Lock()

    async def down(self) -> Mapping[HostName, PersonsWord]:
        """The hosts that are confirmed down. While the store cannot be read, those known last; if
        none was ever read, raises `Unreachable`.
        """
        async with self._reading:
            now_s = asyncio.get_running_loop().time()
            if self._read_at_s is None or now_s - self._read_at_s > KEPT_S:
                await self._read(now_s)
            return self._down

    async def _read(self, now_s: float) -> None:
        forgotten = self._forgotten
        try:
            self._down = await self._queries.confirmed_down()
        except GodwitError:
            if self._read_at_s is None:
                raise
        self._read_at_s = now_s if self._forgotten == forgotten else LONG_AGO

    async def without_power(self) -> Mapping[HostName, PersonsWord]:
        """Those of them of which the statement is evidence: they were not heard since."""
        return {host: word for host, word in (await self.down()).items() if not word.heard_at}

    def forget(self) -> None:
        """Something was stated that the next look must see."""
        self._forgotten += 1
        if self._read_at_s is not None:
            self._read_at_s = LONG_AGO

    def around(self, host: HostName, compute: ComputeRpc) -> ComputeRpc:
        """The same compute manager; every call raises `Unreachable` while its host is down."""
        ways = {name: self._way(host, getattr(compute, name)) for name in calls_of(ComputeRpc)}
        return cast("ComputeRpc", SimpleNamespace(**ways))  # it has every method of the protocol

    def _way(
        self, host: HostName, call: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[Any], Awaitable[Any]]:
        async def ask(message: Any) -> Any:
            word = (await self.down()).get(host)
            if word is not None:
                raise Unreachable(word.why_it_takes_no_part(host))
            return await call(message)

        return ask
