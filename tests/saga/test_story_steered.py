"""The story of a guest that writes while it is copied, and of people who steer, force and abort."""

import asyncio
from random import Random  # noqa: TID251 - its seed is the name of the test
from typing import Any

import msgspec
import pytest
from tests.saga.house import ASKED, GUEST, A, B, House, a_house, host_settings

from godwit.conductor.tasks.facts import LiveMigrationFacts
from godwit.model.errors import Conflict
from godwit.model.ids import MigrationUuid
from godwit.model.migrate_data import Guard
from godwit.model.migration import FINAL, Migration, MigrationStatus
from godwit.model.reasons import Code
from godwit.model.steering import ForceKind, SteeringWish
from godwit.rpc.conductor import CheckLiveMigration, ForceComplete, Forced, SteerMigration
from godwit.runtime.settings import MigrationSettings
from godwit.sim.loop import run
from godwit.virt.simulated.copying import Writes

S = MigrationStatus
MIB = 2**20

BUSY = Writes(bytes_per_s=1024 * MIB, working_set_bytes=200 * MIB)
"""The link takes 256 MiB/s: some 780 ms are needed at the switch, for ever."""


async def steer(house: House, uuid: MigrationUuid, **wish: Any) -> Migration:
    ask = SteerMigration(asked=ASKED, migration_uuid=uuid, wish=SteeringWish(**wish))
    return await house.conductor.manager.steer_live_migration(ask)


async def force(house: House, uuid: MigrationUuid) -> Forced:
    ask = ForceComplete(asked=ASKED, migration_uuid=uuid)
    return await house.conductor.manager.force_complete_live_migration(ask)


async def in_round(house: House, uuid: MigrationUuid, number: int) -> Migration:
    return await house.until(
        uuid, lambda each: each.progress is not None and each.progress.iteration >= number
    )


def test_a_guest_that_outruns_the_link_is_given_up_early_with_the_numbers() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.set_writes(GUEST, BUSY)
            accepted = await house.ask()
            stuck = await house.until(
                accepted.uuid, lambda each: bool(each.progress and not each.progress.converging)
            )
            assert stuck.progress is not None
            assert (stuck.progress.expected_downtime_ms, stuck.progress.eta_s) == (781, None)
            ended = await house.end_of(accepted.uuid, within_s=30.0)
            assert ended.status is S.FAILED
            assert ended.reason is not None
            assert ended.reason.code is Code.MEMORY_NOT_CONVERGING
            assert "781 ms, 500 ms are allowed" in ended.reason.words
            house.fleet.set_writes(GUEST, Writes())
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize(
    "wish",
    [SteeringWish(max_downtime_ms=1_000), SteeringWish(auto_converge=True)],
    ids=["a longer pause", "auto-converge"],
)
def test_what_a_request_wishes_brings_the_same_guest_there(wish: SteeringWish) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.set_writes(GUEST, BUSY)
            accepted = await house.ask(steering=wish)
            assert (await house.end_of(accepted.uuid)).status is S.COMPLETED
            house.fleet.set_writes(GUEST, Writes())
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("permitted", [False, True])
def test_a_check_judges_the_guard_that_the_move_would_have(*, permitted: bool) -> None:
    async def story() -> None:
        async with a_house() as house:
            wish = SteeringWish(permit_post_copy=permitted)
            ask = CheckLiveMigration(instance_uuid=GUEST, host=B, steering=wish)
            checked = await house.conductor.manager.check_live_migration(ask)
            accepted = await house.ask(host=B, steering=wish)
            await house.end_of(accepted.uuid)
            kept = await house.store.queries.story(accepted.uuid)
            assert kept is not None
            facts = msgspec.json.decode(kept.facts, type=LiveMigrationFacts)
            assert facts.migrate_data is not None
            guard = facts.migrate_data.guard
            assert (guard is Guard.POSTCOPY) is permitted
            assert [each.guard for each in checked.willing] == [guard]

    run(story())


def test_time_that_cannot_be_kept_ends_it_long_before() -> None:
    async def story() -> None:
        short = MigrationSettings(completion_timeout_s=60.0)
        hosts = {name: host_settings(transfer_s=600.0) for name in (A, B)}
        async with a_house(hosts=hosts, migration=short) as house:
            ended = await house.end_of((await house.ask()).uuid, within_s=20.0)
            assert ended.reason is not None
            assert ended.reason.code is Code.TRANSFER_TOO_SLOW

    run(story())


@pytest.mark.parametrize("dies", [False, True], ids=["and lives", "and dies"])
def test_a_limit_that_is_changed_while_it_runs_reaches_the_transfer(*, dies: bool) -> None:
    """Also when the conductor that wrote it down dies before it can pass it on."""

    async def story() -> None:
        async with a_house() as house:
            house.fleet.set_writes(GUEST, BUSY)
            accepted = await house.ask()
            await in_round(house, accepted.uuid, 2)
            changed = await steer(house, accepted.uuid, max_downtime_ms=900)
            assert (changed.steering.max_downtime_ms, changed.steering.revision) == (900, 1)
            if dies:
                house.kill_conductor()
                await house.next_conductor()
            assert (await house.end_of(accepted.uuid)).status is S.COMPLETED
            house.fleet.set_writes(GUEST, Writes())
            await house.assert_sound()

    run(story())


