"""The one writer: every change goes through it, one transaction at a time.

`FileWriter` serves a database file: whatever waits when a commit ends goes into the next one (group
commit; one commit's fsync is what a write costs). The statements run on the event loop, for they
are quicker than the way to another thread, and two threads that take turns at the interpreter cost
a fifth more; the commit is waited for in a thread. `InlineWriter` runs the same work at once on an
in-memory database, for tests and the simulator. Used by `sql` alone.

Work is a function of a connection. It may run more than once before it is committed, so it must
have no effect outside the database.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from godwit.model.errors import GodwitError, Unreachable
from godwit.model.reasons import Code, reason
from godwit.store.statements import (
    DEFECTS,
    TROUBLE,
    Connection,
    savepoint,
    transaction,
)

T = TypeVar("T")
Work = Callable[[Connection], T]

BATCH_MAX: Final = 64
"""So much work holds the loop up at a time: some 5 ms of it."""
BEGIN: Final = "BEGIN IMMEDIATE"
TURNS: Final = 4
"""So many turns of the loop the next batch waits for those whom the last one has answered."""
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
class Outcome:
    """What one work came to, in the writer's thread."""

    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Waiting:
    """One work in the line, and who waits for it."""

    work: Work[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)


class FileWriter:
    """Runs work on the event loop, many pieces per commit, and commits in a thread of its own."""

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
        self._waiting_max = waiting_max
        [self._patience_ms] = connection.execute("PRAGMA busy_timeout").fetchone()
        self._be_patient(for_ms=0)
        self._line: deque[Waiting] = deque()
        self._batch_is_open = False
        self._turn = threading.Lock()
        """Held for the moment in which the line is looked at and a batch is opened or closed."""
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")

    async def write(self, work: Work[T]) -> T:
        """See `Writer`."""
        if self._closed:
            raise unavailable(self._path, "it is closed")
        if len(self._line) >= self._waiting_max:
            raise unavailable(self._path, "too many writes wait already")
        waiting = Waiting(work, asyncio.get_running_loop().create_future())
        with self._turn:
            self._line.append(waiting)
            opens, self._batch_is_open = not self._batch_is_open, True
        if opens:
            # At the end of this turn of the loop: whatever is asked for until then comes with it.
            waiting.loop.call_soon(self._run_batch)
        try:
            async with asyncio.timeout(self._timeout_s):
                result: T = await waiting.future
        except TimeoutError as error:
            raise unavailable(self._path, f"no answer in {self._timeout_s:.0f} s") from error
        return result

    def close(self) -> None:
        """See `Writer`."""
        if not self._closed:
            self._closed = True
            self._thread.shutdown(wait=True)
            self._be_patient(for_ms=self._patience_ms)
            left = list(self._line)
            self._line.clear()
            answer(left, _run_together(self._connection, [each.work for each in left], self._path))
            self._connection.close()

    def _run_batch(self) -> None:
        """On the loop. What fails here is run once more, apart, in the thread."""
        batch = [self._line.popleft() for _ in range(min(len(self._line), BATCH_MAX))]
        if not batch:
            return  # what waited was written by `close`
        outcomes: list[Outcome] = []
        try:
            self._connection.execute(BEGIN)
            outcomes = [_unguarded(self._connection, waiting.work) for waiting in batch]
        except Exception:  # noqa: BLE001 - whose it is is found out where it is run again
            pass
        finally:  # whatever happened: a batch that nobody ends would be the last
            self._thread.submit(self._end_batch, batch, outcomes)

    def _run_batch_after(self, turns: int, loop: asyncio.AbstractEventLoop) -> None:
        """Who was answered goes on, and mostly writes again: that comes along."""
        if turns:
            loop.call_soon(self._run_batch_after, turns - 1, loop)
        else:
            self._run_batch()

    def _end_batch(self, batch: list[Waiting], outcomes: list[Outcome]) -> None:
        """In the thread, which alone waits: for the disk, and for other programs."""
        if not outcomes or outcome_of(partial(_commit, self._connection)).error is not None:
            again = outcome_of(partial(self._run_again, [waiting.work for waiting in batch]))
            outcomes = again.value or [self._without_answer(again.error)] * len(batch)
        answer(batch, outcomes)
        self._open_next()

    def _run_again(self, works: list[Work[Any]]) -> list[Outcome]:
        self._connection.rollback()
        self._be_patient(for_ms=self._patience_ms)
        try:
            return _run_together(self._connection, works, self._path)
        finally:
            self._be_patient(for_ms=0)

    def _without_answer(self, error: BaseException | None) -> Outcome:
        """The connection itself fails: for all of a batch, and the next one tries it again."""
        if isinstance(error, TROUBLE):
            error = translated(error, self._path)
        return Outcome(error=error)

    def _open_next(self) -> None:
        with self._turn:
            while self._line:
                with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                    loop = self._line[0].loop
                    loop.call_soon_threadsafe(self._run_batch_after, TURNS, loop)
                    return
                self._line.popleft()
            self._batch_is_open = False

    def _be_patient(self, *, for_ms: int) -> None:
        """So long may another program have the file locked. On the loop nothing waits for it."""
        self._connection.execute(f"PRAGMA busy_timeout = {for_ms}")


