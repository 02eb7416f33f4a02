"""Twins: what stands in for a guest in a rehearsal. Their names say so, and when they were made, so
that discovery passes them over and one that was left behind can be told from one at work.
"""

import re
from typing import Final, NewType

TwinName = NewType("TwinName", str)

STALE_AFTER_S: Final = 900
"""Longer than any rehearsal can take."""

_NAME: Final = re.compile(r"godwit-rehearsal-([0-9]{10,12})-[0-9a-f]{8}")


def twin_name(made_at_s: float, uuid: str) -> TwinName:
    """A new twin's name; of `uuid` the first eight digits are taken."""
    return TwinName(f"godwit-rehearsal-{int(made_at_s)}-{uuid[:8]}")


def is_twin(name: str) -> bool:
    """Is this the name of a twin, and not of a guest?"""
    return _NAME.fullmatch(name) is not None


def is_left_behind(name: str, now: TwinName) -> bool:
    """Was a twin of this name made so long before the one of `now` that its rehearsal is over?"""
    found, newer = _NAME.fullmatch(name), _NAME.fullmatch(now)
    if found is None or newer is None:
        return False
    return int(newer[1]) - int(found[1]) > STALE_AFTER_S
