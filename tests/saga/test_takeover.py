"""Two conductors side by side: one dies or is stopped, and the other goes on with its stories."""

import asyncio

import pytest
from tests.saga.house import A, B, House, a_house, host_settings

from godwit.conductor.sweeper import Conductor
from godwit.model.ids import MigrationUuid
from godwit.model.migration import MigrationStatus
from godwit.runtime.settings import MigrationSettings
from godwit.saga.log import What
from godwit.sim.loop import run

TAKEOVER_S = 10.0
SECONDS = (0.3, 2.0, 5.5, 11.0)


async def begin_beside_another(house: House) -> tuple[MigrationUuid, asyncio.Task[None]]:
    """A move that this house's conductor tells, while another one is there, too."""
    other = Conductor(house.world, owner="other", alone=False)
    uuid = (await house.ask()).uuid
    return uuid, house.tasks.create_task(other.run(), name="other conductor")


async def taken_over_after_s(house: House, uuid: MigrationUuid) -> float:
    """How long it takes from now."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(2_000):
        if ("live_migration", What.TAKEN_OVER.value) in await house.steps(uuid):
            return loop.time() - began_s
        await asyncio.sleep(0.05)
    pytest.fail("nobody has taken it over")


@pytest.mark.parametrize("after_s", SECONDS)
def test_the_stories_of_a_dead_conductor_are_taken_over_within_ten_seconds(after_s: float) -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfer_s=40) for host in (A, B)}
        async with a_house(hosts=hosts) as house:
            uuid, other = await begin_beside_another(house)
            await asyncio.sleep(after_s)
            house.kill_conductor()
            assert await taken_over_after_s(house, uuid) <= TAKEOVER_S
            assert (await house.end_of(uuid)).status is MigrationStatus.COMPLETED
            other.cancel()
            await house.next_conductor()
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("after_s", SECONDS)
def test_a_conductor_that_is_stopped_leaves_no_lease_behind(after_s: float) -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfer_s=40) for host in (A, B)}
        patient = MigrationSettings(lease_s=120)
        async with a_house(hosts=hosts, migration=patient) as house:
            uuid, other = await begin_beside_another(house)
            await asyncio.sleep(after_s)
            house.conductor.stop()
            assert await taken_over_after_s(house, uuid) <= TAKEOVER_S
            assert (await house.end_of(uuid)).status is MigrationStatus.COMPLETED
            other.cancel()
            await house.next_conductor()
            await house.assert_sound()

    run(story())
