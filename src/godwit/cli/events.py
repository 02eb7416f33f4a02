"""Every event of a migration, as a table: when, which step, what came of it, where, who told it."""

from collections.abc import Sequence

from godwit.cli.migration_answers import Entry
from godwit.cli.text import table

HEADS = ("when (utc)", "step", "what", "attempt", "where", "who", "reason", "evidence")


def event_table(entries: Sequence[Entry]) -> list[str]:
    """One line per event, in order. Columns in which nothing stands are left out."""
    rows = [_row(entry) for entry in entries]
    used = [n for n, _ in enumerate(HEADS) if any(row[n] for row in rows)]
    shown = [[row[n] for n in used] for row in rows]
    return table([HEADS[n] for n in used], shown, empty="nothing has happened yet")


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.at.replace("T", " "),
        entry.step,
        entry.what,
        str(entry.attempt) if entry.attempt else "",
        entry.where,
        entry.by,
        entry.code,
        entry.words,
    )
