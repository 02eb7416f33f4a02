"""What each fault does to a call that crosses a seam. Chosen by the table, run by the stage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.faults.seams import Crossing, Point, Seam
from tests.faults.table import Fault

from godwit.model.errors import GodwitError, HypervisorError, Superseded, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.rpc.answering import no_answer
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.contract import calls_of
from godwit.saga.log import Story
from godwit.store.interface import Fence

if TYPE_CHECKING:
    from tests.faults.stage import Stage

OUT_S: Final = 30.0
STILL_S: Final = 25.0
"""Longer than a lease, and than the other conductor needs for the step."""
STORE_PATIENCE_S: Final = 5.0
HANG_S: Final = 300.0
"""A driver gives a call up after so long."""
LATE_S: Final = 30.0
"""A message that nobody has repeated arrives after so long."""

Act = Callable[["Stage", Crossing], Awaitable[None]]


@dataclass(frozen=True)
class Blow:
    """What a fault does, `after` the call has acted or before it does, at which seams."""

    do: Act
    seams: tuple[Seam, ...]
    after: bool = False
    at_record: bool | None = None
    """Only at a step's own record, or only elsewhere."""

    def can_strike(self, point: Point) -> bool:
        """Does it mean anything there?"""
        is_record = point.seam is Seam.STORE and point.call == "record"
        return point.seam in self.seams and self.at_record in (None, is_record)


@dataclass
class Strike:
    """One fault that awaits its call, for one story."""

    stage: Stage
    blow: Blow
    point: Point
    for_good: bool = False
    story: str = ""
    has_struck: bool = False
    under_way: int = 0
    was_repeated: asyncio.Event = field(default_factory=asyncio.Event)

    async def before(self, at: Crossing) -> None:
        """The call is about to leave."""
        if not self.blow.after and self._is_now(at):
            await self.go_through(self.blow.do(self.stage, at))

    async def behind(self, at: Crossing) -> None:
        """It has acted; nobody has heard of it yet."""
        if self.blow.after and self._is_now(at):
            await self.go_through(self.blow.do(self.stage, at))
        elif self.has_struck and at.point == self.point:
            self.was_repeated.set()

    async def go_through(self, blow: Awaitable[None]) -> None:
        """It is not over before this is."""
        self.under_way += 1
        try:
            await blow
        finally:
            self.under_way -= 1

    async def is_over(self) -> bool:
        """Nothing of it is still to come."""
        return self.under_way == 0

    def _is_now(self, at: Crossing) -> bool:
        if at.point != self.point or (self.has_struck and not self.for_good):
            return False
        if at.position is None or self.story not in ("", at.position.story):
            return False
        self.has_struck = True
        return True


# --- the faults -----------------------------------------------------------------------------------


async def fails(_stage: Stage, at: Crossing) -> None:
    raise trouble(at)


async def hangs(stage: Stage, at: Crossing) -> None:
    await asyncio.sleep(min(HANG_S, stage.ground.patience_max_s))
    why = reason(Code.HYPERVISOR_UNAVAILABLE, host=HostName(at.place), problem=f"{at.call} hangs")
    raise Unreachable(why)


async def twice(_stage: Stage, at: Crossing) -> None:
    await at.act()


async def reply_lost(stage: Stage, at: Crossing) -> None:
    await asyncio.sleep(patience_s(stage, at))
    raise trouble(at)


async def reply_late(stage: Stage, at: Crossing) -> None:
    """The host is slow: it acts when the caller has given up and asked again."""
    strike = stage.strike
    assert strike is not None

    async def act_late() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s(stage, at) + LATE_S):
                await strike.was_repeated.wait()
        with contextlib.suppress(GodwitError):
            await at.act()

    stage.tasks.create_task(strike.go_through(act_late()), name=f"late {at.call}")
    await asyncio.sleep(patience_s(stage, at))
    raise trouble(at)


async def conductor_dies(stage: Stage, at: Crossing) -> None:
    assert at.process is not None
    stage.kill(at.process)
    await at.process.passing()


async def agent_dies(stage: Stage, at: Crossing) -> None:
    stage.kill_agent(HostName(at.place))


async def agent_dies_unanswered(stage: Stage, at: Crossing) -> None:
    stage.kill_agent(HostName(at.place))
    raise trouble(at)


async def bus_drops(stage: Stage, _at: Crossing) -> None:
    stage.bus_is_out_until_s = asyncio.get_running_loop().time() + OUT_S


async def store_refuses(stage: Stage, _at: Crossing) -> None:
    stage.store_is_out_until_s = asyncio.get_running_loop().time() + OUT_S


