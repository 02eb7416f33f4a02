"""The story of a guest whose memory follows it: no way back, and no half is ever given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.saga.house import GUEST, A, B, C, House, a_house, host_settings
from tests.saga.test_pivot_looks import person_is_needed, shows, shows_the_truth

from godwit.model.errors import Conflict
from godwit.model.ids import MigrationUuid
from godwit.model.migration import Migration, MigrationStatus, is_in_post_copy
from godwit.model.reasons import Code
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import SteeringWish
from godwit.rpc.compute import TransferNews
from godwit.runtime.settings import MigrationSettings
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind

S = MigrationStatus
PROCESS_GIVES_UP_S = 150.0
"""By then the transfer process has tried for long enough, and the story goes on without it."""


@asynccontextmanager
async def a_house_with_post_copy() -> AsyncIterator[House]:
    hosts = {name: host_settings(transfer_s=20.0) for name in (A, B, C)}
    permitting = MigrationSettings(permit_post_copy=True)
    async with a_house(hosts=hosts, migration=permitting) as house:
        yield house


async def in_post_copy(house: House) -> MigrationUuid:
    """The guest runs at its destination, and its memory is on the way."""
    uuid = (await house.ask()).uuid
    await house.until(uuid, is_in_post_copy)
    assert house.fleet.running_at(GUEST) == (B,)
    return uuid


def test_a_post_copy_completes_and_leaves_nothing() -> None:
    async def story() -> None:
        async with a_house_with_post_copy() as house:
            uuid = await in_post_copy(house)
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_a_switch_that_cannot_be_had_fails_with_the_guest_where_it_was() -> None:
    async def story() -> None:
        async with a_house_with_post_copy() as house:
            house.fleet.inject(Fault(A, "start_post_copy", FaultKind.FAILS, times=10_000))
            failed = await house.migrate()
            assert failed.status is S.FAILED
            assert failed.reason is not None
            assert failed.reason.code is Code.POST_COPY_NOT_STARTED
            assert house.fleet.running_at(GUEST) == (A,)
            await house.assert_sound()

    run(story())


def test_an_abort_is_refused_once_the_guest_runs_at_its_destination() -> None:
    async def story() -> None:
        async with a_house_with_post_copy() as house:
            uuid = await in_post_copy(house)
            with pytest.raises(Conflict) as refused:
                await house.abort(uuid)
            assert refused.value.reason.code is Code.MIGRATION_NOT_ABORTABLE
            assert "in post-copy" in refused.value.reason.words
            assert (await house.end_of(uuid)).status is S.COMPLETED
            assert house.fleet.calls(A, "abort") == 0
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("cut_s", [10.0, PROCESS_GIVES_UP_S])
def test_a_broken_post_copy_goes_on_when_the_network_is_back(cut_s: float) -> None:
    """First its process resumes it, then the story."""

    async def story() -> None:
        async with a_house_with_post_copy() as house:
            uuid = await in_post_copy(house)
            house.fleet.migration_network_is_cut = True
            await asyncio.sleep(cut_s)
            assert not (await house.see(uuid)).person_needed
            house.fleet.migration_network_is_cut = False
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_a_person_is_told_which_half_holds_what_and_the_network_alone_heals_it() -> None:
    async def story() -> None:
        async with a_house_with_post_copy() as house:
            uuid = await in_post_copy(house)
            house.fleet.migration_network_is_cut = True
            asking = await house.until(uuid, person_is_needed)
            assert asking.reason is not None
            assert asking.reason.code is Code.POST_COPY_BROKEN
            assert "host-b runs it with the memory that has arrived" in asking.reason.words
            assert "host-a holds the rest" in asking.reason.words
            before = house.fleet.snapshot()
            await house.resolve(uuid, at=B)
            await asyncio.sleep(120)
            assert house.fleet.snapshot() == before, "half a guest is not taken for one"
            house.fleet.migration_network_is_cut = False
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_a_post_copy_whose_source_lost_its_power_is_lost_and_left_to_a_person() -> None:
    async def story() -> None:
        async with a_house_with_post_copy() as house:
            uuid = await in_post_copy(house)
            house.fleet.power_off(A)
            asking = await house.until(uuid, person_is_needed)
            assert asking.reason is not None
            assert asking.reason.code is Code.POST_COPY_BROKEN
            house.fleet.power_on(A)
            asking = await house.until(uuid, is_lost)
            before = house.fleet.snapshot()
            await house.resolve(uuid, at=None)
            assert (await house.end_of(uuid)).status is S.ERROR
            assert house.fleet.snapshot() == before, "nothing is touched at either end"

    run(story())


def is_lost(migration: Migration) -> bool:
    return migration.reason is not None and migration.reason.code is Code.GUEST_LOST


@pytest.mark.parametrize("broken", [False, True])
def test_the_next_conductor_finishes_what_was_in_post_copy(broken: bool) -> None:
    async def story() -> None:
        async with a_house_with_post_copy() as house:
            uuid = await in_post_copy(house)
            house.fleet.migration_network_is_cut = broken
            house.kill_conductor()
            await asyncio.sleep(PROCESS_GIVES_UP_S if broken else 60)
            house.fleet.migration_network_is_cut = False
            await house.next_conductor()
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_a_copy_that_lost_its_process_is_looked_after_before_anybody_is_sighted() -> None:
    """So that one that is held back is stopped in time, also while its destination is silent."""

    async def story() -> None:
        async with a_house_with_post_copy() as house:
            shows(house, SourceWord.COPYING, DestinationWord.UNREACHABLE)
            orphaned = TransferNews(ended=True, orphaned=True, started=True)
            house.wires[A].says["close_transfer"] = orphaned
            house.wires[A].says["watch_transfer"] = orphaned
            uuid = (await house.ask()).uuid
            await asyncio.sleep(60)
            heard = house.wires[A].heard
            assert heard.count("watch_transfer") > 1
            assert heard.index("watch_transfer") < heard.index("sight_source")
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("wish", [True, False, None])
@pytest.mark.parametrize("setting", [True, False])
def test_a_request_may_differ_from_the_settings(wish: bool | None, setting: bool) -> None:
    async def story() -> None:
        async with a_house(migration=MigrationSettings(permit_post_copy=setting)) as house:
            await house.migrate(steering=SteeringWish(permit_post_copy=wish))
            in_post_copy = house.fleet.calls(A, "start_post_copy") > 0
            assert in_post_copy is (setting if wish is None else wish)

    run(story())
