"""The audit as a checker. Throughout every run it compares the record with the hypervisors
themselves; in every fourth run people also ask a conductor to do so, over the network, and to
repair; and in every run the conductors do so by themselves, in turn.

There must never be anything to mend in the record by itself, whatever strikes; and once all is over
nothing to mend or to say at all, but of guests that were given up.
"""

import asyncio
from typing import Final

from godwit.conductor.disagreements import disagreements
from godwit.model.audit import Action, Audit, Disagreement, Mismatch, Stock
from godwit.model.errors import GodwitError
from godwit.rpc.conductor import AskAudit
from godwit.sim.loop import VirtualClock
from godwit.sim.strikes import ASKED
from godwit.sim.world import World
from godwit.virt.simulated.driver import SimulatedDriver

LOOK_EVERY_S: Final = 5.0
REPAIR_EVERY_S: Final = 17.0
ONE_RUN_IN: Final = 4
OF_THE_HOSTS: Final = frozenset(
    {Mismatch.ELSEWHERE, Mismatch.NOT_ON_RECORD, Mismatch.STATE_DIFFERS}
)
"""The record is behind what the hosts show until they report: that is no defect."""


async def audit_throughout(world: World) -> None:
    """Until the run is over."""
    repairs_s = REPAIR_EVERY_S if world.plan.seed % ONE_RUN_IN == 0 else None
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for each in await _look(world):
            if each.action is not Action.NOTHING and each.kind not in OF_THE_HOSTS:
                _find(world, "the record is broken", each)
        if repairs_s is not None and asyncio.get_running_loop().time() >= repairs_s:
            await _repair(world)
            repairs_s += REPAIR_EVERY_S


async def check_the_record(world: World) -> None:
    """At the end: record and truth agree, and a repair has nothing to do."""
    for each in await _look(world):
        if each.subject not in world.lost:
            _find(world, "record and truth disagree", each)
    found = await _repair(world)
    for each in found.disagreements if found else ():
        if each.subject not in world.lost:
            _find(world, "an audit finds", each)
    for done in await world.store.queries.repairs():
        if done.kind not in OF_THE_HOSTS:
            world.checkers.findings.append(f"{done.by} repaired {done.kind} {done.subject[-3:]}")
    if found is None or found.silent:
        world.checkers.findings.append(f"an audit does not hear everybody: {found}")


async def _look(world: World) -> tuple[Disagreement, ...]:
    """What is true and what is committed, at one moment: nothing is under way between two looks."""
    stocks = [
        Stock(
            host=host,
            facts=SimulatedDriver(world.fleet, host).facts(),
            guests=tuple(half.as_guest() for half in world.fleet.halves(host)),
        )
        for host in world.fleet.hosts()
    ]
    now_s = VirtualClock().now_s()
    return disagreements(await world.store.queries.ledger(at_s=now_s), stocks)


async def _repair(world: World) -> Audit | None:
    """As a person asks for it. Nothing of the record itself may have had to be mended."""
    try:
        found = await world.api.audit(AskAudit(asked=ASKED, repair=True))
    except GodwitError as error:
        world.journal.note(f"people hear: {error.reason.code}")
        return None
    for each in found.disagreements:
        if each.repaired and each.kind not in OF_THE_HOSTS:
            _find(world, "repaired", each)
    return found


def _find(world: World, what: str, each: Disagreement) -> None:
    seen = "; ".join(f"{e.by}: {e.said}" for e in each.evidence)
    words = f"{what}: {each.kind} {each.subject[-3:]} at {each.host} ({seen})"
    world.journal.note(f"FOUND {words}")
    world.checkers.findings.append(words)
