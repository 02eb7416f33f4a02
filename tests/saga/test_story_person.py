"""The story when nobody can know where the guest is: a person is asked and obeyed."""

import asyncio
from dataclasses import replace

import pytest
from tests.saga.house import ASKED, GUEST, A, B, House, a_house, host_settings

from godwit.model.errors import BadRequest, Conflict
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.instance import VmState
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.reasons import Code
from godwit.model.sighting import SourceSighting, SourceWord
from godwit.model.steering import SteeringWish
from godwit.rpc.compute import TransferNews
from godwit.rpc.conductor import ForceComplete, SteerMigration
from godwit.sim.loop import run
from godwit.virt.simulated.faults import TransferFault
from godwit.virt.simulated.half import HalfState

S = MigrationStatus


async def a_guest_nobody_can_place(house: House) -> MigrationUuid:
    """The source is cut off during the copy, which then fails; the destination has nothing."""
    uuid = (await house.ask()).uuid
    house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
    await asyncio.sleep(0.1)
    house.fleet.disconnect(A)
    house.wires[A].unheard = dict.fromkeys(
        ("follow_transfer", "close_transfer", "sight_source", "abort_live_migration"), 10_000
    )
    return uuid


def person_is_needed(migration: Migration) -> bool:
    return migration.person_needed


def test_a_person_is_asked_only_after_the_bound_and_is_told_what_was_seen() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_guest_nobody_can_place(house)
            await asyncio.sleep(house.settings.migration.ask_again_s - 5)
            assert not (await house.see(uuid)).person_needed
            asking = await house.until(uuid, person_is_needed, within_s=60)
            assert asking.status is S.RUNNING
            assert asking.reason is not None
            assert asking.reason.code is Code.WHEREABOUTS_UNKNOWN
            assert "host-a shows the guest as unreachable" in asking.reason.words
            assert "host-b as gone" in asking.reason.words
            usage = await house.store.queries.usage()
            assert {each.transfers for each in usage.values()} == {0}, "a person needs no slot"
            instance = await house.store.queries.instance(GUEST)
            assert instance is not None
            assert instance.task_state == "migrating", "the guest stays locked"

    run(story())


def test_what_waits_for_a_person_is_neither_stopped_nor_steered_and_says_what_helps() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_guest_nobody_can_place(house)
            await house.until(uuid, person_is_needed)
            manager = house.conductor.manager
            wish = SteeringWish(max_downtime_ms=900)
            for asked in (
                house.abort(uuid),
                manager.steer_live_migration(
                    SteerMigration(asked=ASKED, migration_uuid=uuid, wish=wish)
                ),
                manager.force_complete_live_migration(
                    ForceComplete(asked=ASKED, migration_uuid=uuid)
                ),
            ):
                with pytest.raises(Conflict) as refused:
                    await asked
                assert refused.value.reason.code is Code.MIGRATION_NEEDS_A_PERSON
                assert f"godwit migration resolve {uuid}" in refused.value.reason.remedy
            untouched = await house.see(uuid)
            assert not untouched.abort_requested
            assert untouched.steering.revision == 0

    run(story())


def test_the_look_goes_on_while_a_person_is_asked() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_guest_nobody_can_place(house)
            await house.until(uuid, person_is_needed)
            house.fleet.reconnect(A)
            house.wires[A].unheard.clear()
            ended = await house.end_of(uuid)
            assert ended.status is S.FAILED
            assert not ended.person_needed
            assert ended.reason is not None
            assert ended.reason.code is Code.TRANSFER_FAILED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("gave_up", [True, False])
def test_a_person_may_say_that_the_guest_is_at_the_source(*, gave_up: bool) -> None:
    """What was made at the destination goes by itself once the source is heard to have given up."""

    async def story() -> None:
        async with a_house() as house:
            uuid = await a_guest_nobody_can_place(house)
            await house.until(uuid, person_is_needed)
            await house.resolve(uuid, at=A)
            ended = await house.end_of(uuid)
            assert ended.status is S.FAILED
            assert ended.reason is not None
            assert ended.reason.code is Code.RESOLVED_BY_A_PERSON
            if not gave_up:
                half = house.fleet.half(A, GUEST)
                assert half is not None
                house.fleet.put(A, replace(half, outcome=None))
            house.fleet.reconnect(A)
            house.wires[A].unheard.clear()
            house.wires[A].unheard["rollback_live_migration_at_source"] = 10_000
            await asyncio.sleep(200)
            assert house.fleet.is_prepared(B, GUEST) is not gave_up
            house.wires[A].unheard.clear()
            house.fleet.give_room_back(B, GUEST)
            await house.assert_sound()

    run(story())


def test_a_source_that_has_lost_its_evidence_is_not_taken_for_one_whose_guest_never_left() -> None:
    """A guest that is at neither end, once its transfer's folder is gone: still a person's."""

    async def story() -> None:
        async with a_house() as house:

            async def lose(_where: str, name: str) -> None:
                if name == "follow_transfer" and house.fleet.running_at(GUEST) == (B,):
                    house.fleet.destroy(A, GUEST)
                    house.fleet.destroy(B, GUEST)

            house.wires[A].then = lose
            uuid = (await house.ask()).uuid
            asking = await house.until(uuid, person_is_needed)
            assert asking.reason is not None
            assert asking.reason.code is Code.GUEST_LOST
            lost_folder = {
                "follow_transfer": TransferNews(ended=True),
                "close_transfer": TransferNews(ended=True),
                "sight_source": SourceSighting(word=SourceWord.ENDED, seen="absent"),
            }
            house.wires[A].says |= lost_folder
            await asyncio.sleep(400)
            asking = await house.see(uuid)
            assert asking.person_needed
            assert asking.reason is not None
            assert "its folder there is gone" in asking.reason.words
            assert house.fleet.calls(B, "rollback_live_migration_at_destination") == 0

    run(story())


