"""Words and figures for a terminal: sizes, durations, aligned columns. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

CELL_MAX: Final = 60
ARROW: Final = "→"
_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def plain(text: str) -> str:
    """`text` without control characters: names come from guests, and terminals obey them."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def begun(text: str) -> str:
    """As much of it as a cell of a table may hold."""
    return text if len(text) <= CELL_MAX else f"{text[: CELL_MAX - 3]}..."


def size(count: float) -> str:
    """Bytes in the unit that leaves one to four digits: `2.1 GiB`, `310 MiB`."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    digits = 1 if unit and count < 100 else 0
    return f"{count:.{digits}f} {_UNITS[unit]}"


def mib(count: int) -> str:
    """MiB in a fitting unit."""
    return size(count * 2**20) if count else "0"


def duration(seconds: float) -> str:
    """`38 ms`, `4.2 s`, `16 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, left_s = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {left_s} s"
    return f"{minutes // 60} h {minutes % 60} min"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else _ENDINGS.get(number % 10, 'th')}"


def between(begin: str, end: str) -> float | None:
    """Seconds between two ISO times; None where one is missing."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    except ValueError:
        return None


def at(moment: str) -> str:
    """An ISO time in UTC as people read it: `2026-01-02 03:04:05 UTC`."""
    return f"{moment.partition('.')[0].rstrip('Z').replace('T', ' ')} UTC" if moment else "-"


def version(number: int) -> str:
    """libvirt's number for a version: 7002022 is `7.2.22`."""
    if not number:
        return "-"
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """The rows as aligned lines, two spaces between columns, nothing after the last word."""
    safe = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    return [
        (
            indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        ).rstrip()
        for row in safe
    ]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> list[str]:
    """The rows below their heads, or the one line `empty`."""
    return columns([[head.upper() for head in heads], *rows]) if rows else [empty]


def pairs(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Names and values, one pair to a line; a pair without a value is left out."""
    return columns([(name, value) for name, value in lines if value])
