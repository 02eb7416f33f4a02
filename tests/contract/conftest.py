"""The stores that must answer alike."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.contract.store_records import Tell, told_in_a_file, told_in_memory, told_on_a_server


@pytest.fixture(params=["memory", "file", "server"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tell]:
    """Tells a test's tale to a store of each kind, new and empty."""
    match request.param:
        case "memory":
            yield told_in_memory
        case "file":
            yield partial(told_in_a_file, path=tmp_path / "godwit.sqlite")
        case _:
            server = request.getfixturevalue("postgres").store()
            yield partial(told_on_a_server, server=server)