class InlineWriter:
    """Runs work at once, in a transaction of its own. Other tasks get their turn around it, as they
    do with the thread.
    """

    def __init__(self, connection: Connection) -> None:
        """`connection` as for `FileWriter`."""
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


def translated(error: Exception, path: str) -> Exception:
    """A locked, full or broken database is expected trouble; a wrong statement is a defect."""
    if isinstance(error, DEFECTS):
        return error
    trouble = unavailable(path, str(error))
    trouble.__cause__ = error
    return trouble


def understood(outcome: Outcome, path: str) -> Outcome:
    """The database's own trouble, in our words."""
    if isinstance(outcome.error, TROUBLE):
        return Outcome(error=translated(outcome.error, path))
    return outcome


def answer(batch: list[Waiting], outcomes: list[Outcome]) -> None:
    """Give the results to those who wait, in the thread of their loop, which is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for waiting, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # it is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, outcome in answers:
        if future.done():
            continue  # who asked has given up meanwhile
        if outcome.error is None:
            future.set_result(outcome.value)
        else:
            future.set_exception(outcome.error)


def _run_together(connection: Connection, works: list[Work[Any]], path: str) -> list[Outcome]:
    """All in one transaction, with a savepoint for each; if that fails, one by one. So only the
    guilty one fails.
    """
    if len(works) > 1:
        together = outcome_of(partial(_committed, connection, partial(_each, works)))
        if together.error is None:
            outcomes: list[Outcome] = together.value
            return outcomes
    outcomes = [outcome_of(partial(_committed, connection, work)) for work in works]
    return [understood(outcome, path) for outcome in outcomes]


def _each(works: list[Work[Any]], connection: Connection) -> list[Outcome]:
    return [_apart(connection, work) for work in works]


def _unguarded(connection: Connection, work: Work[Any]) -> Outcome:
    return Outcome(value=work(connection))


def _apart(connection: Connection, work: Work[Any]) -> Outcome:
    """In a savepoint: what is expected to fail fails by itself."""
    try:
        with savepoint(connection):
            return Outcome(value=work(connection))
    except GodwitError as error:
        return Outcome(error=error)


def _committed(connection: Connection, work: Work[T]) -> T:
    with transaction(connection, BEGIN):
        return work(connection)


def _commit(connection: Connection) -> None:
    try:
        connection.execute("COMMIT")
    except BaseException:
        # Of a commit that fails the database leaves the transaction open.
        connection.rollback()
        raise


def outcome_of(act: Callable[[], Any]) -> Outcome:
    """What `act` returns or raises, kept for whoever asked."""
    try:
        return Outcome(value=act())
    except BaseException as error:  # noqa: BLE001 - a thread's top: whoever asked gets the error
        return Outcome(error=error)
