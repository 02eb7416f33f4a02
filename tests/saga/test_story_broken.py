"""The story when a step fails, a reply is lost, a message arrives twice, or somebody aborts."""

import asyncio

import pytest
from tests.saga.house import GUEST, STORE, A, B, House, Wire, a_house, host_settings

from godwit.model.errors import Conflict
from godwit.model.ids import HostName
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind, TransferFault
from godwit.virt.simulated.half import HalfState

S = MigrationStatus

AT_HOSTS = [
    (A, "check_can_live_migrate_source"),
    (A, "live_migration"),
    (A, "follow_transfer"),
    (A, "close_transfer"),
    (A, "sight_source"),
    (A, "post_live_migration_at_source"),
    (B, "check_can_live_migrate_destination"),
    (B, "pre_live_migration"),
    (B, "sight_destination"),
    (B, "post_live_migration_at_destination"),
]
IN_THE_STORE = [
    (STORE, "record"),
    (STORE, "drop_claims"),
    (STORE, "claim_destination"),
    (STORE, "take_slots"),
    (STORE, "record_progress"),
]
BEFORE_THE_NEW_HOST = {"close_transfer", "sight_source", "sight_destination"}
AFTER_THE_PIVOT = {
    "post_live_migration_at_source",
    "post_live_migration_at_destination",
}


def wire_of(house: House, where: str) -> Wire:
    return house.shelf if where == STORE else house.wires[HostName(where)]


@pytest.mark.parametrize(("how", "times"), [("unheard", 1), ("lost", 1), ("lost", 6)])
@pytest.mark.parametrize(("where", "call"), [*AT_HOSTS, *IN_THE_STORE])
def test_a_call_that_is_unheard_or_whose_reply_is_lost_leaves_one_guest_and_no_trace(
    where: str, call: str, how: str, times: int
) -> None:
    async def story() -> None:
        async with a_house() as house:
            getattr(wire_of(house, where), how)[call] = times
            ended = await house.migrate()
            assert ended.status in {S.COMPLETED, S.FAILED}
            if call in AFTER_THE_PIVOT:
                assert ended.status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_every_act_may_arrive_twice() -> None:
    async def story() -> None:
        async with a_house() as house:
            for where, call in [*AT_HOSTS, *IN_THE_STORE]:
                wire_of(house, where).twice.add(call)
            assert (await house.migrate()).status is S.COMPLETED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("kind", [FaultKind.FAILS, FaultKind.FAILS_AFTER_ACTING, FaultKind.HANGS])
@pytest.mark.parametrize(
    ("host", "call"),
    [
        (A, "check_can_live_migrate_source"),
        (A, "open"),
        (A, "clear_autostart"),
        (A, "transfer"),
        (A, "source_is_gone"),
        (A, "sight_source"),
        (A, "post_live_migration_at_source"),
        (B, "check_can_live_migrate_destination"),
        (B, "pre_live_migration"),
        (B, "let_run_at_destination"),
        (B, "sight_destination"),
        (B, "post_live_migration_at_destination"),
    ],
)
def test_a_hypervisor_that_fails_or_hangs_leaves_one_guest_and_no_trace(
    host: str, call: str, kind: FaultKind
) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.inject(Fault(HostName(host), call, kind))
            ended = await house.migrate()
            assert ended.status in {S.COMPLETED, S.FAILED}
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (TransferFault.FAILS_MID_COPY, S.FAILED, Code.TRANSFER_FAILED),
        (TransferFault.HALF_LEFT_OVER, S.FAILED, Code.TRANSFER_FAILED),
        (TransferFault.STALLS, S.FAILED, Code.TRANSFER_STALLED),
        (TransferFault.SOURCE_TAKES_BACK, S.FAILED, Code.SOURCE_TOOK_THE_GUEST_BACK),
        (TransferFault.HANDED_OVER, S.COMPLETED, None),
        (TransferFault.HANDED_OVER_UNFINISHED, S.FAILED, Code.SOURCE_TOOK_THE_GUEST_BACK),
        (TransferFault.HANDED_OVER_TO_NOBODY, S.FAILED, Code.SOURCE_TOOK_THE_GUEST_BACK),
        (TransferFault.REPLY_LOST, S.COMPLETED, None),
    ],
)
def test_a_transfer_that_goes_wrong_ends_with_one_guest_where_the_record_says(
    fault: TransferFault, status: MigrationStatus, code: Code | None
) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, fault)
            ended = await house.migrate()
            assert ended.status is status
            assert (ended.reason.code if ended.reason else None) is code
            await house.assert_sound()

    run(story())


