"""SQL statements: written with SQLAlchemy's Core, compiled once per dialect, run on the driver's
connection.

Every module of this room keeps its statements as constants of these kinds; the few whose form
depends on the question (filters that may be left out, a list of any length) are compiled each time.
Executed through SQLAlchemy one costs 30 to 70 µs, compiled here 5. Which dialect it is compiled for
says the connection it runs on.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from sqlalchemy import Delete, Dialect, Insert, Select, TextClause, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import CompoundSelect
from sqlalchemy.types import TypeEngine

R = TypeVar("R")

SQLITE: Final[Dialect] = sqlite.dialect(paramstyle="named")
POSTGRESQL: Final[Dialect] = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]
FLOAT8: Final = 701
"""PostgreSQL's number for the type of every `Float` column; no other type and dialect asks."""


class Connection(Protocol):
    """A driver's connection on which transactions are begun and ended by statements alone."""

    @property
    def dialect(self) -> Dialect:
        """`SQLITE` or `POSTGRESQL`."""
        ...

    def execute(self, statement: str, values: Any = ..., /) -> Any:
        """Run one statement; its cursor holds until the next."""
        ...

    def executemany(self, statement: str, values: Any, /) -> Any:
        """Run one statement for each of the values, in one way to the database and back."""
        ...

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""
        ...

    def is_lost(self) -> bool:
        """Must another one be opened in its place? Asks nobody."""
        ...

    def close(self) -> None:
        """Let go of the database. Repeatable."""
        ...


class ServerTrouble(Exception):
    """What a database server, or the way to it, said. Raised by `postgres`, the door to it."""


class ServerDefect(ServerTrouble):
    """The server refuses a statement or a row that must not be."""


TROUBLE: Final = (sqlite3.Error, ServerTrouble)
"""All that a connection may raise."""
DEFECTS: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    ServerDefect,
)
"""A wrong statement, or a row that must not be: not expected of a database."""

_Change = Callable[[Any], Any]


@dataclass(frozen=True)
class _Compiled:
    """A statement's text, and how values go in."""

    text: str
    fixed: Mapping[str, Any]
    """Parameters whose value stands in the statement itself."""
    inward: Mapping[str, _Change]
    """Parameters that the database keeps in another form."""
    outward: tuple[tuple[str, _Change], ...] = ()
    """Columns that the database keeps in another form."""

    def bound(self, given: dict[str, Any]) -> dict[str, Any]:
        values = {**self.fixed, **given}
        for name, change in self.inward.items():
            values[name] = change(values[name])
        return values


class Writes:
    """An INSERT, UPDATE or DELETE. `columns` are those whose values are given with each run."""

    def __init__(self, statement: Insert | Update | Delete, *columns: str) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[Dialect, _Compiled] = {}

    def run(self, connection: Connection, **given: Any) -> int:
        """How many rows it changed."""
        compiled = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        changed: int = connection.execute(compiled.text, compiled.bound(given)).rowcount
        return changed

    def run_for_each(self, connection: Connection, given: Sequence[dict[str, Any]]) -> int:
        """How many rows all of them changed. In one way to a server and back."""
        compiled = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        values = [compiled.bound(each) for each in given]
        changed: int = connection.executemany(compiled.text, values).rowcount
        return changed

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled[dialect] = _compile(self._statement, self._columns, dialect)
        return compiled


class Reads(Generic[R]):
    """A SELECT whose rows become records: `into` takes the columns by name, or the only one."""

    def __init__(
        self, statement: Select[Any] | CompoundSelect[Any], into: Callable[..., R]
    ) -> None:
        self._statement = statement
        self._into = into
        self._names = tuple(str(column.key) for column in statement.selected_columns)
        self._compiled: dict[Dialect, _Compiled] = {}

    def first(self, connection: Connection, **given: Any) -> R | None:
        """The first record, if there is one."""
        compiled = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        row = connection.execute(compiled.text, compiled.bound(given)).fetchone()
        return None if row is None else self._record(compiled, row)

    def all(self, connection: Connection, **given: Any) -> tuple[R, ...]:
        """Every record."""
        compiled = self._compiled.get(connection.dialect) or self._compile(connection.dialect)
        rows = connection.execute(compiled.text, compiled.bound(given)).fetchall()
        return tuple(self._record(compiled, row) for row in rows)

    def _record(self, compiled: _Compiled, row: tuple[Any, ...]) -> R:
        fields = dict(zip(self._names, row, strict=True))
        for name, change in compiled.outward:
            fields[name] = change(fields[name])
        return self._into(*fields.values()) if len(fields) == 1 else self._into(**fields)

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled[dialect] = _compile(self._statement, (), dialect)
        return compiled


class Locks:
    """Rows, or a table, that nobody else may change until the transaction ends; waited for.

    SQLite has one writer at a time: there is nothing to do. The order, the same for all, is: the
    line of slots, a story, its debts, its migration, a server, a host.
    """

    def __init__(self, statement: Select[Any] | TextClause) -> None:
        if isinstance(statement, Select):
            # Rows that refer to these by a foreign key may be written all the same.
            statement = statement.with_for_update(key_share=True)
        self._compiled = _compile(statement, (), POSTGRESQL)

    def hold(self, connection: Connection, **given: Any) -> None:
        """Take it, in the place that it has in the order."""
        if connection.dialect is POSTGRESQL:
            connection.execute(self._compiled.text, self._compiled.bound(given))


def _compile(
    statement: Select[Any] | CompoundSelect[Any] | Insert | Update | Delete | TextClause,
    columns: tuple[str, ...],
    dialect: Dialect,
) -> _Compiled:
    compiled = statement.compile(
        dialect=dialect,
        column_keys=columns or None,
        compile_kwargs={"render_postcompile": True},
    )
    given = {name for name, bind in compiled.binds.items() if bind.required}
    fixed = {name: value for name, value in compiled.params.items() if name not in given}
    inward = _processors(
        {name: bind.type for name, bind in compiled.binds.items()}, dialect, "bind_processor"
    )
    for name in inward.keys() & fixed.keys():
        fixed[name] = inward[name](fixed[name])
    read = statement.selected_columns if isinstance(statement, Select | CompoundSelect) else ()
    outward = _processors(
        {str(column.key): column.type for column in read}, dialect, "result_processor", FLOAT8
    )
    return _Compiled(
        text=str(compiled),
        fixed=fixed,
        inward={name: inward[name] for name in inward.keys() & given},
        outward=tuple(outward.items()),
    )


def _processors(
    kinds: Mapping[str, TypeEngine[Any]], dialect: Dialect, which: str, *more: int
) -> dict[str, _Change]:
    """What turns values of these types into what the driver takes or gives, where it differs."""
    return {
        name: change
        for name, kind in kinds.items()
        if (change := getattr(kind.dialect_impl(dialect), which)(dialect, *more)) is not None
    }


@contextmanager
def transaction(connection: Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[Connection]:
    """All that is done inside is committed together, or nothing of it."""
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # Also of a commit that fails the database leaves the transaction open.
        connection.rollback()
        raise


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Within a transaction: what is done inside can fail by itself."""
    connection.execute("SAVEPOINT work")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK TO work")
        raise
    finally:
        connection.execute("RELEASE work")
