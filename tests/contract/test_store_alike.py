"""A file's store and a server's answer alike to any sequence, also to stories that come late."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import select
from tests.contract.test_store_model import FixedClock, StoreMachine
from tests.postgres_server import PostgresServer

from godwit.model.errors import GodwitError
from godwit.store.postgres import Server
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection, Reads
from godwit.store.tables import metadata

pytestmark = pytest.mark.slow


class Both:
    """Asks two of the same thing; what they answer must be the same."""

    def __init__(self, one: Any, other: Any) -> None:
        self._each = one, other

    def __getattr__(self, name: str) -> Any:
        asks = [getattr(each, name) for each in self._each]
        if not callable(asks[0]):
            return Both(*asks)

        async def ask(*given: Any, **named: Any) -> Any:
            one, other = [await answer(ask(*given, **named)) for ask in asks]
            assert told(one) == told(other)
            if isinstance(one, GodwitError):
                raise one
            return one

        return ask

    def close(self) -> None:
        for each in self._each:
            each.close()


async def answer(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except GodwitError as error:
        return error


def told(answer: Any) -> Any:
    return (type(answer), answer.reason) if isinstance(answer, GodwitError) else answer


def everything(connection: Connection) -> list[object]:
    return [
        Reads(select(table).order_by(*table.primary_key), dict).all(connection)
        for table in metadata.sorted_tables
    ]


class TwoStores(StoreMachine):
    """The same machine, with a store of each kind."""

    def a_server(self) -> Server:
        raise NotImplementedError("the test knows")

    def a_runner(self) -> asyncio.Runner:
        """With real time: one of the two has threads."""
        return asyncio.Runner()

    def a_store(self) -> SqlStore:
        there = SqlStore.connect(self.a_server(), FixedClock())
        return cast(SqlStore, Both(SqlStore.in_memory(FixedClock()), there))

    def teardown(self) -> None:
        self.do(self.store.queries.read(everything))
        super().teardown()


def test_both_answer_alike_to_any_sequence_also_with_stale_generations(
    postgres: PostgresServer,
) -> None:
    class Here(TwoStores):
        def a_server(self) -> Server:
            return postgres.store()

    run_state_machine_as_test(Here, settings=settings(max_examples=4, stateful_step_count=20))
