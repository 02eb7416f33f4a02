"""Opening the database: the file's lock, its settings, its tables. Used by `sql` alone.

One process at a time: a lock beside the file, held for life, makes a second one refuse to start, so
that whoever holds it may take over every story of the one before at once.
"""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, StaticPool, create_engine, event, exc

from godwit.model.errors import Conflict, Refused
from godwit.model.reasons import Code, reason
from godwit.store.tables import SCHEMA_VERSION, metadata
from godwit.store.writer import translated, unavailable

BUSY_TIMEOUT_MS = 5_000
"""How long a write waits for another program that has the file locked (a shell, a backup)."""


class ProcessLock:
    """The hold of one process on a database file. Ends with the process, whatever its end."""

    def __init__(self, path: Path) -> None:
        """Raises `Conflict` (store-in-use) naming the process that holds it."""
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._file, 20, 0).decode().strip() or "unknown"
            os.close(self._file)
            raise Conflict(reason(Code.STORE_IN_USE, path=path, pid=pid)) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have it. Once."""
        os.close(self._file)


def lock(path: Path) -> ProcessLock:
    """Take the file for this process. Raises `Conflict` (store-in-use) if another one has it, and
    `Unreachable` (store-unavailable) if the file or its folder cannot be written.
    """
    try:
        # Root may write where the mode says nobody should; the operator's word counts all the same.
        if path.exists() and not path.stat().st_mode & 0o222:
            raise unavailable(str(path), "it is read-only")
        return ProcessLock(path)
    except OSError as error:
        raise unavailable(str(path), error.strerror or str(error)) from error


def open_writer(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """The engine that writes; the file and its tables are made if they are new.

    Raises `Refused` (store-too-new) for a newer program's file, `Unreachable` (store-unavailable)
    for one that cannot be written, is locked, or is no database.
    """
    engine = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=0)
    _begin_by_ourselves(engine, "BEGIN IMMEDIATE")
    _on_connect(
        engine,
        f"PRAGMA busy_timeout = {busy_timeout_ms}",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
    )
    try:
        _ensure_tables(engine, str(path))
    except exc.DBAPIError as error:
        engine.dispose()
        raise translated(error, str(path)) from error
    return engine


def open_reader(path: Path, *, connections_max: int) -> Engine:
    """An engine that can only read. The file must exist."""
    engine = create_engine(
        f"sqlite:///file:{path}?mode=ro&uri=true", pool_size=connections_max, max_overflow=0
    )
    _begin_by_ourselves(engine, "BEGIN")
    _on_connect(engine, f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}", "PRAGMA query_only = ON")
    return engine


def open_at_hand(path: Path) -> Engine:
    """An engine for one connection that can only read and never waits: each statement sees the
    present, without a transaction around it. The file must exist.
    """
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", pool_size=1, max_overflow=0)

    def connected(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None

    event.listen(engine, "connect", connected)
    _on_connect(engine, "PRAGMA busy_timeout = 0", "PRAGMA query_only = ON")
    return engine


def open_in_memory() -> Engine:
    """A new, empty database in memory, behind one connection."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    _begin_by_ourselves(engine, "BEGIN")
    _on_connect(engine, "PRAGMA foreign_keys = ON")
    _ensure_tables(engine, ":memory:")
    return engine


def _ensure_tables(engine: Engine, path: str) -> None:
    with engine.begin() as connection:
        found: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found > SCHEMA_VERSION:
            raise Refused(reason(Code.STORE_TOO_NEW, path=path, found=found, known=SCHEMA_VERSION))
        if found < SCHEMA_VERSION:
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _begin_by_ourselves(engine: Engine, statement: str) -> None:
    """Python's sqlite3 begins transactions when it likes, which breaks savepoints."""

    def connected(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(statement))


def _on_connect(engine: Engine, *statements: str) -> None:
    def connected(connection: sqlite3.Connection, record: Any) -> None:
        for statement in statements:
            connection.execute(statement).close()

    event.listen(engine, "connect", connected)
