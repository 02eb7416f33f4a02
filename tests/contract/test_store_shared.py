"""Several conductors on one database: each story is told by one of them, what they share is never
given twice, and nobody waits for one that stands still.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed
from tests.contract.store_records import (
    HOSTS,
    WHY,
    A,
    B,
    accepted,
    along,
    change,
    leaks,
    migration,
    report,
    story_of,
    with_guests,
)
from tests.postgres_server import PostgresServer

from godwit.model.errors import Conflict, Superseded
from godwit.model.finding import InstanceChangeKind
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.model.steering import Steering
from godwit.runtime.clock import SystemClock
from godwit.saga.log import Debt, Direction, Entry, Story, What
from godwit.store.interface import Ending, Fence, HoldSource, MigrationChanges, Needs, NewHost
from godwit.store.postgres import Bounds, Server
from godwit.store.sql import SqlStore
from godwit.store.store_clock import SURE_WITHIN_S, StoreClock
from godwit.store.stories import LOCK

pytestmark = pytest.mark.slow

S = MigrationStatus
GUESTS = range(1, 9)
NEEDS = Needs(vcpus=1, memory_mib=512, vcpus_max=5, memory_max_mib=5 * 512)
ROUNDS = 3
TRIES_MAX = 400

Tale = Callable[[SqlStore, SqlStore], Awaitable[None]]


@pytest.fixture
def server(postgres: PostgresServer) -> Server:
    return postgres.store()


def told(tale: Tale, server: Server) -> None:
    """Run a test's tale with the stores of two conductors."""

    async def main() -> None:
        async with opened(server) as first, opened(server) as second:
            await tale(first, second)
            assert await first.queries.read(leaks) == ()

    asyncio.run(main())


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[SqlStore]:
    store = SqlStore.connect(server, SystemClock())
    try:
        yield store
    finally:
        store.close()


def deadlocks(server: Server) -> int:
    with closing(server.connect()) as connection:
        sql = "select deadlocks from pg_stat_database where datname = current_database()"
        [count] = connection.execute(sql).fetchone() or (0,)
        return int(count)


def test_both_go_by_the_servers_clock_whatever_their_machines_say(server: Server) -> None:
    class AnHourOff(SystemClock):
        def now_s(self) -> float:
            return super().now_s() + 3600

    async def tale(first: SqlStore, second: SqlStore) -> None:
        async with asyncio.TaskGroup() as tasks:
            clocks = StoreClock(SystemClock()), StoreClock(AnHourOff())
            assert clocks[1].now_s() - clocks[0].now_s() > 3000
            for clock, store in zip(clocks, (first, second), strict=True):
                await clock.keep(store.queries.time, tasks)
            assert abs(clocks[1].now_s() - clocks[0].now_s()) < SURE_WITHIN_S
            assert abs(SystemClock().now_s() - clocks[1].now_s()) < SURE_WITHIN_S
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    told(tale, server)


