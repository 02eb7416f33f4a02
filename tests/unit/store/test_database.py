import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from godwit.model.errors import Conflict, GodwitError, Refused, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code
from godwit.runtime.clock import SystemClock
from godwit.store.database import source
from godwit.store.queries import Queries
from godwit.store.readers import ReaderThreads
from godwit.store.sql import SqlStore
from godwit.store.tables import SCHEMA_VERSION

CLOCK = SystemClock()

WRITES_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from godwit.runtime.clock import SystemClock
from godwit.saga.log import Story
from godwit.store.sql import SqlStore

async def main():
    store = SqlStore.open(Path(sys.argv[1]), SystemClock())
    async def writes(line):
        for number in range(100_000):
            uuid = f"{line}-{number}"
            await store.begin(Story(uuid=uuid, saga="s", step="a", facts=b"{}"))
            print(uuid, flush=True)
    await asyncio.gather(*(writes(line) for line in range(5)))

asyncio.run(main())
"""


def open_and_close(path: Path) -> None:
    SqlStore.open(path, CLOCK, busy_timeout_ms=20).close()


def refusal(path: Path, kind: type[GodwitError]) -> GodwitError:
    with pytest.raises(kind) as caught:
        open_and_close(path)
    return caught.value


def test_a_file_can_be_opened_again_after_it_was_closed_and_keeps_what_was_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "godwit.sqlite"
    store = SqlStore.open(path, CLOCK)
    asyncio.run(store.ensure_hosts((HostName("a"),)))
    store.close()
    store = SqlStore.open(path, CLOCK)
    [host] = asyncio.run(store.queries.hosts())
    assert host.name == "a"
    store.close()


def test_the_file_is_as_safe_as_it_was_meant_to_be(tmp_path: Path) -> None:
    path = tmp_path / "godwit.sqlite"
    store = SqlStore.open(path, CLOCK)

    async def pragma(name: str) -> object:
        return await store._write(lambda c: c.execute(f"pragma {name}").fetchone()[0])

    assert asyncio.run(pragma("journal_mode")) == "wal"
    assert asyncio.run(pragma("synchronous")) == 2
    assert asyncio.run(pragma("foreign_keys")) == 1
    assert asyncio.run(pragma("busy_timeout")) == 0, "the event loop waits for no other program"
    assert asyncio.run(pragma("user_version")) == SCHEMA_VERSION
    store.close()


def test_a_second_process_on_the_same_file_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "godwit.sqlite"
    store = SqlStore.open(path, CLOCK)
    error = refusal(path, Conflict)
    assert error.reason.code is Code.STORE_IN_USE
    assert str(os.getpid()) in error.reason.words
    asyncio.run(store.ensure_hosts((HostName("a"),)))
    store.close()
    open_and_close(path)


@pytest.mark.parametrize(
    ("version", "code"),
    [(SCHEMA_VERSION + 1, Code.STORE_TOO_NEW), (SCHEMA_VERSION - 1, Code.STORE_TOO_OLD)],
)
def test_a_file_of_another_program_is_refused_and_left_as_it_is(
    tmp_path: Path, version: int, code: Code
) -> None:
    path = tmp_path / "godwit.sqlite"
    open_and_close(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"pragma user_version = {version}")
    connection.close()
    assert refusal(path, Refused).reason.code is code
    assert refusal(path, Refused).reason.code is code


def test_a_read_only_file_is_refused_also_to_root(tmp_path: Path) -> None:
    path = tmp_path / "godwit.sqlite"
    open_and_close(path)
    path.chmod(0o444)
    error = refusal(path, Unreachable)
    assert error.reason.code is Code.STORE_UNAVAILABLE
    assert "read-only" in error.reason.words
    path.chmod(0o600)
    open_and_close(path)


def test_a_file_that_cannot_be_used_is_refused_with_its_path_and_its_trouble(
    tmp_path: Path,
) -> None:
    no_database = tmp_path / "no-database"
    no_database.write_bytes(b"something else entirely, and rather long " * 100)
    no_folder = tmp_path / "missing" / "godwit.sqlite"
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (no_database, no_folder, folder):
        error = refusal(path, Unreachable)
        assert error.reason.code is Code.STORE_UNAVAILABLE
        assert str(path) in error.reason.words


def test_a_locked_file_is_refused_and_can_be_opened_once_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "godwit.sqlite"
    open_and_close(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    error = refusal(path, Unreachable)
    assert "locked" in error.reason.words
    other.execute("rollback")
    other.close()
    open_and_close(path)


def test_the_read_only_door_cannot_write_and_says_when_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "godwit.sqlite"
    store = SqlStore.open(path, CLOCK)
    queries = store.queries
    with pytest.raises(Unreachable, match="readonly"):
        asyncio.run(queries.read(lambda c: c.execute("delete from hosts").close()))
    store.close()
    missing = Queries(ReaderThreads(source(tmp_path / "missing")))
    with pytest.raises(Unreachable) as caught:
        asyncio.run(missing.hosts())
    assert caught.value.reason.code is Code.STORE_UNAVAILABLE
    missing.close()


def test_a_read_sees_every_write_that_has_returned(tmp_path: Path) -> None:
    async def tale(store: SqlStore) -> None:
        for number in range(50):
            names = tuple(HostName(f"h{n}") for n in range(number))
            await store.ensure_hosts(names)
            assert {host.name for host in await store.queries.hosts()} == set(names)

    store = SqlStore.open(tmp_path / "godwit.sqlite", CLOCK)
    asyncio.run(tale(store))
    store.close()


@pytest.mark.slow
def test_a_process_on_a_file_pays_for_no_server() -> None:
    seen = "import sys, godwit.service.serve; print({'psycopg', 'alembic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
@pytest.mark.parametrize("writes", [1, 40, 200])
def test_a_killed_process_loses_no_write_that_had_returned(tmp_path: Path, writes: int) -> None:
    path = tmp_path / "godwit.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        returned = [process.stdout.readline() for _ in range(writes)]
        process.send_signal(signal.SIGKILL)
        returned += process.stdout.readlines()
    uuids = [line.strip() for line in returned if line.endswith("\n")]
    assert len(uuids) >= writes
    store = SqlStore.open(path, CLOCK)
    for uuid in uuids:
        assert asyncio.run(store.story_of(uuid)) is not None
        assert len(asyncio.run(store.queries.timeline(uuid))) == 1
    store.close()