async def abort(stage: Stage, at: Crossing) -> None:
    assert at.position is not None
    await stage.abort(at.position.story)


async def believed_dead(stage: Stage, at: Crossing) -> None:
    """Its renewals are lost, and the answer to its act takes longer than its lease."""
    assert at.process is not None
    stage.unheard_renewals.add(at.process.name)
    await asyncio.sleep(STILL_S)


async def wakes_up_late(stage: Stage, at: Crossing) -> None:
    """Its process stands still for longer than its lease; then it acts as if nothing had been."""
    assert at.process is not None
    stage.stand_still(at.process, STILL_S)
    await at.process.passing()
    if not _is_act(at):
        return
    try:
        await at.act()
    except Superseded:
        raise
    except GodwitError as error:
        stage.complaints.append(f"{at.point} of a stale conductor met {error}")
    stage.complaints.append(f"{at.point} of a stale conductor was obeyed")


def _is_act(at: Crossing) -> bool:
    """Does it change anything, in the name of a story?"""
    if at.seam is Seam.RPC:
        return hasattr(at.message[0], "act") and not at.call.startswith("sight_")
    if at.call == "record_progress":
        return False  # dropped, without a word
    return any(isinstance(each, Fence | Story) for each in at.message)


def trouble(at: Crossing) -> GodwitError:
    """What a caller is told there when it goes wrong."""
    match at.seam:
        case Seam.RPC:
            return no_answer(calls_of(ComputeRpc)[at.call], at.place)
        case Seam.STORE | Seam.READS:
            return store_unavailable(at.call)
        case Seam.DRIVER:
            problem = "a fault of the table"
            return HypervisorError(
                reason(
                    Code.HYPERVISOR_ERROR, host=HostName(at.place), doing=at.call, problem=problem
                )
            )


def store_unavailable(call: str) -> Unreachable:
    """What the store's client says when it does not answer."""
    problem = f"no answer to {call}"
    return Unreachable(reason(Code.STORE_UNAVAILABLE, path="of the test", problem=problem))


def patience_s(stage: Stage, at: Crossing) -> float:
    """So long a caller waits there."""
    return min(timeout_s(at), stage.ground.patience_max_s)


def timeout_s(at: Crossing) -> float:
    """So long it is meant to wait there."""
    if at.seam is Seam.RPC:
        return calls_of(ComputeRpc)[at.call].remote.timeout_s
    return STORE_PATIENCE_S


RPC, STORE, READS, DRIVER = Seam.RPC, Seam.STORE, Seam.READS, Seam.DRIVER

BLOWS: Final[Mapping[Fault, Blow]] = {
    Fault.FAILS: Blow(fails, (RPC, STORE, READS, DRIVER)),
    Fault.HANGS: Blow(hangs, (DRIVER,)),
    Fault.FAILS_AFTER_ACTING: Blow(fails, (STORE, DRIVER), after=True),
    Fault.RUNS_TWICE: Blow(twice, (RPC, STORE)),
    Fault.REPLY_LOST: Blow(reply_lost, (RPC, STORE), after=True),
    Fault.REPLY_LATE: Blow(reply_late, (RPC,)),
    Fault.CONDUCTOR_DIES_BEFORE_RECORDING: Blow(conductor_dies, (STORE,), at_record=True),
    Fault.CONDUCTOR_DIES_AFTER_RECORDING: Blow(
        conductor_dies, (STORE,), after=True, at_record=True
    ),
    Fault.CONDUCTOR_DIES_BETWEEN: Blow(
        conductor_dies, (RPC, STORE, READS), after=True, at_record=False
    ),
    Fault.AGENT_DIES_BEFORE_ACTING: Blow(agent_dies, (RPC,)),
    Fault.AGENT_DIES_WHILE_ACTING: Blow(agent_dies, (DRIVER,), after=True),
    Fault.AGENT_DIES_AFTER_ACTING: Blow(agent_dies_unanswered, (RPC,), after=True),
    Fault.BUS_DROPS: Blow(bus_drops, (RPC, STORE, READS)),
    Fault.STORE_REFUSES: Blow(store_refuses, (RPC, STORE, READS)),
    Fault.UNDO_FAILS_ONCE: Blow(fails, (RPC, STORE, DRIVER)),
    Fault.UNDO_FAILS_FOR_GOOD: Blow(fails, (RPC, DRIVER)),
    Fault.ABORT: Blow(abort, (RPC, STORE, READS)),
    Fault.BELIEVED_DEAD: Blow(believed_dead, (RPC, STORE, READS), after=True),
    Fault.STALE_CONDUCTOR: Blow(wakes_up_late, (RPC, STORE, READS)),
}
