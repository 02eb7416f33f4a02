"""The table of kills is whole: each pair has an expectation or a reason, each row of the evidence
is a run or says why not.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from tests.kills import results
from tests.kills.cells import Cell, Fault, Place, Verb
from tests.kills.results import Outcome, Result
from tests.kills.table import CELLS, MATRIX, MOMENTS, NAMED, NOT_OURS, ROWS, SHORT, why_not

EVIDENCE = {
    *(f"f{number:02}" for number in range(1, 16)),
    *(f"d{number:02}" for number in range(1, 6)),
    *(f"w{number:02}" for number in (*range(14), 15)),
    *(f"p{number:02}" for number in range(1, 9)),
    "e03",
    "e06",
}


def test_every_process_meets_every_fault_at_every_moment_or_it_is_said_why_not() -> None:
    names = {cell.name for cell in MATRIX}
    for target, moment, fault in product(ROWS, MOMENTS, Fault):
        assert (f"{target}/{moment}/{fault}" in names) is not bool(why_not(target, moment, fault))


def test_every_row_of_the_evidence_is_a_run_or_says_why_not() -> None:
    run = {row for cell in NAMED for row in cell.facts}
    assert run | NOT_OURS.keys() >= EVIDENCE
    assert not run & NOT_OURS.keys()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_run_lets_go_once_and_gives_back_what_it_takes(cell: Cell) -> None:
    assert [act.verb for act in cell.acts].count(Verb.RELEASE) == 1
    assert cell.expected.places
    taken = [act.on for act in cell.acts if act.verb in (Verb.FREEZE, Verb.CUT)]
    given = [act.on for act in cell.acts if act.verb in (Verb.THAW, Verb.UNCUT)]
    assert taken == given


def test_names_are_unique_and_the_short_selection_is_among_them() -> None:
    names = [cell.name for cell in CELLS]
    assert len(names) == len(set(names))
    assert set(SHORT) <= set(names)


def test_a_miss_never_outdoes_a_run_and_is_not_counted_as_one(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    name = MATRIX[0].name
    for outcome in (Outcome.MISSED, Outcome.PASSED, Outcome.MISSED):
        results.append(file, Result(name, outcome, "now", place=Place.THERE, gap_s=0.1))
    known = results.read(file)
    assert results.latest(known)[name].outcome is Outcome.PASSED
    assert "ok there 0.1 s" in results.matrix(known)
    assert results.summary(known).startswith(f"1 of {len(CELLS)} cells run: 1 as expected, 0 not")
