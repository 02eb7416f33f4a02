"""Tells the conductor what a host is and which guests are on it: at the start, every few seconds,
and soon after something has changed.
"""

import asyncio
from typing import Protocol

import structlog

from godwit.compute.manager import ComputeManager
from godwit.model.errors import GodwitError
from godwit.model.host import HostFacts, HostReport
from godwit.rpc.compute import Nothing

SETTLE_S = 0.2
"""Changes come in swarms: so long the rest of a swarm is waited for."""
SETTLE_MAX_S = 1.6
"""While swarm follows swarm, as at a host that is being emptied, twice as long each time, up to
this: a look at all guests costs as much as the checks of one that moves. A calm that was as long
as the last wait ends it."""
LOOK_TIMEOUT_S = 30.0
"""A driver's look is bounded by itself; this is the bound if it breaks its promise."""
AGAIN_S = 1.0
"""So soon a report is made again that nobody has heard: a host is known as soon as anybody is there
to know it."""
CHANGES_AGAIN_S = 5.0
TIDY_S = 3600.0

log = structlog.get_logger()


class Hearer(Protocol):
    """Whoever is told: any conductor."""

    async def report_host(self, ask: HostReport) -> Nothing:
        """See `ComputeTaskApi`."""
        ...


class Reporter:
    """Reports one host. No trouble that a `GodwitError` names ends it."""

    def __init__(self, manager: ComputeManager, conductor: Hearer, *, interval_s: float) -> None:
        self._manager = manager
        self._conductor = conductor
        self._interval_s = interval_s
        self._changed = asyncio.Event()
        self._settle_s = SETTLE_S
        self._facts: HostFacts | None = None
        self._facts_at_s = 0.0

    async def run(self) -> None:
        """Report for ever. Ends only by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name=f"changes at {self._manager.host}")
            tasks.create_task(self._tidy(), name=f"tidy {self._manager.host}")
            while True:
                heard = await self.report()
                await self._pause(self._interval_s if heard else min(self._interval_s, AGAIN_S))

    async def report(self) -> bool:
        """Look once and tell the conductor; did it hear? Trouble at either end is only logged."""
        report = await self._looked()
        try:
            await self._conductor.report_host(report)
        except GodwitError as error:
            log.warning("report not delivered", host=report.host, words=error.reason.words)
            return False
        return True

    async def _looked(self) -> HostReport:
        """The report of this moment. Half guests that are still arriving are not here yet.

        The host itself is looked at as often as without changes: to read it costs as much as all
        its guests, and what changes is them.
        """
        host, driver = self._manager.host, self._manager.driver
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                facts, self._facts = self._facts, None
                if facts is None or began_s - self._facts_at_s >= self._interval_s:
                    facts, self._facts_at_s = await driver.host_facts(), began_s
                guests = await driver.guests()
        except GodwitError as error:
            return HostReport(host=host, facts=None, trouble=error.reason.words)
        except TimeoutError:
            trouble = f"the look at {host} took longer than {LOOK_TIMEOUT_S:.0f} s"
            return HostReport(host=host, facts=None, trouble=trouble)
        self._facts = facts
        here = tuple(guest for guest in guests if not guest.arriving)
        return HostReport(host=host, facts=facts, guests=here, look_s=now_s() - began_s)

    async def _pause(self, at_most_s: float) -> None:
        """Until the next report is due, or something has changed and settled."""
        now_s = asyncio.get_running_loop().time
        calm_since_s = now_s()
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            self._settle_s = SETTLE_S
            return
        is_new = now_s() - calm_since_s >= self._settle_s
        self._settle_s = SETTLE_S if is_new else min(2 * self._settle_s, SETTLE_MAX_S)
        await asyncio.sleep(self._settle_s)
        self._changed.clear()

    async def _listen(self) -> None:
        while True:
            try:
                async for _ in self._manager.driver.changes():
                    self._changed.set()
            except GodwitError as error:
                log.warning("changes not heard", host=self._manager.host, words=error.reason.words)
            await asyncio.sleep(CHANGES_AGAIN_S)

    async def _tidy(self) -> None:
        while True:
            try:
                await self._manager.tidy()
            except GodwitError as error:
                log.warning("not tidied", host=self._manager.host, words=error.reason.words)
            await asyncio.sleep(TIDY_S)
