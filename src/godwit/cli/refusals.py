"""Refusals of many hosts as text: one line for each reason code, or one for each host. Pure.

The server says what is the same for all once, with the host and whatever differs in braces.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from godwit.cli.answers import Detail, Refusal
from godwit.cli.text import ARROW, columns, plain

HOSTS_SHOWN: Final = 3
"""Of more hosts than these, and one, only so many are named."""
TEXTS_SHOWN: Final = 2
EACH: Final = "HOST"
"""Stands for each of several hosts in a sentence, as it does in the help of every verb."""
OBVIOUS: Final = frozenset({"unable-to-migrate-to-self", "not-the-requested-host"})
"""Refusals that go without saying, unless of the very host that was asked for."""


def worth_telling(refusals: Iterable[Refusal], requested: str | None) -> list[Refusal]:
    """The refusals that tell something: not that the guest's own host is no destination, nor that
    a host was not the one asked for.
    """
    told = []
    for refusal in refusals:
        if refusal.code not in OBVIOUS:
            told.append(refusal)
        elif requested in refusal.hosts:
            told.append(_of_one(refusal, refusal.hosts.index(requested)))
    return told


def refusal_lines(
    refusals: Sequence[Refusal], *, all_hosts: bool = False, indent: str = "  "
) -> list[str]:
    """Who refused, code and words; the remedy of each code on the line below."""
    told = [(refusal, rows_of(refusal, all_hosts=all_hosts)) for refusal in refusals]
    cells = [(who, refusal.code, words) for refusal, rows in told for who, words in rows]
    aligned = iter(columns(cells, indent=indent) if cells else ())
    lines = []
    for refusal, rows in told:
        lines += [next(aligned) for _ in rows]
        if refusal.remedy:
            lines.append(f"{indent}  {ARROW} {plain(remedy_of(refusal))}")
    return lines


def rows_of(refusal: Refusal, *, all_hosts: bool) -> list[tuple[str, str]]:
    """Who, and what they said: together, or one by one; so also a few that differ by more than
    their names.
    """
    few_differ = bool(refusal.details) and not is_shortened(refusal.hosts)
    if not all_hosts and not few_differ:
        return [(some_of(refusal.hosts), words_of(refusal))]
    each = (_of_one(refusal, number) for number in range(len(refusal.hosts)))
    return [(one.hosts[0], words_of(one)) for one in each]


def some_of(hosts: Sequence[str]) -> str:
    """The hosts by name; of many, how many there are and the first few."""
    names = list(dict.fromkeys(hosts))
    if len(names) <= HOSTS_SHOWN + 1:
        return ", ".join(names)
    return f"{len(names)} hosts: {', '.join(names[:HOSTS_SHOWN])}, ..."


def is_shortened(hosts: Sequence[str]) -> bool:
    """Does `some_of` leave out some?"""
    return len(set(hosts)) > HOSTS_SHOWN + 1


def words_of(refusal: Refusal) -> str:
    """What all of its hosts said."""
    return _filled(refusal.words, _together(refusal))


def remedy_of(refusal: Refusal) -> str:
    """What can be done at each of its hosts."""
    return _filled(refusal.remedy, _together(refusal))


def _together(refusal: Refusal) -> Mapping[str, str]:
    """What stands for that which differs."""
    names = set(refusal.hosts)
    spread = {name: _spread(column) for name, column in refusal.details.items()}
    return {**spread, "host": EACH if len(names) > 1 else "".join(names)}


def _spread(column: Sequence[Detail]) -> str:
    """From the least to the most, or the first few texts."""
    figures = [each for each in column if isinstance(each, int)]
    if len(figures) == len(column):
        least, most = min(figures), max(figures)
        return str(least) if least == most else f"{least} to {most}"
    texts = list(dict.fromkeys(map(str, column)))
    more = ["..."] if len(texts) > TEXTS_SHOWN else []
    return " | ".join([*texts[:TEXTS_SHOWN], *more])


def _of_one(refusal: Refusal, number: int) -> Refusal:
    """The same as if only this one of its hosts had said so."""
    details = {name: (column[number],) for name, column in refusal.details.items()}
    return replace(refusal, hosts=(refusal.hosts[number],), details=details)


def _filled(sentence: str, known: Mapping[str, str]) -> str:
    """The sentence with these names filled in; other braces stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda name: known.get(name[1], name[0]), sentence)
