"""Claims, slots and fences: what every store must get right, in a file and in memory alike."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import permutations

import pytest
from msgspec.structs import replace
from sqlalchemy import select
from tests.contract.store_records import (
    NEEDS,
    WHY,
    A,
    B,
    C,
    D,
    Tell,
    accepted,
    allocated,
    along,
    held,
    migration,
    story_of,
    with_guests,
)

from godwit.model.errors import Conflict, NotFound, Superseded
from godwit.model.ids import InstanceUuid, MigrationUuid
from godwit.model.instance import PowerState, TaskState, VmState
from godwit.model.migration import FINAL, IllegalTransition, MigrationStatus
from godwit.model.progress import Progress, Statistics
from godwit.model.reasons import Code, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.model.sighting import GuestEnd
from godwit.saga.log import Direction, Story
from godwit.store.interface import Ending, Fence, HoldSource, MigrationChanges, Needs, NewHost
from godwit.store.slots import Place
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection, Reads
from godwit.store.tables import metadata

S = MigrationStatus
FULL = grouped(
    by_themselves(
        reason(Code.NOT_ENOUGH_VCPUS, host=host, free=free, needed=4)
        for host, free in ((A, 1), (B, 2))
    )
)


def test_of_two_requests_at_once_for_one_server_one_is_accepted(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        moves = [migration(1, key=key) for key in "xyz"]
        answers = await asyncio.gather(
            *(store.accept_migration(move, story_of(move)) for move in moves),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, Conflict)]
        assert len(refused) == 2
        assert {error.reason.code for error in refused} == {Code.INSTANCE_BUSY}
        [move] = await store.queries.migrations()
        assert move.id == 1
        server = await store.queries.instance(move.instance_uuid)
        assert server is not None
        assert server.task_state is TaskState.MIGRATING

    tell(tale)


def test_a_request_that_is_repeated_finds_its_own_migration(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        move = migration(1)
        first = await store.accept_migration(move, story_of(move))
        assert await store.accept_migration(move, story_of(move)) == first
        assert [e.words for e in await store.queries.timeline(move.uuid)] == [""]

    tell(tale)


def test_a_move_of_an_unknown_or_meanwhile_moved_server_is_not_accepted(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        unknown, moved = migration(7), migration(1, source=B)
        with pytest.raises(NotFound):
            await store.accept_migration(unknown, story_of(unknown))
        with pytest.raises(Conflict):
            await store.accept_migration(moved, story_of(moved))
        assert await store.queries.migrations() == ()
        assert await store.queries.story(moved.uuid) is None

    tell(tale)


@pytest.mark.parametrize("status", [S.FAILED, S.CANCELLED])
def test_a_story_that_is_unwound_leaves_the_claims_as_they_were(tell: Tell, status: S) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        before = [await allocated(store, host) for host in (A, B, C)]
        fence = await accepted(store, 1)
        for _ in range(2):
            await along(store, fence, HoldSource())
        for _ in range(2):
            assert await store.claim_destination(fence, B, NEEDS) is None
            assert await store.claim_destination(fence, C, NEEDS) is None
        assert await allocated(store, A) == (1, 512)
        assert await allocated(store, B) == (0, 0)
        assert await allocated(store, C) == (1, 512)
        assert await store.take_slots(fence, slots_max={A: 1, C: 1})
        for _ in range(2):
            await store.give_slots_back(fence)
            await store.drop_claims(fence)
            await store.give_back_source_allocation(fence)
        for _ in range(2):
            await along(store, fence, Ending(status, WHY))
        assert [await allocated(store, host) for host in (A, B, C)] == before
        move = await store.queries.migration(fence.migration_uuid)
        assert move is not None
        assert (move.status, move.reason) == (status, WHY)
        await accepted(store, 1, key="again")

    tell(tale)


def test_a_finish_alone_gives_back_whatever_the_migration_holds(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        fence, waiting = await accepted(store, 1), await accepted(store, 2)
        await along(store, fence, HoldSource())
        await store.claim_destination(fence, B, NEEDS)
        assert await store.take_slots(fence, slots_max={A: 1, B: 1})
        assert not await store.take_slots(waiting, slots_max={A: 1, C: 1})
        await store.change_migration(fence, MigrationChanges(person_needed=True))
        await along(store, fence, Ending(S.FAILED))
        assert await allocated(store, A) == (2, 1024)
        assert await allocated(store, B) == (0, 0)
        assert await store.take_slots(waiting, slots_max={A: 1, C: 1})
        server = await store.queries.instance(InstanceUuid("guest-1"))
        move = await store.queries.migration(fence.migration_uuid)
        assert server is not None
        assert move is not None
        assert server.task_state is None
        assert not move.person_needed

    tell(tale)


@pytest.mark.parametrize("status", [S.PREPARING, S.RUNNING])
def test_the_new_host_is_recorded_with_its_claim_and_gives_the_slots_back(
    tell: Tell, status: S
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        await along(store, fence, HoldSource())
        await store.claim_destination(fence, B, NEEDS)
        for step in (S.PREPARING, status):
            await store.change_migration(fence, MigrationChanges(status=step))
        assert await store.take_slots(fence, slots_max={A: 1, B: 1})
        statistics = Statistics(total_ms=1200, downtime_ms=40)
        end = GuestEnd(how="it has crashed", power_state=PowerState.SHUTDOWN)
        for arrival in (
            NewHost(host=B, node="b", end=end, statistics=statistics),
            NewHost(host=B, node="b"),
        ):
            await along(store, fence, arrival)
            server = await store.queries.instance(InstanceUuid("guest-1"))
            assert server is not None
            assert (server.host, server.node) == (B, "b")
            assert (server.power_state, server.vm_state) == (PowerState.SHUTDOWN, VmState.STOPPED)
            assert server.task_state is TaskState.MIGRATING
            assert await allocated(store, A) == (0, 0)
            assert await allocated(store, B) == (1, 512)
        move = await store.queries.migration(fence.migration_uuid)
        assert move is not None
        assert (move.status, move.dest_compute) == (S.POST_MIGRATING, B)
        assert move.statistics == statistics
        assert (await store.queries.usage())[A].transfers == 0
        with pytest.raises(Conflict):
            await store.request_abort(fence.migration_uuid, WHY)
        await along(store, fence, Ending(S.COMPLETED))
        assert (await store.queries.usage())[A].transfers == 0
        assert await allocated(store, B) == (1, 512)

    tell(tale)


@pytest.mark.parametrize("left", [PowerState.SHUTDOWN, None])
def test_a_guest_that_ended_in_its_move_is_on_record_as_ended_with_the_end_of_the_story(
    tell: Tell, left: PowerState | None
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        await along(store, fence, HoldSource())
        end = GuestEnd(how="ended", power_state=left)
        await along(store, fence, Ending(S.FAILED, WHY, end))
        server = await store.queries.instance(InstanceUuid("guest-1"))
        assert server is not None
        assert (server.host, server.task_state) == (A, None)
        assert server.vm_state is (VmState.STOPPED if left else VmState.MISSING)
        assert await allocated(store, A) == ((1, 512) if left else (0, 0))

    tell(tale)


def test_a_claim_is_refused_where_memory_or_vcpus_are_short_and_takes_nothing(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        await along(store, fence, HoldSource())
        tight = Needs(vcpus=1, memory_mib=512, vcpus_max=1, memory_max_mib=511)
        refusal = await store.claim_destination(fence, B, tight)
        assert refusal is not None
        assert (refusal.code, refusal.host) == (Code.NOT_ENOUGH_MEMORY, B)
        assert await store.claim_destination(fence, B, NEEDS) is None
        none = Needs(vcpus=1, memory_mib=512, vcpus_max=0, memory_max_mib=512)
        refusal = await store.claim_destination(fence, C, none)
        assert refusal is not None
        assert refusal.code is Code.NOT_ENOUGH_VCPUS
        assert await allocated(store, B) == (0, 0)
        itself = await store.claim_destination(fence, A, NEEDS)
        assert itself is not None
        assert itself.code is Code.UNABLE_TO_MIGRATE_TO_SELF

    tell(tale)


def test_the_last_room_at_a_host_goes_to_one_of_many_who_ask_at_once(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, *range(1, 9))
        fences = [await accepted(store, number) for number in range(1, 9)]
        answers = await asyncio.gather(
            *(store.claim_destination(fence, B, NEEDS) for fence in fences)
        )
        assert answers.count(None) == 4
        assert await allocated(store, B) == (4, 2048)
        await asyncio.gather(*(store.drop_claims(fence) for fence in fences))
        assert await allocated(store, B) == (0, 0)

    tell(tale)


def test_group_members_that_must_be_apart_never_claim_one_host_even_on_their_way(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        await with_guests(store, 3, host=C)
        first, second = await accepted(store, 1), await accepted(store, 2)
        members = tuple(InstanceUuid(f"guest-{number}") for number in (1, 2, 3))

        def apart(number: int) -> Needs:
            others = tuple(m for m in members if m != f"guest-{number}")
            return Needs(1, 512, 8, 2048, group_members_barred=others)

        answers = await asyncio.gather(
            store.claim_destination(first, B, apart(1)),
            store.claim_destination(second, B, apart(2)),
        )
        assert [answer.code for answer in answers if answer] == [Code.ANTI_AFFINITY_VIOLATED]
        there = await store.claim_destination(first, C, apart(1))
        assert there is not None
        assert there.code is Code.ANTI_AFFINITY_VIOLATED

    tell(tale)


def test_a_story_with_an_old_fence_changes_nothing(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        old = await accepted(store, 1)
        new = await held(store, old.migration_uuid, owner="other")
        before = await store.queries.read(everything)
        for write in all_writes(store, old):
            with pytest.raises(Superseded):
                await write()
        for write in all_writes(store, Fence(MigrationUuid("unheard-of"), 1)):
            with pytest.raises(NotFound):
                await write()
        assert await store.queries.read(everything) == before
        for write in all_writes(store, new):
            await write()

    tell(tale)


def everything(connection: Connection) -> list[object]:
    """Every row of every table."""
    return [
        Reads(select(table).order_by(*table.primary_key), dict).all(connection)
        for table in metadata.sorted_tables
    ]


def all_writes(store: SqlStore, fence: Fence) -> list[Callable[[], Awaitable[object]]]:
    """Every write on behalf of a story, in an order in which each is allowed."""
    change = MigrationChanges(status=S.PREPARING)
    return [
        lambda: along(store, fence, HoldSource()),
        lambda: store.claim_destination(fence, B, NEEDS),
        lambda: store.drop_claims(fence),
        lambda: store.take_slots(fence, slots_max={A: 1, B: 1}),
        lambda: store.give_slots_back(fence),
        lambda: store.give_back_source_allocation(fence),
        lambda: store.change_migration(fence, change),
        lambda: along(store, fence, NewHost(host=B, node="b")),
        lambda: along(store, fence, Ending(S.COMPLETED)),
    ]


def test_after_its_end_a_migration_takes_nothing_and_drops_nothing_of_the_next_one(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        over = await accepted(store, 1)
        await along(store, over, Ending(S.FAILED, WHY))
        following = await accepted(store, 1, key="next")
        await along(store, following, HoldSource())
        await store.claim_destination(following, B, NEEDS)
        assert await store.take_slots(following, slots_max={A: 1, B: 1})
        before = await store.queries.read(everything)
        for take in (
            along(store, over, HoldSource()),
            store.claim_destination(over, C, NEEDS),
            store.take_slots(over, slots_max={A: 1, C: 1}),
            along(store, over, NewHost(host=C, node="c")),
        ):
            with pytest.raises(Superseded):
                await take
        await store.drop_claims(over)
        await store.give_back_source_allocation(over)
        await store.give_slots_back(over)
        await along(store, over, Ending(S.FAILED, WHY))
        await store.record_progress(over, Progress(iteration=9))
        assert await store.queries.read(everything) == before

    tell(tale)


def test_a_sample_of_who_was_taken_over_does_not_replace_a_newer_one(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        old = await accepted(store, 1)
        await store.record_progress(old, Progress(iteration=3))
        new = await held(store, old.migration_uuid, "other")
        for fence, iteration in ((new, 5), (old, 4)):
            await store.record_progress(fence, Progress(iteration=iteration))
            move = await store.queries.migration(old.migration_uuid)
            assert move is not None
            assert move.progress == Progress(iteration=5)

    tell(tale)


def test_a_status_goes_only_where_the_table_lets_it(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        with pytest.raises(IllegalTransition):
            await store.change_migration(fence, MigrationChanges(status=S.COMPLETED))
        with pytest.raises(AssertionError):
            await along(store, fence, Ending(S.PREPARING))
        changes = MigrationChanges(
            status=S.QUEUED, dest_compute=B, dest_node="b", refusals=FULL, reason=WHY
        )
        assert (await store.change_migration(fence, changes)).dest_compute == B
        forgotten = await store.change_migration(fence, MigrationChanges(forget_destination=True))
        assert (forgotten.dest_compute, forgotten.dest_node) == (None, None)
        assert (forgotten.status, forgotten.refusals) == (S.QUEUED, FULL)
        await store.record_progress(fence, Progress(iteration=3))
        measured = MigrationChanges(statistics=Statistics(total_ms=1))
        move = await store.change_migration(fence, measured)
        assert move.progress == Progress(iteration=3)
        assert move.statistics == Statistics(total_ms=1)

    tell(tale)


def test_slots_go_first_come_first_served_whatever_order_the_waiting_look_in(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        for round_, looks in enumerate([*permutations(range(3))][::2]):
            numbers = [10 * round_ + n for n in (1, 2, 3, 4)]
            await with_guests(store, *numbers)
            first, *rest = [await accepted(store, number) for number in numbers]
            wants = [{A: 1, B: 1}, {A: 1, C: 1}, {A: 1, B: 1}]
            assert await store.take_slots(first, slots_max={A: 1, B: 1})
            for fence, want in zip(rest, wants, strict=True):
                assert not await store.take_slots(fence, slots_max=want)
            assert await store.give_slots_back(first) == (rest[0].migration_uuid,)
            got = [await store.take_slots(rest[i], slots_max=wants[i]) for i in looks]
            assert [looks[i] for i in range(3) if got[i]] == [0]
            for fence in rest:
                await along(store, fence, Ending(S.FAILED))

    tell(tale)


def test_a_later_story_passes_only_one_with_which_it_shares_no_host(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2, 3)
        await with_guests(store, 4, 5, host=C)
        busy, waits, behind = [await accepted(store, number) for number in (1, 2, 3)]
        apart, beside = await accepted(store, 4, C), await accepted(store, 5, C)
        assert await store.take_slots(busy, slots_max={A: 1, B: 1})
        assert not await store.take_slots(waits, slots_max={A: 1, B: 1})
        assert await store.take_slots(apart, slots_max={C: 2, D: 1})
        assert await store.give_slots_back(apart) == ()
        assert not await store.take_slots(beside, slots_max={C: 2, B: 1})
        assert not await store.take_slots(behind, slots_max={A: 9, D: 1})
        assert not await store.take_slots(apart, slots_max={C: 2, D: 1})
        assert await store.give_slots_back(waits) == (behind.migration_uuid,)
        assert await store.give_slots_back(beside) == ()
        assert await store.give_slots_back(behind) == (apart.migration_uuid,)
        assert await store.take_slots(apart, slots_max={C: 2, D: 1})

    tell(tale)


def test_whoever_waits_knows_its_place_at_each_host_and_moves_up(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2, 3)
        await with_guests(store, 4, host=B)
        busy, second, third = [await accepted(store, number) for number in (1, 2, 3)]
        into = await accepted(store, 4, B)
        assert await store.take_slots(busy, slots_max={A: 1, B: 1})
        assert await store.queries.queue() == {}
        assert not await store.take_slots(second, slots_max={A: 1, C: 1})
        assert not await store.take_slots(into, slots_max={B: 1, A: 0})
        assert not await store.take_slots(third, slots_max={A: 1, C: 1})
        stand = await store.queries.queue()
        assert {uuid: len(places) for uuid, places in stand.items()} == {
            fence.migration_uuid: 2 for fence in (second, into, third)
        }
        assert stand[third.migration_uuid] == (
            Place(A, outgoing=True, place=3, waiting=3),
            Place(C, outgoing=False, place=2, waiting=2),
        )
        assert stand[into.migration_uuid][1] == Place(A, outgoing=False, place=2, waiting=3)
        queued = MigrationChanges(status=S.QUEUED)
        await store.change_migration(third, queued)
        await store.give_slots_back(into)
        assert await store.give_slots_back(busy) == (second.migration_uuid,)
        seen = await store.queries.account(third.migration_uuid)
        assert seen is not None
        assert seen.queue == (
            Place(A, outgoing=True, place=1, waiting=1),
            Place(C, outgoing=False, place=1, waiting=1),
        )

    tell(tale)


def test_the_way_out_of_a_host_and_the_way_into_it_are_counted_apart(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        await with_guests(store, 2, host=B)
        out, into = await accepted(store, 1), await accepted(store, 2, B)
        assert await store.take_slots(out, slots_max={A: 1, B: 1})
        assert await store.take_slots(into, slots_max={B: 1, A: 1})

    tell(tale)


def test_who_waits_for_another_host_than_before_goes_to_the_end_of_the_line(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2, 3)
        first, second, third = [await accepted(store, number) for number in (1, 2, 3)]
        assert await store.take_slots(first, slots_max={A: 1, B: 1})
        for fence in (second, third, second):
            assert not await store.take_slots(fence, slots_max={A: 1, B: 1})
        usage = (await store.queries.usage())[A]
        assert (usage.transfers, usage.waiting) == (1, 2)
        assert not await store.take_slots(second, slots_max={A: 1, C: 1})
        assert await store.give_slots_back(first) == (third.migration_uuid,)

    tell(tale)


def test_whoever_is_granted_a_slot_is_woken_in_the_same_write(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        first, second = await accepted(store, 1), await accepted(store, 2)
        assert await store.take_slots(first, slots_max={A: 1, B: 1})
        assert not await store.take_slots(second, slots_max={A: 1, B: 1})
        story = await store.story_of(second.migration_uuid)
        assert story is not None
        await store.record(rests_until(story, 99.0))
        assert await store.due(now_s=5.0, owner="me") == ()
        await store.give_slots_back(first)
        assert await store.due(now_s=5.0, owner="me") == (second.migration_uuid,)

    tell(tale)


def rests_until(story: Story, wake_at_s: float) -> Story:
    return replace(story, owner="", wake_at_s=wake_at_s)


def test_an_abort_is_kept_once_wakes_its_story_and_is_refused_at_the_end(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        with pytest.raises(NotFound):
            await store.request_abort(MigrationUuid("unheard-of"), WHY)
        again = reason(Code.CANCELLED_BY_REQUEST, initiator="you")
        assert (await store.request_abort(fence.migration_uuid, WHY)).abort_requested
        assert (await store.request_abort(fence.migration_uuid, again)).abort_requested
        assert await store.abort_request(fence.migration_uuid) == WHY
        await along(store, fence, Ending(S.CANCELLED))
        with pytest.raises(Conflict) as caught:
            await store.request_abort(fence.migration_uuid, WHY)
        assert caught.value.reason.code is Code.MIGRATION_NOT_ABORTABLE
        assert await store.abort_request("unheard-of") is None

    tell(tale)


@pytest.mark.parametrize("how", ["by the record", "by the story"])
def test_a_persons_word_is_kept_only_where_one_is_needed(tell: Tell, how: str) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        uuid = fence.migration_uuid
        with pytest.raises(NotFound):
            await store.resolve_by_person(MigrationUuid("unheard-of"), at_host=A, why=WHY)
        with pytest.raises(Conflict) as caught:
            await store.resolve_by_person(uuid, at_host=A, why=WHY)
        assert caught.value.reason.code is Code.MIGRATION_NEEDS_NOBODY
        assert await store.queries.decision(uuid) is None
        story = await store.story_of(uuid)
        assert story is not None
        if how == "by the record":
            await store.change_migration(fence, MigrationChanges(person_needed=True))
            await store.record(rests_until(story, 99.0))
        else:
            story = replace(story, direction=Direction.RESOLVING, resting="person_needed")
            await store.record(rests_until(story, 99.0))
        await store.resolve_by_person(uuid, at_host=B, why=WHY)
        assert await store.due(now_s=5.0, owner="me") == (uuid,)
        await store.resolve_by_person(uuid, at_host=None, why=WHY)
        decision = await store.queries.decision(uuid)
        assert decision is not None
        assert (decision.at_host, decision.why) == (None, WHY)
        await along(store, fence, Ending(S.FAILED))
        with pytest.raises(Conflict):
            await store.resolve_by_person(uuid, at_host=A, why=WHY)

    tell(tale)


def test_final_statuses_are_what_unfinished_leaves_out(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2, 3)
        fences = [await accepted(store, number) for number in (1, 2, 3)]
        await along(store, fences[0], Ending(S.FAILED))
        await store.claim_destination(fences[1], B, NEEDS)
        await store.change_migration(fences[1], MigrationChanges(dest_compute=B))
        queries = store.queries
        assert [m.id for m in await queries.migrations()] == [3, 2, 1]
        assert [m.id for m in await queries.migrations(unfinished=True)] == [3, 2]
        assert [m.id for m in await queries.migrations(host=B)] == [2]
        assert [m.id for m in await queries.migrations(status=S.FAILED)] == [1]
        assert all(m.status in FINAL for m in await queries.migrations(status=S.FAILED))
        assert [m.id for m in await queries.migrations(limit=1, marker=3)] == [2]
        server = InstanceUuid("guest-3")
        assert [m.id for m in await queries.migrations(instance_uuid=server)] == [3]
        assert await queries.migration(2) == await queries.migration("2")
        assert await queries.migration("2") == await queries.migration(fences[1].migration_uuid)
        assert await queries.migration(99) is None

    tell(tale)
