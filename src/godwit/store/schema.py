"""The tables in the database, and which version of them it has. Called by `database`, `postgres`.

SQLite keeps the version in the file's header, PostgreSQL in the table that Alembic knows.
"""

from sqlalchemy import Index
from sqlalchemy.schema import CreateIndex, CreateTable

from godwit.model.errors import Refused
from godwit.model.reasons import Code, reason
from godwit.store.statements import SQLITE, Connection
from godwit.store.tables import SCHEMA_VERSION, metadata


def check(connection: Connection, name: str) -> None:
    """Raises `Refused` (store-too-new, store-too-old) unless this program knows the tables."""
    found = version(connection)
    if found != SCHEMA_VERSION:
        code = Code.STORE_TOO_NEW if found > SCHEMA_VERSION else Code.STORE_TOO_OLD
        raise Refused(reason(code, path=name, found=found, known=SCHEMA_VERSION))


def version(connection: Connection) -> int:
    """The version of the tables; 0: there are none."""
    if connection.dialect is SQLITE:
        [found] = connection.execute("PRAGMA user_version").fetchone()
        return int(found)
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return 0
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return 0 if row is None else int(row[0])


def create(connection: Connection) -> None:
    """Make all tables, in the newest version, in a file that has none. A server's tables are made
    by `upgrade`, when an operator says so.
    """
    for table in metadata.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=connection.dialect)))
        for index in sorted(table.indexes, key=_name):
            connection.execute(str(CreateIndex(index).compile(dialect=connection.dialect)))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def note(connection: Connection, version: int) -> None:
    """After an upgrade: what Alembic does not write down, and that every row's key is there."""
    if connection.dialect is SQLITE:
        connection.execute(f"PRAGMA user_version = {version}")
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise AssertionError(f"version {version} leaves rows without what they name: {broken}")


def _name(index: Index) -> str:
    return str(index.name)
