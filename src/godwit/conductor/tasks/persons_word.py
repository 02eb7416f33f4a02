"""A person has said where the guest is: what follows from that, given what is seen. Pure.

Asked by the pivot instead of the whereabouts table once a decision is on record. The decision is
carried out with the story's own means, and it never ends a guest: as long as the other half is seen
running, or is the only whole one, it waits until the person has dealt with that half by hand.
"""

from enum import StrEnum
from typing import assert_never

from godwit.conductor.tasks.whereabouts import Verdict
from godwit.model.sighting import DestinationWord, SourceWord


class Choice(StrEnum):
    """What a person may say of a guest."""

    AT_SOURCE = "at-source"
    AT_DESTINATION = "at-destination"
    LOST = "lost"


S, D = SourceWord, DestinationWord

MAY_RUN_AT_SOURCE = frozenset({S.COPYING, S.KEPT, S.TOOK_BACK, S.IN_WINDOW, S.POSTCOPY})
"""Runs there, or may run there again without us."""
RUNS_AT_DESTINATION = frozenset({D.RUNS, D.POSTCOPY, D.POSTCOPY_BROKEN})
HALF_OF_A_POST_COPY = frozenset({D.POSTCOPY, D.POSTCOPY_BROKEN})
NOT_WHOLE_AT_DESTINATION = frozenset({D.RECEIVING, D.GONE})
WHOLE_AT_SOURCE = frozenset({S.COPYING, S.KEPT, S.TOOK_BACK, S.IN_WINDOW, S.HANDED_OVER})


def carry_out(choice: Choice, source: SourceWord, destination: DestinationWord) -> Verdict | None:
    """The verdict that carries out the choice, or None while that would end a guest: the other half
    is seen running, or it is the only whole one that is seen.

    A person who says "lost" is taken at their word: nothing is touched at either end.
    """
    match choice:
        case Choice.AT_SOURCE:
            return _at_source(source, destination)
        case Choice.AT_DESTINATION:
            return _at_destination(source, destination)
        case Choice.LOST:
            return Verdict.LOST
        case _:
            assert_never(choice)


def _at_source(source: SourceWord, destination: DestinationWord) -> Verdict | None:
    if destination in RUNS_AT_DESTINATION:
        return None
    if destination is D.READY and source not in WHOLE_AT_SOURCE:
        return None
    return Verdict.RESUME_SOURCE if source is S.HANDED_OVER else Verdict.UNDO


def _at_destination(source: SourceWord, destination: DestinationWord) -> Verdict | None:
    if source in MAY_RUN_AT_SOURCE or destination in HALF_OF_A_POST_COPY:
        return None
    if source is S.HANDED_OVER:
        return _WITH_SOURCE_HANDED_OVER.get(destination)
    if source is S.UNREACHABLE and destination in NOT_WHOLE_AT_DESTINATION:
        return None
    return Verdict.RESUME_DESTINATION if destination is D.READY else Verdict.FORWARD


_WITH_SOURCE_HANDED_OVER = {
    D.RUNS: Verdict.END_SOURCE,
    D.READY: Verdict.END_SOURCE_RESUME_DESTINATION,
}
"""With anything else there, the paused half at the source may be the only guest."""
