"""The tables of every version that was ever released become those of this program, on both
databases, with all that is in them. `tests/upgrade` keeps what a version wrote.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner
from sqlalchemy import select
from tests.contract.store_records import leaks
from tests.postgres_server import PostgresServer

from godwit.__main__ import main
from godwit.model.errors import Refused, Unreachable
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.model.refusals import HOST, Refusal, filled
from godwit.runtime.clock import SystemClock
from godwit.store import database, schema
from godwit.store.postgres import Server
from godwit.store.sql import SqlStore
from godwit.store.statements import SQLITE, Connection, Reads
from godwit.store.tables import SCHEMA_VERSION, metadata
from godwit.store.upgrade import FIRST, REVISIONS, upgrade

pytestmark = pytest.mark.slow

DUMPS = Path(__file__).parents[1] / "upgrade"
VERSIONS = range(FIRST, SCHEMA_VERSION + 1)
NEXT = SCHEMA_VERSION + 1

ADDS_A_COLUMN = f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{SCHEMA_VERSION}"

def upgrade():
    with op.batch_alter_table("migrations") as table:
        table.alter_column("initiator_reason", nullable=True)
        table.add_column(sa.Column("added", sa.Integer, nullable=False, server_default="7"))
"""
FAILS_HALFWAY = ADDS_A_COLUMN + "    raise KeyError('halfway')\n"


REFUSED = {
    "host-b": "host-b is disabled: new {disks}",
    "host-c": "host-c has 1 MiB of memory left for guests, 2 MiB are needed",
    "host-d": "host-d has 3 MiB of memory left for guests, 2 MiB are needed",
}
"""Said in the one migration that failed."""


def sentences(refusals: Sequence[Refusal]) -> Iterator[tuple[str, str]]:
    """What each host has said."""
    for each in refusals:
        for n, host in enumerate(each.hosts):
            details = {name: str(column[n]) for name, column in each.details.items()}
            yield host, filled(each.words, {HOST: host, **details})


class Place:
    """A database of one kind, of its own for each test."""

    def __init__(self, kind: str, folder: Path, postgres: Callable[[], PostgresServer]) -> None:
        self.kind = kind
        self.path = folder / "godwit.sqlite"
        self.server = postgres().database() if kind == "postgresql" else None

    def open(self) -> Connection:
        """For an upgrade."""
        return (
            self.server.open_for_upgrade() if self.server else database.open_for_upgrade(self.path)
        )

    def load(self, version: int) -> None:
        """What a program of that version wrote."""
        dump = (DUMPS / f"{self.kind}-{version}.sql").read_text()
        if self.server:
            with closing(self.server.connect()) as server:
                server.execute(dump)
        else:
            with closing(sqlite3.connect(self.path)) as file:
                file.executescript(dump)

    def upgrade(self, revisions: Path = REVISIONS, to: int = SCHEMA_VERSION) -> int:
        with closing(self.open()) as connection:
            return upgrade(connection, "it", revisions=revisions, to=to)

    def store(self) -> SqlStore:
        if self.server:
            return SqlStore.connect(self.server, SystemClock())
        return SqlStore.open(self.path, SystemClock())

    def rows(self) -> dict[str, list[object]]:
        """All there is, as the columns say."""
        with closing(self.open()) as connection:
            return {
                table.name: list(
                    Reads(select(table).order_by(*table.primary_key), dict).all(connection)
                )
                for table in metadata.sorted_tables
            }

    def settings(self) -> str:
        server = f'[store]\nurl = "{self.server.url}"\n' if self.server else ""
        host = '[hosts.a]\ndriver = "simulated"\n'
        return f'{server}{host}[server]\nstate_dir = "{self.path.parent}"\n'


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path, partial(request.getfixturevalue, "postgres"))


@pytest.fixture
def revisions(tmp_path: Path) -> Path:
    """A copy of this program's, to which a test adds."""
    return shutil.copytree(REVISIONS, tmp_path / "revisions")


def differences(connection: Connection) -> list[object]:
    """What Alembic sees between the tables there and those of the code."""
    url = "sqlite://" if connection.dialect is SQLITE else "postgresql+psycopg://"
    driver = getattr(connection, "driver", connection)
    engine = sqlalchemy.create_engine(url, creator=lambda: driver)
    with engine.connect() as through:
        return list(compare_metadata(MigrationContext.configure(through), metadata))


def tables_of(path: Path) -> list[str]:
    with closing(database.open_reader(path)) as connection:
        found = connection.execute(
            "select sql from sqlite_master where name not like '%alembic%' and sql is not null"
        )
        return sorted(sql for (sql,) in found.fetchall())


def test_the_newest_revision_is_the_version_of_the_tables() -> None:
    files = {path.stem for path in (REVISIONS / "versions").glob("version_*.py")}
    assert files == {f"version_{version}" for version in VERSIONS}


def test_the_revisions_make_what_the_tables_say(place: Place) -> None:
    assert place.upgrade() == 0
    assert place.upgrade() == SCHEMA_VERSION
    with closing(place.open()) as connection:
        assert differences(connection) == []
        assert schema.version(connection) == SCHEMA_VERSION
    place.store().close()


