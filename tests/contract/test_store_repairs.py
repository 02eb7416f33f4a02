"""The ledger that an audit reads, and repairs: done once, only while what they mend is still so."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, insert, update
from tests.contract.store_records import A, B, Tell, accepted, along, with_guests

from godwit.model.audit import Action, Disagreement, Evidence, Mismatch, Repaired
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import TaskState
from godwit.model.migration import MigrationStatus
from godwit.store.interface import Ending, HoldSource
from godwit.store.repairs import FORGET, TOLD
from godwit.store.sql import SqlStore
from godwit.store.statements import Connection, Writes
from godwit.store.tables import allocations, instances, migrations, slots

UUID = InstanceUuid("guest-1")
CLAIM = {"vcpus": 1, "memory_mib": 512}


def break_by_hand(statement: Writes, **given: object) -> Callable[[Connection], None]:
    """As somebody does who writes to the database beside Godwit."""
    return lambda connection: (statement.run(connection, **given), None)[1]


async def break_it(store: SqlStore, statement: Writes) -> None:
    await store._write(break_by_hand(statement))


NO_TASK = Writes(update(instances).values(task_state=None))
A_TASK = Writes(update(instances).values(task_state=TaskState.MIGRATING))
NO_CLAIM = Writes(delete(allocations))
A_STRAY = Writes(insert(allocations).values(consumer=UUID, host=B, **CLAIM))


ANA = "local:ana"
SEEN = (Evidence(by="the record", said="as it should not be", at=""),)


def wrong(action: Action, subject: str, host: HostName) -> Disagreement:
    kind = Mismatch.CLAIM_LEFT
    return Disagreement(kind=kind, subject=subject, host=host, evidence=SEEN, action=action)


async def of_ledger(store: SqlStore) -> tuple[list[tuple[str, HostName]], TaskState | None]:
    ledger = await store.queries.ledger(at_s=5.0)
    assert ledger.read_at_s == 5.0
    [server] = ledger.servers
    return [(claim.consumer, claim.host) for claim in ledger.claims], server.task_state


@pytest.mark.parametrize(
    ("broken", "repair", "claims"),
    [
        (A_TASK, wrong(Action.LEAVE_TASK, UUID, A), [(UUID, A)]),
        (NO_CLAIM, wrong(Action.PUT_CLAIM, UUID, A), [(UUID, A)]),
        (A_STRAY, wrong(Action.DROP_CLAIM, UUID, B), [(UUID, A)]),
    ],
)
def test_a_repair_mends_what_it_was_made_for_and_may_be_repeated(
    tell: Tell, broken: Writes, repair: Disagreement, claims: list[tuple[str, HostName]]
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        await break_it(store, broken)
        assert await store.repair(repair, by=ANA)
        assert await of_ledger(store) == (claims, None)
        again = await store.repair(repair, by=ANA)
        assert again is (repair.action is Action.PUT_CLAIM)
        assert await of_ledger(store) == (claims, None)

    tell(tale)


def test_a_server_is_locked_again_for_the_migration_that_is_under_way(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        repair = wrong(Action.LOCK_AGAIN, UUID, A)
        assert not await store.repair(repair, by=ANA)
        await break_it(store, NO_TASK)
        assert await store.repair(repair, by=ANA)
        assert (await of_ledger(store))[1] is TaskState.MIGRATING
        await along(store, fence, Ending(MigrationStatus.FAILED))
        assert not await store.repair(repair, by=ANA)

    tell(tale)


def test_no_repair_takes_anything_from_a_migration_that_is_under_way(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        await along(store, fence, HoldSource())
        await store.take_slots(fence, slots_max={A: 1, B: 1})
        for repair in (
            wrong(Action.LEAVE_TASK, UUID, A),
            wrong(Action.DROP_CLAIM, fence.migration_uuid, A),
            wrong(Action.GIVE_SLOT_BACK, fence.migration_uuid, A),
            wrong(Action.PUT_CLAIM, UUID, A),
        ):
            assert not await store.repair(repair, by=ANA), repair
        ledger = await store.queries.ledger(at_s=5.0)
        assert [(c.consumer, c.host) for c in ledger.claims] == [(fence.migration_uuid, A)]
        assert {(s.host, s.held) for s in ledger.slots} == {(A, True), (B, True)}
        [move] = ledger.moves
        assert (move.uuid, move.instance_uuid, move.source) == (fence.migration_uuid, UUID, A)
        assert (move.owner, move.story_ended) == ("me", False)

    tell(tale)


def test_a_slot_of_a_migration_that_is_over_goes_to_who_waits_for_it(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        over, waits = await accepted(store, 1), await accepted(store, 2)
        for fence in (over, waits):
            await store.take_slots(fence, slots_max={A: 1, B: 1})
        await break_it(
            store,
            Writes(
                update(migrations)
                .where(migrations.c.uuid == over.migration_uuid)
                .values(status=MigrationStatus.FAILED)
            ),
        )
        assert await store.repair(wrong(Action.GIVE_SLOT_BACK, over.migration_uuid, A), by=ANA)
        held = {(s.migration_uuid, s.held) for s in (await store.queries.ledger(at_s=0.0)).slots}
        assert held == {(waits.migration_uuid, True)}
        await break_it(store, Writes(delete(slots)))
        await break_it(store, NO_CLAIM)
        await break_it(store, Writes(delete(instances)))

    tell(tale)


def test_what_was_repaired_is_kept_with_its_evidence_and_what_was_not_is_not(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        repair = wrong(Action.LEAVE_TASK, UUID, A)
        assert not await store.repair(repair, by=ANA)
        assert await store.queries.repairs() == ()
        await break_it(store, A_TASK)
        assert await store.repair(repair, by=ANA)
        followed = replace(repair, action=Action.FOLLOW_THE_GUEST, name="guest-1")
        assert await store.repair(followed, by="godwit")
        last, first = await store.queries.repairs()
        assert (last.action, last.name, last.by) == (Action.FOLLOW_THE_GUEST, "guest-1", "godwit")
        assert first == Repaired(
            at=first.at,
            by=ANA,
            kind=repair.kind,
            action=repair.action,
            subject=UUID,
            host=A,
            evidence=SEEN,
        )

    tell(tale)


def test_only_so_many_repairs_are_kept_and_the_last_are_told(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        followed = wrong(Action.FOLLOW_THE_GUEST, UUID, A)
        for number in range(TOLD + 5):
            assert await store.repair(replace(followed, subject=f"{number}"), by=ANA)
        told = await store.queries.repairs()
        assert [each.subject for each in told] == [f"{n}" for n in range(TOLD + 4, 4, -1)]
        await store._write(lambda c: FORGET.run(c, kept=3))
        assert len(await store.queries.repairs()) == 3

    tell(tale)


def test_a_turn_is_had_by_one_and_again_when_it_is_over(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        took = [
            await store.take_turn("look", by=by, now_s=now_s, every_s=60.0)
            for by, now_s in (("a", 10.0), ("b", 10.0), ("b", 69.0), ("b", 70.0), ("a", 129.0))
        ]
        assert took == [True, False, False, True, False]
        assert await store.take_turn("another", by="a", now_s=70.0, every_s=60.0)

    tell(tale)


def test_a_turn_that_a_clock_far_ahead_has_taken_is_over(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        assert await store.take_turn("look", by="a", now_s=10_000.0, every_s=60.0)
        assert not await store.take_turn("look", by="b", now_s=9_999.0, every_s=60.0)
        assert await store.take_turn("look", by="b", now_s=5_000.0, every_s=60.0)

    tell(tale)


def test_many_who_want_the_first_turn_at_once_are_told_of_one(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        wanted = (store.take_turn("look", by=f"{n}", now_s=1.0, every_s=60.0) for n in range(8))
        assert sum(await asyncio.gather(*wanted)) == 1

    tell(tale)
