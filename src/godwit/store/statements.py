"""SQL statements: written with SQLAlchemy's Core, compiled once, run on the driver's connection.

Every module of this room keeps its statements as constants of these two kinds; the few whose form
depends on the question (filters that may be left out, a list of any length) are compiled each time.
Executed through SQLAlchemy one costs 30 to 70 µs, compiled here 5. What knows the dialect
is `DIALECT` alone.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import CompoundSelect
from sqlalchemy.types import TypeEngine

R = TypeVar("R")

Connection: TypeAlias = sqlite3.Connection
DatabaseTrouble: TypeAlias = sqlite3.Error
DEFECTS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""A wrong statement, or a row that must not be: not expected of a database."""
DIALECT = sqlite.dialect(paramstyle="named")

_Change = Callable[[Any], Any]


@dataclass(frozen=True)
class _Compiled:
    """A statement's text, and how values go in."""

    text: str
    fixed: Mapping[str, Any]
    """Parameters whose value stands in the statement itself."""
    inward: Mapping[str, _Change]
    """Parameters that the database keeps in another form."""

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

    @cached_property
    def _compiled(self) -> _Compiled:
        return _compile(self._statement, self._columns)

    def run(self, connection: Connection, **given: Any) -> int:
        """How many rows it changed."""
        compiled = self._compiled
        return connection.execute(compiled.text, compiled.bound(given)).rowcount


class Reads(Generic[R]):
    """A SELECT whose rows become records: `into` takes the columns by name, or the only one."""

    def __init__(
        self, statement: Select[Any] | CompoundSelect[Any], into: Callable[..., R]
    ) -> None:
        self._statement = statement
        self._into = into
        columns = {str(column.key): column for column in statement.selected_columns}
        self._names = tuple(columns)
        self._outward = tuple(
            (name, change)
            for name, column in columns.items()
            if (change := _processor(column.type, "result_processor", None)) is not None
        )

    @cached_property
    def _compiled(self) -> _Compiled:
        return _compile(self._statement, ())

    def first(self, connection: Connection, **given: Any) -> R | None:
        """The first record, if there is one."""
        compiled = self._compiled
        row = connection.execute(compiled.text, compiled.bound(given)).fetchone()
        return None if row is None else self._record(row)

    def all(self, connection: Connection, **given: Any) -> tuple[R, ...]:
        """Every record."""
        compiled = self._compiled
        rows = connection.execute(compiled.text, compiled.bound(given)).fetchall()
        return tuple(map(self._record, rows))

    def _record(self, row: tuple[Any, ...]) -> R:
        fields = dict(zip(self._names, row, strict=True))
        for name, change in self._outward:
            fields[name] = change(fields[name])
        return self._into(*fields.values()) if len(fields) == 1 else self._into(**fields)


def _compile(
    statement: Select[Any] | CompoundSelect[Any] | Insert | Update | Delete,
    columns: tuple[str, ...],
) -> _Compiled:
    compiled = statement.compile(
        dialect=DIALECT,
        column_keys=columns or None,
        compile_kwargs={"render_postcompile": True},
    )
    given = {name for name, bind in compiled.binds.items() if bind.required}
    fixed = {name: value for name, value in compiled.params.items() if name not in given}
    changes = {
        name: change
        for name, bind in compiled.binds.items()
        if (change := _processor(bind.type, "bind_processor")) is not None
    }
    for name in changes.keys() & fixed.keys():
        fixed[name] = changes[name](fixed[name])
    return _Compiled(str(compiled), fixed, {name: changes[name] for name in changes.keys() & given})


def _processor(kind: TypeEngine[Any], which: str, *more: None) -> _Change | None:
    found: _Change | None = getattr(kind.dialect_impl(DIALECT), which)(DIALECT, *more)
    return found


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
