"""Whoever follows a transfer is woken by its bell and by the end of its process."""

import asyncio
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from godwit.compute import bell
from godwit.compute.bell import Ears

FOR_EVER_S = 3600.0
LIMIT_S = 20.0


def listening(folder: Path, ears: Ears) -> None:
    handle = bell.listen(folder)
    assert handle is not None
    ears.hear(handle)


def is_woken(hear: Callable[[Ears], None], then: Callable[[], object]) -> None:
    """The rest after that has an end; and one more rest has none, for nothing more was heard."""

    async def tale() -> None:
        with Ears() as ears:
            hear(ears)
            then()
            async with asyncio.timeout(LIMIT_S):
                await ears.rest(FOR_EVER_S)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await ears.rest(FOR_EVER_S)

    asyncio.run(tale())


def test_a_ring_ends_the_rest_of_who_listens_once(tmp_path: Path) -> None:
    bell.hang(tmp_path)
    is_woken(lambda ears: listening(tmp_path, ears), lambda: bell.ring(tmp_path))


def test_a_process_that_ends_ends_the_rest_once() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        handle = os.pidfd_open(process.pid)
        is_woken(lambda ears: ears.hear(handle), lambda: process.send_signal(signal.SIGKILL))


def test_a_rest_that_nothing_ends_has_its_limit() -> None:
    async def tale() -> None:
        with Ears() as ears:
            async with asyncio.timeout(LIMIT_S):
                await ears.rest(0.01)

    asyncio.run(tale())


def test_who_has_lost_a_ring_to_another_listener_hears_the_next_one(tmp_path: Path) -> None:
    bell.hang(tmp_path)

    async def tale() -> None:
        with Ears() as mine:
            listening(tmp_path, mine)
            with Ears() as theirs:
                listening(tmp_path, theirs)
                bell.ring(tmp_path)
                async with asyncio.timeout(LIMIT_S):
                    await theirs.rest(FOR_EVER_S)
                await mine.rest(0.01)
            bell.ring(tmp_path)
            async with asyncio.timeout(LIMIT_S):
                await mine.rest(FOR_EVER_S)

    asyncio.run(tale())


def test_a_ring_harms_nobody_where_nobody_listens_or_no_bell_hangs(tmp_path: Path) -> None:
    bell.ring(tmp_path)
    assert bell.listen(tmp_path) is None
    bell.hang(tmp_path)
    bell.hang(tmp_path)
    for _ in range(3):
        bell.ring(tmp_path)
    bell.hang(tmp_path / "nowhere")


def test_a_bell_that_is_rung_more_often_than_anybody_listens_keeps_nobody_waiting(
    tmp_path: Path,
) -> None:
    bell.hang(tmp_path)
    handle = bell.listen(tmp_path)
    assert handle is not None
    room = fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(room + 1):
        bell.ring(tmp_path)
    os.close(handle)