def test_a_word_for_the_source_leaves_what_has_run_at_the_destination_to_a_person() -> None:
    async def story() -> None:
        async with a_house() as house:

            async def die(_where: str, name: str) -> None:
                if name == "follow_transfer" and house.fleet.running_at(GUEST) == (B,):
                    house.fleet.power_off(B)

            house.wires[A].then = die
            uuid = (await house.ask()).uuid
            await house.until(uuid, person_is_needed)
            await house.resolve(uuid, at=A)
            assert (await house.end_of(uuid)).status is S.FAILED
            house.fleet.power_on(B)
            await asyncio.sleep(300)
            half = house.fleet.half(B, GUEST)
            assert half is not None
            assert half.state is HalfState.OFF
            assert house.fleet.is_prepared(B, GUEST)
            (debt,) = await house.store.queries.debts()
            assert (debt.where, debt.step) == (B, "pre_live_migration")
            assert "shut off" in debt.words
            house.fleet.destroy(B, GUEST)
            await asyncio.sleep(120)
            (debt,) = await house.store.queries.debts()
            assert "may hold the newest" in debt.words
            house.fleet.give_room_back(B, GUEST)
            await house.all_paid()

    run(story())


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_late_debt_removes_nothing_unless_the_guest_is_shown_elsewhere(
    *, comes_back: bool
) -> None:
    """While B was down, somebody took the guest off A, perhaps to start it at B."""

    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            uuid = (await house.ask()).uuid
            house.wires[B].unheard = {"rollback_live_migration_at_destination": 10_000}
            assert (await house.end_of(uuid)).status is S.FAILED
            half = house.fleet.half(A, GUEST)
            assert half is not None
            house.fleet.destroy(A, GUEST)
            house.wires[B].unheard.clear()
            await asyncio.sleep(300)
            assert house.fleet.is_prepared(B, GUEST)
            (debt,) = await house.store.queries.debts()
            assert "may hold the newest" in debt.words
            house.fleet.put(A if comes_back else B, half)
            await house.all_paid()
            assert house.fleet.is_prepared(B, GUEST) is not comes_back

    run(story())


def test_a_person_may_give_the_guest_up_and_only_then_a_move_ends_in_error() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_guest_nobody_can_place(house)
            await house.until(uuid, person_is_needed)
            before = house.fleet.snapshot()
            await house.resolve(uuid, at=None)
            ended = await house.end_of(uuid)
            assert ended.status is S.ERROR
            assert ended.reason is not None
            assert "the guest is lost" in ended.reason.words
            assert house.fleet.snapshot() == before, "nothing is touched at either end"
            assert await house.store.queries.debts() == ()

    run(story())


def test_a_person_cannot_have_a_guest_recorded_where_it_is_seen_not_to_be() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_guest_nobody_can_place(house)
            await house.until(uuid, person_is_needed)
            await house.resolve(uuid, at=B)
            await asyncio.sleep(120)
            waiting = await house.see(uuid)
            assert waiting.person_needed
            assert waiting.status is S.RUNNING
            await house.resolve(uuid, at=A)
            assert (await house.end_of(uuid)).status is S.FAILED

    run(story())


def test_nobody_is_asked_about_a_move_that_needs_nobody() -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=20) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            await asyncio.sleep(1)
            with pytest.raises(Conflict):
                await house.resolve(uuid, at=A)
            with pytest.raises(BadRequest):
                await house.resolve(uuid, at=HostName("host-z"))

    run(story())


def test_a_source_that_loses_its_power_before_the_switch_leaves_the_move_to_a_person() -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=20) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            await asyncio.sleep(1)
            house.fleet.power_off(A)
            await house.until(uuid, person_is_needed)
            house.fleet.power_on(A)
            ended = await house.end_of(uuid)
            assert ended.status is S.FAILED
            assert ended.reason is not None
            assert ended.reason.code is Code.GUEST_ENDED
            await asyncio.sleep(30)
            instance = await house.store.queries.instance(GUEST)
            assert instance is not None
            assert (instance.host, instance.vm_state) == (A, VmState.STOPPED)

    run(story())


def test_a_source_that_loses_its_power_after_the_switch_does_not_hold_up_the_move() -> None:
    async def story() -> None:
        async with a_house() as house:

            async def cut(_where: str, name: str) -> None:
                if name == "follow_transfer" and house.fleet.running_at(GUEST) == (B,):
                    house.fleet.power_off(A)
                    house.wires[A].unheard = dict.fromkeys(
                        ("follow_transfer", "close_transfer", "sight_source"), 10_000
                    )

            house.wires[A].then = cut
            moved = await house.migrate()
            assert moved.status is S.COMPLETED
            house.wires[A].then = None
            house.wires[A].unheard.clear()
            house.fleet.power_on(A)
            await house.assert_sound()

    run(story())
