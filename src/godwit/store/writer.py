"""The one writer: every change goes through it, one transaction at a time.

`WriterThread` serves a database file: whatever waits when a commit ends goes into the next one
(group commit; one commit's fsync is what a write costs). `InlineWriter` runs the same work at once
on an in-memory database, for tests and the simulator. Used by `sql` alone.

Work is a function of a connection. It may run more than once before it is committed, so it must
have no effect outside the database.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from godwit.model.errors import GodwitError, Unreachable
from godwit.model.reasons import Code, reason
from godwit.store.statements import (
    DEFECTS,
    Connection,
    DatabaseTrouble,
    savepoint,
    transaction,
)

T = TypeVar("T")
Work = Callable[[Connection], T]

BATCH_MAX: Final = 256
WAITING_MAX: Final = 10_000


class Writer(Protocol):
    """Whoever runs work and commits it."""

    async def write(self, work: Work[T]) -> T:
        """What `work` returns or raises, after its commit. Raises `Unreachable`
        (store-unavailable) if the database fails; then nothing is known about whether it happened.
        """
        ...

    def close(self) -> None:
        """Finish what waits, then stop. Repeatable."""
        ...


@dataclass
class _Outcome:
    """What one work came to, in the writer's thread."""

    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class _Waiting:
    """One work in the line, and who waits for it."""

    work: Work[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)


class WriterThread:
    """Runs work in a thread of its own, many pieces per commit."""

    def __init__(
        self,
        connection: Connection,
        *,
        path: str,
        timeout_s: float = 30.0,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """`connection` is from `database.open_writer`, and the writer's from now on; `timeout_s`
        bounds the wait for a write.
        """
        self._connection = connection
        self._path = path
        self._timeout_s = timeout_s
        self._line: queue.Queue[_Waiting | None] = queue.Queue(maxsize=waiting_max)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Work[T]) -> T:
        """See `Writer`."""
        if self._closed:
            raise unavailable(self._path, "it is closed")
        waiting = _Waiting(work, asyncio.get_running_loop().create_future())
        try:
            self._line.put_nowait(waiting)
        except queue.Full as error:
            raise unavailable(self._path, "too many writes wait already") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                result: T = await waiting.future
        except TimeoutError as error:
            raise unavailable(self._path, f"no answer in {self._timeout_s:.0f} s") from error
        return result

    def close(self) -> None:
        """See `Writer`. Waits no longer than one write may take."""
        if not self._closed:
            self._closed = True
            self._line.put(None, timeout=self._timeout_s)
            self._thread.join(timeout=self._timeout_s)

    def _serve(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch:
                works = [waiting.work for waiting in batch]
                _answer(batch, _run_together(self._connection, works, self._path))
        self._connection.close()

    def _next_batch(self) -> tuple[list[_Waiting], bool]:
        """Whatever waits, at least one piece. False at the end of the line."""
        batch: list[_Waiting] = []
        waiting = self._line.get()
        while waiting is not None:
            batch.append(waiting)
            if len(batch) == BATCH_MAX:
                return batch, True
            try:
                waiting = self._line.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False


class InlineWriter:
    """Runs work at once, in a transaction of its own. Other tasks get their turn around it, as they
    do with the thread.
    """

    def __init__(self, connection: Connection) -> None:
        """`connection` as for `WriterThread`."""
        self._connection = connection

    async def write(self, work: Work[T]) -> T:
        """See `Writer`."""
        await asyncio.sleep(0)
        with transaction(self._connection, "BEGIN"):
            result = work(self._connection)
        await asyncio.sleep(0)
        return result

    def close(self) -> None:
        """See `Writer`."""
        self._connection.close()


def unavailable(path: str, problem: str) -> Unreachable:
    """The expected error of a database that cannot be used now."""
    return Unreachable(reason(Code.STORE_UNAVAILABLE, path=path, problem=problem))


def translated(error: DatabaseTrouble, path: str) -> Exception:
    """A locked, full or broken database is expected trouble; a wrong statement is a defect."""
    if isinstance(error, DEFECTS):
        return error
    trouble = unavailable(path, str(error))
    trouble.__cause__ = error
    return trouble


def _answer(batch: list[_Waiting], outcomes: list[_Outcome]) -> None:
    """Give the results to those who wait, in the thread of their loop, which is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Outcome]]] = {}
    for waiting, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # it is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: list[tuple[asyncio.Future[Any], _Outcome]]) -> None:
    for future, outcome in answers:
        if future.done():
            continue  # who asked has given up meanwhile
        if outcome.error is None:
            future.set_result(outcome.value)
        else:
            future.set_exception(outcome.error)


def _run_together(connection: Connection, works: list[Work[Any]], path: str) -> list[_Outcome]:
    """All in one transaction; if one fails, again with a savepoint for each (which costs as much as
    two statements); if that fails, too, one by one. So only the guilty one fails.
    """
    if len(works) > 1:
        for run in (_unguarded, _apart):
            together = _outcome_of(partial(_committed, connection, partial(_each, run, works)))
            if together.error is None:
                outcomes: list[_Outcome] = together.value
                return outcomes
    return [_alone(connection, work, path) for work in works]


def _each(
    run: Callable[[Connection, Work[Any]], _Outcome], works: list[Work[Any]], connection: Connection
) -> list[_Outcome]:
    return [run(connection, work) for work in works]


def _unguarded(connection: Connection, work: Work[Any]) -> _Outcome:
    return _Outcome(value=work(connection))


def _apart(connection: Connection, work: Work[Any]) -> _Outcome:
    """In a savepoint: what is expected to fail fails by itself."""
    try:
        with savepoint(connection):
            return _Outcome(value=work(connection))
    except GodwitError as error:
        return _Outcome(error=error)


def _alone(connection: Connection, work: Work[Any], path: str) -> _Outcome:
    outcome = _outcome_of(lambda: _committed(connection, work))
    if isinstance(outcome.error, DatabaseTrouble):
        return _Outcome(error=translated(outcome.error, path))
    return outcome


def _committed(connection: Connection, work: Work[T]) -> T:
    with transaction(connection, "BEGIN IMMEDIATE"):
        return work(connection)


def _outcome_of(act: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(value=act())
    except BaseException as error:  # noqa: BLE001 - a thread's top: whoever asked gets the error
        return _Outcome(error=error)
