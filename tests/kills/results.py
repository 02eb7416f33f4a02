"""What came of the cells: one line of JSON each in a file that is only ever added to, and the
matrix that is printed of it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from tests.kills.cells import Fault
from tests.kills.table import MATRIX, MOMENTS, NAMED, ROWS, why_not


class Outcome(StrEnum):
    """What a run showed."""

    PASSED = "passed"
    FAILED = "failed"
    MISSED = "missed"
    """The moment was not met: not run."""
    AGAIN = "again"
    """Somebody wants it run anew."""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run of one cell."""

    cell: str
    outcome: Outcome
    at: str
    proof: str = ""
    place: str = ""
    code: str = ""
    gap_s: float | None = None
    undisturbed_s: float | None = None
    takeover_s: float | None = None
    took_s: float = 0.0
    migration: str = ""
    problems: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    """Of a run that failed: the story so far, and what both hosts said."""


SIGNS: Final = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAIL",
    Outcome.MISSED: "miss",
    Outcome.AGAIN: "again",
}


def append(path: Path, result: Result) -> None:
    """Add one line, whoever else is adding."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(msgspec.json.encode(result) + b"\n")


def read(path: Path) -> list[Result]:
    """All runs so far; none if there is no file."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Result) for line in path.read_bytes().splitlines()]


def latest(results: Iterable[Result]) -> Mapping[str, Result]:
    """The last word on each cell: a miss never outdoes a run."""
    found: dict[str, Result] = {}
    for result in results:
        if result.outcome is not Outcome.MISSED or result.cell not in found:
            found[result.cell] = result
    return found


def matrix(results: Iterable[Result]) -> str:
    """Markdown: a row for each process and fault, a column for each moment; then the named runs."""
    last = latest(results)
    head = ["process", "fault", *MOMENTS]
    lines = [row(head), row(["---"] * len(head))]
    for target in ROWS:
        for fault in Fault:
            names = [f"{target}/{moment}/{fault}" for moment in MOMENTS]
            there = [not why_not(target, moment, fault) for moment in MOMENTS]
            if any(there):
                said = [
                    shown(last.get(name)) if is_cell else ""
                    for name, is_cell in zip(names, there, strict=True)
                ]
                lines.append(row([target, fault, *said]))
    lines += ["", row(["run", "came to"]), row(["---", "---"])]
    lines += [row([cell.name, shown(last.get(cell.name))]) for cell in NAMED]
    return "\n".join(lines)


def points(results: Iterable[Result]) -> str:
    """Markdown for a page of figures: where what was hit, and how many of all runs ended right."""
    runs = [r for r in results if r.outcome in (Outcome.PASSED, Outcome.FAILED)]
    lines = [row(["process", *MOMENTS]), row(["---"] * (len(MOMENTS) + 1))]
    for target in ROWS:
        said = [_counted(runs, f"{target}/{moment}/") for moment in MOMENTS]
        lines.append(row([target, *said]))
    return "\n".join(lines)


def _counted(runs: Iterable[Result], prefix: str) -> str:
    here = [run for run in runs if run.cell.startswith(prefix)]
    right = sum(run.outcome is Outcome.PASSED for run in here)
    return f"{right} of {len(here)}" if here else ""


def summary(results: Iterable[Result]) -> str:
    """How many cells were run, and what came of them."""
    last = latest(results).values()
    counts = {outcome: sum(r.outcome is outcome for r in last) for outcome in Outcome}
    cells = len(MATRIX) + len(NAMED)
    run = counts[Outcome.PASSED] + counts[Outcome.FAILED]
    words = f"{run} of {cells} cells run: {counts[Outcome.PASSED]} as expected"
    return f"{words}, {counts[Outcome.FAILED]} not; {counts[Outcome.MISSED]} missed their moment"


def shown(result: Result | None) -> str:
    """A cell of the printed matrix."""
    if result is None:
        return "not run"
    if result.outcome in (Outcome.MISSED, Outcome.AGAIN):
        return SIGNS[result.outcome]
    gap = f" {result.gap_s:.1f} s" if result.gap_s is not None else ""
    return f"{SIGNS[result.outcome]} {result.place}{gap}"


def row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
