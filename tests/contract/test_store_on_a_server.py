"""What a store on a PostgreSQL server must get right beyond what every store must: the server may
be frozen, killed and started again, and other processes write beside us.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.store_records import A, B, told_on_a_server
from tests.postgres_server import PostgresServer

from godwit.model.errors import NotFound, Refused, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.runtime.clock import SystemClock
from godwit.saga.log import Story
from godwit.store.postgres import Bounds, Server, ServerConnection
from godwit.store.server_writer import (
    BEGIN,
    BEGIN_WITHOUT_WAIT,
    WAIT_FOR_ALL,
    ServerWriter,
    open_writer,
)
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection, ServerTrouble
from godwit.store.writer import BATCH_MAX

pytestmark = pytest.mark.slow


@pytest.fixture
def server(postgres: PostgresServer) -> Server:
    return postgres.store()


def hasty(server: Server, **bounds: float) -> Server:
    return replace(server, bounds=Bounds(**bounds))


def adds(name: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        sql = "insert into hosts values (%(name)s, null, 0, '', false, '')"
        connection.execute(sql, {"name": name})
        return name

    return work


def names(server: Server) -> list[str]:
    with closing(server.connect()) as connection:
        rows = connection.execute("select name from hosts order by name").fetchall()
    return [name for (name,) in rows]


def backend(connection: Connection) -> int:
    [pid] = connection.execute("select pg_backend_pid()").fetchone()
    return int(pid)


def told(tale: Callable[[ServerWriter], Coroutine[Any, Any, None]], server: Server) -> None:
    async def main() -> None:
        with closing(open_writer(server)) as writer:
            await tale(writer)

    asyncio.run(main())


async def at_once(writer: ServerWriter, *works: Callable[[Connection], object]) -> list[object]:
    return await asyncio.gather(*map(writer.write, works), return_exceptions=True)


def test_writes_that_wait_are_committed_one_by_one_and_brought_to_the_disk_together(
    server: Server,
) -> None:
    async def tale(writer: ServerWriter) -> None:
        ran: list[str] = []
        execute = writer._connection.execute

        def recorded(statement: str, values: Any = None, /) -> Any:
            ran.append(statement)
            return execute(statement, values)

        writer._connection.execute = recorded  # type: ignore[method-assign]
        every = [f"{n:03}" for n in range(BATCH_MAX + 1)]
        assert await at_once(writer, *map(adds, every)) == every
        assert sum(each.count(BEGIN) for each in ran) == BATCH_MAX + 1
        assert sum(each.count("COMMIT") for each in ran) == BATCH_MAX + 1
        # Whatever was not waited for is so before anybody gets an answer.
        waits = [n for n, each in enumerate(ran) if WAIT_FOR_ALL in each]
        unwaited = [n for n, each in enumerate(ran) if BEGIN_WITHOUT_WAIT in each]
        assert len(waits) <= 2
        assert len(unwaited) >= BATCH_MAX - 1
        assert max(unwaited) < max(waits)

    told(tale, server)
    assert len(names(server)) == BATCH_MAX + 1


@pytest.mark.parametrize(
    "error", [NotFound(reason(Code.HOST_UNKNOWN, name="x")), KeyError("a defect")]
)
def test_work_that_fails_fails_alone_and_leaves_nothing_behind(
    server: Server, error: Exception
) -> None:
    def fails(connection: Connection) -> None:
        adds("b")(connection)
        raise error

    async def tale(writer: ServerWriter) -> None:
        assert await at_once(writer, adds("a"), fails, adds("c")) == ["a", error, "c"]

    told(tale, server)
    assert names(server) == ["a", "c"]


def test_a_server_that_is_killed_loses_no_write_that_had_returned(
    postgres: PostgresServer, server: Server
) -> None:
    returned: list[str] = []

    async def begins(store: SqlStore, number: int) -> None:
        uuid = f"s-{number}"
        await store.begin(Story(uuid=uuid, saga="s", step="a", facts=b"{}"))
        returned.append(uuid)

    async def tale(store: SqlStore) -> None:
        await asyncio.gather(*(begins(store, number) for number in range(300)))
        assert len(returned) == 300
        postgres.stop()
        with pytest.raises(Unreachable) as caught:
            await store.begin(Story(uuid="late", saga="s", step="a", facts=b"{}"))
        assert caught.value.reason.code is Code.STORE_UNAVAILABLE
        with pytest.raises(Unreachable):
            await store.queries.hosts()
        postgres.start()
        for uuid in returned:
            assert await store.story_of(uuid) is not None
        assert await store.story_of("late") is None
        await store.begin(Story(uuid="late", saga="s", step="a", facts=b"{}"))

    told_on_a_server(tale, server)


def test_a_frozen_server_stops_neither_the_loop_nor_later_writes(server: Server) -> None:
    async def tale(store: SqlStore) -> None:
        pid = await store._write(backend)
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.TaskGroup() as group:
                write = group.create_task(refused(store), name="write")
                ticks = 0
                while not write.done():
                    await asyncio.sleep(0.01)
                    ticks += 1
            assert ticks > 10
            await store.ensure_hosts((A, B))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert [host.name for host in await store.queries.hosts()] == [A, B]

    async def refused(store: SqlStore) -> None:
        with pytest.raises(Unreachable):
            await store.ensure_hosts((A,))

    told_on_a_server(tale, hasty(server, answer=1.0))


def test_a_connection_that_was_ended_between_two_writes_is_not_noticed(server: Server) -> None:
    async def tale(store: SqlStore) -> None:
        await store.ensure_hosts((A,))
        await store.queries.hosts()
        with closing(server.connect()) as other:
            other.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        await store.ensure_hosts((A, B))
        assert [host.name for host in await store.queries.hosts()] == [A, B]

    told_on_a_server(tale, server)


def test_a_process_that_is_frozen_within_a_transaction_holds_others_up_for_a_moment_only(
    server: Server,
) -> None:
    with closing(hasty(server, idle_in_transaction=0.3).connect()) as frozen:
        frozen.execute("begin")
        adds("a")(frozen)

        async def tale(writer: ServerWriter) -> None:
            assert await writer.write(adds("a")) == "a"

        told(tale, server)
        with pytest.raises(ServerTrouble):
            frozen.execute("commit")
    assert names(server) == ["a"]


def test_a_row_that_stays_locked_is_an_expected_error(server: Server) -> None:
    with closing(server.connect()) as other:
        other.execute("begin")
        adds("a")(other)

        async def tale(writer: ServerWriter) -> None:
            with pytest.raises(Unreachable, match="lock"):
                await writer.write(adds("a"))
            assert await writer.write(adds("b")) == "b"

        told(tale, hasty(server, lock=0.3))


def test_two_that_lock_each_other_out_both_get_their_turn(server: Server) -> None:
    async def tale(first: ServerWriter) -> None:
        with closing(open_writer(server)) as second:
            there = [asyncio.Event(), asyncio.Event()]
            loop = asyncio.get_running_loop()

            def locks(mine: int) -> Callable[[Connection], None]:
                def work(connection: Connection) -> None:
                    rename(connection, mine)
                    loop.call_soon_threadsafe(there[mine].set)
                    asyncio.run_coroutine_threadsafe(there[1 - mine].wait(), loop).result(5)
                    rename(connection, 1 - mine)

                return work

            await first.write(adds("0"))
            await first.write(adds("1"))
            await asyncio.gather(first.write(locks(0)), second.write(locks(1)))

    def rename(connection: Connection, number: int) -> None:
        sql = "update hosts set trouble = trouble || 'x' where name = %(name)s"
        connection.execute(sql, {"name": str(number)})

    told(tale, server)


def test_who_closes_waits_for_a_server_that_is_away_no_more_than_once(server: Server) -> None:
    tries: list[str] = []

    def away() -> ServerConnection:
        tries.append("connect")
        raise ServerTrouble("it is away")

    async def main() -> list[object]:
        writer = ServerWriter(away, server.connect(), name=server.name)

        def loses_it(connection: Connection) -> None:
            assert writer._closed.wait(5)
            connection.close()

        works = [loses_it, *[adds("a")] * 3 * BATCH_MAX]
        waiting = [asyncio.ensure_future(writer.write(work)) for work in works]
        await asyncio.sleep(0)
        writer.close()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(each, Unreachable) for each in asyncio.run(main()))
    assert len(tries) <= 1


def test_a_writer_whose_server_has_come_to_take_no_writes_looks_for_one_that_does(
    server: Server,
) -> None:
    def standby(connection: Connection) -> None:
        connection.execute("set default_transaction_read_only = on")

    async def tale(writer: ServerWriter) -> None:
        await writer.write(standby)
        with pytest.raises(Unreachable, match="read-only"):
            await writer.write(adds("a"))
        assert await writer.write(adds("b")) == "b"

    told(tale, server)


def test_who_writes_takes_no_server_that_only_reads_and_who_reads_does(
    postgres: PostgresServer,
) -> None:
    server = postgres.database()
    with closing(server.connect()) as other:
        [name] = other.execute("select current_database()").fetchone() or ("",)
        other.execute(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(ServerTrouble, match="read-only"):
        server.connect()
    replace(server, read_only=True).connect().close()


def test_the_read_only_door_cannot_write(server: Server) -> None:
    async def tale(store: SqlStore) -> None:
        for look in (store.queries.read, store.queries.glance):
            with pytest.raises(Unreachable, match="read-only"):
                await look(adds("a"))

    told_on_a_server(tale, server)


def test_the_store_may_be_read_as_somebody_who_may_do_no_more(
    postgres: PostgresServer, server: Server
) -> None:
    with closing(server.connect()) as connection:
        connection.execute("create role reader login")
        connection.execute("grant select on all tables in schema public to reader")
    reader = replace(server, url=server.url.replace("user=postgres", "user=reader"))

    async def tale() -> None:
        with closing(SqlStore.connect(server, SystemClock(), readers=reader)) as store:
            await store.ensure_hosts((A, B))
            assert [host.name for host in await store.queries.hosts()] == [A, B]
            [name] = await store.queries.read(lambda c: c.execute("select user").fetchone())
            assert name == "reader"
        with (
            closing(SqlStore.connect(reader, SystemClock())) as store,
            pytest.raises(Unreachable, match="permission denied"),
        ):
            await store.ensure_hosts((A,))

    asyncio.run(tale())


def test_a_server_that_is_not_there_is_refused_with_its_name_and_its_trouble(
    tmp_path: Path, server: Server
) -> None:
    nowhere = Server(f"postgresql://me@/godwit?host={tmp_path}")
    secret = tmp_path / "password"
    no_password = replace(server, password_file=secret)
    nobody = Server(server.url.replace("user=postgres", "user=nobody"))
    for wrong, words in ((nowhere, "socket"), (no_password, "password"), (nobody, "nobody")):
        with pytest.raises(Unreachable, match=words) as caught:
            SqlStore.connect(wrong, SystemClock())
        assert caught.value.reason.code is Code.STORE_UNAVAILABLE
        assert wrong.name in caught.value.reason.words
    secret.write_text("a word that is never said\n")
    SqlStore.connect(no_password, SystemClock()).close()
    with pytest.raises(Unreachable) as caught:
        SqlStore.connect(replace(nobody, password_file=secret), SystemClock())
    assert "never said" not in repr(caught.value.__context__)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update alembic_version set version_num = '99'", Code.STORE_TOO_NEW),
        ("update alembic_version set version_num = '1'", Code.STORE_TOO_OLD),
        ("", Code.STORE_TOO_OLD),
    ],
)
def test_tables_of_another_version_are_refused_and_left_as_they_are(
    postgres: PostgresServer, statement: str, code: Code
) -> None:
    server = postgres.database()
    if statement:
        with closing(server.connect()) as connection:
            connection.execute("create table alembic_version (version_num text)")
            connection.execute("insert into alembic_version values ('2')")
            connection.execute(statement)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            SqlStore.connect(server, SystemClock())
        assert caught.value.reason.code is code


def test_nothing_is_sorted_by_the_servers_language(server: Server) -> None:
    async def tale(store: SqlStore) -> None:
        names = ["B", "_", "a", "b-1", "b1", "é"]
        await store.ensure_hosts(tuple(map(HostName, reversed(names))))
        assert [host.name for host in await store.queries.hosts()] == names

    told_on_a_server(tale, server)
