"""Where is the guest, and what follows? Two sightings in neutral words in, one verdict out; pure.

Asked only when the transfer process has ended and nothing can begin any more. The table is the
whole decision: `WHEREABOUTS` holds a cell for every pair of words, `decide` reads it. It rests on
three rules. A half is resumed only where the other can no longer run. Nothing is destroyed that may
be the only guest. What nobody can know is asked of a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from godwit.model.migrate_data import Guard
from godwit.model.reasons import Code
from godwit.model.sighting import DestinationWord, SourceWord


class Verdict(StrEnum):
    """What is to be done now. The story's pivot carries each of them out."""

    WATCH = "watch"
    """The hypervisor still copies by itself: look again, without an end."""
    ASK_AGAIN = "ask again"
    """Nothing can be said yet: look again, within the bound."""
    UNDO = "undo"
    """The guest is at the source: undo the move."""
    UNDO_FAR_HALF_OWED = "undo, the far half is a debt"
    """The same; the destination does not answer now, so its clean-up stays owed."""
    FORWARD = "forward"
    """The guest is at the destination."""
    FORWARD_SHUT_OFF = "forward, shut off"
    """It has moved and ended there."""
    RESUME_DESTINATION = "resume there, forward"
    """The source can never run again: let the destination run, then forward."""
    END_SOURCE = "end the source, forward"
    """It runs at the destination: end the handed-over half, then forward."""
    END_SOURCE_RESUME_DESTINATION = "end the source, see it gone, resume there, forward"
    DISCARD_DESTINATION = "discard it, then look again"
    """Half a guest that never ran: remove it, then look again."""
    RESUME_SOURCE = "resume the source, undo"
    """The destination has nothing: let the source run on, then undo the move."""
    RESUME_STREAM = "resume the stream"
    """A broken post-copy: both halves are needed. Resume it, then look again, within the bound."""
    GUEST_ENDED = "failed: guest ended"
    """The guest ended by itself at the source: undo what is left."""
    TWO_GUESTS = "operator: two guests"
    LOST = "operator: lost"
    STREAM_BROKEN = "operator: broken post-copy"
    """A person must see to the network; the stream is still resumed as soon as it can be."""
    UNKNOWN = "operator"


PERSON: Final[Mapping[Verdict, Code]] = {
    Verdict.TWO_GUESTS: Code.TWO_GUESTS,
    Verdict.LOST: Code.GUEST_LOST,
    Verdict.STREAM_BROKEN: Code.POST_COPY_BROKEN,
    Verdict.UNKNOWN: Code.WHEREABOUTS_UNKNOWN,
}
"""The verdicts that only a person can carry on from, and what the person is told."""


@dataclass(frozen=True)
class Cell:
    """One cell: what follows `now`, what once the bound is over, and whether that needs the guard.

    `paused_only` is the table's footnote: without the guard `paused` the destination may have run
    without us, so a person decides instead.
    """

    now: Verdict
    still_so: Verdict
    paused_only: bool = False


V, S, D = Verdict, SourceWord, DestinationWord


def always(verdict: Verdict, *, paused_only: bool = False) -> Cell:
    """The same verdict however long it has been so."""
    return Cell(verdict, verdict, paused_only)


def ask_again(still_so: Verdict = V.UNKNOWN, *, paused_only: bool = False) -> Cell:
    """Look again, within the bound; then `still_so`."""
    return Cell(V.ASK_AGAIN, still_so, paused_only)


_COLUMNS: Final = (D.RECEIVING, D.READY, D.RUNS, D.OFF, D.GONE, D.UNREACHABLE)

