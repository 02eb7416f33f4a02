"""Where reads are made: in a few threads on connections of their own, or at once. Used by
`queries`; made by `sql` and whoever opens a database for it.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from godwit.store.statements import TROUBLE, Connection, transaction
from godwit.store.writer import Waiting, answer, outcome_of, translated, unavailable

T = TypeVar("T")

READERS_MAX: Final = 2
READ_TIMEOUT_S: Final = 10.0
GLANCES_MAX: Final = 16
"""So many are answered at a time."""


class Reader(Protocol):
    """Whoever runs a reading function on a connection."""

    async def read(self, look: Callable[[Connection], T]) -> T:
        """What `look` returns. Raises `Unreachable` (store-unavailable) if the database fails."""
        ...

    async def glance(self, look: Callable[[Connection], T], *, together: bool = False) -> T:
        """As `read`, for a few rows found by their key. Several statements see one moment only if
        they are to be looked at `together`.
        """
        ...

    def close(self) -> None:
        """Stop. Repeatable."""
        ...


@dataclass(frozen=True)
class Source:
    """Where reads come from."""

    name: str
    """The database, for people."""
    connect: Callable[[], Connection]
    """A new connection that cannot write."""
    begin: str
    """Begins a transaction that sees one moment."""
    at_hand: Callable[[], Connection] | None = None
    """A connection that never waits, for glances on the event loop; None: there is no such."""


class ReaderThreads:
    """Reads in a few threads. Glances that come while others are being answered are answered
    together, by one thread: every way to a thread and back costs as much as the glance.
    """

    def __init__(self, source: Source) -> None:
        """Connects at the first read."""
        self._source = source
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="store-reader")
        self._idle: list[Connection] = []
        self._at_hand: Connection | None = None
        self._line: deque[Waiting] = deque()
        self._is_answering = False
        self._turn = threading.Lock()
        """Held for the moment in which the line is looked at and a thread is woken or rests."""

    async def read(self, look: Callable[[Connection], T]) -> T:
        """See `Reader`."""
        reading = partial(self._look, look, self._source.begin)
        return await self._within_bounds(
            asyncio.get_running_loop().run_in_executor(self._threads, reading)
        )

    async def glance(self, look: Callable[[Connection], T], *, together: bool = False) -> T:
        """See `Reader`."""
        begin = self._source.begin if together else ""
        if self._source.at_hand is None:
            return await self._in_line(partial(_looked, look=look, begin=begin))
        try:
            if self._at_hand is None:
                self._at_hand = self._source.at_hand()
            return _looked(self._at_hand, look, begin)
        except TROUBLE:
            return await self.read(look)  # locked at this moment: not on the loop is it waited for

    def close(self) -> None:
        """See `Reader`."""
        if self._at_hand is not None:
            self._at_hand.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _in_line(self, look: Callable[[Connection], T]) -> T:
        waiting = Waiting(look, asyncio.get_running_loop().create_future())
        with self._turn:
            self._line.append(waiting)
            wakes, self._is_answering = not self._is_answering, True
        if wakes:
            self._threads.submit(self._answer_all)
        return await self._within_bounds(waiting.future)

    async def _within_bounds(self, answered: asyncio.Future[T]) -> T:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await answered
        except TimeoutError as error:
            raise unavailable(self._source.name, f"no answer in {READ_TIMEOUT_S:.0f} s") from error
        except TROUBLE as error:
            raise translated(error, self._source.name) from error

    def _answer_all(self) -> None:
        """In a reader's thread, until nobody waits."""
        while batch := self._next_batch():
            answer(batch, [outcome_of(partial(self._look, each.work, "")) for each in batch])

    def _next_batch(self) -> list[Waiting]:
        with self._turn:
            batch = [self._line.popleft() for _ in range(min(len(self._line), GLANCES_MAX))]
            self._is_answering = bool(batch)
        return batch

    def _look(self, look: Callable[[Connection], T], begin: str) -> T:
        """In a reader's thread. Each has a connection of its own, which sees one moment if a
        transaction is begun.
        """
        connection = self._a_connection()
        try:
            return _looked(connection, look, begin)
        finally:
            self._idle.append(connection)

    def _a_connection(self) -> Connection:
        with suppress(IndexError):
            idle = self._idle.pop()
            if not idle.is_lost():
                return idle
            idle.close()
        return self._source.connect()


class InlineReader:
    """Reads of a database in memory, at once."""

    def __init__(self, connection: Connection) -> None:
        """The connection that also writes."""
        self._connection = connection

    async def read(self, look: Callable[[Connection], T]) -> T:
        """See `Reader`."""
        return look(self._connection)

    async def glance(self, look: Callable[[Connection], T], *, together: bool = False) -> T:
        """See `Reader`."""
        return look(self._connection)

    def close(self) -> None:
        """See `Reader`."""


def _looked(connection: Connection, look: Callable[[Connection], T], begin: str) -> T:
    if not begin:
        return look(connection)
    with transaction(connection, begin):
        return look(connection)
