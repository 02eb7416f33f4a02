"""What several kinds of tests share: one PostgreSQL server for all of them, started by the first
that asks for it, and hypothesis without a deadline: how long an example takes says how busy the
machine is, not whether the claim holds.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests import postgres_server
from tests.postgres_server import PostgresServer

settings.register_profile("godwit", deadline=None)
settings.load_profile("godwit")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if postgres_server.programs() is None:
        pytest.skip(postgres_server.MISSING)
    with postgres_server.running() as server:
        yield server