_ROWS: Final[Mapping[SourceWord, tuple[Cell, ...]]] = {
    S.COPYING: (
        always(V.WATCH),  # receiving
        ask_again(),  # ready
        ask_again(V.TWO_GUESTS),  # runs
        ask_again(),  # off
        always(V.WATCH),  # gone
        always(V.WATCH),  # unreachable
    ),
    S.KEPT: (
        always(V.UNDO),
        always(V.UNDO),
        always(V.TWO_GUESTS),
        always(V.UNKNOWN),
        always(V.UNDO),
        always(V.UNDO_FAR_HALF_OWED),
    ),
    S.TOOK_BACK: (
        always(V.UNDO),
        always(V.UNDO),
        always(V.TWO_GUESTS),
        always(V.UNDO, paused_only=True),
        always(V.UNDO),
        ask_again(V.UNDO_FAR_HALF_OWED, paused_only=True),
    ),
    S.IN_WINDOW: (ask_again(),) * len(_COLUMNS),
    S.HANDED_OVER: (
        ask_again(V.DISCARD_DESTINATION, paused_only=True),
        always(V.END_SOURCE_RESUME_DESTINATION),
        always(V.END_SOURCE),
        always(V.RESUME_SOURCE, paused_only=True),
        always(V.RESUME_SOURCE, paused_only=True),
        ask_again(),
    ),
    S.GONE: (
        ask_again(V.LOST),
        always(V.RESUME_DESTINATION),
        always(V.FORWARD),
        always(V.FORWARD_SHUT_OFF),
        always(V.LOST),
        ask_again(),
    ),
    S.ENDED: (
        always(V.GUEST_ENDED),
        always(V.UNKNOWN),
        always(V.FORWARD),
        always(V.UNKNOWN),
        always(V.GUEST_ENDED),
        ask_again(),
    ),
    S.UNREACHABLE: (
        ask_again(),
        ask_again(),
        always(V.FORWARD),
        ask_again(),
        ask_again(),
        ask_again(),
    ),
}

_POST_COPY: Final[Mapping[tuple[SourceWord, DestinationWord], Cell]] = {
    (S.POSTCOPY, D.POSTCOPY): always(V.WATCH),
    (S.POSTCOPY, D.UNREACHABLE): always(V.WATCH),
    (S.UNREACHABLE, D.POSTCOPY): always(V.WATCH),
    (S.POSTCOPY_BROKEN, D.POSTCOPY_BROKEN): Cell(V.RESUME_STREAM, V.STREAM_BROKEN),
    # The destination has not noticed yet: until it has, it refuses to be resumed.
    (S.POSTCOPY_BROKEN, D.POSTCOPY): Cell(V.RESUME_STREAM, V.STREAM_BROKEN),
    (S.POSTCOPY, D.POSTCOPY_BROKEN): ask_again(V.STREAM_BROKEN),
    (S.POSTCOPY_BROKEN, D.UNREACHABLE): ask_again(V.STREAM_BROKEN),
    (S.UNREACHABLE, D.POSTCOPY_BROKEN): ask_again(V.STREAM_BROKEN),
    (S.POSTCOPY, D.GONE): always(V.LOST),
    (S.POSTCOPY, D.OFF): always(V.LOST),
    (S.POSTCOPY_BROKEN, D.GONE): always(V.LOST),
    (S.POSTCOPY_BROKEN, D.OFF): always(V.LOST),
    (S.GONE, D.POSTCOPY_BROKEN): always(V.LOST),
    (S.ENDED, D.POSTCOPY_BROKEN): always(V.LOST),
}
"""Every other pair with a post-copy word: ask again."""


def _whole_table() -> Mapping[tuple[SourceWord, DestinationWord], Cell]:
    table = {(source, destination): ask_again() for source in S for destination in D}
    for source, cells in _ROWS.items():
        table |= {(source, d): cell for d, cell in zip(_COLUMNS, cells, strict=True)}
    return table | dict(_POST_COPY)


WHEREABOUTS: Final = _whole_table()
"""A cell for every pair of words."""


@dataclass(frozen=True)
class WithoutPower:
    """Which ends have no power, as a person states: what is not answered there is known."""

    source: bool = False
    destination: bool = False


NOBODY_SAYS: Final = WithoutPower()


def decide(
    source: SourceWord,
    destination: DestinationWord,
    *,
    guard: Guard,
    bound_is_over: bool,
    without_power: WithoutPower = NOBODY_SAYS,
) -> Verdict:
    """What the table says of this pair. Never raises: every pair has a cell.

    Without power an unreachable source counts as one whose guest has ended, an unreachable
    destination as one where nothing is. A word that was answered stays what it is.
    """
    if without_power.source and source is S.UNREACHABLE:
        source = S.ENDED
    if without_power.destination and destination is D.UNREACHABLE:
        destination = D.GONE
    cell = WHEREABOUTS[source, destination]
    verdict = cell.still_so if bound_is_over else cell.now
    if cell.paused_only and guard is not Guard.PAUSED and verdict is not V.ASK_AGAIN:
        return V.UNKNOWN
    return verdict
