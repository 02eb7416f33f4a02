"""The story when nothing goes wrong, and when somebody says no."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.saga.house import ASKED, GUEST, A, B, C, House, a_guest, a_house, host_settings, said_by

from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.model.errors import BadRequest, Conflict, NotFound
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Platform, PowerState
from godwit.model.migration import MigrationStatus
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import CheckAnswer
from godwit.rpc.conductor import CheckLiveMigration, SetHostEnabled
from godwit.runtime.settings import GroupSettings, MigrationSettings
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind
from godwit.virt.simulated.half import HalfState

S = MigrationStatus
STEPS = [
    *(step.name for step in LIVE_MIGRATION.before),
    LIVE_MIGRATION.pivot.name,
    *(step.name for step in LIVE_MIGRATION.after),
]


def test_a_guest_moves_in_ten_steps_and_nothing_is_left_behind() -> None:
    async def story() -> None:
        async with a_house() as house:
            moved = await house.migrate()
            assert moved.status is S.COMPLETED
            assert (moved.source_compute, moved.dest_compute, moved.dest_node) == (A, B, B)
            assert moved.statistics is not None
            assert moved.progress is not None
            done = [step for step, what in await house.steps(moved.uuid) if what == "done"]
            assert done == STEPS
            assert len(STEPS) == 10
            await house.assert_sound()

    run(story())


def test_progress_is_kept_at_least_once_a_second() -> None:
    async def story() -> None:
        async with a_house(hosts={h: host_settings(transfer_s=20) for h in (A, B)}) as house:
            uuid = (await house.ask()).uuid
            seen = []
            for _ in range(18):
                await asyncio.sleep(1)
                progress = (await house.see(uuid)).progress
                seen.append(progress.moved_bytes if progress else 0)
            assert seen == sorted(set(seen))
            assert (await house.end_of(uuid)).status is S.COMPLETED

    run(story())


def test_a_paused_guest_moves_and_stays_paused() -> None:
    async def story() -> None:
        async with a_house(guests={A: (a_guest(power_state=PowerState.PAUSED),)}) as house:
            assert (await house.migrate()).status is S.COMPLETED
            half = house.fleet.half(B, GUEST)
            assert half is not None
            assert half.state is HalfState.PAUSED
            assert house.fleet.half(A, GUEST) is None
            assert house.fleet.violations() == ()

    run(story())


def test_a_destination_that_refuses_is_remembered_and_the_next_one_is_taken() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.refuse(B, reason(Code.BRIDGE_MISSING, host=B, bridge="br9"))
            moved = await house.migrate()
            assert moved.status is S.COMPLETED
            assert moved.dest_compute == C
            assert said_by(moved.refusals) == {B: Code.BRIDGE_MISSING}
            await house.assert_sound()

    run(story())


def test_no_valid_host_names_a_reason_for_every_host_it_asked_and_leaves_no_trace() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.refuse(B, reason(Code.BRIDGE_MISSING, host=B, bridge="br9"))
            house.fleet.refuse(C, reason(Code.NAME_TAKEN, host=C, name="guest-1"))
            before = house.fleet.snapshot()
            failed = await house.migrate()
            assert failed.status is S.FAILED
            assert failed.reason is not None
            assert failed.reason.code is Code.NO_VALID_HOST
            assert failed.dest_compute is None
            assert said_by(failed.refusals) == {
                B: Code.BRIDGE_MISSING,
                C: Code.NAME_TAKEN,
            }
            assert "refused by 2 of the 2 that" in failed.reason.words
            assert house.fleet.snapshot() == before
            await house.assert_sound()

    run(story())


def test_what_the_source_says_against_a_move_is_told_of_every_host_it_was_said_of() -> None:
    async def story() -> None:
        async with a_house() as house:
            why = reason(Code.HAS_SNAPSHOTS, host=A, count=1)
            house.wires[A].says["check_can_live_migrate_source"] = CheckAnswer(refusals=(why,))
            failed = await house.migrate()
            said = {B: Code.HAS_SNAPSHOTS, C: Code.HAS_SNAPSHOTS}
            assert said_by(failed.refusals) == said
            assert failed.reason is not None
            assert "refused by 2 of the 2 that" in failed.reason.words
            checked = await house.check()
            assert said_by(checked.refusals) == said | {A: Code.UNABLE_TO_MIGRATE_TO_SELF}

    run(story())


def test_the_search_for_a_destination_is_bounded() -> None:
    async def story() -> None:
        async with a_house(migration=MigrationSettings(attempts_max=1)) as house:
            house.fleet.refuse(B, reason(Code.BRIDGE_MISSING, host=B, bridge="br9"))
            failed = await house.migrate()
            assert failed.status is S.FAILED
            assert failed.reason is not None
            assert "refused by 1 of the 2 that" in failed.reason.words
            assert "check_can_live_migrate_destination" not in house.wires[C].heard

    run(story())


def test_a_host_asked_for_by_name_is_checked_like_any_other() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.refuse(C, reason(Code.BRIDGE_MISSING, host=C, bridge="br9"))
            failed = await house.migrate(host=C)
            assert failed.status is S.FAILED
            assert said_by(failed.refusals) == {C: Code.BRIDGE_MISSING}
            assert failed.reason is not None
            assert "refused by 1 of the 1 that" in failed.reason.words
            house.fleet.refuse(C)
            assert (await house.migrate(host=C)).dest_compute == C

    run(story())


def test_a_destination_without_room_is_refused_where_it_is_claimed() -> None:
    async def story() -> None:
        hosts = {A: host_settings(), B: host_settings(memory_mib=1536)}
        guests = (a_guest(1, memory_mib=768), a_guest(2, memory_mib=768))
        async with a_house(hosts=hosts, guests={A: guests}) as house:
            asked = [await house.ask(guest.uuid) for guest in guests]
            ends = [await house.end_of(each.uuid) for each in asked]
            assert sorted(end.status for end in ends) == [S.COMPLETED, S.FAILED]
            [failed] = [end for end in ends if end.status is S.FAILED]
            assert Code.NOT_ENOUGH_MEMORY in {why.code for why in failed.refusals}
            assert house.fleet.violations() == ()

    run(story())


def test_of_two_requests_at_once_one_is_a_conflict() -> None:
    async def story() -> None:
        async with a_house() as house:
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(_ask_or_conflict(house)) for _ in range(2)]
            outcomes = [task.result() for task in asking]
            assert sorted(outcomes) == ["accepted", Code.INSTANCE_BUSY]
            await house.assert_sound()

    async def _ask_or_conflict(house: House) -> str:
        try:
            return (await house.ask()).status
        except Conflict as conflict:
            return conflict.reason.code

    run(story())


@pytest.mark.parametrize(
    ("wish", "error", "code"),
    [
        ({"guest": InstanceUuid("nobody")}, NotFound, Code.SERVER_UNKNOWN),
        ({"host": HostName("host-z")}, BadRequest, Code.HOST_UNKNOWN),
        ({"host": A}, BadRequest, Code.UNABLE_TO_MIGRATE_TO_SELF),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    wish: dict[str, Any], error: type[Exception], code: Code
) -> None:
    async def story() -> None:
        async with a_house() as house:
            with pytest.raises(error) as refusal:
                await house.ask(**wish)
            assert refusal.value.reason.code is code  # type: ignore[attr-defined]
            assert await house.store.queries.migrations() == ()
            await house.assert_sound()

    run(story())


def test_a_guest_that_is_shut_off_is_a_conflict() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.power_off_guest(A, GUEST)
            await asyncio.sleep(6)
            with pytest.raises(Conflict) as refusal:
                await house.ask()
            assert refusal.value.reason.code is Code.INSTANCE_INVALID_STATE

    run(story())


def test_another_managers_guest_is_refused_by_request_and_dry_run_alike() -> None:
    novas = a_guest(platform=Platform(managers=("nova",)))

    async def story() -> None:
        async with a_house(guests={A: (novas,)}) as house:
            with pytest.raises(Conflict) as refusal:
                await house.ask()
            assert refusal.value.reason.code is Code.OTHER_MANAGER
            verdicts = await house.check()
            assert [why.code for why in verdicts.reasons] == [Code.OTHER_MANAGER]
            assert (verdicts.willing, verdicts.refusals) == ((), ())
            assert await house.store.queries.migrations() == ()
            await house.assert_sound(again=False)

    run(story())


def test_a_source_that_is_down_fails_the_move_and_touches_nothing() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.disconnect(A)
            await asyncio.sleep(60)
            failed = await house.migrate()
            assert failed.status is S.FAILED
            assert failed.reason is not None
            assert failed.reason.code is Code.COMPUTE_SERVICE_UNAVAILABLE
            house.fleet.reconnect(A)
            await house.assert_sound()

    run(story())


def test_five_moves_with_one_slot_run_one_after_another_in_the_order_they_were_asked_for() -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfers_max=1) for host in (A, B)}
        guests = tuple(a_guest(number) for number in range(1, 6))
        async with a_house(hosts=hosts, guests={A: guests}) as house:
            asked = [(await house.ask(guest.uuid)).uuid for guest in guests]
            await asyncio.sleep(1)
            statuses = [(await house.see(uuid)).status for uuid in asked]
            assert statuses == [S.RUNNING, *[S.QUEUED] * 4]
            finished: list[str] = []
            for _ in range(60):
                await asyncio.sleep(0.5)
                running = [u for u in asked if (await house.see(u)).status is S.RUNNING]
                assert len(running) <= 1
                ended = [u for u in asked if (await house.see(u)).status is S.COMPLETED]
                finished += [uuid for uuid in ended if uuid not in finished]
            assert finished == asked
            for guest in guests:
                await house.assert_sound(guest.uuid, again=False)

    run(story())


def test_who_waits_begins_once_the_guest_before_has_arrived_however_long_its_call_takes() -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfers_max=1) for host in (A, B)}
        guests = (a_guest(1), a_guest(2))
        async with a_house(hosts=hosts, guests={A: guests}) as house:
            late = Fault(A, "transfer", FaultKind.HANGS_AFTER_ACTING, hang_s=60.0)
            house.fleet.inject(late)
            first, second = [(await house.ask(guest.uuid)).uuid for guest in guests]
            await house.until(second, lambda each: each.status is S.QUEUED, within_s=2)
            assert (await house.end_of(second, within_s=30)).status is S.COMPLETED
            going_on = await house.see(first)
            assert going_on.status is S.RUNNING
            assert going_on.progress is not None
            assert going_on.progress.phase is TransferPhase.ARRIVED
            assert (await house.end_of(first)).status is S.COMPLETED
            for guest in guests:
                await house.assert_sound(guest.uuid, again=False)

    run(story())


def test_a_queued_move_is_cancelled_at_once() -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfers_max=1, transfer_s=60) for host in (A, B)}
        guests = (a_guest(1), a_guest(2))
        async with a_house(hosts=hosts, guests={A: guests}) as house:
            first, second = [(await house.ask(guest.uuid)).uuid for guest in guests]
            await house.until(second, lambda each: each.status is S.QUEUED, within_s=2)
            await house.abort(second)
            cancelled = await house.end_of(second, within_s=2)
            assert cancelled.status is S.CANCELLED
            assert (await house.see(first)).status is S.RUNNING
            await house.end_of(first)
            await house.assert_sound(guests[1].uuid)

    run(story())


def test_after_a_wait_the_destination_is_looked_at_again() -> None:
    async def story() -> None:
        hosts = {host: host_settings(transfers_max=1, transfer_s=20) for host in (A, B)}
        guests = (a_guest(1), a_guest(2))
        async with a_house(hosts=hosts, guests={A: guests}) as house:
            first, second = [(await house.ask(guest.uuid)).uuid for guest in guests]
            await house.until(second, lambda each: each.status is S.QUEUED, within_s=2)
            disabling = SetHostEnabled(asked=replace(ASKED, reason="repair"), host=B, enabled=False)
            await house.conductor.manager.set_host_enabled(disabling)
            failed = await house.end_of(second)
            assert failed.status is S.FAILED
            assert failed.reason is not None
            assert failed.reason.code is Code.COMPUTE_SERVICE_DISABLED
            assert (await house.end_of(first)).status is S.COMPLETED
            assert house.fleet.violations() == ()

    run(story())


def test_anti_affinity_keeps_members_apart_also_while_they_travel() -> None:
    async def story() -> None:
        apart = GroupSettings(policy="anti-affinity", members=("guest-1", "guest-2"))
        guests = {A: (a_guest(1),), B: (a_guest(2),)}
        async with a_house(guests=guests, groups={"web": apart}) as house:
            moved = await house.migrate()
            assert moved.dest_compute == C
            assert said_by(moved.refusals)[B] is Code.ANTI_AFFINITY_VIOLATED

    run(story())


def test_a_dry_run_answers_for_every_host_and_changes_nothing() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.refuse(C, reason(Code.BRIDGE_MISSING, host=C, bridge="br9"))
            before = house.fleet.snapshot()
            ask = CheckLiveMigration(instance_uuid=GUEST)
            verdicts = await house.conductor.manager.check_live_migration(ask)
            assert verdicts.reasons == ()
            assert [each.host for each in verdicts.willing] == [B]
            assert said_by(verdicts.refusals) == {
                A: Code.UNABLE_TO_MIGRATE_TO_SELF,
                C: Code.BRIDGE_MISSING,
            }
            assert house.fleet.snapshot() == before
            assert await house.store.queries.migrations() == ()

    run(story())


def test_a_dry_run_of_a_guest_that_cannot_move_says_so_and_asks_no_host() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.power_off_guest(A, GUEST)
            await asyncio.sleep(6)
            ask = CheckLiveMigration(instance_uuid=GUEST)
            verdicts = await house.conductor.manager.check_live_migration(ask)
            assert [why.code for why in verdicts.reasons] == [Code.INSTANCE_INVALID_STATE]
            assert (verdicts.willing, verdicts.refusals) == ((), ())

    run(story())


@pytest.mark.parametrize("host", [A, B])
def test_a_host_that_has_just_come_back_is_not_refused_for_its_last_report(host: HostName) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.disconnect(host)
            while not (await trouble_of(house, host)):  # noqa: ASYNC110 - in virtual time
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)
            house.fleet.reconnect(host)
            assert await trouble_of(house, host), "it has not reported since"
            assert (await house.migrate(host=B)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("host", [A, B])
def test_a_host_that_stays_away_is_refused_a_moment_later(host: HostName) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.disconnect(host)
            while not (await trouble_of(house, host)):  # noqa: ASYNC110 - in virtual time
                await asyncio.sleep(0.1)
            asked_s = asyncio.get_running_loop().time()
            assert (await house.migrate(host=B)).status is S.FAILED
            assert asyncio.get_running_loop().time() - asked_s < 5

    run(story())


async def trouble_of(house: House, host: HostName) -> str:
    known = await house.store.queries.host(host)
    return known.trouble if known is not None else ""