def test_a_guest_that_ends_by_itself_fails_the_move_and_is_not_started_again() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.GUEST_ENDS)
            ended = await house.migrate()
            assert ended.status is S.FAILED
            assert ended.reason is not None
            assert ended.reason.code is Code.GUEST_ENDED
            await asyncio.sleep(30)
            half = house.fleet.half(A, GUEST)
            assert half is not None
            assert half.state is HalfState.OFF
            assert house.fleet.half(B, GUEST) is None
            assert house.fleet.running_at(GUEST) == ()

    run(story())


@pytest.mark.parametrize(
    ("where", "call", "nth"),
    [(*each, 1) for each in (*AT_HOSTS, *IN_THE_STORE)]
    + [(STORE, "record", nth) for nth in range(2, 9)],
)
def test_an_abort_at_any_moment_cancels_the_move_or_comes_too_late(
    where: str, call: str, nth: int
) -> None:
    async def story() -> None:
        async with a_house() as house:
            too_late = []
            reached: list[str] = []

            async def abort(at: str, name: str) -> None:
                if (at, name) != (where, call):
                    return
                reached.append(name)
                if len(reached) != nth:
                    return
                wire_of(house, where).then = None
                [running] = await house.store.queries.migrations(unfinished=True)
                try:
                    await house.abort(running.uuid)
                except Conflict as conflict:
                    too_late.append(conflict.reason.code)

            wire_of(house, where).then = abort
            ended = await house.migrate()
            wire_of(house, where).then = None
            if ended.status is S.CANCELLED:
                assert ended.reason is not None
                assert ended.reason.code is Code.CANCELLED_BY_REQUEST
                assert house.fleet.running_at(GUEST) == (A,)
            else:
                assert ended.status is S.COMPLETED
                # Between the end of the transfer and the new host's record it changes nothing.
                assert too_late or call in {*BEFORE_THE_NEW_HOST, "record"}
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("after_s", [0.1, 1.0, 5.0, 19.0])
def test_an_abort_during_the_transfer_ends_it_soon_and_the_guest_runs_on(after_s: float) -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=20) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            await asyncio.sleep(after_s)
            await house.abort(uuid)
            cancelled = await house.end_of(uuid, within_s=10)
            assert cancelled.status is S.CANCELLED
            assert cancelled.reason is not None
            assert cancelled.reason.words == "cancelled by tester"
            await house.assert_sound()

    run(story())


def test_a_source_that_is_cut_off_after_the_switch_owes_its_clean_up_and_pays_it_later() -> None:
    async def story() -> None:
        async with a_house() as house:

            async def cut(_where: str, _name: str) -> None:
                server = await house.store.queries.instance(GUEST)
                if server is not None and server.host == B:
                    house.shelf.then = None
                    house.fleet.disconnect(A)

            house.shelf.then = cut
            moved = await house.migrate()
            assert moved.status is S.COMPLETED
            [debt] = await house.store.queries.debts()
            assert (debt.where, debt.step) == (A, "post_live_migration_at_source")
            assert await house.store.queries.owing(GUEST) == (A,)
            refused = await house.migrate(host=A)
            assert refused.status is S.FAILED
            house.fleet.reconnect(A)
            await house.assert_sound()

    run(story())


def test_a_destination_that_is_cut_off_during_the_copy_owes_its_rollback() -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=20) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            await asyncio.sleep(1)
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            house.fleet.disconnect(B)
            await house.abort(uuid)
            cancelled = await house.end_of(uuid)
            assert cancelled.status is S.CANCELLED
            [debt] = await house.store.queries.debts()
            assert (debt.where, debt.step, debt.undo) == (B, "pre_live_migration", True)
            house.fleet.reconnect(B)
            await house.assert_sound()

    run(story())
