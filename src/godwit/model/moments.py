"""Moments as they are kept: ISO 8601 in UTC, without a zone. For rooms that may not ask a clock."""

from datetime import UTC, datetime


def seconds(moment: str) -> float:
    """Since 1970; 0 for no moment."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() if moment else 0.0
