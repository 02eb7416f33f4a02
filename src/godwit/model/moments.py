"""Moments as they are kept: ISO 8601 in UTC, without a zone. For rooms that may not ask a clock."""

from datetime import UTC, datetime
from typing import Final

FAR_S: Final = 300.0
"""No lease, no rest and no turn is that long: such a time was written by a clock that was ahead,
and nobody waits for it once that clock has been set right.
"""


def seconds(moment: str) -> float:
    """Since 1970; 0 for no moment."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() if moment else 0.0
