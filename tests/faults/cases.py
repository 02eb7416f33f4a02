"""Every fault at every call of every step, and what one such case is.

What a step calls is seen in stories that are told without a fault: nothing here names a step.
"""

from dataclasses import dataclass
from typing import Final

from tests.faults.seams import Point, Seam
from tests.faults.simulated_ground import SimulatedGround
from tests.faults.stage import Stage, a_stage
from tests.faults.strikes import BLOWS, Strike
from tests.faults.table import OF_AN_UNDO, Fault, Tale, Way, ends_of

from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.sim.loop import VirtualClock, run

S = MigrationStatus
PIVOT: Final = LIVE_MIGRATION.pivot.name
OF_A_SEAM: Final = {
    Seam.RPC: {Code.NO_ANSWER},
    Seam.STORE: {Code.STORE_UNAVAILABLE},
    Seam.READS: {Code.STORE_UNAVAILABLE},
    Seam.DRIVER: {Code.HYPERVISOR_ERROR, Code.HYPERVISOR_UNAVAILABLE, Code.NO_ANSWER},
}
"""What is said of a move that has failed because a call did not come through there."""
OF_THE_COPY: Final = {Code.TRANSFER_FAILED, Code.TRANSFER_STALLED}
OF_A_TALE: Final = {
    Tale.UNDONE: {Code.TRANSFER_FAILED},
    Tale.NOWHERE: {Code.NO_VALID_HOST},
    Tale.UNFINISHED: {Code.SOURCE_TOOK_THE_GUEST_BACK},
}
"""What is said where it fails even without a fault."""


@dataclass(frozen=True)
class Case:
    """A fault that strikes a call in a tale."""

    tale: Tale
    fault: Fault
    point: Point

    def __str__(self) -> str:
        return f"{self.tale} - {self.fault} - {self.point}"


def points_of(tale: Tale) -> list[Point]:
    """Every call that such a story makes."""

    async def story() -> list[Point]:
        async with a_stage(SimulatedGround(), VirtualClock()) as stage:
            await stage.ground.prepare(stage, tale)
            await stage.end_of(await stage.ask())
            return list(stage.seen)

    return run(story())


def points_by_tale() -> dict[Point, Tale]:
    """Each with the first tale in which it comes."""
    found: dict[Point, Tale] = {}
    for tale in Tale:
        found = dict.fromkeys(points_of(tale), tale) | found
    return found


POINTS: Final = points_by_tale()
ACTING: Final = {point.part for point in POINTS if point.seam is not Seam.READS}


def can_meet(fault: Fault, point: Point) -> bool:
    """What only reads stands for its step where nothing else does; but any read may fail."""
    if fault in OF_AN_UNDO and point.part.way is Way.DO:
        return False
    if point.seam is Seam.READS and point.part in ACTING and fault is not Fault.FAILS:
        return False
    return BLOWS[fault].can_strike(point)


CASES: Final = [
    Case(tale, fault, point)
    for fault in Fault
    for point, tale in POINTS.items()
    if can_meet(fault, point)
]


async def endure(stage: Stage, case: Case) -> None:
    """The guest is asked to move, the fault strikes; afterwards all is well."""
    for_good = case.fault is Fault.UNDO_FAILS_FOR_GOOD
    stage.strike = strike = Strike(stage, BLOWS[case.fault], case.point, for_good=for_good)
    await stage.ground.prepare(stage, case.tale)
    ended = await stage.end_of(await stage.ask())
    told = f"{ended.status}: {ended.reason}\n{stage.story()}"
    assert strike.has_struck, told
    assert ended.status in ends_of(LIVE_MIGRATION, case.point.part, case.fault, case.tale), told
    assert (ended.reason.code if ended.reason else None) in allowed(ended.status, case), told
    if for_good:
        await assert_what_is_owed_stops_nobody(stage)
    await stage.mend()
    await stage.assert_sound()


def allowed(status: MigrationStatus, case: Case) -> set[Code | None]:
    """The reasons that a move may give which has ended so: they name what has struck."""
    if status is S.COMPLETED:
        return {None}
    if status is S.CANCELLED:
        return {Code.CANCELLED_BY_REQUEST}
    if case.point.part.way is Way.UNDO:
        return {*OF_A_TALE[case.tale]}
    codes = {*OF_A_SEAM[case.point.seam], *OF_A_TALE.get(case.tale, set())}
    if case.fault is Fault.BUS_DROPS:
        codes |= {Code.NO_ANSWER, Code.NO_VALID_HOST, *OF_THE_COPY}
    return {*codes, *(OF_THE_COPY if case.point.part.step == PIVOT else set())}


async def assert_what_is_owed_stops_nobody(stage: Stage) -> None:
    """The guest moves again, while what the move before could not undo is still owed."""
    [owed] = await stage.store.queries.debts()
    assert owed.undo
    again = await stage.end_of(await stage.ask())
    assert again.status is S.COMPLETED, f"{again.reason}\n{stage.story()}"
