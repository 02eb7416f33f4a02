"""What several kinds of tests share: one PostgreSQL server for all of them, started by the first
that asks for it.
"""

from collections.abc import Iterator

import pytest
from tests import postgres_server
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if postgres_server.programs() is None:
        pytest.skip(postgres_server.MISSING)
    with postgres_server.running() as server:
        yield server
