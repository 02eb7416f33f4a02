"""The one line that shows how far a transfer is, with a bar that never runs backwards. Pure.

A busy guest dirties memory while it is copied, so what remains grows again with every round. The
bar keeps the furthest it has been; from the second round on, the rounds stand in its place.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from godwit.cli.migration_answers import Migration, Progress
from godwit.cli.text import duration, ordinal, plain, size

BAR_WIDTH: Final = 16
LINE_EVERY_S: Final = 10.0
LINE_EVERY_PART: Final = 0.25
"""Without a terminal a round's progress is printed after so many seconds, or such a part more."""

_PHASES: Final = {"copying-memory": "memory", "copying-disks": "disks"}


@dataclass(frozen=True)
class Furthest:
    """How far the bar has been, and what was printed last where there is no terminal."""

    fraction: float = 0.0
    printed: Progress | None = None
    printed_fraction: float = 0.0

    def after(self, progress: Progress) -> "Furthest":
        """The bar after this sample: never less than before."""
        return replace(self, fraction=max(self.fraction, fraction_of(progress)))

    def worth_a_line(self, progress: Progress) -> bool:
        """Without a terminal: does this sample say something new?"""
        if self.printed is None:
            return True
        return (
            progress.elapsed_s - self.printed.elapsed_s >= LINE_EVERY_S
            or self.fraction - self.printed_fraction >= LINE_EVERY_PART
            or progress.iteration > max(self.printed.iteration, 1)
        )

    def having_printed(self, progress: Progress) -> "Furthest":
        """This sample was printed."""
        return replace(self, printed=progress, printed_fraction=self.fraction)


def fraction_of(progress: Progress) -> float:
    """The part of memory and disks that need not be sent again, as of this sample."""
    total = progress.memory_total_bytes + progress.disk_total_bytes
    if total <= 0:
        return 0.0
    left = progress.memory_remaining_bytes + progress.disk_remaining_bytes
    return min(1.0, max(0.0, 1 - left / total)) if _has_begun(progress) else 0.0


def _has_begun(progress: Progress) -> bool:
    return progress.memory_processed_bytes + progress.disk_processed_bytes > 0


def progress_line(progress: Progress, furthest: Furthest) -> str:
    """What is copied, how far, what was sent, how fast, and what is left or why there is no end."""
    parts = _on_its_way(progress, furthest) if progress.converging else _stuck(progress)
    return plain("    " + "  ".join(parts))


def _on_its_way(progress: Progress, furthest: Furthest) -> list[str]:
    moved = progress.memory_processed_bytes + progress.disk_processed_bytes
    parts = [_phase(progress), *_how_far(progress, furthest), f"{size(moved)} sent"]
    parts += [f"{size(progress.rate_bytes_per_s)}/s", *_slowed(progress)]
    if progress.eta_s is not None:
        parts.append(f"{duration(max(1, ceil(progress.eta_s)))} left")
    return parts


def _stuck(progress: Progress) -> list[str]:
    """What can be sent and what the guest writes; the pause it would need, and the one allowed."""
    what = f"round {progress.iteration}" if progress.iteration > 1 else _phase(progress)
    parts = [f"{what}, not converging", f"{size(progress.rate_bytes_per_s)}/s"]
    if progress.disk_remaining_bytes:
        return [*parts, f"{size(progress.disk_remaining_bytes)} left"]
    parts.append(f"dirties {size(progress.dirty_rate_bytes_per_s)}/s")
    if progress.expected_downtime_ms is not None and progress.allowed_downtime_ms is not None:
        needed = duration(progress.expected_downtime_ms / 1000)
        parts.append(f"pause {needed} > {duration(progress.allowed_downtime_ms / 1000)}")
    return [*parts, *_slowed(progress)]


def _slowed(progress: Progress) -> list[str]:
    return [f"slowed {progress.throttle_percent} %"] if progress.throttle_percent else []


def _phase(progress: Progress) -> str:
    return _PHASES.get(progress.phase, progress.phase)


def _how_far(progress: Progress, furthest: Furthest) -> list[str]:
    if progress.iteration > 1:
        return [f"round {progress.iteration}"]
    filled = int(furthest.fraction * BAR_WIDTH)
    bar = "=" * filled + " " * (BAR_WIDTH - filled)
    return [f"[{bar}]", f"{furthest.fraction:4.0%}"]


def live_line(migration: Migration, furthest: Furthest) -> str:
    """What happens at this moment: the transfer's progress, or the step under way."""
    if migration.abort_requested:
        return f"    {migration.phase}  stopping, as asked"
    transferring = migration.status == "running" and migration.phase == "live_migration"
    if transferring and migration.progress is not None:
        return progress_line(migration.progress, furthest)
    return plain(f"    {_doing(migration)} ...")


def queue_words(migration: Migration) -> str:
    """`3rd of 5 at host-a out, 1st at host-b in`; empty where it does not stand in line."""
    return ", ".join(
        f"{ordinal(at.place)}{f' of {at.waiting}' if at.waiting > 1 else ''}"
        f" at {at.host} {'out' if at.outgoing else 'in'}"
        for at in migration.queue
    )


def _doing(migration: Migration) -> str:
    match migration.direction:
        case "backward":
            return f"undoing {migration.phase}"
        case "resolving":
            return "looking where the guest is"
        case _:
            doing = migration.resting or migration.phase or migration.status
            queue = queue_words(migration)
            return f"{doing}: {queue}" if queue else doing
