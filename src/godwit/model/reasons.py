"""Reasons: every refusal and failure that a person may see, with its remedy.

Any room that must say no builds its `Reason` here; `docs/operating/reasons.md` is generated from
the catalogue. A code, once published, keeps its meaning. Words and remedies may be improved at any
time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import Final

import msgspec

from godwit.model.catalogue import ALL_BUT_CHECKS
from godwit.model.check_catalogue import CHECKS
from godwit.model.codes import Code, Entry
from godwit.model.ids import HostName

__all__ = ["CATALOGUE", "Code", "Detail", "Reason", "reason", "sentences_of"]

CATALOGUE: Final[Mapping[Code, Entry]] = {**ALL_BUT_CHECKS, **CHECKS}

Detail = int | str
"""What is filled into a sentence: a whole number, or text as it stands there."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not or cannot happen, ready to be shown.

    `host` is the host that refused or failed, where there is one.
    """

    code: Code
    words: str
    remedy: str
    host: HostName | None = None
    details: dict[str, Detail] = {}
    """What was filled into words and remedy, by name; the host not again."""

    def __hash__(self) -> int:
        """Equal reasons have equal words; the details alone could not be hashed."""
        return hash((self.code, self.words, self.host))


def reason(code: Code, *, host: HostName | None = None, **fields: object) -> Reason:
    """The catalogue's sentence for `code`, filled in. A missing field is a bug and raises
    `KeyError`.
    """
    sentences = sentences_of(code)
    details = {name: _detail(fields[name], form) for name, form in sentences.forms.items()}
    known = {"host": host, **details}
    return Reason(
        code=code,
        words=sentences.words.format_map(known),
        remedy=sentences.remedy.format_map(known),
        host=host,
        details=details,
    )


@dataclass(frozen=True)
class Sentences:
    """A line of the catalogue whose `{names}` are plain: how each is written stands in `forms`."""

    words: str
    remedy: str
    forms: Mapping[str, str]


@cache
def sentences_of(code: Code) -> Sentences:
    """Both sentences of a code, and how each detail is written but the host."""
    entry = CATALOGUE[code]
    parts = [*Formatter().parse(entry.words), *Formatter().parse(entry.remedy)]
    forms = {name: form or "" for _, name, form, _ in parts if name and name != "host"}
    return Sentences(_plain(entry.words), _plain(entry.remedy), forms)


def _plain(sentence: str) -> str:
    """`{silent_s:.0f}` becomes `{silent_s}`."""
    return re.sub(r"\{(\w+)[^}]*\}", r"{\1}", sentence)


def _detail(value: object, form: str) -> Detail:
    """As it stands in the sentence; a number if that is a whole one."""
    text = format(value, form)
    is_whole = isinstance(value, int | float) and text.isdecimal()
    return int(text) if is_whole else text
