"""The lines of the table that `make bench` prints, and the file it writes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULT = Path("build/bench.json")


@dataclass(frozen=True)
class Figure:
    """One line of the table. Without a target it is there to understand the others."""

    key: str
    value: float
    target: float | None = None
    more_is_better: bool = False

    @property
    def met(self) -> bool:
        """Does it reach its target?"""
        if self.target is None:
            return True
        return self.value >= self.target if self.more_is_better else self.value <= self.target


def table(figures: Sequence[Figure]) -> list[str]:
    """A head, and one line per figure."""
    lines = [f"{'':26}{'measured':>10}{'target':>10}"]
    for figure in figures:
        target = "" if figure.target is None else f"{figure.target:g}"
        met = "" if figure.met else "   missed"
        lines.append(f"{figure.key:26}{figure.value:10.2f}{target:>10}{met}")
    return lines


def write(figures: Sequence[Figure]) -> None:
    """Leave them where other programs look."""
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({each.key: round(each.value, 2) for each in figures}, indent=1))
