"""The door to PostgreSQL: connections that never wait for ever, and the driver's errors translated.
Used by `opening`, `server_writer` and `queries`. The driver (psycopg) is imported here alone, when
a server is first connected to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Dialect

from godwit.store.statements import POSTGRESQL, ServerDefect, ServerTrouble

_KEEPALIVE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "godwit",
}
"""Settings of the connection, unless the URL has its own."""
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
HOSTS_KEY: Final = int.from_bytes(b"godwit")
"""Of an advisory lock, given back by the end of its session, however that ends."""
_AGAIN: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_DEFECTS: Final = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError)


class ServerBusy(ServerTrouble):
    """Another process was in the way: the transaction is undone and may be run again."""


class HostsTaken(ServerTrouble):
    """Another process acts on hosts with this database, and leaves no room for this one."""


class HostsShared(HostsTaken):
    """It is one of those that ask the hosts' agents."""


class ActsOnHosts(StrEnum):
    """How a process that writes acts on hosts. Any number may ask agents, or one acts by itself:
    it keeps what protects its hosts' guests on its own machine, where no other looks.
    """

    BY_ITSELF = "by itself"
    THROUGH_AGENTS = "through agents"


@dataclass(frozen=True)
class Bounds:
    """How long is waited, in seconds."""

    statement: float = 10.0
    lock: float = 5.0
    idle_in_transaction: float = 3.0
    """So long a process that is frozen within a transaction stands in the way of all others."""
    answer: float = 12.0
    """More than a statement's: a server that is frozen does not keep its own time-outs."""

    @property
    def options(self) -> str:
        """Those that the server keeps."""
        return (
            f"-c statement_timeout={self.statement * 1000:.0f}"
            f" -c lock_timeout={self.lock * 1000:.0f}"
            f" -c idle_in_transaction_session_timeout={self.idle_in_transaction * 1000:.0f}"
            # What a machine that lost its power held is let go soon.
            " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
        )


UPGRADE: Final = Bounds(statement=3600.0, lock=60.0, idle_in_transaction=60.0, answer=3700.0)


@dataclass(frozen=True)
class Server:
    """Where the database is, and as whom it is opened."""

    url: str
    """`postgresql://USER@HOST/DATABASE`, without a password."""
    password_file: Path | None = None
    """Read at each connection; without it libpq's own ways hold (PGPASSWORD, ~/.pgpass)."""
    read_only: bool = False
    acts: ActsOnHosts | None = None
    """Keeps out whoever must not act on hosts beside this one; None: does not act on any."""
    bounds: Bounds = Bounds()

    @property
    def name(self) -> str:
        """For people."""
        return self.url.partition("?")[0]

    def connect(self) -> "ServerConnection":
        """A new connection. Raises `ServerTrouble`."""
        connection = self._connect(autocommit=True)
        try:
            connection.execute(_DURABLE)
            if self.read_only:
                connection.execute("SET default_transaction_read_only = on")
            elif self.acts is not None:
                _take_hosts(connection, self.acts)
        except BaseException:
            connection.close()
            raise
        return connection

    def open_for_upgrade(self) -> "ServerConnection":
        """A connection that may take its time and begins transactions by itself. Raises
        `ServerTrouble`.
        """
        return replace(self, bounds=UPGRADE)._connect(autocommit=False)

    def _connect(self, *, autocommit: bool) -> "ServerConnection":
        try:
            wanted = "any" if self.read_only else "read-write"
            ours = {**_KEEPALIVE, "target_session_attrs": wanted}
            given: dict[str, Any] = {**ours, **conninfo_to_dict(self.url)}
            given["options"] = f"{self.bounds.options} {given.get('options') or ''}"
            if self.password_file is not None:
                given["password"] = self.password_file.read_text(encoding="utf-8").strip("\r\n")
            reached = _Bounded.connect(make_conninfo("", **given), autocommit=autocommit)
            reached.answer_s = self.bounds.answer
            return ServerConnection(reached)
        except psycopg.Error as error:
            raise _translated(error) from error
        except (OSError, UnicodeDecodeError) as error:
            problem = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
            raise ServerTrouble(f"password file {self.password_file}: {problem}") from error


class _Bounded(psycopg.Connection[tuple[Any, ...]]):
    """Waits for no answer longer than this."""

    answer_s: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg."""
        return super().wait(gen, interval, self.answer_s if timeout is None else timeout)


class ServerConnection:
    """A connection to PostgreSQL, as `statements.Connection`. For one thread at a time."""

    dialect: Dialect = POSTGRESQL

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Made by `Server`."""
        self.driver: Final = connection
        self._cursor = connection.cursor()

    def execute(self, statement: str, values: Any = None, /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Raises `ServerTrouble`."""
        with self._understood():
            return self._cursor.execute(statement, values)

    def executemany(self, statement: str, values: Any, /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Raises `ServerTrouble`."""
        with self._understood():
            self._cursor.executemany(statement, values)
            return self._cursor

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
                self.driver.close()  # whatever it says later answers nobody's question
            if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                self.driver.close()  # another server may be the one that takes writes by now
            raise _translated(error) from error

    def heard(self, within_s: float) -> list[str]:
        """What was said where this one listens, once there is something. Raises `ServerTrouble`."""
        try:
            return [each.payload for each in self.driver.notifies(timeout=within_s, stop_after=1)]
        except psycopg.Error as error:
            raise _translated(error) from error

    def is_lost(self) -> bool:
        """Has the server, or the network, closed it meanwhile? Asks nobody."""
        try:
            for _ in range(2):  # a parting word may come before the end
                self.driver.pgconn.consume_input()
        except psycopg.Error:
            return True
        return self.driver.closed

    def rollback(self) -> None:
        """With a connection that is lost the server has done so."""
        try:
            self.driver.rollback()
        except psycopg.Error:
            self.driver.close()

    def close(self) -> None:
        """Repeatable."""
        self.driver.close()


def _take_hosts(connection: ServerConnection, acts: ActsOnHosts) -> None:
    by_itself = acts is ActsOnHosts.BY_ITSELF
    if not _try_lock(connection, "" if by_itself else "_shared"):
        if by_itself and _try_lock(connection, "_shared"):
            raise HostsShared("conductors use it")
        raise HostsTaken("another godwit serve acts on hosts with it")


def _try_lock(connection: ServerConnection, how: str) -> bool:
    return connection.execute(f"SELECT pg_try_advisory_lock{how}({HOSTS_KEY})").fetchone() == (
        True,
    )


def _translated(error: psycopg.Error) -> ServerTrouble:
    """One line, without the text of the statement."""
    words = (error.diag.message_primary or str(error)).strip().splitlines() or [
        type(error).__name__
    ]
    if isinstance(error, _AGAIN):
        return ServerBusy(words[0])
    if isinstance(error, _DEFECTS) and not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ServerDefect(words[0])
    return ServerTrouble(words[0])
