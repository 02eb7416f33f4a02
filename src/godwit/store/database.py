"""Opening a database file: its lock, its settings, its tables. Used by `sql`.

One process at a time: a lock beside the file, held for life, makes a second one refuse to start, so
that whoever holds it may take over every story of the one before at once.
"""

import sqlite3
from functools import partial
from pathlib import Path

from godwit.model.errors import Conflict
from godwit.model.reasons import Code, reason
from godwit.runtime.process_lock import Held, ProcessLock
from godwit.store import schema
from godwit.store.readers import Source
from godwit.store.statements import SQLITE, Connection, transaction
from godwit.store.writer import translated, unavailable

BUSY_TIMEOUT_MS = 5_000
"""How long a write waits for another program that has the file locked (a shell, a backup)."""


class FileConnection(sqlite3.Connection):
    """A connection to SQLite."""

    dialect = SQLITE

    def is_lost(self) -> bool:
        """A file does not go away."""
        return False


def lock(path: Path) -> ProcessLock:
    """Take the file for this process. Raises `Conflict` (store-in-use) if another one has it, and
    `Unreachable` (store-unavailable) if the file or its folder cannot be written.
    """
    try:
        # Root may write where the mode says nobody should; the operator's word counts all the same.
        if path.exists() and not path.stat().st_mode & 0o222:
            raise unavailable(str(path), "it is read-only")
        return ProcessLock(Path(f"{path}.lock"))
    except Held as error:
        raise Conflict(reason(Code.STORE_IN_USE, path=path, pid=error.pid)) from error
    except OSError as error:
        raise unavailable(str(path), error.strerror or str(error)) from error


def open_writer(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> FileConnection:
    """The connection that writes; the file and its tables are made if they are new.

    Raises `Refused` (store-too-new, store-too-old) for another program's file, `Unreachable`
    (store-unavailable) for one that cannot be written, is locked, or is no database.
    """
    try:
        connection = _connected(
            str(path),
            f"PRAGMA busy_timeout = {busy_timeout_ms}",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
        )
    except sqlite3.Error as error:
        raise translated(error, str(path)) from error
    try:
        _ensure_tables(connection, str(path))
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise translated(error, str(path)) from error
        raise
    return connection


def open_reader(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Connection:
    """A connection that can only read. The file must exist."""
    return _connected(
        f"{path.absolute().as_uri()}?mode=ro",
        f"PRAGMA busy_timeout = {busy_timeout_ms}",
        "PRAGMA query_only = ON",
    )


def source(path: Path) -> Source:
    """The file, for reads. It must exist at the first of them."""
    return Source(
        name=str(path),
        connect=partial(open_reader, path),
        begin="BEGIN",
        at_hand=partial(open_reader, path, busy_timeout_ms=0),
    )


def open_for_upgrade(path: Path) -> FileConnection:
    """The file, new or of any version, for `upgrade`. Foreign keys are not watched: a table that
    others refer to is exchanged for its copy.
    """
    pragmas = (f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}", "PRAGMA journal_mode = WAL")
    return _connected(str(path), *pragmas, "PRAGMA synchronous = FULL")


def open_in_memory() -> Connection:
    """A new, empty database in memory."""
    connection = _connected(":memory:", "PRAGMA foreign_keys = ON")
    _ensure_tables(connection, ":memory:")
    return connection


def _connected(name: str, *pragmas: str) -> FileConnection:
    """Transactions are begun by us alone: where Python's sqlite3 begins them it breaks savepoints.
    Threads take turns by themselves (`writer`, `queries`).
    """
    connection = sqlite3.connect(
        name,
        uri=name.startswith("file:"),
        isolation_level=None,
        check_same_thread=False,
        factory=FileConnection,
    )
    try:
        for pragma in pragmas:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _ensure_tables(connection: Connection, path: str) -> None:
    with transaction(connection):
        if schema.version(connection) == 0:
            schema.create(connection)
        schema.check(connection, path)
