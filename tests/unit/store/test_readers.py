import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from godwit.model.errors import Unreachable
from godwit.runtime.clock import SystemClock
from godwit.store.database import open_reader
from godwit.store.readers import ReaderThreads, Source
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection, ServerTrouble


def away(_connection: Connection) -> int:
    raise ServerTrouble("it is away")


def numbered(number: int) -> Callable[[Connection], int]:
    return lambda c: int(c.execute(f"SELECT {number}").fetchone()[0])


@pytest.fixture
def readers(tmp_path: Path) -> ReaderThreads:
    """Of a file, read as a server is: in the threads alone."""
    path = tmp_path / "store.db"
    SqlStore.open(path, SystemClock()).close()
    return ReaderThreads(Source(name="here", connect=lambda: open_reader(path), begin="BEGIN"))


def test_of_many_glances_each_gets_its_own_answer_and_one_that_fails_fails_alone(
    readers: ReaderThreads,
) -> None:
    async def glances() -> list[int | BaseException]:
        looks = [away if number == 20 else numbered(number) for number in range(40)]
        return await asyncio.gather(*map(readers.glance, looks), return_exceptions=True)

    answers = asyncio.run(glances())
    readers.close()
    assert isinstance(answers.pop(20), Unreachable)
    assert answers == [number for number in range(40) if number != 20]


def test_glances_that_come_while_one_is_answered_wait_for_one_thread_together(
    readers: ReaderThreads,
) -> None:
    all_wait, threads = threading.Event(), list[int]()

    def slow(_connection: Connection) -> None:
        threads.append(threading.get_ident())
        all_wait.wait(5)

    async def glances() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(readers.glance(slow))
            await asyncio.sleep(0)
            all_wait.set()

    asyncio.run(glances())
    readers.close()
    assert len(threads) == 10
    assert len(set(threads)) == 1
