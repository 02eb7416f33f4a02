"""The story when the control plane dies: at every record, and while the transfer goes on."""

import asyncio

import pytest
from tests.saga.house import GUEST, A, B, House, a_house, host_settings

from godwit.model.ids import MigrationUuid
from godwit.model.migration import FINAL, MigrationStatus
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind, TransferFault

S = MigrationStatus
RECORDS_OF_A_MOVE = 10
"""Written by a move without trouble: one for each step that does not only read, and one more at the
pivot."""
RECORDS_OF_AN_UNDO = 9
"""Written by a move that fails in `pre_live_migration`: three steps, the failure, the undoing."""


async def ask_and_die(house: House, *, down_s: float) -> MigrationUuid:
    """Ask for a move under a conductor that dies on the way; another one takes its place."""
    uuid = (await house.ask()).uuid
    async with asyncio.timeout(600):
        while not house.running.done():
            await asyncio.sleep(0.05)
            if (await house.see(uuid)).status in FINAL and not house.running.cancelling():
                return uuid
    await asyncio.sleep(down_s)
    await house.next_conductor()
    return uuid


@pytest.mark.parametrize("side", ["die_before", "die_after"])
@pytest.mark.parametrize("record", range(1, RECORDS_OF_A_MOVE + 1))
def test_a_conductor_that_dies_at_any_record_is_followed_by_one_that_completes_the_move(
    record: int, side: str
) -> None:
    async def story() -> None:
        async with a_house() as house:
            setattr(house.store, side, record)
            uuid = await ask_and_die(house, down_s=3)
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_a_move_without_trouble_writes_as_many_records_as_are_cut_above() -> None:
    async def story() -> None:
        async with a_house() as house:
            await house.migrate()
            assert house.store.records == RECORDS_OF_A_MOVE
            house.store.records = 0
            house.fleet.inject(Fault(A, "pre_live_migration", FaultKind.FAILS, 9))
            assert (await house.migrate(host=A)).status is S.FAILED
            assert house.store.records == RECORDS_OF_AN_UNDO

    run(story())


@pytest.mark.parametrize("side", ["die_before", "die_after"])
@pytest.mark.parametrize("record", range(4, RECORDS_OF_AN_UNDO + 1))
def test_a_conductor_that_dies_while_it_undoes_is_followed_by_one_that_undoes_the_rest(
    record: int, side: str
) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.inject(Fault(B, "pre_live_migration", FaultKind.FAILS_AFTER_ACTING, 9))
            setattr(house.store, side, record)
            uuid = await ask_and_die(house, down_s=3)
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("down_s", [0.5, 30.0])
@pytest.mark.parametrize("after_s", [0.0, 0.5, 5.0, 9.9])
def test_a_transfer_goes_on_without_a_conductor_and_is_found_again(
    after_s: float, down_s: float
) -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=10) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            await asyncio.sleep(after_s)
            house.kill_conductor()
            await asyncio.sleep(down_s)
            if after_s + down_s > 12:
                assert house.fleet.running_at(GUEST) in {(A,), (B,)}
            if after_s > 0 and down_s > 12:
                assert house.fleet.running_at(GUEST) == (B,), "nobody may wait for a conductor"
            await house.next_conductor()
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()
            assert house.wires[A].heard.count("live_migration") <= 4

    run(story())


@pytest.mark.parametrize("fault", [f for f in TransferFault if f is not TransferFault.GUEST_ENDS])
def test_a_transfer_that_goes_wrong_without_a_conductor_is_resolved_by_the_next(
    fault: TransferFault,
) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, fault)
            uuid = (await house.ask()).uuid
            await asyncio.sleep(0.5)
            house.kill_conductor()
            await asyncio.sleep(60)
            await house.next_conductor()
            assert (await house.end_of(uuid)).status in {S.COMPLETED, S.FAILED}
            await house.assert_sound()

    run(story())


def test_a_move_survives_ten_deaths_in_a_row() -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=10) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            for _ in range(10):
                await asyncio.sleep(1)
                house.kill_conductor()
                await house.next_conductor()
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())
