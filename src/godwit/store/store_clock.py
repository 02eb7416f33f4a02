"""The store's clock, by which all go who share a database server.

Leases, rests, the ages of reports and the dates of records are written by one process and compared
by another, whose machine's clock may be wrong, or set. So the server's clock counts: as this
process has read it last, carried on by a clock that nobody sets. Made by `service`, and given to
whatever asks what time it is. A file is one process's: there its own clock is the store's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Float, cast, extract, func, select

from godwit.model.errors import GodwitError
from godwit.runtime.clock import Clock, steady_s
from godwit.store.statements import POSTGRESQL, Connection, Reads

READ_EVERY_S: Final = 2.0
SURE_WITHIN_S: Final = 1.0
"""An answer that took longer may be older than what is known."""
NOW: Final = Reads(select(cast(extract("epoch", func.clock_timestamp()), Float)), float)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reading:
    """What the server said, and when it was asked and had answered by a clock that nobody sets."""

    said_s: float
    asked_s: float
    answered_s: float

    @property
    def ahead_s(self) -> float:
        """How far the server is ahead of that clock, at least: so nobody finds a lease over before
        it is.
        """
        return self.said_s - self.answered_s

    @property
    def is_sure(self) -> bool:
        """It came soon enough to be preferred to what was known."""
        return self.answered_s - self.asked_s <= SURE_WITHIN_S


Look = Callable[[], Awaitable[Reading | None]]
"""Asks the server. None: there is none, the store is this process's alone."""


class Tasks(Protocol):
    """Where tasks are started: a `TaskGroup`, or what stands for one."""

    def create_task(self, work: Any, /, *, name: str | None = None) -> object:
        """Begin with this."""
        ...


class StoreClock:
    """A `Clock` that shows the store's time; this machine's until it has been read once."""

    def __init__(self, own: Clock, *, steady_s: Callable[[], float] = steady_s) -> None:
        """`steady_s` is the clock that nobody sets."""
        self._own = own
        self._steady_s = steady_s
        self._ahead_s: float | None = None

    def now_s(self) -> float:
        """The present moment."""
        if self._ahead_s is None:
            return self._own.now_s()
        return self._steady_s() + self._ahead_s

    async def keep(self, look: Look, tasks: Tasks) -> None:
        """Returns once it has been read, and is read again and again by a task from then on. Raises
        `Unreachable` (store-unavailable).
        """
        if await self._read(look):
            tasks.create_task(self._keep(look), name="the store's clock")

    async def _keep(self, look: Look) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            try:
                await self._read(look)
            except GodwitError as error:
                log.debug("store's clock not read", code=error.reason.code)

    async def _read(self, look: Look) -> bool:
        reading = await look()
        if reading is not None and (reading.is_sure or self._ahead_s is None):
            self._ahead_s = reading.ahead_s  # the first however unsure: our own may be hours off
        return reading is not None


def read_clock(connection: Connection) -> Reading | None:
    """What this database's server says."""
    if connection.dialect is not POSTGRESQL:
        return None
    asked_s = steady_s()
    said_s = NOW.first(connection)
    return None if said_s is None else Reading(said_s, asked_s, steady_s())
