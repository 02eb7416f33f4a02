"""The story when the control plane dies while the transfer goes on. Its death at every record is in
`test_every_fault`.
"""

import asyncio

import pytest
from tests.saga.house import GUEST, A, B, a_house, host_settings

from godwit.model.migration import MigrationStatus
from godwit.sim.loop import run
from godwit.virt.simulated.faults import TransferFault

S = MigrationStatus


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
