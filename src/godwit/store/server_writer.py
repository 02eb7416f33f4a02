"""The one writer of this process on a PostgreSQL server, beside those of other processes, and where
its reads come from. Used by `sql` alone.

All statements run in a thread, which alone waits for the server. Each piece of work is a
transaction of its own, so that what it locks is held for its few statements only; many pieces share
one wait for the server's disk (group commit): they are committed without it, and nobody gets an
answer before a last, small commit that waits has brought them all to the disk. For a server writes
its log in order: what is in it before a commit that waited is as durable as that.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from godwit.model.errors import Conflict
from godwit.model.reasons import Code, reason
from godwit.store import schema
from godwit.store.listener import Listener, say
from godwit.store.postgres import HostsShared, HostsTaken, Server, ServerBusy, ServerConnection
from godwit.store.queries import Queries
from godwit.store.readers import ReaderThreads, Source
from godwit.store.statements import Connection, ServerTrouble
from godwit.store.writer import (
    BATCH_MAX,
    WAITING_MAX,
    Outcome,
    T,
    Waiting,
    Work,
    answer,
    outcome_of,
    translated,
    unavailable,
    understood,
)

BEGIN: Final = "BEGIN"
COMMIT: Final = "COMMIT"
BEGIN_WITHOUT_WAIT: Final = "BEGIN; SET LOCAL synchronous_commit = off"
WAIT_FOR_ALL: Final = "SELECT pg_logical_emit_message(true, 'godwit', '')"
"""A commit of nothing else but a mark in the log."""
BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
TRIES_MAX: Final = 4
"""So often is work tried that others were in the way of."""
PAUSE_S: Final = 0.1
"""Before it is tried again: whoever was let through must have gone on by then."""


def open_writer(server: Server) -> "ServerWriter":
    """A writer on the server. Raises `Refused` (store-too-new, store-too-old) if its tables are of
    another version, `Conflict` (served-elsewhere, conducted-elsewhere) if another process acts on
    hosts with it and leaves no room for this one, `Unreachable` (store-unavailable) if it cannot be
    reached now.
    """
    try:
        connection = server.connect()
        try:
            schema.check(connection, server.name)
        except BaseException:
            connection.close()
            raise
    except HostsShared as error:
        raise Conflict(reason(Code.CONDUCTED_ELSEWHERE, path=server.name)) from error
    except HostsTaken as error:
        raise Conflict(reason(Code.SERVED_ELSEWHERE, path=server.name)) from error
    except ServerTrouble as error:
        raise translated(error, server.name) from error
    return ServerWriter(server.connect, connection, name=server.name)


def queries(server: Server) -> Queries:
    """The server, for reads, and for who waits for what any process writes there."""
    reading = replace(server, read_only=True)
    connect: Callable[[], Connection] = reading.connect
    source = Source(name=server.name, connect=connect, begin=BEGIN_READ)
    return Queries(ReaderThreads(source), listen=partial(Listener, reading))


class ServerWriter:
    """Runs work in a thread of its own, connected to the server whenever that can be had."""

    def __init__(
        self,
        connect: Callable[[], ServerConnection],
        connection: ServerConnection,
        *,
        name: str,
        timeout_s: float = 30.0,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """`connection` is the writer's from now on; `connect` makes the next when it is lost."""
        self._connect = connect
        self._connection = connection
        self._name = name
        self._timeout_s = timeout_s
        self._waiting_max = waiting_max
        self._line: deque[Waiting] = deque()
        self._news: dict[str, bool] = {}
        self._works = False
        self._turn = threading.Lock()
        """Held for the moment in which the line is looked at and the thread is woken or rests."""
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")

    async def write(self, work: Work[T]) -> T:
        """See `Writer`."""
        if self._closed.is_set():
            raise unavailable(self._name, "it is closed")
        if len(self._line) >= self._waiting_max:
            raise unavailable(self._name, "too many writes wait already")
        waiting = Waiting(work, asyncio.get_running_loop().create_future())
        self._wake(lambda: self._line.append(waiting))
        try:
            async with asyncio.timeout(self._timeout_s):
                result: T = await waiting.future
        except TimeoutError as error:
            raise unavailable(self._name, f"no answer in {self._timeout_s:.0f} s") from error
        return result

    def tell(self, uuid: str, ended: bool) -> None:
        """Let other processes know that this migration has changed. Soon, if at all."""
        if not self._closed.is_set():
            self._wake(lambda: self._news.__setitem__(uuid, ended or self._news.get(uuid, False)))

    def close(self) -> None:
        """See `Writer`."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.shutdown(wait=True)
            self._connection.close()

    def _wake(self, add: Callable[[], None]) -> None:
        with self._turn:
            add()
            wakes, self._works = not self._works, True
        if wakes:
            self._thread.submit(self._work)

    def _work(self) -> None:
        """In the thread, until nothing waits."""
        while True:
            batch, news = self._next_batch()
            if not (batch or news):
                return
            if batch:
                outcomes = outcome_of(partial(self._run, [waiting.work for waiting in batch]))
                answer(batch, outcomes.value or [understood(outcomes, self._name)] * len(batch))
                if outcomes.error is not None and self._closed.is_set():
                    self._refuse_the_rest()
            if news:
                with suppress(ServerTrouble):  # who waits looks by itself, a little later
                    say(self._connection, news)

    def _refuse_the_rest(self) -> None:
        """Whoever closes waits for all that wait; not for the time-out of each batch of them."""
        with self._turn:
            rest = list(self._line)
            self._line.clear()
            self._news.clear()
        answer(rest, [Outcome(error=unavailable(self._name, "it is closed"))] * len(rest))

    def _next_batch(self) -> tuple[list[Waiting], dict[str, bool]]:
        with self._turn:
            batch = [self._line.popleft() for _ in range(min(len(self._line), BATCH_MAX))]
            news, self._news = self._news, {}
            self._works = bool(batch or news)
        return batch, news

    def _run(self, works: list[Work[Any]]) -> list[Outcome]:
        """Raises if none of it is known to have happened. A commit goes with what follows it."""
        if self._connection.is_lost():
            self._connection.close()
            self._connection = self._connect()
        begin = BEGIN_WITHOUT_WAIT if len(works) > 1 else BEGIN
        outcomes: list[Outcome] = []
        before = begin
        for work in works:
            self._connection.execute(before)
            outcomes.append(self._tried(work, begin))
            before = begin if outcomes[-1].error else f"{COMMIT}; {begin}"
        last = [] if outcomes[-1].error else [COMMIT]
        last += [WAIT_FOR_ALL] if len(works) > 1 else []
        if last:
            self._connection.execute("; ".join(last))
        return outcomes

    def _tried(self, work: Work[Any], begin: str) -> Outcome:
        """In the transaction that is open, and stays so unless the work fails."""
        outcome = Outcome()
        for tried in range(1, TRIES_MAX + 1):
            outcome = outcome_of(partial(work, self._connection))
            if outcome.error is None:
                return outcome
            self._connection.rollback()
            if not isinstance(outcome.error, ServerBusy) or tried == TRIES_MAX:
                break
            self._closed.wait(PAUSE_S * tried)
            self._connection.execute(begin)
        return understood(outcome, self._name)