def test_a_file_that_is_upgraded_is_one_that_was_made_anew(tmp_path: Path) -> None:
    made, upgraded = tmp_path / "made", tmp_path / "upgraded"
    database.open_writer(made).close()
    with closing(database.open_for_upgrade(upgraded)) as connection:
        upgrade(connection, "it")
    assert tables_of(upgraded) == tables_of(made)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_earlier_version_wrote_is_all_there_and_its_stories_go_on(
    place: Place, version: int
) -> None:
    async def tale(store: SqlStore) -> None:
        at = {server.name: server.host for server in await store.queries.instances()}
        assert at == {
            "name-1": "host-b",
            "name-2": "host-a",
            "name-3": "host-a",
            "name-4": "host-a",
        }
        moves = await store.queries.migrations()
        assert [move.status for move in moves] == [
            MigrationStatus.ACCEPTED,
            MigrationStatus.RUNNING,
            MigrationStatus.FAILED,
            MigrationStatus.COMPLETED,
        ]
        assert moves[0].person_needed
        assert dict(sentences(moves[2].refusals)) == REFUSED
        assert await store.queries.decision(moves[0].uuid) is not None
        [debt] = await store.queries.debts()
        assert (debt.story_uuid, debt.where) == (moves[3].uuid, "host-a")
        under_way = await store.due(now_s=2e12, owner="me")
        assert under_way == (moves[1].uuid, moves[0].uuid)
        for uuid in under_way:
            story = await store.claim(uuid, owner="me", until_s=3e12, now_s=2e12)
            assert story is not None
            assert story.generation == 2
            await store.record(story)
        assert await store.queries.read(leaks) == ()

    place.load(version)
    assert place.upgrade() == version
    with closing(place.open()) as connection:
        assert differences(connection) == []
    with closing(place.store()) as store:
        asyncio.run(tale(store))


def test_the_next_version_keeps_every_row_on_both_databases(place: Place, revisions: Path) -> None:
    place.load(SCHEMA_VERSION)
    before = place.rows()
    assert all(before.values())
    (revisions / "versions" / "next.py").write_text(ADDS_A_COLUMN)
    assert place.upgrade(revisions, NEXT) == SCHEMA_VERSION
    assert place.rows() == before
    for use in (place.store, place.upgrade):
        with pytest.raises(Refused) as caught:
            use()
        assert caught.value.reason.code is Code.STORE_TOO_NEW


def test_an_upgrade_that_fails_halfway_has_changed_nothing(place: Place, revisions: Path) -> None:
    place.load(SCHEMA_VERSION)
    before = place.rows()
    (revisions / "versions" / "next.py").write_text(FAILS_HALFWAY)
    with pytest.raises(KeyError, match="halfway"):
        place.upgrade(revisions, NEXT)
    assert place.rows() == before
    with closing(place.open()) as connection:
        assert schema.version(connection) == SCHEMA_VERSION
        assert differences(connection) == []
    place.store().close()


def test_godwit_db_says_the_version_and_upgrades(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "godwit.toml"
    config.write_text(place.settings())

    def asked(verb: str) -> tuple[int, str]:
        answer = CliRunner().invoke(main, ["db", verb, "--config", str(config)])
        return answer.exit_code, answer.output

    code, words = asked("status")
    assert (code, "no tables yet" in words, "godwit db upgrade" in words) == (1, True, True)
    assert asked("upgrade")[0] == 0
    code, words = asked("status")
    assert (code, "up to date" in words) == (0, True)
    with closing(place.open()) as connection:
        set_version(connection, NEXT)
    code, words = asked("status")
    assert (code, "knows up to" in words) == (1, True)
    code, words = asked("upgrade")
    assert (code, "start the newer Godwit" in words) == (1, True)


def set_version(connection: Connection, version: int) -> None:
    if connection.dialect is SQLITE:
        connection.execute(f"pragma user_version = {version}")
    else:
        connection.execute(f"update alembic_version set version_num = '{version}'")
        connection.execute("commit")


def test_an_upgrade_that_the_server_forbids_is_an_expected_error(postgres: PostgresServer) -> None:
    postgres.administer("create role nobody_much login")
    server = postgres.database()
    stranger = Server(server.url.replace("user=postgres", "user=nobody_much"))
    with (
        closing(stranger.open_for_upgrade()) as connection,
        pytest.raises(Unreachable, match="permission denied"),
    ):
        upgrade(connection, "it")


def test_a_program_refuses_older_tables_and_says_how_to_upgrade_them(place: Place) -> None:
    place.load(SCHEMA_VERSION)
    with closing(place.open()) as connection:
        set_version(connection, FIRST - 1)
    for use in (place.store, place.upgrade):
        with pytest.raises(Refused) as caught:
            use()
        assert caught.value.reason.code is Code.STORE_TOO_OLD
        assert "godwit db upgrade" in caught.value.reason.remedy
