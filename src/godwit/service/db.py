"""`godwit db`: the tables of the database that the settings name, and their version.

An operator's verbs: no process upgrades a server's tables by itself, for others may use them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from godwit.model.errors import BadRequest, GodwitError
from godwit.runtime.settings_file import read_settings
from godwit.service.process import EXIT_CANNOT, EXIT_USAGE, settings_file
from godwit.store import opening
from godwit.store.tables import SCHEMA_VERSION


@click.group()
def db() -> None:
    """The tables of the database: which version they have, and the way to this program's."""


@db.command()
@settings_file
def status(config: Path) -> None:
    """Say which version the tables have. Exit code 1 unless it is this program's."""
    with _said("status"):
        found, name = opening.version(read_settings(config))
    click.echo(f"{name}: {_standing(found)}")
    sys.exit(0 if found == SCHEMA_VERSION else EXIT_CANNOT)


@db.command()
@settings_file
def upgrade(config: Path) -> None:
    """Bring the tables to this program's version, or make them: all of it, or nothing."""
    # Alembic costs 0.4 s, which `status` need not pay.
    from godwit.store.upgrade import upgrade as bring

    with _said("upgrade"), opening.for_upgrade(read_settings(config)) as (connection, name):
        found = bring(connection, name)
    if found == SCHEMA_VERSION:
        click.echo(f"{name}: {_standing(found)}")
    else:
        come = f"brought from version {found}" if found else "made"
        click.echo(f"{name}: tables {come} to version {SCHEMA_VERSION}")


def _standing(found: int) -> str:
    """A version, beside this program's."""
    if found == SCHEMA_VERSION:
        return f"tables of version {found}, up to date"
    if found > SCHEMA_VERSION:
        return f"tables of version {found}, this program knows up to {SCHEMA_VERSION}"
    had = f"tables of version {found}" if found else "no tables yet"
    return f"{had}, this program needs version {SCHEMA_VERSION}: godwit db upgrade"


@contextmanager
def _said(verb: str) -> Iterator[None]:
    try:
        yield
    except GodwitError as error:
        click.echo(f"godwit db {verb}: {error.reason.words}; {error.reason.remedy}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, BadRequest) else EXIT_CANNOT)
