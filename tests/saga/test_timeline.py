"""The timeline says of every event who told it, where it was to happen, and for which reason."""

from __future__ import annotations

import asyncio

from tests.saga.house import A, B, a_house

from godwit.model.reasons import Code
from godwit.saga.log import What
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind

PREPARE, TIDY = "pre_live_migration", "post_live_migration_at_source"


def test_every_event_but_the_request_says_who_told_it_and_acts_say_where() -> None:
    async def story() -> None:
        async with a_house() as house:
            moved = await house.migrate(host=B)
            requested, *told = await house.store.queries.timeline(moved.uuid)
            assert requested.by == ""
            assert {entry.by for entry in told} == {"life-1"}
            at = {entry.step: entry.where for entry in told}
            assert (at["check_instance"], at[PREPARE], at[TIDY]) == ("", B, A)
            assert at["live_migration"] == A

    run(story())


def test_a_failure_is_told_with_its_code() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.inject(Fault(B, PREPARE, FaultKind.FAILS))
            moved = await house.migrate(host=B)
            timeline = await house.store.queries.timeline(moved.uuid)
            [failed] = [entry for entry in timeline if entry.what is What.FAILED]
            assert (failed.step, failed.where) == (PREPARE, B)
            assert failed.code == Code.HYPERVISOR_ERROR
            assert timeline[-1].what is What.ENDED
            assert timeline[-1].code == Code.HYPERVISOR_ERROR

    run(story())


def test_what_is_owed_and_paid_by_another_process_says_which_attempt_at_which_host() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.inject(Fault(A, TIDY, FaultKind.FAILS, times=6))
            moved = await house.migrate(host=B)
            house.kill_conductor()
            await house.next_conductor()
            await house.all_paid()
            timeline = await house.store.queries.timeline(moved.uuid)
            [owed] = [entry for entry in timeline if entry.what is What.OWED]
            [paid] = [entry for entry in timeline if entry.what is What.PAID]
            assert (owed.by, owed.where, owed.attempt) == ("life-1", A, 1)
            assert owed.code == Code.HYPERVISOR_ERROR
            assert (paid.by, paid.where) == ("life-2", A)
            assert paid.attempt > owed.attempt

    run(story())


def test_who_takes_over_is_told_by_itself() -> None:
    async def story() -> None:
        async with a_house() as house:
            asked = await house.ask(host=B)
            await asyncio.sleep(1)
            house.kill_conductor()
            await house.next_conductor()
            await house.end_of(asked.uuid)
            timeline = await house.store.queries.timeline(asked.uuid)
            [over] = [entry for entry in timeline if entry.what is What.TAKEN_OVER]
            assert over.by == "life-2"
            assert {entry.by for entry in timeline[timeline.index(over) :]} == {"life-2"}

    run(story())