def test_a_limit_that_is_changed_before_the_transfer_holds_from_its_first_byte() -> None:
    async def story() -> None:
        async with a_house() as house:
            accepted = await house.ask()
            await steer(house, accepted.uuid, bandwidth_mib_per_s=64)
            ended = await house.end_of(accepted.uuid)
            assert ended.status is S.COMPLETED
            assert ended.statistics is not None
            assert ended.statistics.total_ms == pytest.approx(8_000, abs=300)

    run(story())


def test_forcing_allows_a_bounded_pause_and_says_how_long() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.set_writes(GUEST, BUSY)
            accepted = await house.ask()
            await in_round(house, accepted.uuid, 3)
            forced = await force(house, accepted.uuid)
            assert forced.force.kind is ForceKind.PAUSE
            assert forced.expected_pause_ms == 781
            assert forced.force.pause_ms == 2 * 781
            assert (await house.end_of(accepted.uuid, within_s=5.0)).status is S.COMPLETED
            house.fleet.set_writes(GUEST, Writes())
            await house.assert_sound()

    run(story())


def test_a_pause_that_would_be_too_long_is_refused_with_the_numbers() -> None:
    async def story() -> None:
        short = MigrationSettings(force_complete_max_pause_ms=600)
        async with a_house(migration=short) as house:
            house.fleet.set_writes(GUEST, BUSY)
            accepted = await house.ask()
            await in_round(house, accepted.uuid, 3)
            with pytest.raises(Conflict) as refused:
                await force(house, accepted.uuid)
            assert refused.value.reason.code is Code.FORCED_PAUSE_TOO_LONG
            assert "781 ms (200 MiB at 256.0 MiB/s), 600 ms may be forced" in (
                refused.value.reason.words
            )

    run(story())


def test_nothing_is_forced_or_steered_before_its_time_or_after() -> None:
    async def story() -> None:
        async with a_house() as house:
            accepted = await house.ask()
            with pytest.raises(Conflict) as early:
                await force(house, accepted.uuid)
            assert early.value.reason.code is Code.FORCED_TOO_EARLY
            await house.end_of(accepted.uuid)
            for late in (force(house, accepted.uuid), steer(house, accepted.uuid)):
                with pytest.raises(Conflict) as refused:
                    await late
                assert refused.value.reason.code is Code.MIGRATION_NOT_STEERABLE

    run(story())


@pytest.mark.parametrize("gap_s", [-0.7, -0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5, 0.7, 1.1])
def test_one_forces_and_one_aborts_and_there_is_one_guest_and_one_end(gap_s: float) -> None:
    """`gap_s`: so much later than the abort the other asks to force; less than 0: earlier."""

    async def aborts(house: House, uuid: MigrationUuid) -> str:
        await asyncio.sleep(max(0.0, -gap_s))
        try:
            await house.abort(uuid)
        except Conflict as refused:
            return refused.reason.code
        return "asked"

    async def forces(house: House, uuid: MigrationUuid) -> str:
        await asyncio.sleep(max(0.0, gap_s))
        try:
            await force(house, uuid)
        except Conflict as refused:
            return refused.reason.code
        return "asked"

    async def story() -> None:
        async with a_house() as house:
            house.fleet.set_writes(GUEST, BUSY)
            accepted = await house.ask()
            await in_round(house, accepted.uuid, 2)
            aborted, forced = await asyncio.gather(
                aborts(house, accepted.uuid), forces(house, accepted.uuid)
            )
            ended = await house.end_of(accepted.uuid)
            if ended.status is S.COMPLETED:
                assert forced == "asked"
            else:
                assert (ended.status, aborted) == (S.CANCELLED, "asked")
            house.fleet.set_writes(GUEST, Writes())
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("seed", range(50))
def test_an_abort_at_any_moment_ends_as_cancelled_or_completed_with_one_guest(seed: int) -> None:
    chance = Random(seed)
    moment_s = chance.uniform(0.0, 4.0)
    writes = Writes(bytes_per_s=chance.choice([0, 100, 1024]) * MIB, working_set_bytes=100 * MIB)

    async def story() -> None:
        async with a_house() as house:
            house.fleet.set_writes(GUEST, writes)
            accepted = await house.ask()
            await asyncio.sleep(moment_s)
            try:
                await house.abort(accepted.uuid)
                may_be = {S.CANCELLED, S.COMPLETED}
            except Conflict:
                may_be = {S.COMPLETED}
            ended = await house.end_of(accepted.uuid)
            assert ended.status in FINAL & may_be, f"seed {seed}: {ended.reason}"
            house.fleet.set_writes(GUEST, Writes())
            await house.assert_sound(again=seed % 10 == 0)

    run(story())
