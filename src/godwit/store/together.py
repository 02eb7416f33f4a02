"""Reports in which nothing is new, written together. Used by `sql` alone.

A thousand hosts report two hundred times a second. One by one, each of them stands in the writer's
line and goes its own way to a database server, before and between the stories.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from godwit.model.host import HostReport
from godwit.model.ids import HostName
from godwit.store.writer import unavailable

GATHER_S: Final = 0.1
"""So long the first waits for others: each batch is a commit, and stands in the writer's line."""
Reported = tuple[HostReport, float]
"""With when it came in."""
Left = frozenset[HostName]
Keep = Callable[[list[Reported]], Awaitable[Left]]


@dataclass
class _Batch:
    """Those that are written next."""

    reports: list[Reported] = field(default_factory=list)
    left: asyncio.Future[Left] | None = None
    """Once it is written."""


class Together:
    """While some are being written, the next gather."""

    def __init__(self, keep: Keep) -> None:
        """`keep` writes them in one transaction, and says whose it has left out."""
        self._keep = keep
        self._next = _Batch()
        self._turn = asyncio.Lock()

    async def write(self, report: HostReport, now_s: float) -> bool:
        """Whether it is on record now; no: it was left out. What `keep` raises is raised to all of
        a batch, of which the first to come writes for the others.
        """
        batch = self._next
        batch.reports.append((report, now_s))
        if batch.left is None:
            batch.left = asyncio.get_running_loop().create_future()
            left = await self._written(batch, batch.left)
        else:
            left = await asyncio.shield(batch.left)
        return report.host not in left

    async def _written(self, batch: _Batch, said: asyncio.Future[Left]) -> Left:
        try:
            async with self._turn:
                await asyncio.sleep(GATHER_S)
                self._next = _Batch()
                left = await self._keep(batch.reports)
        except BaseException as error:
            if self._next is batch:
                self._next = _Batch()
            ended = not isinstance(error, Exception)  # the others need not end with it
            said.set_exception(unavailable("reports", "given up") if ended else error)
            said.exception()  # mostly nobody else waits for it
            raise
        said.set_result(left)
        return left
