"""A guest that runs twice or nowhere: the loudest alarm there is, kept until it is seen to be over.

Nothing is done about it. Such a guest is not migrated, one that runs twice not deleted either: that
could destroy the only one, or the newest data. Raised by audits, by looks for a guest, by reports
and by stories; looked at again by every conductor now and then.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from godwit.conductor.roll_call import look_for_guest, shows_of
from godwit.conductor.world import World
from godwit.model.audit import Alarm, Evidence, Mismatch
from godwit.model.errors import Conflict, GodwitError
from godwit.model.host import Host
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance
from godwit.model.reasons import Code, reason
from godwit.model.whereis import Shows
from godwit.runtime.clock import iso
from godwit.servicegroup import is_up

LOOK_AGAIN_S: Final = 30.0
ALARM: Final = "guest runs twice or nowhere"
"""The line in the log, of the level critical."""

log = structlog.get_logger()


async def alarm(
    world: World, uuid: InstanceUuid, kind: Mismatch, evidence: tuple[Evidence, ...]
) -> None:
    """Say it, and keep it until it is seen to be over."""
    at = iso(world.clock.now_s())
    log.critical(
        ALARM,
        kind=kind,
        server=uuid,
        evidence=[f"{seen.by}: {seen.said} ({seen.at})" for seen in evidence],
    )
    await world.store.raise_alarm(
        Alarm(instance_uuid=uuid, kind=kind, evidence=evidence, since=at, seen_at=at)
    )


async def refuse_if_alarmed(world: World, instance: Instance, *kinds: Mismatch) -> None:
    """Raises `Conflict` (guest-alarms) for a guest that runs twice or nowhere. One that was set
    right a moment ago is looked at again first.
    """
    known = await world.queries.alarm(instance.uuid)
    if known is not None:
        await _look_whether_it_is_over(world, known)
        known = await world.queries.alarm(instance.uuid)
    if known is not None and known.kind in (kinds or (known.kind,)):
        seen = ", ".join(f"{each.by}: {each.said}" for each in known.evidence)
        raise Conflict(reason(Code.GUEST_ALARMS, server=instance.name, kind=known.kind, seen=seen))


async def two_reports(world: World, uuid: InstanceUuid, hosts: tuple[HostName, HostName]) -> None:
    """The reports of two hosts show it: if it runs at both now, that is an alarm."""
    shows = await _look(world, uuid, hosts)
    if _runs_twice(shows):
        await alarm(world, uuid, Mismatch.RUNS_TWICE, _evidence(world, shows))
        return
    said = {host: word.value for host, word in shows.items()}
    log.warning("guest seen at two hosts", server=uuid, shown=said)


async def vanished(world: World, uuid: InstanceUuid) -> None:
    """No report shows it any more: an alarm, unless a host that is silent may have it."""
    hosts = await world.queries.hosts()
    silent = [host.name for host in hosts if not _is_heard(world, host)]
    if silent:
        log.error("guest has vanished, or is at a silent host", server=uuid, silent=silent)
        return
    shows = await _look(world, uuid, tuple(host.name for host in hosts))
    if set(shows.values()) == {Shows.NOTHING}:
        await alarm(world, uuid, Mismatch.NOWHERE, _evidence(world, shows))


async def look_again_for_ever(world: World) -> None:
    """End the alarms that are over. Ends only by being cancelled."""
    while True:
        await asyncio.sleep(LOOK_AGAIN_S)
        try:
            for known in await world.queries.alarms():
                await _look_whether_it_is_over(world, known)
        except GodwitError as error:
            log.warning("alarms not looked at", words=error.reason.words)


async def _look_whether_it_is_over(world: World, known: Alarm) -> None:
    """Only hosts that answered can say so: for one that runs twice those that showed it, for one
    that is nowhere any that shows it.
    """
    if known.kind is Mismatch.RUNS_TWICE:
        hosts = tuple(HostName(seen.by) for seen in known.evidence if seen.said == Shows.RUNS)
        shows = await _look(world, known.instance_uuid, hosts)
        over = Shows.UNREACHABLE not in shows.values() and not _runs_twice(shows)
    else:
        instance = await world.queries.instance(known.instance_uuid)
        if instance is None:
            shows, over = {}, True
        else:
            shows = await _look(world, known.instance_uuid, (instance.host,))
            over = shows[instance.host] not in {Shows.NOTHING, Shows.UNREACHABLE}
    if over and await world.store.end_alarm(known.instance_uuid):
        said = {host: word.value for host, word in shows.items()}
        log.warning("alarm is over", kind=known.kind, server=known.instance_uuid, shown=said)


async def _look(
    world: World, uuid: InstanceUuid, hosts: tuple[HostName, ...]
) -> Mapping[HostName, Shows]:
    responses = await look_for_guest(world, uuid, hosts)
    return {host: shows_of(response) for host, response in responses.items()}


def _runs_twice(shows: Mapping[HostName, Shows]) -> bool:
    return sum(word is Shows.RUNS for word in shows.values()) > 1


def _evidence(world: World, shows: Mapping[HostName, Shows]) -> tuple[Evidence, ...]:
    at = iso(world.clock.now_s())
    return tuple(Evidence(by=host, said=word, at=at) for host, word in sorted(shows.items()))


def _is_heard(world: World, host: Host) -> bool:
    """It reports, and its hypervisor answers. A host that never did is no guest's."""
    now_s, limit_s = world.clock.now_s(), world.settings.hosts_defaults.down_after_s
    if host.heard_at_s == 0.0:
        return True
    up = is_up(host, now_s=now_s, down_after_s=limit_s)
    return up and not host.trouble and host.confirmed_down is None
