"""The audit by itself: in turn, by one conductor, and nothing is done where nothing is wrong."""

import asyncio
from typing import Any

from sqlalchemy import delete, update
from structlog.testing import capture_logs
from tests.saga.house import GUEST, REPORTED_S, A, B, C, House, a_guest, a_house

from godwit.conductor.alarms import ALARM
from godwit.conductor.reconciler import MYSELF, TRY_EVERY_S
from godwit.conductor.sweeper import Conductor
from godwit.model.audit import Action, Mismatch
from godwit.runtime.settings import HostsSettings
from godwit.sim.loop import run
from godwit.store.statements import Writes
from godwit.store.tables import allocations, instances

EVERY_S = 120.0
NO_CLAIM = Writes(delete(allocations))


def a_house_that_audits(every_s: float = EVERY_S) -> Any:
    return a_house(hosts_defaults=HostsSettings(audit_every_s=every_s))


def looks_at(house: House) -> int:
    return house.wires[A].heard.count("take_stock")


def test_a_record_broken_by_hand_is_mended_and_why_is_kept() -> None:
    async def story() -> None:
        async with a_house_that_audits() as house:
            await asyncio.sleep(TRY_EVERY_S + 1)
            await house.store._write(NO_CLAIM.run)
            await asyncio.sleep(EVERY_S + TRY_EVERY_S)
            [mended] = await house.store.queries.repairs()
            assert (mended.kind, mended.action) == (Mismatch.CLAIM_MISSING, Action.PUT_CLAIM)
            assert (mended.subject, mended.host) == (GUEST, A)
            assert mended.by.startswith(MYSELF)
            assert [seen.said for seen in mended.evidence] == [f"no claim at {A}"]
            await house.assert_sound()

    run(story())


def test_the_record_follows_the_guest_and_that_is_kept_too() -> None:
    async def story() -> None:
        async with a_house_that_audits() as house:
            house.silent.update((A, B, C))  # so no report tells of it first
            await asyncio.sleep(TRY_EVERY_S + 1)
            await house.store._write(Writes(update(instances).values(host=C)).run)
            await house.store._write(Writes(update(allocations).values(host=C)).run)
            await asyncio.sleep(EVERY_S + TRY_EVERY_S)
            [mended] = await house.store.queries.repairs()
            assert (mended.kind, mended.action) == (Mismatch.ELSEWHERE, Action.FOLLOW_THE_GUEST)
            assert {seen.by for seen in mended.evidence} == {"the record", A, C}
            instance = await house.store.queries.instance(GUEST)
            assert instance is not None
            assert instance.host == A

    run(story())


def test_nothing_is_done_where_nothing_is_wrong_whatever_moves() -> None:
    async def story() -> None:
        async with a_house_that_audits(1.0) as house:
            for _ in range(20):
                await house.migrate()
                await asyncio.sleep(TRY_EVERY_S)
            assert looks_at(house) >= 20
            assert await house.store.queries.repairs() == ()

    with capture_logs() as lines:
        run(story())
    said = {line["event"] for line in lines if line["log_level"] in ("warning", "error")}
    assert said == set()


def test_of_several_conductors_one_looks() -> None:
    async def story() -> None:
        async with a_house_that_audits() as house:
            others = [Conductor(house.world, owner=f"other-{n}", alone=False) for n in range(3)]
            lives = [
                house.tasks.create_task(other.run(), name=f"other {n}")
                for n, other in enumerate(others)
            ]
            await asyncio.sleep(10 * EVERY_S)
            assert 8 <= looks_at(house) <= 10
            for life in lives:
                life.cancel()

    run(story())


def test_an_alarm_is_raised_and_nothing_is_done_about_it() -> None:
    async def story() -> None:
        async with a_house_that_audits() as house:
            house.silent.update((A, B, C))
            await asyncio.sleep(TRY_EVERY_S + 1)
            house.fleet.add_guest(C, a_guest())
            before = house.fleet.snapshot()
            await asyncio.sleep(EVERY_S + TRY_EVERY_S)
            [alarm] = await house.store.queries.alarms()
            assert (alarm.instance_uuid, alarm.kind) == (GUEST, Mismatch.RUNS_TWICE)
            assert await house.store.queries.repairs() == ()
            assert house.fleet.snapshot() == before

    with capture_logs() as lines:
        run(story())
    assert ALARM in {line["event"] for line in lines if line["log_level"] == "critical"}


def test_it_goes_on_after_the_store_was_away() -> None:
    async def story() -> None:
        async with a_house_that_audits() as house:
            house.shelf.unheard["take_turn"] = 3
            await asyncio.sleep(5 * TRY_EVERY_S + REPORTED_S)
            assert looks_at(house) == 1

    run(story())


def test_an_operator_may_leave_it_to_people() -> None:
    async def story() -> None:
        async with a_house_that_audits(0.0) as house:
            await asyncio.sleep(2000)
            assert looks_at(house) == 0

    run(story())
