"""From any version of the tables to this program's, on both databases: all of it, or nothing.

Called by `godwit db`. Alembic does the work, by the files in `revisions`; it is imported here
alone, for it costs 0.4 s.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import alembic.command
import alembic.config
import sqlalchemy
from sqlalchemy.pool import StaticPool

from godwit.model.errors import Refused
from godwit.model.reasons import Code, reason
from godwit.store import schema
from godwit.store.statements import SQLITE, Connection
from godwit.store.tables import SCHEMA_VERSION
from godwit.store.writer import unavailable

REVISIONS: Final = Path(__file__).parent / "revisions"
FIRST: Final = 2
"""The oldest version that can be upgraded."""
ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('godwit schema'))"


def upgrade(
    connection: Connection, name: str, *, revisions: Path = REVISIONS, to: int = SCHEMA_VERSION
) -> int:
    """Bring the tables to version `to`; returns the version that was found.

    `connection` is from `open_for_upgrade`. Raises `Refused` (store-too-new, store-too-old) or
    `Unreachable` (store-unavailable).
    """
    url = "sqlite://" if connection.dialect is SQLITE else "postgresql+psycopg://"
    driver = getattr(connection, "driver", connection)
    engine = sqlalchemy.create_engine(url, creator=lambda: driver, poolclass=StaticPool)
    with _understood(name), engine.connect() as through:
        through.exec_driver_sql("BEGIN IMMEDIATE" if url == "sqlite://" else ONE_AT_A_TIME)
        found = schema.version(connection)
        if found > to or 0 < found < FIRST:
            code = Code.STORE_TOO_NEW if found > to else Code.STORE_TOO_OLD
            raise Refused(reason(code, path=name, found=found, known=to))
        if found != to:
            _run(through, found, to, revisions)
            schema.note(connection, to)
        through.commit()
    return found


@contextmanager
def _understood(name: str) -> Iterator[None]:
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise unavailable(name, str(error.orig).partition("\n")[0]) from error


def _run(through: sqlalchemy.Connection, found: int, to: int, revisions: Path) -> None:
    config = alembic.config.Config(attributes={"connection": through})
    config.set_main_option("script_location", str(revisions).replace("%", "%%"))
    if found:
        # A file that was made by `schema.create` has its version in its header alone.
        alembic.command.stamp(config, str(found), purge=True)
    alembic.command.upgrade(config, str(to))
