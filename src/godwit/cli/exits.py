"""How a client verb ends: the exit codes that scripts rely on, and the error that ends a verb."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from godwit.cli.answers import Fault, Refusal


class Exit(IntEnum):
    """The process's exit code."""

    MOVED = 0
    """The guest has moved; for every other verb: done."""
    CANNOT_ASK = 1
    """The server does not answer, or knows nothing of what was named."""
    WRONG_USAGE = 2
    REFUSED = 3
    """A check said no; nothing was changed."""
    FAILED = 4
    """The migration failed and the guest is safe at the source, or was ended there on purpose."""
    PERSON_NEEDED = 5
    """A person must see to the guest: where it is cannot be told, or it runs nowhere and nobody is
    known to have wanted that."""
    CANCELLED = 6
    INTERRUPTED = 130
    """Ctrl-C while watching: the migration goes on, its end is not known."""


BY_OUTCOME: Final[Mapping[str, Exit]] = {
    "moved": Exit.MOVED,
    "refused": Exit.REFUSED,
    "moved-and-ended": Exit.PERSON_NEEDED,
    "failed": Exit.FAILED,
    "ended": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
    "person-needed": Exit.PERSON_NEEDED,
}
"""The exit code for each outcome the server names."""

KNOWN_PLACES: Final = frozenset({"as-recorded", "under-way", "elsewhere", "left-over"})
"""The places that say for sure where a guest is."""

WORST_FIRST: Final = (
    Exit.PERSON_NEEDED,
    Exit.FAILED,
    Exit.CANNOT_ASK,
    Exit.WRONG_USAGE,
    Exit.REFUSED,
    Exit.CANCELLED,
    Exit.MOVED,
)
"""Which of many ends is the exit code."""

UNKNOWN_NAMES: Final = frozenset(
    {
        "server-unknown",
        "host-unknown",
        "migration-unknown",
        "flavor-unknown",
        "image-unknown",
    }
)
"""Reason codes that say: nobody knows what was named."""


def exit_of_outcome(outcome: str) -> Exit:
    """The exit code for an outcome; a word we do not know needs a person to look."""
    return BY_OUTCOME.get(outcome, Exit.PERSON_NEEDED)


def exit_of_place(place: str) -> Exit:
    """The exit code for where a guest was found; a word we do not know needs a person to look."""
    return Exit.MOVED if place in KNOWN_PLACES else Exit.PERSON_NEEDED


def exit_of_fault(status: int, fault: Fault) -> Exit:
    """The exit code for an error answer of the server."""
    if fault.reason == "invalid-input":
        return Exit.WRONG_USAGE
    if status == 404 or status >= 500 or fault.reason in UNKNOWN_NAMES:
        return Exit.CANNOT_ASK
    return Exit.REFUSED


def worst_of(ends: Iterable[Exit]) -> Exit:
    """The exit code for many ends."""
    return min(ends, key=WORST_FIRST.index, default=Exit.MOVED)


@dataclass(frozen=True)
class Failure(Exception):
    """Ends a verb: shown as one line, with the remedy; `refusals` are of hosts."""

    exit_code: Exit
    message: str
    remedy: str = ""
    code: str = ""
    refusals: tuple[Refusal, ...] = ()
