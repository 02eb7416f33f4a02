"""A rehearsal is asked of the hosts that passed the checks, of no others, and cleans up after
itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.saga.house import GUEST, A, B, C, House, a_house, said_by

from godwit.model.reasons import Code, reason
from godwit.rpc.conductor import CheckLiveMigration, Verdicts
from godwit.runtime.settings import MigrationSettings
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind


def rehearsed(claim: Callable[[House, Verdicts], Awaitable[None]], *faults: Fault) -> None:
    """A rehearsal with these faults, then a claim about its verdicts."""

    async def story() -> None:
        async with a_house() as house:
            for fault in faults:
                house.fleet.inject(fault)
            before = house.fleet.snapshot()
            ask = CheckLiveMigration(instance_uuid=GUEST)
            verdicts = await house.conductor.manager.rehearse_live_migration(ask)
            assert house.fleet.snapshot() == before
            assert await house.store.queries.migrations() == ()
            await claim(house, verdicts)

    run(story())


def agreed(verdicts: Verdicts) -> list[tuple[str, bool]]:
    return [(each.host, each.rehearsed) for each in verdicts.willing]


def test_every_host_that_agrees_rehearses_and_the_source_does_not() -> None:
    async def claim(house: House, verdicts: Verdicts) -> None:
        assert agreed(verdicts) == [(B, True), (C, True)]
        assert said_by(verdicts.refusals) == {A: Code.UNABLE_TO_MIGRATE_TO_SELF}
        calls = {host: house.fleet.calls(host, "rehearse_arrival") for host in (A, B, C)}
        assert calls == {A: 0, B: 1, C: 1}

    rehearsed(claim)


def test_a_host_refused_by_a_check_does_not_rehearse() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.refuse(B, reason(Code.BRIDGE_MISSING, host=B, bridge="br9"))
            ask = CheckLiveMigration(instance_uuid=GUEST, host=B)
            verdicts = await house.conductor.manager.rehearse_live_migration(ask)
            assert verdicts.willing == ()
            assert set(said_by(verdicts.refusals)) == {A, B, C}
            assert house.fleet.calls(A, "rehearse_departure") == 0

    run(story())


def test_a_host_whose_rehearsal_fails_is_refused_with_its_reason_and_cleaned_up() -> None:
    async def claim(house: House, verdicts: Verdicts) -> None:
        assert agreed(verdicts) == [(C, True)]
        assert said_by(verdicts.refusals)[B] is Code.HYPERVISOR_ERROR
        assert house.fleet.calls(B, "end_rehearsal") == 1

    rehearsed(claim, Fault(B, "rehearse_arrival", FaultKind.FAILS))


def test_what_a_lost_answer_has_left_is_removed() -> None:
    async def claim(house: House, verdicts: Verdicts) -> None:
        assert said_by(verdicts.refusals)[B] is Code.NO_ANSWER
        assert house.fleet.calls(B, "end_rehearsal") == 1
        assert house.fleet.calls(B, "rehearse_arrival") == 0

    rehearsed(claim, Fault(A, "rehearse_departure", FaultKind.HANGS_AFTER_ACTING))


def test_no_more_hosts_rehearse_than_a_migration_would_try() -> None:
    async def story() -> None:
        async with a_house(migration=MigrationSettings(attempts_max=1)) as house:
            ask = CheckLiveMigration(instance_uuid=GUEST)
            verdicts = await house.conductor.manager.rehearse_live_migration(ask)
            assert agreed(verdicts) == [(B, True), (C, False)]

    run(story())
