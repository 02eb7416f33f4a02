"""A guest that runs twice or nowhere: said as loudly as can be until it is over, and left alone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs
from tests.saga.house import ASKED, GUEST, REPORTED_S, A, B, C, House, a_guest, a_house

from godwit.conductor.alarms import ALARM, LOOK_AGAIN_S
from godwit.model.audit import Alarm, Mismatch
from godwit.model.errors import Conflict
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.rpc.conductor import ForServer, LiveMigrate
from godwit.runtime.settings import HostsSettings
from godwit.sim.loop import run
from godwit.virt.simulated.faults import TransferFault
from godwit.virt.simulated.half import Half, HalfState

S = MigrationStatus
SEEN_S = 25.0
"""Longer than a report is looked past after the record was written, and the next one."""


def alarms_in_a_house(claim: Callable[[House], Awaitable[None]]) -> list[Mismatch]:
    """What was said as loudly as can be while the claim was made. No audit says anything."""

    async def story() -> None:
        async with a_house(hosts_defaults=HostsSettings(audit_every_s=0)) as house:
            await claim(house)

    with capture_logs() as lines:
        run(story())
    loud = [line for line in lines if line["log_level"] == "critical"]
    assert {line["event"] for line in loud} <= {ALARM}
    return [line["kind"] for line in loud]


async def on_record(house: House) -> Alarm | None:
    return await house.store.queries.alarm(GUEST)


async def assert_nothing_is_done_to_it(house: House) -> None:
    before = house.fleet.snapshot()
    with pytest.raises(Conflict) as refused:
        await house.conductor.manager.live_migrate_instance(
            LiveMigrate(asked=ASKED, instance_uuid=GUEST)
        )
    assert refused.value.reason.code is Code.GUEST_ALARMS
    await asyncio.sleep(120)
    assert house.fleet.snapshot() == before


def test_a_guest_that_two_hosts_report_as_running_is_an_alarm_until_one_of_them_is_ended() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(SEEN_S)
        house.fleet.add_guest(C, a_guest())
        await asyncio.sleep(REPORTED_S)
        known = await on_record(house)
        assert known is not None
        assert (known.kind, [seen.by for seen in known.evidence]) == (Mismatch.RUNS_TWICE, [A, C])
        await assert_nothing_is_done_to_it(house)
        still = await on_record(house)
        assert still is not None
        assert (still.since, still.seen_at > known.seen_at) == (known.since, True)
        house.fleet.destroy(C, GUEST)
        assert (await house.migrate(host=B)).status is S.COMPLETED, "at once"
        assert await on_record(house) is None

    said = alarms_in_a_house(claim)
    assert set(said) == {Mismatch.RUNS_TWICE}
    assert len(said) > 1, "it is said for as long as it is so"


def test_a_server_of_ours_that_runs_twice_is_not_deleted() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(SEEN_S)
        house.fleet.add_guest(C, a_guest())
        await asyncio.sleep(REPORTED_S)
        with pytest.raises(Conflict):
            await house.conductor.manager.delete_server(ForServer(asked=ASKED, instance_uuid=GUEST))
        assert set(house.fleet.running_at(GUEST)) == {A, C}

    alarms_in_a_house(claim)


def test_a_guest_that_runs_at_one_host_and_is_shut_off_at_another_is_no_alarm() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(SEEN_S)
        house.fleet.put(C, Half(a_guest(), HalfState.OFF))
        await asyncio.sleep(SEEN_S)
        assert await on_record(house) is None

    assert alarms_in_a_house(claim) == []


def test_a_guest_that_vanishes_from_all_hosts_is_an_alarm_until_it_shows_again() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(SEEN_S)
        house.fleet.destroy(A, GUEST)
        await asyncio.sleep(SEEN_S)
        known = await on_record(house)
        assert known is not None
        assert (known.kind, [seen.by for seen in known.evidence]) == (Mismatch.NOWHERE, [A, B, C])
        house.fleet.add_guest(B, a_guest())
        await asyncio.sleep(REPORTED_S)
        assert await on_record(house) is None
        assert (await house.migrate()).status is S.COMPLETED

    assert alarms_in_a_house(claim) == [Mismatch.NOWHERE]


def test_a_guest_that_vanishes_while_a_host_is_silent_is_no_alarm_for_it_may_be_there() -> None:
    async def claim(house: House) -> None:
        house.fleet.disconnect(C)
        await asyncio.sleep(3 * SEEN_S)
        house.fleet.destroy(A, GUEST)
        await asyncio.sleep(SEEN_S)
        assert await on_record(house) is None

    assert alarms_in_a_house(claim) == []


def test_a_story_that_sees_two_guests_raises_the_alarm_and_touches_neither() -> None:
    async def claim(house: House) -> None:
        house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)

        async def start_another(_where: str, name: str) -> None:
            if name == "close_transfer" and house.fleet.running_at(GUEST) == (A,):
                house.fleet.put(B, Half(a_guest(), HalfState.RUNNING))

        house.wires[A].then = start_another
        uuid = (await house.ask(host=B)).uuid
        asking = await house.until(uuid, lambda move: move.person_needed)
        assert asking.reason is not None
        assert asking.reason.code is Code.TWO_GUESTS
        known = await on_record(house)
        assert known is not None
        assert {seen.by for seen in known.evidence} == {A, B}
        await asyncio.sleep(120)
        assert set(house.fleet.running_at(GUEST)) == {A, B}
        house.wires[A].then = None
        house.fleet.destroy(B, GUEST)
        await house.end_of(uuid)
        await asyncio.sleep(LOOK_AGAIN_S + REPORTED_S)
        assert await on_record(house) is None

    assert set(alarms_in_a_house(claim)) == {Mismatch.RUNS_TWICE}


@pytest.mark.parametrize("twice", [True, False])
def test_what_is_owed_waits_while_its_guest_is_on_the_way_or_runs_twice(*, twice: bool) -> None:
    async def claim(house: House) -> None:
        house.wires[A].unheard["post_live_migration_at_source"] = 10_000
        assert (await house.migrate(host=B)).status is S.COMPLETED
        [debt] = await house.store.queries.debts()
        assert debt.where == A
        if twice:
            await asyncio.sleep(SEEN_S)
            house.fleet.add_guest(C, a_guest())
            await asyncio.sleep(REPORTED_S)
            assert await on_record(house) is not None
        else:
            house.fleet.break_transfer(GUEST, TransferFault.STALLS)
            await house.ask(host=C)
        tried = debt.attempts
        [debt] = await house.store.queries.debts()
        house.wires[A].unheard.clear()
        asked = house.wires[A].heard.count("post_live_migration_at_source")
        until_s = 60.0 if twice else house.settings.migration.stall_timeout_s / 2
        await asyncio.sleep(until_s)
        assert house.wires[A].heard.count("post_live_migration_at_source") == asked
        [still] = await house.store.queries.debts()
        assert still.attempts >= tried
        if twice:
            house.fleet.destroy(C, GUEST)
        await house.all_paid()

    alarms_in_a_house(claim)
