"""Every row of the evidence, from what the hypervisors showed to what Godwit does about it."""

from collections.abc import Mapping

import pytest
from tests.unit.virt.libvirt.evidence_rows import ROWS, Absent, NoAnswer, Row

from godwit.conductor.tasks.whereabouts import Verdict, decide
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.virt.libvirt.sighting import destination_sighting, source_sighting

V = Verdict

ACTIONS: Mapping[str, tuple[set[Verdict], set[Verdict]]] = {
    "1": ({V.WATCH}, {V.WATCH}),
    "1 paused": ({V.WATCH}, {V.WATCH}),
    "2": ({V.UNDO, V.UNDO_FAR_HALF_OWED}, {V.UNDO, V.UNDO_FAR_HALF_OWED}),
    "2 paused": ({V.UNDO, V.UNDO_FAR_HALF_OWED}, {V.UNDO, V.UNDO_FAR_HALF_OWED}),
    "3": ({V.FORWARD}, {V.FORWARD}),
    "4": ({V.RESUME_DESTINATION, V.UNKNOWN}, {V.RESUME_DESTINATION, V.UNKNOWN}),
    "5": ({V.ASK_AGAIN}, {V.UNKNOWN}),
    "6": ({V.END_SOURCE}, {V.END_SOURCE}),
    "6b": ({V.END_SOURCE_RESUME_DESTINATION}, {V.END_SOURCE_RESUME_DESTINATION}),
    "7": ({V.RESUME_SOURCE}, {V.RESUME_SOURCE}),
    "7 no flag": ({V.UNKNOWN}, {V.UNKNOWN}),
    "8": ({V.ASK_AGAIN}, {V.UNKNOWN}),
    "9": ({V.ASK_AGAIN}, {V.DISCARD_DESTINATION}),
    "9 no flag": ({V.ASK_AGAIN}, {V.UNKNOWN}),
    "10": ({V.UNDO}, {V.UNDO}),
    "10 paused": ({V.UNDO}, {V.UNDO}),
    "11": ({V.TWO_GUESTS}, {V.TWO_GUESTS}),
    "12": ({V.UNDO}, {V.UNDO}),
    "13": ({V.ASK_AGAIN}, {V.UNDO_FAR_HALF_OWED}),
    "13 no flag": ({V.ASK_AGAIN}, {V.UNKNOWN}),
    "14": ({V.GUEST_ENDED}, {V.GUEST_ENDED}),
    "15": ({V.ASK_AGAIN}, {V.UNKNOWN}),
    "16": ({V.ASK_AGAIN}, {V.UNKNOWN}),
    "17": ({V.FORWARD}, {V.FORWARD}),
    "18": ({V.WATCH}, {V.WATCH}),
    "19": ({V.WATCH}, {V.WATCH}),
    "20": ({V.RESUME_STREAM}, {V.STREAM_BROKEN}),
    "21": ({V.LOST}, {V.LOST}),
    "22": ({V.LOST}, {V.LOST}),
    "23": ({V.LOST, V.GUEST_ENDED}, {V.LOST, V.GUEST_ENDED}),
}
"""By the number of the row: what follows now, and what once the bound is over."""


def words_of(row: Row) -> tuple[SourceWord, DestinationWord]:
    """What the libvirt driver says of this row; an end that does not answer says nothing."""
    source, destination = SourceWord.UNREACHABLE, DestinationWord.UNREACHABLE
    if not isinstance(row.source, NoAnswer):
        reading = None if isinstance(row.source, Absent) else row.source
        source = source_sighting(reading, row.migrate_data, row.evidence).word
    if not isinstance(row.destination, NoAnswer):
        there = None if isinstance(row.destination, Absent) else row.destination
        destination = destination_sighting(there).word
    return source, destination


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.number} {row.source_word} {row.destination_word} {row.note}"
)
def test_what_the_hypervisors_showed_is_acted_on_as_the_evidence_demands(row: Row) -> None:
    source, destination = words_of(row)
    now, still_so = ACTIONS[row.number]
    assert decide(source, destination, guard=row.guard, bound_is_over=False) in now
    assert decide(source, destination, guard=row.guard, bound_is_over=True) in still_so


def test_a_waiting_guest_is_resumed_only_if_the_source_is_known_to_have_let_it_go() -> None:
    for row in (row for row in ROWS if row.number == "4"):
        source, destination = words_of(row)
        verdict = decide(source, destination, guard=row.guard, bound_is_over=True)
        assert (verdict is V.RESUME_DESTINATION) == (row.source_word is SourceWord.GONE)


def test_every_row_of_the_evidence_has_an_action() -> None:
    assert {row.number for row in ROWS} == set(ACTIONS)
