"""The audit by itself: every few minutes one conductor looks, and mends what is safe to mend, by
the code of `godwit audit --repair`. What it mended is kept with its evidence, told by every audit;
what it may not mend, and alarms, it says in its log.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from godwit.conductor.world import World
from godwit.model.audit import ALARMS, Audit
from godwit.model.errors import GodwitError
from godwit.model.ids import RequestId
from godwit.rpc.conductor import AskAudit, Asked
from godwit.runtime.ids import new_request_id

DUTY: Final = "audit"
TRY_EVERY_S: Final = 30.0
"""So often each conductor asks whether it is its turn."""
BOUND_S: Final = 600.0
"""A look at hosts that all stay silent is given up after so long."""
MYSELF: Final = "godwit"
"""Who has asked for it."""

Look = Callable[[AskAudit], Awaitable[Audit]]
"""What a conductor answers to an audit."""

log = structlog.get_logger()


async def reconcile_for_ever(world: World, look: Look, *, owner: str) -> None:
    """Look whenever it is this conductor's turn. Ends only by being cancelled."""
    while True:
        await asyncio.sleep(TRY_EVERY_S)
        try:
            if await _is_my_turn(world, owner):
                await _look_once(look, owner)
        except (GodwitError, TimeoutError) as error:
            log.warning("not audited", why=str(error) or type(error).__name__)


async def _is_my_turn(world: World, owner: str) -> bool:
    every_s = world.settings.hosts_defaults.audit_every_s
    if not every_s:
        return False
    now_s = world.clock.now_s()
    return await world.store.take_turn(DUTY, by=owner, now_s=now_s, every_s=every_s)


async def _look_once(look: Look, owner: str) -> None:
    asked = Asked(initiator=f"{MYSELF} ({owner})", request_id=RequestId(new_request_id()))
    async with asyncio.timeout(BOUND_S):
        found = await look(AskAudit(asked=asked, repair=True))
    left = [each for each in found.disagreements if not each.repaired and each.kind not in ALARMS]
    if left:
        log.warning(
            "record and hosts disagree: see godwit audit",
            kinds=sorted({each.kind for each in left}),
            disagreements=len(left),
        )
