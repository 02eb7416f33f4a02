"""One run of one seed: what is asked for, what strikes, the healing, and what must be true at the
end. `report_of` is the way in.
"""

import asyncio
import random
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from godwit.conductor import alarms, power
from godwit.runtime import ids
from godwit.sim import loop
from godwit.sim.audits import audit_throughout, check_the_record
from godwit.sim.ending import all_over, check_the_end, move_again, outcome_of
from godwit.sim.faults import HEALED_AT_S, Plan, drawn
from godwit.sim.journal import Defect, Journal
from godwit.sim.strikes import ask_for, confirm_all_up, enable_all, strike
from godwit.sim.world import World

SETTLED_WITHIN_S: Final = 21.0
"""Once every story has ended, record and truth agree within so long: two reports of every host."""
AT_MOST_S: Final = 5_000.0


ALARMING: Final = frozenset({alarms.ALARM, power.ALARM})
"""A guest that a fault has ended, a host that has power again: no defect."""


@dataclass(frozen=True)
class Report:
    """What came of a run."""

    plan: Plan
    findings: tuple[str, ...]
    outcomes: tuple[str, ...]
    """One per migration that was accepted."""
    hash: str
    lasted_s: float
    lines: tuple[str, ...]


def report_of(seed: int) -> Report:
    """Run this seed. Whatever goes wrong in the run is a finding."""
    plan, chance = drawn(seed), random.Random(f"names of {seed}")
    with ids.drawn_from(lambda: chance.getrandbits(128)):
        return loop.run(_run(plan), at_most_s=AT_MOST_S)


async def _run(plan: Plan) -> Report:
    outcomes: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        world = World(plan, tasks)
        with _defects_told(world.journal):
            await world.begin()
            await asyncio.sleep(1.0)
            world.people.create_task(audit_throughout(world), name="audits")
            await _trouble(world)
            world.heal()
            await enable_all(world)
            await confirm_all_up(world)
            await all_over(world)
            await asyncio.sleep(SETTLED_WITHIN_S)
            outcomes += [outcome_of(each) for each in await world.store.queries.migrations()]
            await check_the_end(world)
            await check_the_record(world)
            await move_again(world)
            world.end()
    lasted_s = asyncio.get_running_loop().time()
    world.store.close()
    findings, lines = tuple(world.checkers.findings), tuple(world.journal.lines)
    return Report(plan, findings, tuple(outcomes), world.journal.hash(), lasted_s, lines)


@contextmanager
def _defects_told(journal: Journal) -> Iterator[None]:
    """Of all that is logged only the errors matter: an error is a defect."""

    def hear(_logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        alarm = event.get("event") in ALARMING
        if method in ("error", "exception", "critical") and not alarm:
            journal.say(Defect(f"{event.get('event')} {event.get('exception', '')}"))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, hear],
        wrapper_class=structlog.make_filtering_bound_logger(40),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


async def _trouble(world: World) -> None:
    """All that is planned, each at its moment; over when the healing comes."""
    for fault in world.plan.faults:
        world.people.create_task(_at(fault.at_s, strike(world, fault)), name=str(fault))
    for ask in world.plan.asks:
        world.people.create_task(_at(ask.at_s, ask_for(world, ask)), name=str(ask))
    plan = world.plan
    over_s = max(
        *(ask.at_s for ask in plan.asks), *(fault.at_s + fault.for_s for fault in plan.faults), 0.0
    )
    await asyncio.sleep(min(HEALED_AT_S, over_s + 5.0))


async def _at(at_s: float, act: Any) -> None:
    await asyncio.sleep(at_s)
    await act
