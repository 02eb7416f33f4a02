"""How the memory of a simulated guest is copied while it goes on writing. Pure.

The model behind a simulated transfer's figures: rounds, each sending what was written during the
round before, until what is left fits into the allowed pause.
"""

from dataclasses import dataclass, replace
from typing import Final

THROTTLE_FIRST_PERCENT: Final = 20
THROTTLE_STEP_PERCENT: Final = 10
THROTTLE_MAX_PERCENT: Final = 99
"""As QEMU's auto-converge has them."""
ROUND_MIN_S: Final = 0.001
"""No round is shorter; a guest that writes nothing ends after its first."""


@dataclass(frozen=True)
class Writes:
    """What a guest writes to its memory: so fast, within a set of pages."""

    bytes_per_s: float = 0.0
    working_set_bytes: float = 0.0

    def dirtied_bytes(self, for_s: float, throttle_percent: int) -> float:
        """So much differs after `for_s`."""
        written = self.bytes_per_s * (1 - throttle_percent / 100) * for_s
        return min(self.working_set_bytes, written)


QUIET: Final = Writes()


@dataclass(frozen=True)
class Copying:
    """A copy under way. `residue_bytes` is what the newest round began with."""

    total_bytes: float
    remaining_bytes: float
    residue_bytes: float
    sent_bytes: float = 0.0
    iteration: int = 1
    round_s: float = 0.0
    throttle_percent: int = 0
    is_whole: bool = False

    def pause_ms(self, rate_bytes_per_s: float) -> float:
        """So long a pause it would take to send what the newest round began with."""
        return 1000 * self.residue_bytes / rate_bytes_per_s


@dataclass(frozen=True)
class Terms:
    """Under which terms it is copied now."""

    rate_bytes_per_s: float
    downtime_ms: int
    auto_converge: bool = False


def begun(total_bytes: float) -> Copying:
    """A copy of so much memory, before anything is sent."""
    return Copying(total_bytes=total_bytes, remaining_bytes=total_bytes, residue_bytes=total_bytes)


def to_go_s(copying: Copying, terms: Terms) -> float:
    """So long the newest round still takes."""
    return copying.remaining_bytes / terms.rate_bytes_per_s


def copied(copying: Copying, for_s: float, terms: Terms, writes: Writes) -> Copying:
    """The copy after `for_s` more; whole as soon as what is left fits into the pause."""
    while not copying.is_whole and for_s > 0:
        step_s = min(for_s, max(ROUND_MIN_S, to_go_s(copying, terms)))
        sent = min(copying.remaining_bytes, step_s * terms.rate_bytes_per_s)
        copying = replace(
            copying,
            sent_bytes=copying.sent_bytes + sent,
            remaining_bytes=copying.remaining_bytes - sent,
            round_s=copying.round_s + step_s,
        )
        for_s -= step_s
        if copying.remaining_bytes < 1:
            copying = _next_round(copying, terms, writes)
    return copying


def _next_round(copying: Copying, terms: Terms, writes: Writes) -> Copying:
    residue = writes.dirtied_bytes(copying.round_s, copying.throttle_percent)
    if residue <= terms.rate_bytes_per_s * terms.downtime_ms / 1000:
        return replace(copying, residue_bytes=residue, remaining_bytes=0, is_whole=True)
    return replace(
        copying,
        residue_bytes=residue,
        remaining_bytes=residue,
        iteration=copying.iteration + 1,
        round_s=0.0,
        throttle_percent=_throttle(copying, residue, terms),
    )


def _throttle(copying: Copying, residue: float, terms: Terms) -> int:
    """QEMU slows the guest down more and more while a round leaves over half of what it sent."""
    if not terms.auto_converge or residue <= copying.residue_bytes / 2:
        return copying.throttle_percent
    if copying.throttle_percent == 0:
        return THROTTLE_FIRST_PERCENT
    return min(THROTTLE_MAX_PERCENT, copying.throttle_percent + THROTTLE_STEP_PERCENT)
