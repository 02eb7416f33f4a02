"""Many servers as text: who can go where, how far each is, what became of them. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from godwit.cli.exits import Exit
from godwit.cli.migration_answers import Migration, Statistics
from godwit.cli.move import Move
from godwit.cli.progress import Furthest, progress_line, queue_words
from godwit.cli.refusals import refusal_lines, some_of, worth_telling
from godwit.cli.show import failure_lines, reason_lines
from godwit.cli.story import closing, moved_bytes
from godwit.cli.text import ARROW, between, columns, duration, plain, size, table

WORDS: Final[Mapping[str, str]] = {
    "accepted": "waits to begin",
    "queued": "waits for its turn",
    "running": "being moved",
    "post-migrating": "has moved, tidying up",
    "completed": "moved",
    "error": "a person is needed",
}
"""For people; a status that is not here is said as it is."""
_ENDS: Final = (
    (Exit.MOVED, "moved"),
    (Exit.REFUSED, "refused"),
    (Exit.FAILED, "failed"),
    (Exit.CANCELLED, "cancelled"),
    (Exit.PERSON_NEEDED, "needing a person"),
    (Exit.CANNOT_ASK, "not known"),
    (Exit.WRONG_USAGE, "wrongly asked"),
)


# --- before they move ----------------------------------------------------------------------------


def check_lines(
    moves: Sequence[Move], requested: str | None, *, all_hosts: bool = False
) -> list[str]:
    """One table: who can go, and where; below it, who cannot, why, and what to do about it."""
    rows = [
        (
            move.name,
            move.server.host if move.server else "-",
            "yes" if move.can_go else "no",
            _where_or_why(move, requested),
        )
        for move in moves
    ]
    lines = table(("server", "on", "can go", "to, or why not"), rows, empty="no servers")
    return [*lines, *_remedies(moves, requested, all_hosts=all_hosts)]


def _where_or_why(move: Move, requested: str | None) -> str:
    if not move.can_go:
        return "; ".join(dict.fromkeys(_codes(move, requested)))
    willing = move.checked.verdicts.willing if move.checked else ()
    return some_of([each.host for each in willing])


def _codes(move: Move, requested: str | None) -> list[str]:
    if move.failure is not None:
        return [move.failure.code or move.failure.message]
    if move.checked is None:
        return []
    verdicts = move.checked.verdicts
    said = verdicts.reasons or worth_telling(verdicts.refusals, requested)
    return [each.code for each in said] or ["no other host"]


def _remedies(moves: Sequence[Move], requested: str | None, *, all_hosts: bool) -> list[str]:
    """Why not, each different reason once, and what to do about it."""
    paragraphs = [
        tuple(paragraph)
        for move in moves
        if not move.can_go
        for paragraph in _why_not(move, requested, all_hosts=all_hosts)
    ]
    return [line for paragraph in dict.fromkeys(paragraphs) for line in paragraph]


def _why_not(move: Move, requested: str | None, *, all_hosts: bool) -> list[list[str]]:
    if move.failure is not None:
        return [[plain(line) for line in failure_lines(move.failure)]]
    if move.checked is None:
        return []
    verdicts = move.checked.verdicts
    return [
        *(reason_lines([reason]) for reason in verdicts.reasons),
        *(
            refusal_lines([refusal], all_hosts=all_hosts)
            for refusal in worth_telling(verdicts.refusals, requested)
        ),
    ]


def intent_line(moves: Sequence[Move]) -> str:
    """What is about to happen, said before it does."""
    going = [move for move in moves if move.can_go]
    staying = [move.name for move in moves if not move.can_go]
    if not going:
        return "none of them can go: nothing is moved"
    left = f"; left where they are: {', '.join(staying)}" if staying else ""
    return plain(f"moving {len(going)} of {len(moves)}{left}")


# --- while they move -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One server on the board."""

    name: str
    road: str
    status: str
    doing: str

    @property
    def line(self) -> str:
        """The row by itself."""
        return plain(f"  {self.name}  {self.road}  {self.doing}")


