"""What can go wrong at any step of a story, and which pairs of step and fault mean nothing.

The steps come from the saga's own table, the calls of each step from a story that is told once
without trouble: a new step, or a new call of one, is covered without a word here. `strikes` does
what the faults say; the tests in `tests/saga` and `tests/lab` go through the whole table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from godwit.model.migration import MigrationStatus
from godwit.saga.step import Saga


class Fault(StrEnum):
    """What happens while a story is at a step."""

    FAILS = "it fails"
    HANGS = "it hangs"
    FAILS_AFTER_ACTING = "it fails after acting"
    RUNS_TWICE = "it runs twice"
    REPLY_LOST = "its reply is lost"
    REPLY_LATE = "its reply comes late, after a retry"
    CONDUCTOR_DIES_BEFORE_RECORDING = "the conductor dies before recording"
    CONDUCTOR_DIES_AFTER_RECORDING = "the conductor dies after recording"
    CONDUCTOR_DIES_BETWEEN = "the conductor dies between act and record"
    AGENT_DIES_BEFORE_ACTING = "the agent dies before acting"
    AGENT_DIES_WHILE_ACTING = "the agent dies during acting"
    AGENT_DIES_AFTER_ACTING = "the agent dies after acting"
    BUS_DROPS = "the bus drops for 30 s"
    STORE_REFUSES = "the store refuses for 30 s"
    UNDO_FAILS_ONCE = "the undo fails once, then works"
    UNDO_FAILS_FOR_GOOD = "the undo fails for good"
    ABORT = "abort arrives"
    BELIEVED_DEAD = "a second conductor believes the first dead"
    STALE_CONDUCTOR = "a stale conductor wakes up and acts"


class Way(StrEnum):
    """Which of a step's acts it is."""

    DO = "do"
    UNDO = "undo"


class Tale(StrEnum):
    """What happens besides the fault, so that a story makes every call that it can make."""

    ARRIVES = "it arrives"
    UNDONE = "the copy fails"
    NOWHERE = "every destination refuses"
    HANDED_OVER = "all was sent, and nobody was told"
    UNFINISHED = "all was sent, and it was not received"


@dataclass(frozen=True)
class Part:
    """One act of a story: the do of a step (with what resolves it, at the pivot), or its undo."""

    step: str
    way: Way

    def __str__(self) -> str:
        return self.step if self.way is Way.DO else f"undo of {self.step}"


def steps_of(saga: Saga[Any, Any]) -> tuple[str, ...]:
    """Their names, from top to bottom."""
    before, after = (each.name for each in saga.before), (each.name for each in saga.after)
    return (*before, saga.pivot.name, *after)


OF_AN_UNDO: Final = (Fault.UNDO_FAILS_ONCE, Fault.UNDO_FAILS_FOR_GOOD)
OF_A_HOST: Final = (
    Fault.HANGS,
    Fault.REPLY_LATE,
    Fault.AGENT_DIES_BEFORE_ACTING,
    Fault.AGENT_DIES_WHILE_ACTING,
    Fault.AGENT_DIES_AFTER_ACTING,
)
IN_THE_STORE: Final = (
    "check_instance",
    "hold_source_allocation",
    "wait_for_turn",
    "record_new_host",
    "finish",
)
AFTER_THE_PIVOT: Final = (
    "record_new_host",
    "post_live_migration_at_destination",
    "post_live_migration_at_source",
    "finish",
)

MEANINGLESS: Final[Mapping[tuple[str, Fault], str]] = {
    **{(step, fault): "no host takes part in it" for step in IN_THE_STORE for fault in OF_A_HOST},
    **{
        (step, fault): "after the pivot nothing is undone"
        for step in AFTER_THE_PIVOT
        for fault in OF_AN_UNDO
    },
    **{
        (step, Fault.UNDO_FAILS_FOR_GOOD): "what undoes it is the store's, and a store that fails "
        "for good holds every story"
        for step in (
            "check_instance",
            "hold_source_allocation",
            "find_destination",
            "wait_for_turn",
        )
    },
    **{
        (step, Fault.CONDUCTOR_DIES_BETWEEN): "its record is its act"
        for step in ("record_new_host", "finish")
    },
}
"""Every pair of step and fault that cannot be, and why."""


NOBODY_NOTICES: Final = frozenset(
    {
        Fault.RUNS_TWICE,
        Fault.CONDUCTOR_DIES_BEFORE_RECORDING,
        Fault.CONDUCTOR_DIES_AFTER_RECORDING,
        Fault.CONDUCTOR_DIES_BETWEEN,
        Fault.STORE_REFUSES,
        Fault.BELIEVED_DEAD,
        Fault.STALE_CONDUCTOR,
    }
)
"""The move goes on as if nothing had been."""


COMES_TO_NOTHING: Final = (Tale.UNDONE, Tale.NOWHERE, Tale.UNFINISHED)


def ends_of(
    saga: Saga[Any, Any], part: Part, fault: Fault, tale: Tale = Tale.ARRIVES
) -> frozenset[MigrationStatus]:
    """How a move may end that meets this fault there."""
    if part.way is Way.UNDO:
        return frozenset({MigrationStatus.FAILED})
    turned_back = MigrationStatus.CANCELLED if fault is Fault.ABORT else MigrationStatus.FAILED
    if tale in COMES_TO_NOTHING:
        return frozenset({MigrationStatus.FAILED, turned_back})
    if fault in NOBODY_NOTICES or part.step in {each.name for each in saga.after}:
        return frozenset({MigrationStatus.COMPLETED})
    if fault is Fault.ABORT and part.step != saga.pivot.name:
        return frozenset({turned_back})
    return frozenset({turned_back, MigrationStatus.COMPLETED})