def test_each_story_that_is_due_is_taken_by_one(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        uuids = [f"s-{number}" for number in range(60)]
        for uuid in uuids:
            await first.begin(Story(uuid=uuid, saga="s", step="a", facts=b"{}"))
        assert await second.due(now_s=1.0, owner="second") == tuple(uuids)

        async def take(store: SqlStore, owner: str, uuid: str) -> Story | None:
            return await store.claim(uuid, owner=owner, until_s=10.0, now_s=1.0)

        claims = [take(first, "first", uuid) for uuid in uuids]
        claims += [take(second, "second", uuid) for uuid in reversed(uuids)]
        taken = [story for story in await asyncio.gather(*claims) if story is not None]
        assert sorted(story.uuid for story in taken) == sorted(uuids)
        assert {story.generation for story in taken} == {1}

    told(tale, server)


def test_a_story_that_stands_still_under_a_frozen_hand_is_passed_over(server: Server) -> None:
    frozen_at = replace(server, bounds=Bounds(idle_in_transaction=5.0))

    async def tale(first: SqlStore, second: SqlStore) -> None:
        for uuid in ("held", "free"):
            await first.begin(Story(uuid=uuid, saga="s", step="a", facts=b"{}"))
        with closing(frozen_at.connect()) as frozen:
            frozen.execute("begin")
            LOCK.hold(frozen, key="held")
            async with asyncio.timeout(4.5):
                assert await second.claim("held", owner="me", until_s=9.0, now_s=1.0) is None
                assert await second.claim("free", owner="me", until_s=9.0, now_s=1.0) is not None
            assert await first.due(now_s=1.0, owner="other") == ("held",)
            # Who must write to it waits until the server has ended the frozen transaction.
            await first.wake("held")
            assert await second.claim("held", owner="me", until_s=9.0, now_s=1.0) is not None

    told(tale, server)


def writes(store: SqlStore, fence: Fence, story: Story) -> list[Awaitable[object]]:
    """All that a story may write."""
    debt = Debt(story_uuid=story.uuid, step="a", undo=True, where=A)
    return [
        store.record(story, Entry(step="a", what=What.DONE)),
        along(store, fence, HoldSource()),
        along(store, fence, NewHost(host=B, node="b")),
        along(store, fence, Ending(S.FAILED, WHY)),
        store.change_migration(fence, MigrationChanges(status=S.PREPARING)),
        store.claim_destination(fence, B, NEEDS),
        store.drop_claims(fence),
        store.give_back_source_allocation(fence),
        store.take_slots(fence, slots_max={A: 1, B: 1}),
        store.give_slots_back(fence),
        store.pay(debt, Entry(step="a", what=What.PAID), generation=fence.generation),
        store.postpone(debt, generation=fence.generation),
    ]


def test_who_was_taken_for_dead_can_write_nothing_any_more(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, 1)
        move = migration(1)
        await first.accept_migration(move, story_of(move))
        old = await first.claim(move.uuid, owner="first", until_s=10.0, now_s=0.0)
        assert old is not None
        assert await second.claim(move.uuid, owner="second", until_s=20.0, now_s=10.0) is None
        new = await second.claim(move.uuid, owner="second", until_s=20.0, now_s=10.5)
        assert new is not None
        assert new.generation == old.generation + 1
        assert not await first.renew(move.uuid, generation=old.generation, until_s=99.0)
        before = await first.story_of(move.uuid), await first.queries.migrations()
        for write in writes(first, Fence(move.uuid, old.generation), old):
            with pytest.raises(Superseded):
                await write
        assert (await first.story_of(move.uuid), await first.queries.migrations()) == before
        entries = await first.queries.timeline(move.uuid)
        assert [entry.what for entry in entries] == [What.BEGAN, What.TAKEN_OVER]
        await second.record(changed(new, direction=Direction.ENDED, owner=""))

    told(tale, server)


def test_of_two_requests_at_once_for_one_server_one_is_accepted(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, *GUESTS)
        for number in GUESTS:
            moves = [migration(number, key=key) for key in "abcd"]
            answers = await asyncio.gather(
                *(
                    store.accept_migration(move, story_of(move))
                    for move, store in zip(moves, (first, second) * 2, strict=True)
                ),
                return_exceptions=True,
            )
            refused = [answer for answer in answers if isinstance(answer, Conflict)]
            assert len(refused) == 3
            assert {error.reason.code for error in refused} == {Code.INSTANCE_BUSY}

    told(tale, server)


def test_a_request_that_comes_twice_is_accepted_once(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, *GUESTS)
        for number in GUESTS:
            move = migration(number)
            one, other = await asyncio.gather(
                first.accept_migration(move, story_of(move)),
                second.accept_migration(move, story_of(move)),
            )
            assert one == other
        assert len(await first.queries.migrations()) == len(GUESTS)

    told(tale, server)


def test_no_host_is_given_more_than_it_has(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, 1, 2)
        one, other = [await accepted(first, number) for number in (1, 2)]
        room_for_one = replace(NEEDS, vcpus_max=1)
        for _ in range(15):
            answers = await asyncio.gather(
                first.claim_destination(one, B, room_for_one),
                second.claim_destination(other, B, room_for_one),
            )
            assert answers.count(None) == 1
            await asyncio.gather(first.drop_claims(one), second.drop_claims(other))

    told(tale, server)


def test_no_slot_is_given_twice(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, 1, 2)
        one, other = [await accepted(first, number) for number in (1, 2)]
        for _ in range(15):
            answers = await asyncio.gather(
                first.take_slots(one, slots_max={A: 1, B: 1}),
                second.take_slots(other, slots_max={A: 1, B: 1}),
            )
            assert answers.count(True) == 1
            await asyncio.gather(first.give_slots_back(one), second.give_slots_back(other))

    told(tale, server)


def test_what_a_story_and_a_person_write_at_once_is_both_there(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, 1)
        fence = await accepted(first, 1)
        for revision in range(1, 16):
            node = f"node-{revision}"
            await asyncio.gather(
                first.change_migration(fence, MigrationChanges(dest_node=node)),
                second.steer_migration(fence.migration_uuid, Steering(revision=revision)),
            )
            [move] = await first.queries.migrations()
            assert (move.dest_node, move.steering.revision) == (node, revision)

    told(tale, server)


def test_conductors_that_start_together_make_each_host_known_once(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        names = tuple(HostName(f"h-{number:02}") for number in range(20))
        reports = [report(name) for name in names]
        await asyncio.gather(
            first.ensure_hosts(names),
            second.ensure_hosts(names),
            *(
                store.record_report(each, (), now_s=1.0)
                for each in reports
                for store in (first, second)
            ),
        )
        assert [host.name for host in await first.queries.hosts()] == list(names)

    told(tale, server)


class Storm:
    """Moves of one conductor, each from beginning to end, with all that may come between."""

    def __init__(self, store: SqlStore, name: str, seed: int) -> None:
        self.store = store
        self.name = f"{name}-{seed}"
        self.drawn = 0
        self.ended = 0

    def draw(self, below: int) -> int:
        """A number from the seed."""
        self.drawn += 1
        return zlib.crc32(f"{self.name}-{self.drawn}".encode()) % below

    async def move(self, number: int) -> None:
        server = await self.store.queries.instance(InstanceUuid(f"guest-{number}"))
        assert server is not None
        key = f"-{self.name}-{self.draw(10**9)}"
        try:
            fence = await accepted(self.store, number, server.host, key)
        except Conflict:
            return
        await along(self.store, fence, HoldSource())
        others = [host for host in HOSTS if host != server.host]
        there = others[self.draw(len(others))]
        arrives = await self.store.claim_destination(fence, there, NEEDS) is None
        if arrives and await self.has_slots(fence, {server.host: 1, there: 1}):
            await self.store.change_migration(fence, MigrationChanges(status=S.PREPARING))
            await along(self.store, fence, NewHost(host=there, node="there"))
            await along(self.store, fence, Ending(S.COMPLETED))
        else:
            await self.store.drop_claims(fence)
            await along(self.store, fence, Ending(S.FAILED, WHY))
        story = await self.store.story_of(fence.migration_uuid)
        assert story is not None
        await self.store.record(changed(story, direction=Direction.ENDED, owner=""))
        self.ended += 1

    async def has_slots(self, fence: Fence, slots_max: dict[HostName, int]) -> bool:
        for _ in range(TRIES_MAX):
            if await self.store.take_slots(fence, slots_max=slots_max):
                return True
            if self.draw(20) == 0:
                await self.store.request_abort(fence.migration_uuid, WHY)
                return False
            await asyncio.sleep(0.002)
        raise AssertionError("its turn never came")

    async def discover(self, host: HostName) -> None:
        kinds = [InstanceChangeKind.CHANGED, InstanceChangeKind.MOVED]
        found = tuple(
            change(kinds[self.draw(2)], number, host) for number in GUESTS if self.draw(3) == 0
        )
        await self.store.record_report(report(host), found, now_s=1.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_moves_by_two_conductors_leaves_everything_in_its_place(
    server: Server, seed: int
) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, *GUESTS)
        storms = [Storm(first, "first", seed), Storm(second, "second", seed)]
        for _ in range(ROUNDS):
            async with asyncio.TaskGroup() as group:
                for each in storms:
                    for number in GUESTS:
                        group.create_task(each.move(number), name=f"move {number}")
                    for host in HOSTS:
                        group.create_task(each.discover(host), name=f"reports of {host}")
        assert sum(storm.ended for storm in storms) > 0
        moves = await first.queries.migrations()
        assert {move.status for move in moves} <= {S.COMPLETED, S.FAILED}
        usage = await first.queries.usage()
        assert sum(host.vcpus for host in usage.values()) == len(GUESTS)
        assert all(host.transfers == 0 for host in usage.values())
        servers = await first.queries.instances()
        assert len(servers) == len(GUESTS)
        assert all(server.task_state is None for server in servers)

    before = deadlocks(server)
    told(tale, server)
    assert deadlocks(server) == before


def test_who_waits_in_one_process_hears_of_what_another_writes(server: Server) -> None:
    async def tale(first: SqlStore, second: SqlStore) -> None:
        await with_guests(first, 1, 2)
        fence = await accepted(first, 1)
        uuid = fence.migration_uuid
        for ended, write in (
            (False, lambda: first.change_migration(fence, MigrationChanges(dest_node="n"))),
            (True, lambda: along(first, fence, Ending(S.FAILED, WHY))),
        ):
            change, end = second.queries.news.change_of(uuid), second.queries.news.end_of(uuid)
            async with asyncio.timeout(60):
                while not change.is_set():  # the first time it begins to listen
                    await write()
                    await asyncio.sleep(0.02)
                if ended:
                    await end.wait()
            assert end.is_set() == ended

    told(tale, server)
