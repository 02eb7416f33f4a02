"""The database that the settings name: opened to be written, or only to be read."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from tests.contract.store_records import A, B
from tests.postgres_server import PostgresServer

from godwit.model.errors import Refused, Unreachable
from godwit.model.reasons import Code
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import Settings
from godwit.runtime.settings_file import parse_settings
from godwit.store.opening import open_queries, open_store

pytestmark = pytest.mark.slow


def named(folder: Path, url: str) -> Settings:
    """Settings that name this database."""
    return parse_settings(
        f'[server]\nstate_dir = "{folder}/state"\n[store]\nurl = "{url}"\n'
        '[hosts.one]\ndriver = "simulated"\n'
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return named(tmp_path, "sqlite")
    return named(tmp_path, request.getfixturevalue("postgres").store().url)


def test_who_only_reads_sees_what_another_process_writes_and_can_write_nothing(
    settings: Settings,
) -> None:
    async def tale() -> None:
        with (
            closing(open_store(settings, SystemClock())) as store,
            closing(open_queries(settings)) as queries,
        ):
            await store.ensure_hosts((A, B))
            assert [host.name for host in await queries.hosts()] == [A, B]
            for look in (queries.read, queries.glance):
                with pytest.raises(Unreachable, match=r"read-?only"):
                    await look(lambda c: c.execute("delete from hosts"))

    asyncio.run(tale())


def test_a_file_is_this_process_s_alone_and_a_server_is_not(settings: Settings) -> None:
    with closing(open_store(settings, SystemClock())) as store:
        assert store.alone == (settings.store.url == "sqlite")


def test_who_only_reads_makes_nothing_and_says_what_is_missing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    with pytest.raises(Unreachable) as no_file:
        open_queries(named(tmp_path, "sqlite"))
    assert no_file.value.reason.code is Code.STORE_UNAVAILABLE
    assert not list((tmp_path / "state").iterdir())
    with pytest.raises(Refused) as no_tables:
        open_queries(named(tmp_path, postgres.database().url))
    assert no_tables.value.reason.code is Code.STORE_TOO_OLD
