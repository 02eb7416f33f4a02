"""Writes the pages that are drawn from code: `make docs`. A house rule compares them with the code.

A page's hand-written part stands in front of the line `<!-- drawn from code -->` and is kept.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.faults.table import MEANINGLESS, OF_AN_UNDO, Fault, Part, Way, ends_of, steps_of

from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.conductor.tasks.whereabouts import WHEREABOUTS, Cell, Verdict
from godwit.model.migration import FINAL, MAY_FOLLOW, MigrationStatus
from godwit.model.reasons import CATALOGUE, Code
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.saga.step import NothingToUndo

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
MARK: Final = "<!-- drawn from code: make docs -->"


def reasons_page() -> str:
    """Every reason code with its words and its remedy."""
    lines = []
    for code in Code:
        entry = CATALOGUE[code]
        lines += [f"### {code}", "", entry.words, "", f"*Remedy:* {entry.remedy}", ""]
    return "\n".join(lines)


def migration_page() -> str:
    """The tables of the story: steps, statuses, verdicts, faults."""
    tables = (steps_table(), status_table(), verdict_table(), fault_table())
    return "\n".join([line for table in tables for line in (*table, "")])


def steps_table() -> list[str]:
    """One line per step, in order, with its undo."""
    lines = ["## Steps", "", "| # | step | kind | undone by | may be owed by |", "| --- " * 5 + "|"]
    story = LIVE_MIGRATION
    rows = [
        *((s.name, "step", _undo(s.undo), s.where) for s in story.before),
        (story.pivot.name, "**pivot**", _undo(story.pivot.undo), story.pivot.where),
        *((f.name, "forward", "", f.where) for f in story.after),
    ]
    for number, (name, kind, undo, where) in enumerate(rows, start=1):
        owed = where.__name__.removeprefix("at_") if where else ""
        lines.append(f"| {number} | `{name}` | {kind} | {undo} | {owed} |")
    return lines


def status_table() -> list[str]:
    """Which status may follow which."""
    lines = ["## Statuses", "", "| status | may be followed by |", "| --- | --- |"]
    for status, after in MAY_FOLLOW.items():
        following = ", ".join(sorted(after)) if status not in FINAL else "nothing: it is final"
        lines.append(f"| {status} | {following} |")
    return lines


def verdict_table() -> list[str]:
    """What follows from the word of each end."""
    head = " | ".join(f"**{word}**" for word in DestinationWord)
    lines = [
        "## Verdicts",
        "",
        f"| source ↓ destination → | {head} |",
        "| --- " * (len(DestinationWord) + 1) + "|",
    ]
    for source in SourceWord:
        cells = " | ".join(
            _cell(WHEREABOUTS[source, destination]) for destination in DestinationWord
        )
        lines.append(f"| **{source}** | {cells} |")
    return [*lines, "", "¹ only with the guard `paused`; with any other guard a person decides."]


def fault_table() -> list[str]:
    """How a move may end that meets a fault at a step; `tests/saga/test_every_fault.py` goes
    through it.
    """
    steps = steps_of(LIVE_MIGRATION)
    numbers = " | ".join(str(number) for number, _ in enumerate(steps, start=1))
    whys = sorted(set(MEANINGLESS.values()))
    lines = [
        "## Faults",
        "",
        f"| fault ↓ at step → | {numbers} |",
        "| --- " * (len(steps) + 1) + "|",
    ]
    for fault in Fault:
        cells = " | ".join(_ends(step, fault, whys) for step in steps)
        lines.append(f"| {fault} | {cells} |")
    told = (f"{_mark(number)} {why}" for number, why in enumerate(whys, start=1))
    lines += [
        "",
        "→ it arrives, ← it is undone, → ← one of the two. Always there is one guest where",
    ]
    lines += [
        "the record says, nothing is left over, and it can be moved again at once. "
        + "; ".join(told)
    ]
    return [*lines[:-1], lines[-1] + "."]


def _ends(step: str, fault: Fault, whys: list[str]) -> str:
    if (step, fault) in MEANINGLESS:
        return _mark(whys.index(MEANINGLESS[step, fault]) + 1)
    way = Way.UNDO if fault in OF_AN_UNDO else Way.DO
    ends = ends_of(LIVE_MIGRATION, Part(step, way), fault)
    arrives = ["→"] if MigrationStatus.COMPLETED in ends else []
    return " ".join([*arrives, *(["←"] if ends - {MigrationStatus.COMPLETED} else [])])


def _mark(number: int) -> str:
    return "¹²³⁴⁵⁶⁷⁸⁹"[number - 1]


def _undo(undo: object) -> str:
    if isinstance(undo, NothingToUndo):
        return f"nothing: {undo.why}"
    return f"`{getattr(undo, '__name__', '')}`"


def _cell(cell: Cell) -> str:
    words = str(cell.now)
    if cell.still_so is not cell.now and cell.still_so is not Verdict.UNKNOWN:
        words += f"; still so: {cell.still_so}"
    return words + (" ¹" if cell.paused_only else "")


DRAWN: Final[Mapping[str, Callable[[], str]]] = {
    "migration.md": migration_page,
    "operating/reasons.md": reasons_page,
}


def page(name: str) -> str:
    """The whole page: its hand-written part as it stands, then what the code says now."""
    written, mark, _ = (DOCS / name).read_text().partition(MARK)
    if not mark:
        raise ValueError(f"docs/{name} lacks the line {MARK}")
    return f"{written}{MARK}\n\n{DRAWN[name]()}"


def main() -> int:
    """Write all pages."""
    for name in DRAWN:
        (DOCS / name).write_text(page(name))
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
