"""The database that the settings name, opened. Called by `service` and by `godwit db`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from godwit.model.errors import Refused
from godwit.model.reasons import Code, reason
from godwit.runtime.clock import Clock
from godwit.runtime.settings import SQLITE, Settings
from godwit.store import database, schema
from godwit.store.queries import Queries
from godwit.store.readers import ReaderThreads
from godwit.store.sql import SqlStore
from godwit.store.statements import TROUBLE, Connection
from godwit.store.writer import translated

if TYPE_CHECKING:
    from godwit.store.postgres import Server


def open_store(settings: Settings, clock: Clock, *, with_hosts: bool = False) -> SqlStore:
    """The store, for a process that writes; `with_hosts`: one that acts on hosts by itself. A file
    is made if it is new.

    Raises `Refused` (store-too-new, store-too-old, invalid-input), `Conflict` (store-in-use,
    served-elsewhere, conducted-elsewhere) or `Unreachable` (store-unavailable).
    """
    if settings.store.url == SQLITE:
        return SqlStore.open(_file(settings), clock)
    from godwit.store.postgres import ActsOnHosts

    acts = ActsOnHosts.BY_ITSELF if with_hosts else ActsOnHosts.THROUGH_AGENTS
    server = replace(_server(settings), acts=acts)
    return SqlStore.connect(server, clock, readers=_readers(settings))


def open_queries(settings: Settings) -> Queries:
    """The read-only door, for a process that must not write. Raises as `open_store`; nothing is
    made, and a file that another process has is read all the same.
    """
    if settings.store.url == SQLITE:
        path = _file(settings)
        with _understood(str(path)), closing(database.open_reader(path)) as connection:
            schema.check(connection, str(path))
        return Queries(ReaderThreads(database.source(path)))
    from godwit.store import server_writer

    server = _readers(settings)
    with _understood(server.name), closing(server.connect()) as connection:
        schema.check(connection, server.name)
    return server_writer.queries(server)


@contextmanager
def for_upgrade(settings: Settings) -> Iterator[tuple[Connection, str]]:
    """A connection for `upgrade`, whatever the version of the tables, and the database's name. A
    file is this process's alone meanwhile. Raises as `open_store`.
    """
    if settings.store.url != SQLITE:
        server = _server(settings)
        with _understood(server.name), closing(server.open_for_upgrade()) as connection:
            yield connection, server.name
        return
    path = _file(settings)
    lock = database.lock(path)
    try:
        with _understood(str(path)), closing(database.open_for_upgrade(path)) as connection:
            yield connection, str(path)
    finally:
        lock.release()


def version(settings: Settings) -> tuple[int, str]:
    """Which version the tables have, and the database's name; changes nothing. Raises
    `Unreachable` (store-unavailable).
    """
    if settings.store.url != SQLITE:
        server = _readers(settings)
        with _understood(server.name), closing(server.connect()) as connection:
            return schema.version(connection), server.name
    path = _file(settings)
    if not path.exists():
        return 0, str(path)
    with _understood(str(path)), closing(database.open_reader(path)) as connection:
        return schema.version(connection), str(path)


@contextmanager
def _understood(name: str) -> Iterator[None]:
    try:
        yield
    except TROUBLE as error:
        raise translated(error, name) from error


def _file(settings: Settings) -> Path:
    folder = Path(settings.server.state_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        field, expected = "server.state_dir", "name one that this process may use"
        problem = f"{folder}: {error.strerror}"
        said = reason(Code.INVALID_INPUT, field=field, problem=problem, expected=expected)
        raise Refused(said) from error
    return folder / "godwit.sqlite"


def _server(settings: Settings) -> "Server":
    return _named(settings.store.url, settings.store.password_file)


def _readers(settings: Settings) -> "Server":
    store = settings.store
    if store.read_url:
        return replace(_named(store.read_url, store.read_password_file), read_only=True)
    return replace(_server(settings), read_only=True)


def _named(url: str, password_file: str) -> "Server":
    from godwit.store.postgres import Server

    return Server(url, Path(password_file) if password_file else None)