def row_of(move: Move, migration: Migration, furthest: Furthest) -> Row:
    """How far one server is."""
    to = migration.destination or migration.requested_host or "?"
    status = "stopping" if migration.abort_requested else migration.status
    road = f"{migration.source} {ARROW} {to}"
    return Row(move.name, road, status if move.is_under_way else "ended", _doing(move, furthest))


def _doing(move: Move, furthest: Furthest) -> str:
    migration = move.migration
    if migration is None:
        return ""
    if not move.is_under_way:
        return _ended(migration)
    if migration.abort_requested:
        return "stopping, as asked"
    if migration.status == "running" and migration.progress is not None:
        return progress_line(migration.progress, furthest).strip()
    words, queue = WORDS.get(migration.status, migration.status), queue_words(migration)
    return f"{words}: {queue}" if queue else words


def _ended(migration: Migration) -> str:
    if migration.status == "completed" and migration.outcome != "moved-and-ended":
        downtime_ms = (migration.statistics or Statistics()).downtime_ms
        return "moved" if downtime_ms is None else f"moved, downtime {_ms(downtime_ms)}"
    why = f": {migration.reason.code}" if migration.reason else ""
    word = "a person is needed" if migration.person_needed else migration.outcome
    return f"{word or WORDS.get(migration.status, migration.status)}{why}"


def board_lines(rows: Sequence[Row], height: int) -> list[str]:
    """The rows as they fit: what is being moved first, the rest counted."""
    if len(rows) > height:
        rows = sorted(rows, key=_rank)
    shown = rows if len(rows) <= height else rows[: max(1, height - 1)]
    lines = columns([(row.name, row.road, row.doing) for row in shown], indent="  ")
    hidden = Counter(row.status for row in rows[len(shown) :])
    if hidden:
        counts = ", ".join(f"{count} {word}" for word, count in hidden.most_common())
        lines.append(f"  and {hidden.total()} more: {counts}")
    return lines


def _rank(row: Row) -> int:
    order = ("running", "stopping", "post-migrating", "preparing", "accepted", "queued", "ended")
    return order.index(row.status) if row.status in order else 0


# --- afterwards ----------------------------------------------------------------------------------


def summary_lines(moves: Sequence[Move]) -> list[str]:
    """How many moved, what that cost; then each that did not, and what to do about it."""
    counts = Counter(move.end for move in moves)
    parts = [f"{counts[end]} {word}" for end, word in _ENDS if counts[end]]
    ended = [move.migration for move in moves if move.migration]
    lines = [plain("  ".join([f"{', '.join(parts)} of {len(moves)}", *_cost(ended)]))]
    for move in moves:
        if move.failure is not None:
            lines += [plain(f"{move.name}: {line}") for line in failure_lines(move.failure)]
        elif move.migration is None and not move.can_go:
            lines.append(plain(f"{move.name}: refused, as said above"))
        elif move.migration is not None and move.end is not Exit.MOVED:
            head, *rest = closing(move.migration)
            lines += [plain(f"{move.name}: {head}"), *rest]
    return lines


def _cost(ended: Sequence[Migration]) -> list[str]:
    """Total time, data, longest downtime, as far as they are known."""
    parts = []
    begins, ends = [m.created_at for m in ended], [m.updated_at for m in ended]
    spent_s = between(min(begins, default=""), max(ends, default=""))
    if spent_s is not None:
        parts.append(f"in {duration(spent_s)}")
    costs = [migration.statistics for migration in ended if migration.statistics]
    if moved := sum(map(moved_bytes, costs)):
        parts.append(size(moved))
    if downtimes_ms := [cost.downtime_ms for cost in costs if cost.downtime_ms is not None]:
        parts.append(f"longest downtime {_ms(max(downtimes_ms))}")
    return parts


def _ms(count: int) -> str:
    return duration(count / 1000)
