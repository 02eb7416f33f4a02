"""The hosts as the scheduler wants them: records, claims and servicegroup's word put together.

They are kept for a moment: to read and describe a thousand hosts costs as much as a whole
migration. Nothing but the choice rests on such a view: room is checked where it is claimed, and
"no" is said only of hosts that were read for it.
"""

import asyncio
from dataclasses import replace
from typing import Final

from godwit.model.host import Host, Usage
from godwit.model.ids import HostName
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.scheduler.host_state import HostState, host_state
from godwit.servicegroup import is_up, silent_s
from godwit.store.queries import Queries

KEPT_S: Final = 1.0
HEARD_AGAIN_LOOKS: Final = 6
HEARD_AGAIN_PAUSE_S: Final = 0.5
"""A host whose hypervisor is away is looked for by its manager every two seconds."""


class Hosts:
    """Every known host, as one conductor sees them."""

    def __init__(self, queries: Queries, clock: Clock, settings: Settings) -> None:
        """Nothing has been read yet."""
        self._queries = queries
        self._clock = clock
        self._down_after_s = settings.hosts_defaults.down_after_s
        self._states: dict[HostName, HostState] = {}
        self._read_at_s: float | None = None
        self._reads_begun = 0
        self._last_whole = 0
        """The number of the last read that came to its end."""
        self._reading = asyncio.Lock()

    async def lately(self) -> tuple[HostState, ...]:
        """As they were a moment ago, with what has been claimed through here since."""
        async with self._reading:
            if self._read_at_s is None or not 0 <= self._age_s(self._read_at_s) < KEPT_S:
                await self._read()
            return tuple(self._states.values())

    async def now(self) -> tuple[HostState, ...]:
        """As they are now: read after this was called, once for all who wait for it."""
        begun_before = self._reads_begun
        async with self._reading:
            if self._last_whole <= begun_before:
                await self._read()
            return tuple(self._states.values())

    async def one(self, name: HostName) -> HostState:
        """One host as it is now, without what is claimed there. An unknown one never reported."""
        host = await self._queries.host(name) or Host(name=name)
        return self._state(host, Usage(), now_s=self._clock.now_s())

    async def well_lately(self, name: HostName) -> bool:
        """Was it up, and did its hypervisor answer, a moment ago?"""
        await self.lately()
        state = self._states.get(name)
        return state is not None and state.up and not state.trouble

    async def heard_again(self, name: HostName) -> HostState:
        """The same. One whose hypervisor did not answer at its last report is given the time until
        it would be heard again: who has just restarted it is not refused for what was.
        """
        state = await self.one(name)
        for _ in range(HEARD_AGAIN_LOOKS):
            if not (state.up and state.trouble):
                break
            await asyncio.sleep(HEARD_AGAIN_PAUSE_S)
            state = await self.one(name)
        return state

    def claimed(self, name: HostName, *, vcpus: int, memory_mib: int) -> None:
        """This much more is in use there from now on."""
        state = self._states.get(name)
        if state is not None:
            usage = Usage(
                vcpus=state.usage.vcpus + vcpus,
                memory_mib=state.usage.memory_mib + memory_mib,
                transfers=state.usage.transfers + 1,
                waiting=state.usage.waiting,
            )
            self._states[name] = replace(state, usage=usage)

    def forget(self) -> None:
        """Something has changed that the next look must see."""
        self._read_at_s = None

    def _age_s(self, at_s: float) -> float:
        return self._clock.now_s() - at_s

    async def _read(self) -> None:
        self._reads_begun = this = self._reads_begun + 1
        self._read_at_s = now_s = self._clock.now_s()
        try:
            hosts = await self._queries.hosts_in_use()
        except BaseException:
            self.forget()
            raise
        self._states = {host.name: self._state(host, usage, now_s=now_s) for host, usage in hosts}
        self._last_whole = this

    def _state(self, host: Host, usage: Usage, *, now_s: float) -> HostState:
        return host_state(
            host,
            usage,
            up=is_up(host, now_s=now_s, down_after_s=self._down_after_s),
            silent_s=silent_s(host, now_s=now_s),
        )
