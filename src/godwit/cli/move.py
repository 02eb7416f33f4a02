"""One of many servers that are to be moved: who it is, what was found out, what became of it. Pure.

`many` carries it from step to step; `many_lines` puts it into words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from godwit.cli.answers import Server
from godwit.cli.exits import Exit, Failure, exit_of_outcome, worst_of
from godwit.cli.migration_answers import Checked, Migration
from godwit.cli.show import would_do

FINAL: Final = frozenset({"completed", "failed", "cancelled", "error"})


@dataclass(frozen=True)
class Move:
    """What is None is not known, or has not happened."""

    named: str
    server: Server | None = None
    checked: Checked | None = None
    failure: Failure | None = None
    """Why it could not be checked, or was not accepted."""
    migration: Migration | None = None
    raw: bytes = b""
    """The server's last answer about it, as it came."""

    @property
    def name(self) -> str:
        """As people know the server."""
        return (self.server.name or self.server.id) if self.server else self.named

    @property
    def can_go(self) -> bool:
        """Was it checked, and would some host take it?"""
        return self.failure is None and self.checked is not None and would_do(self.checked) > 0

    @property
    def is_under_way(self) -> bool:
        """Is its end still to come, without a person's help?"""
        migration = self.migration
        if migration is None or migration.person_needed:
            return False
        return migration.status not in FINAL

    @property
    def end(self) -> Exit:
        """Its own exit code; before it was asked for: that of its check."""
        if self.failure is not None:
            return self.failure.exit_code
        if self.migration is None:
            return Exit.MOVED if self.can_go else Exit.REFUSED
        return Exit.MOVED if self.is_under_way else exit_of_outcome(self.migration.outcome)


def document(moves: Iterable[Move]) -> bytes:
    """All of them as one JSON document."""
    moves = list(moves)
    servers = [_entry(move) for move in moves]
    code = worst_of(move.end for move in moves)
    return msgspec.json.encode({"servers": servers, "exit_code": int(code)})


def _entry(move: Move) -> dict[str, Any]:
    """What the server said of it lies inside as it came."""
    entry: dict[str, Any] = {"named": move.named, "exit_code": int(move.end)}
    if move.server is not None:
        who = {"server_uuid": move.server.id, "server_name": move.server.name}
        entry |= {**who, "source": move.server.host}
    if move.raw:
        entry |= msgspec.json.decode(move.raw, type=dict[str, Any])
    if move.failure is not None:
        failure = move.failure
        error = {"code": failure.code, "message": failure.message, "remedy": failure.remedy}
        entry["error"] = {**error, "refusals": failure.refusals}
    return entry
