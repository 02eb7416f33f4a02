"""The door to the wall clock. Durations come from the event loop; dates and leases from here, where
processes share a database server from its clock (`store/store_clock`).
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time, in seconds since 1970 (UTC)."""

    def now_s(self) -> float:
        """The present moment."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        """The present moment."""
        return time.time()


def steady_s() -> float:
    """Seconds since this machine was started. Nobody sets it, and it goes on while it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def iso(at_s: float) -> str:
    """That moment as ISO 8601 in UTC with microseconds and no zone, as OpenStack writes it."""
    return datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
