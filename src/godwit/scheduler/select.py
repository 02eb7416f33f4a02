"""The scheduler's one answer: the hosts that may take a guest, best first, and why each other one
may not. Asked by the conductor before a move, for a dry run, and for a new server. Pure.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from godwit.model.ids import HostName
from godwit.model.reasons import Reason
from godwit.model.request_spec import RequestSpec
from godwit.scheduler.filters import MOVING, Filter
from godwit.scheduler.host_state import HostState
from godwit.scheduler.weights import best_first


@dataclass(frozen=True)
class Selection:
    """`hosts`: who may take the guest, best first. `refusals`: one per other host that was looked
    at, by its name.
    """

    hosts: tuple[HostName, ...]
    refusals: tuple[Reason, ...]


def select_destinations(
    spec: RequestSpec,
    states: Iterable[HostState],
    *,
    filters: tuple[Filter, ...] = MOVING,
    look_max: int = sys.maxsize,
) -> Selection:
    """The hosts, best first, each either chosen or refused with the first filter's reason.

    Of a large fleet only the best `look_max` are looked at, and more as long as none of them can
    take the guest. Deterministic.
    """
    passed: list[HostName] = []
    refusals: dict[HostName, Reason] = {}
    for looked_at, state in enumerate(best_first(states)):
        if passed and looked_at >= look_max:
            break
        refusal = refusal_of(spec, state, filters=filters)
        if refusal is None:
            passed.append(state.name)
        else:
            refusals[state.name] = refusal
    return Selection(tuple(passed), tuple(refusals[name] for name in sorted(refusals)))


def refusal_of(
    spec: RequestSpec, state: HostState, *, filters: tuple[Filter, ...] = MOVING
) -> Reason | None:
    """The first filter's reason against this host, or None if all let it pass."""
    for refuse in filters:
        refusal = refuse(spec, state)
        if refusal is not None:
            return refusal
    return None
