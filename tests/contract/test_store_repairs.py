"""The ledger that an audit reads, and repairs: done once, only while what they mend is still so."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, insert, update
from tests.contract.store_records import A, B, Tell, accepted, along, with_guests

from godwit.model.audit import Action
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import TaskState
from godwit.model.migration import MigrationStatus
from godwit.store.interface import Ending, HoldSource, Repair
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


async def of_ledger(store: SqlStore) -> tuple[list[tuple[str, HostName]], TaskState | None]:
    ledger = await store.queries.ledger(at_s=5.0)
    assert ledger.read_at_s == 5.0
    [server] = ledger.servers
    return [(claim.consumer, claim.host) for claim in ledger.claims], server.task_state


@pytest.mark.parametrize(
    ("broken", "repair", "claims"),
    [
        (A_TASK, Repair(Action.LEAVE_TASK, UUID, A), [(UUID, A)]),
        (NO_CLAIM, Repair(Action.PUT_CLAIM, UUID, A), [(UUID, A)]),
        (A_STRAY, Repair(Action.DROP_CLAIM, UUID, B), [(UUID, A)]),
    ],
)
def test_a_repair_mends_what_it_was_made_for_and_may_be_repeated(
    tell: Tell, broken: Writes, repair: Repair, claims: list[tuple[str, HostName]]
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        await break_it(store, broken)
        assert await store.repair(repair)
        assert await of_ledger(store) == (claims, None)
        again = await store.repair(repair)
        assert again is (repair.action is Action.PUT_CLAIM)
        assert await of_ledger(store) == (claims, None)

    tell(tale)


def test_a_server_is_locked_again_for_the_migration_that_is_under_way(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        repair = Repair(Action.LOCK_AGAIN, UUID, A)
        assert not await store.repair(repair)
        await break_it(store, NO_TASK)
        assert await store.repair(repair)
        assert (await of_ledger(store))[1] is TaskState.MIGRATING
        await along(store, fence, Ending(MigrationStatus.FAILED))
        assert not await store.repair(repair)

    tell(tale)


def test_no_repair_takes_anything_from_a_migration_that_is_under_way(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        await along(store, fence, HoldSource())
        await store.take_slots(fence, slots_max={A: 1, B: 1})
        for repair in (
            Repair(Action.LEAVE_TASK, UUID, A),
            Repair(Action.DROP_CLAIM, fence.migration_uuid, A),
            Repair(Action.GIVE_SLOT_BACK, fence.migration_uuid, A),
            Repair(Action.PUT_CLAIM, UUID, A),
        ):
            assert not await store.repair(repair), repair
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
        assert await store.repair(Repair(Action.GIVE_SLOT_BACK, over.migration_uuid, A))
        held = {(s.migration_uuid, s.held) for s in (await store.queries.ledger(at_s=0.0)).slots}
        assert held == {(waits.migration_uuid, True)}
        await break_it(store, Writes(delete(slots)))
        await break_it(store, NO_CLAIM)
        await break_it(store, Writes(delete(instances)))

    tell(tale)
