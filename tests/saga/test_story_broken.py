"""The story when the transfer itself goes wrong, or a host is cut off for long.

What else can go wrong at a step is in `test_every_fault`.
"""

import asyncio

import pytest
from tests.saga.house import GUEST, A, B, a_guest, a_house, host_settings

from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.sim.loop import run
from godwit.virt.simulated.faults import TransferFault
from godwit.virt.simulated.half import HalfState

S = MigrationStatus


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


def test_a_source_that_has_the_guest_again_by_another_way_owes_nothing_of_its_leaving() -> None:
    """Somebody lost the destination and started the guest where its disks still were: tidying up
    after the move would delete it as soon as it is shut down.
    """

    async def story() -> None:
        async with a_house() as house:
            house.wires[A].unheard["post_live_migration_at_source"] = 20
            assert (await house.migrate(host=B)).status is S.COMPLETED
            assert [debt.where for debt in await house.store.queries.debts()] == [A]
            house.fleet.destroy(B, GUEST)
            house.fleet.remove(A, GUEST)
            house.fleet.add_guest(A, a_guest())
            await asyncio.sleep(60)
            instance = await house.store.queries.instance(GUEST)
            assert instance is not None
            assert instance.host == A
            house.fleet.power_off_guest(A, GUEST)
            await house.all_paid()
            half = house.fleet.half(A, GUEST)
            assert half is not None
            assert half.state is HalfState.OFF

    run(story())
