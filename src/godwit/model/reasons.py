"""Reasons: every refusal and failure that a person may see, with its remedy.

Any room that must say no builds its `Reason` here; `docs/operating/reasons.md` is generated from
the catalogue. A code, once published, keeps its meaning. Words and remedies may be improved at any
time.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from godwit.model.catalogue import ALL_BUT_CHECKS
from godwit.model.check_catalogue import CHECKS
from godwit.model.codes import Code, Entry
from godwit.model.ids import HostName

__all__ = ["CATALOGUE", "Code", "Reason", "reason"]

CATALOGUE: Final[Mapping[Code, Entry]] = {**ALL_BUT_CHECKS, **CHECKS}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not or cannot happen, ready to be shown.

    `host` is the host that refused or failed, where there is one.
    """

    code: Code
    words: str
    remedy: str
    host: HostName | None = None


def reason(code: Code, *, host: HostName | None = None, **fields: object) -> Reason:
    """The catalogue's sentence for `code`, filled in. A missing field is a bug and raises
    `KeyError`.
    """
    entry = CATALOGUE[code]
    known = {"host": host, **fields}
    return Reason(
        code=code,
        words=entry.words.format_map(known),
        remedy=entry.remedy.format_map(known),
        host=host,
    )
