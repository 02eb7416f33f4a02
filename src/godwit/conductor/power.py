"""What a person states about a host's power. Called by the manager.

From then on what that host does not answer counts for what it is without power, and it takes no
part until it is confirmed up: it is asked nothing, not heard, and not chosen.
"""

from typing import Final

import structlog
from msgspec.structs import replace

from godwit.conductor.world import World
from godwit.model.errors import Conflict, GodwitError, NotFound, Unreachable
from godwit.model.host import Host, HostReport, PersonsWord
from godwit.model.ids import InstanceUuid
from godwit.model.moments import seconds
from godwit.model.reasons import Code, Reason, reason
from godwit.rpc.compute import LookForGuest
from godwit.rpc.conductor import ConfirmPower
from godwit.runtime.clock import iso
from godwit.runtime.ids import new_uuid

FROM_HERE: Final = frozenset({Code.BUS_UNAVAILABLE, Code.STORE_UNAVAILABLE})
"""What says nothing about the host."""
NOT_ON_THE_LINE: Final = frozenset({Code.AGENT_UNREACHABLE, Code.NO_ANSWER, Code.ANSWER_LOST})
"""What is said of an agent that was not heard."""

ALARM: Final = "host confirmed down is heard"
"""The line in the log, of the level critical."""

log = structlog.get_logger()


async def confirm(world: World, ask: ConfirmPower) -> Host:
    """The host as it is on record now. Its stories look again at once.

    Raises `NotFound`, or `Conflict` (host-still-answers): a host that was heard within its limit,
    or answers now, has power. `Unreachable` if nobody can be asked from here.
    """
    host = await world.queries.host(ask.host)
    if host is None:
        raise NotFound(reason(Code.HOST_UNKNOWN, name=ask.host))
    if ask.is_down and not _stands(host):
        why = _was_heard(world, host) or await _answers(world, host)
        if why is not None:
            raise Conflict(why)
    at = iso(world.clock.now_s())
    word = PersonsWord(by=ask.asked.initiator, at=at, why=ask.asked.reason)
    about = await world.store.confirm_power(ask.host, word, is_down=ask.is_down)
    world.fences.forget()
    world.hosts.forget()
    stated = "host confirmed down" if ask.is_down else "host confirmed up"
    log.warning(stated, host=ask.host, by=word.by, why=word.why, migrations=about)
    for uuid in about:
        world.notice(uuid)
    return await world.queries.host(ask.host) or host


async def heard(world: World, report: HostReport, word: PersonsWord) -> Reason:
    """Why the report of a host that is confirmed down is not taken. If it shows that there is power
    all the same, that is on record from now on, and an alarm: a person has to say what is true.
    """
    if report.facts is None and not world.by_agents:  # nobody has answered there
        return word.why_it_takes_no_part(report.host)
    at = iso(world.clock.now_s())
    said = replace(word, heard_at=at)
    if await world.store.hear_confirmed_down(report.host, at=at):
        log.critical(ALARM, host=report.host, by=word.by, at=word.at, why=word.why)
        world.fences.forget()
    return said.why_it_takes_no_part(report.host)


def _stands(host: Host) -> bool:
    """It is confirmed down, and was not heard since."""
    return host.confirmed_down is not None and not host.confirmed_down.heard_at


def _was_heard(world: World, host: Host) -> Reason | None:
    """Its hypervisor was heard, by any conductor, within the limit after which a host is down; or
    its agent, although it was confirmed down.
    """
    again_s = seconds(host.confirmed_down.heard_at) if host.confirmed_down else 0.0
    last_s, limit_s = max(host.heard_at_s, again_s), _limit_s(world)
    silent = max(0.0, world.clock.now_s() - last_s)
    if last_s == 0.0 or silent > limit_s:
        return None
    how = f"it has reported {silent:.0f} s ago"
    return reason(Code.HOST_STILL_ANSWERS, host=host.name, how=how, limit_s=limit_s)


async def _answers(world: World, host: Host) -> Reason | None:
    """It is asked now. An agent stands at its host: also one that has lost its hypervisor says that
    there is power.
    """
    ask = LookForGuest(instance_uuid=InstanceUuid(new_uuid()))
    try:
        await world.compute_unfenced(host.name).look_for_guest(ask)
        how = "its hypervisor answers"
    except GodwitError as error:
        if error.reason.code in FROM_HERE:
            raise
        silent = isinstance(error, Unreachable)
        if silent and (not world.by_agents or error.reason.code in NOT_ON_THE_LINE):
            return None
        who = "agent" if world.by_agents else "hypervisor"
        how = f"its {who} answers ({error.reason.words})"
    return reason(Code.HOST_STILL_ANSWERS, host=host.name, how=how, limit_s=_limit_s(world))


def _limit_s(world: World) -> float:
    return world.settings.hosts_defaults.down_after_s
