"""How far a transfer has come, and what it cost in the end. Filled by drivers, kept by the store,
shown to people.
"""

from enum import StrEnum
from typing import Final

import msgspec


class TransferPhase(StrEnum):
    """What the transfer is doing now."""

    PREPARING = "preparing"
    COPYING_DISKS = "copying-disks"
    COPYING_MEMORY = "copying-memory"
    SWITCHING = "switching"
    POST_COPY = "post-copy"
    """The guest runs at the destination, the rest of its memory follows."""
    POST_COPY_BROKEN = "post-copy-broken"
    """The same, but nothing follows until the stream is resumed."""
    ARRIVED = "arrived"
    """The guest is whole at the destination: nothing is sent any more."""


NO_WAY_BACK: Final = frozenset({TransferPhase.POST_COPY, TransferPhase.POST_COPY_BROKEN})
"""The guest runs at the destination already: what is under way is never stopped."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One sample of a running transfer. Bytes, bytes per second, seconds; `None`: not known."""

    phase: TransferPhase = TransferPhase.PREPARING
    elapsed_s: float = 0.0
    memory_total_bytes: int = 0
    memory_processed_bytes: int = 0
    memory_remaining_bytes: int = 0
    disk_total_bytes: int = 0
    disk_processed_bytes: int = 0
    disk_remaining_bytes: int = 0
    rate_bytes_per_s: int = 0
    dirty_rate_bytes_per_s: int = 0
    limit_bytes_per_s: int = 0
    """The hypervisor sends no faster; 0: no limit."""
    iteration: int = 0
    eta_s: float | None = None
    converging: bool = True
    """False once rounds of the copy no longer come closer to the end."""
    expected_downtime_ms: int | None = None
    """So long the guest would pause if the newest round were the last."""
    allowed_downtime_ms: int | None = None
    """So long it may pause at the switch, now."""
    throttle_percent: int = 0
    """By how much the hypervisor slows the guest down."""

    @property
    def moved_bytes(self) -> int:
        """All that was sent so far, memory and disks. Never runs backwards within one transfer."""
        return self.memory_processed_bytes + self.disk_processed_bytes


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished transfer cost, as the hypervisor reports it. `None` where it does not say."""

    total_ms: int | None = None
    downtime_ms: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    iterations: int | None = None
