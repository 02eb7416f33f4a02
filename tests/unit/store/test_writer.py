import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from godwit.model.errors import NotFound, Unreachable
from godwit.model.reasons import Code, reason
from godwit.store.database import FileConnection, open_writer
from godwit.store.statements import Connection
from godwit.store.writer import BATCH_MAX, FileWriter

UNKNOWN = NotFound(reason(Code.HOST_UNKNOWN, name="x"))


def adds(name: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        sql = "insert into hosts values (?, null, 0, '', 0, '', null, null)"
        connection.execute(sql, (name,))
        return name

    return work


def adds_then_raises(name: str, error: Exception) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        adds(name)(connection)
        raise error

    return work


def breaks_its_commit(connection: Connection) -> None:
    connection.execute("pragma defer_foreign_keys = on")
    connection.execute("insert into decisions values ('no such', null, '{}', '')")


def names(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("select name from hosts order by name").fetchall()
    connection.close()
    return [name for (name,) in rows]


@contextmanager
def opened(path: Path, **bounds: Any) -> Iterator[tuple[FileWriter, FileConnection]]:
    connection = open_writer(path, busy_timeout_ms=20)
    writer = FileWriter(connection, path=str(path), **bounds)
    try:
        yield writer, connection
    finally:
        writer.close()


class Gate:
    """Work that holds the writer's thread up until it is opened. On the loop it fails at once."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, connection: Connection) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyError("not here")
        self.reached.set()
        assert self.open.wait(timeout=60)


async def together(writer: FileWriter, *works: Callable[[Connection], object]) -> list[object]:
    """All in one commit: they wait behind a gate."""
    gate = Gate()
    writes: list[Coroutine[Any, Any, object]] = [writer.write(gate)]
    writes += [writer.write(work) for work in works]
    async with asyncio.TaskGroup() as group:
        answers = group.create_task(gathered(writes), name="writes")
        await asyncio.get_running_loop().run_in_executor(None, gate.reached.wait, 10)
        gate.open.set()
    return (await answers)[1:]


async def gathered(writes: list[Coroutine[Any, Any, object]]) -> list[object]:
    return await asyncio.gather(*writes, return_exceptions=True)


def test_writes_that_wait_for_one_commit_share_the_next(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with opened(path) as (writer, connection):
        ran: list[str] = []
        connection.set_trace_callback(ran.append)
        answers = asyncio.run(together(writer, *(adds(f"{n:03}") for n in range(BATCH_MAX))))
        assert answers == [f"{n:03}" for n in range(BATCH_MAX)]
        assert ran.count("COMMIT") == 2
    assert len(names(path)) == BATCH_MAX


def test_more_than_a_batch_holds_is_written_in_several(tmp_path: Path) -> None:
    path = tmp_path / "store"
    numbers = [f"{n:03}" for n in range(3 * BATCH_MAX + 1)]
    with opened(path) as (writer, _):
        assert asyncio.run(together(writer, *map(adds, numbers))) == numbers
    assert names(path) == numbers


@pytest.mark.parametrize("error", [UNKNOWN, AssertionError("a defect"), KeyError("another")])
def test_work_that_fails_fails_alone_and_leaves_nothing_behind(
    tmp_path: Path, error: Exception
) -> None:
    path = tmp_path / "store"
    with opened(path) as (writer, _):
        works = (adds("a"), adds_then_raises("b", error), adds("c"))
        assert asyncio.run(together(writer, *works)) == ["a", error, "c"]
    assert names(path) == ["a", "c"]


def test_work_that_breaks_its_commit_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with opened(path) as (writer, _):
        works = (adds("a"), breaks_its_commit, adds("c"))
        first, broken, last = asyncio.run(together(writer, *works))
        assert (first, last) == ("a", "c")
        assert isinstance(broken, sqlite3.IntegrityError)
    assert names(path) == ["a", "c"]


def test_a_locked_file_is_an_expected_error_and_the_writer_works_on_afterwards(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"

    async def tale(writer: FileWriter) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(Unreachable, match="locked") as caught:
            await writer.write(adds("a"))
        assert caught.value.reason.code is Code.STORE_UNAVAILABLE
        other.execute("rollback")
        other.close()
        assert await writer.write(adds("b")) == "b"

    with opened(path) as (writer, _):
        asyncio.run(tale(writer))
    assert names(path) == ["b"]


def test_a_full_disk_is_an_expected_error_for_each_who_wrote(tmp_path: Path) -> None:
    path = tmp_path / "store"

    async def tale(writer: FileWriter) -> None:
        def no_room(connection: Connection) -> None:
            pages = connection.execute("pragma page_count").fetchone()[0]
            connection.execute(f"pragma max_page_count = {pages}")

        def room(connection: Connection) -> None:
            connection.execute("pragma max_page_count = 1000000")

        await writer.write(no_room)
        answers = await together(writer, adds("a" * 50_000), adds("b" * 50_000))
        assert all(isinstance(answer, Unreachable) for answer in answers)
        await writer.write(room)
        assert await writer.write(adds("c")) == "c"

    with opened(path) as (writer, _):
        asyncio.run(tale(writer))
    assert names(path) == ["c"]


def test_a_write_that_takes_too_long_is_waited_for_no_longer_and_may_still_happen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"

    async def tale(writer: FileWriter) -> None:
        gate = Gate()
        with pytest.raises(Unreachable, match="no answer"):
            await asyncio.gather(writer.write(gate), writer.write(adds("a")))
        gate.open.set()

    with opened(path, timeout_s=0.05) as (writer, _):
        asyncio.run(tale(writer))
        writer.close()
    assert names(path) == ["a"]


def test_no_more_writes_wait_than_allowed(tmp_path: Path) -> None:
    async def tale(writer: FileWriter) -> None:
        gate = Gate()
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.write(gate), name="gate")
            await asyncio.get_running_loop().run_in_executor(None, gate.reached.wait, 10)
            group.create_task(writer.write(adds("a")), name="waits")
            await asyncio.sleep(0)
            with pytest.raises(Unreachable, match="too many"):
                await writer.write(adds("b"))
            gate.open.set()

    with opened(tmp_path / "store", waiting_max=1) as (writer, _):
        asyncio.run(tale(writer))


def test_a_closed_writer_has_written_what_waited_and_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "store"

    async def tale(writer: FileWriter) -> None:
        assert await writer.write(adds("a")) == "a"
        writer.close()
        with pytest.raises(Unreachable, match="closed"):
            await writer.write(adds("b"))

    with opened(path) as (writer, _):
        asyncio.run(tale(writer))
    assert names(path) == ["a"]


def test_whoever_went_away_before_the_answer_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "store"

    async def impatient(writer: FileWriter, gate: Gate) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await writer.write(gate)

    with opened(path) as (writer, _):
        gate = Gate()
        asyncio.run(impatient(writer, gate))
        gate.open.set()
        assert asyncio.run(together(writer, adds("a"))) == ["a"]


class Failing:
    """A connection on which these calls fail so many times, as on a disk that is in trouble."""

    def __init__(self, connection: FileConnection, *statements: str, times: int) -> None:
        self._connection = connection
        self._statements = statements
        self.times_left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _fail(self, statement: str) -> None:
        if self.times_left and statement in self._statements:
            self.times_left -= 1
            raise sqlite3.OperationalError("disk I/O error")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._fail(statement)
        return self._connection.execute(statement, *values)

    def rollback(self) -> None:
        self._fail("ROLLBACK")
        self._connection.rollback()


@pytest.mark.parametrize("times", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "failing", [("ROLLBACK",), ("COMMIT", "ROLLBACK"), ("PRAGMA busy_timeout = 20",)]
)
def test_the_writer_goes_on_after_a_connection_that_could_not_even_undo(
    tmp_path: Path, failing: tuple[str, ...], times: int
) -> None:
    path = tmp_path / "store"
    open_writer(path).close()

    async def tale(writer: FileWriter, connection: Failing) -> None:
        await writer.write(adds("a"))
        connection.times_left = times
        while connection.times_left:
            with pytest.raises((KeyError, Unreachable)) as caught:
                await writer.write(adds_then_raises("b", KeyError("a defect")))
            assert "no answer" not in str(caught.value)
        assert await writer.write(adds("c")) == "c"

    connection = Failing(open_writer(path, busy_timeout_ms=20), *failing, times=0)
    writer = FileWriter(cast(Connection, connection), path=str(path), timeout_s=5)
    asyncio.run(tale(writer, connection))
    writer.close()
    assert names(path) == ["a", "c"]
