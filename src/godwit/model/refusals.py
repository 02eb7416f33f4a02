"""Refusals of many hosts, grouped: one entry for each reason code, with its remedy once, and every
host that refused by it.

A search among a thousand hosts ends with a few entries instead of a thousand sentences; they are
kept, sent and shown like this everywhere (`cli/refusals` turns them back into sentences).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec

from godwit.model.ids import HostName
from godwit.model.reasons import Code, Detail, Reason, sentences_of

HOST = "host"
"""In the sentences of a refusal: the name of the host, as everywhere in the catalogue."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why some hosts refused: one code, and all that is the same for each of them.

    What differs from host to host stands in `words` and `remedy` as `{host}`, or as one of the
    names in `details`.
    """

    code: Code
    words: str
    remedy: str
    hosts: tuple[HostName, ...]
    """By name. One that has several such reasons is named as often."""
    details: dict[str, tuple[Detail, ...]] = {}
    """What differs, one for each host, in their order."""


Against = tuple[HostName, Reason]
"""A host that will not take the guest, and why: in the words of that host, or of the source."""


def grouped(against: Iterable[Against]) -> tuple[Refusal, ...]:
    """All that was said against hosts, by code: first what was said of most. Nothing is lost: every
    host keeps its own sentence.
    """
    alike: defaultdict[tuple[Code, str, str], list[Against]] = defaultdict(list)
    for host, why in against:
        alike[why.code, *_sentences(host, why)].append((host, why))
    refusals = [_refusal(*key, members) for key, members in alike.items()]
    return tuple(sorted(refusals, key=_order))


def by_themselves(reasons: Iterable[Reason]) -> Iterator[Against]:
    """What hosts have said of themselves. A reason that is of no host is a defect."""
    for why in reasons:
        if why.host is None:
            raise AssertionError(f"{why.code} is no refusal of a host: {why.words}")
        yield why.host, why


def _order(refusal: Refusal) -> tuple[int, HostName, Code]:
    return -len(refusal.hosts), refusal.hosts[0], refusal.code


def _sentences(host: HostName, why: Reason) -> tuple[str, str]:
    """Its words and its remedy before anything was filled in but another host's name."""
    sentences = sentences_of(why.code)
    if sentences.forms.keys() != why.details.keys():
        return "{words}", "{remedy}"  # another version's: they stand for themselves
    known = {} if why.host in (None, host) else {HOST: str(why.host)}
    return filled(sentences.words, known), filled(sentences.remedy, known)


def _refusal(code: Code, words: str, remedy: str, members: list[Against]) -> Refusal:
    members = sorted(members, key=itemgetter(0))
    hosts = tuple(host for host, _ in members)
    if words == "{words}":
        said: list[Mapping[str, Detail]] = [
            {"words": why.words, "remedy": why.remedy} for _, why in members
        ]
    else:
        said = [why.details for _, why in members]
    columns = {name: tuple(details[name] for details in said) for name in said[0]}
    columns[HOST] = hosts
    same = {name: str(column[0]) for name, column in columns.items() if _is_same(column)}
    return Refusal(
        code=code,
        words=filled(words, same),
        remedy=filled(remedy, same),
        hosts=hosts,
        details={n: column for n, column in columns.items() if n not in same and n != HOST},
    )


def _is_same(column: Sequence[Detail]) -> bool:
    """One for all, and nothing that would look like a name to be filled in."""
    return all(each == column[0] for each in column) and "{" not in str(column[0])


def filled(sentence: str, known: Mapping[str, str]) -> str:
    """The sentence with these names filled in; all others stay as they are."""
    for name, text in known.items():
        sentence = sentence.replace(f"{{{name}}}", text)
    return sentence
