"""Processes that the tests of this folder begin from, and that never outlive them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.serving import Godwit, free_port, simulated_hosts

ENDING = (signal.SIGTERM, signal.SIGINT)
MakeGodwit = Callable[..., Godwit]


@pytest.fixture(scope="session", autouse=True)
def _end_in_order_when_told_to() -> Iterator[None]:
    """Whoever ends the tests, by SIGTERM or Ctrl-C or both, has all fixtures ended first."""
    before = {each: signal.signal(each, _told_to_end) for each in ENDING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def _told_to_end(_number: int, _frame: object) -> None:
    for each in ENDING:  # told once more, the fixtures would be left half ended
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def godwit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Godwit]:
    """A `godwit serve` on simulated hosts that answers at a Unix socket, one for a whole file."""
    served = Godwit(tmp_path_factory.mktemp("godwit"), simulated_hosts())
    try:
        served.start()
        yield served
    finally:
        served.stop_for_good()


@pytest.fixture
def make_godwit(tmp_path: Path) -> Iterator[MakeGodwit]:
    """Makes a `godwit serve` that is not started yet, in the test's own folder."""
    made: list[Godwit] = []

    def make(settings: str = "", *, over_tcp: bool = False) -> Godwit:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        listen = f"127.0.0.1:{free_port()}" if over_tcp else ""
        made.append(Godwit(folder, settings or simulated_hosts(), listen))
        return made[-1]

    yield make
    for each in made:
        each.stop_for_good()
