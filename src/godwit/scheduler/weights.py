"""Which of several possible hosts is best: a weigher gives a number, more is better. Pure.

The weighers are asked in order; a later one decides only where all earlier ones are equal, and the
host's name decides last, so that the same question always has the same answer.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

from godwit.scheduler.host_state import HostState

Weigher = Callable[[HostState], float]


def fewest_transfers(state: HostState) -> float:
    """A host with fewer transfers in flight gets the guest sooner."""
    return -(state.usage.transfers + state.usage.waiting)


def free_memory(state: HostState) -> float:
    """Spread guests: the host with the most memory left."""
    return state.free_memory_mib


WEIGHERS: Final[tuple[Weigher, ...]] = (free_memory, fewest_transfers)


def best_first(states: Iterable[HostState]) -> tuple[HostState, ...]:
    """The states, the best choice first."""
    # Sorted again and again, for a sort keeps the order of equals; one key for all costs more.
    best = sorted(states, key=attrgetter("name"))
    for weigh in reversed(WEIGHERS):
        best.sort(key=weigh, reverse=True)
    return tuple(best)
