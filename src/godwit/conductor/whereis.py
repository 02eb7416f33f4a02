"""Where is this server? Every host is asked at once what it shows now; nothing is changed.

What alarms is said only after a second look at all that answered, with the record unchanged in
between: a guest that moves may be seen twice, or missed, by looks of different moments.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from godwit.conductor.alarms import alarm
from godwit.conductor.discovery import Heard
from godwit.conductor.requests import known_server
from godwit.conductor.roll_call import Response, look_for_guest, shows_of
from godwit.conductor.world import World
from godwit.model.audit import Evidence, Mismatch
from godwit.model.host import Host
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance
from godwit.model.whereis import (
    ALARMING,
    HostShows,
    LastHeard,
    Place,
    Shows,
    Whereis,
    conclude,
    holders,
    shown,
)
from godwit.rpc.compute import GuestHere
from godwit.rpc.conductor import FindServer
from godwit.runtime.clock import iso

LOOKS_MAX: Final = 3
"""Then what was seen last is told without an alarm: the guest keeps moving."""

LastOf = Callable[[HostName], Heard | None]
"""A host's latest report, where this process has heard one."""


async def find(world: World, ask: FindServer, last_of: LastOf) -> Whereis:
    """What every host shows of the server, and what follows. Raises `NotFound`."""
    record = await known_server(world, ask.instance_uuid)
    hosts = await world.queries.hosts()
    sightings = await _look(world, record.uuid, hosts)
    place = _follows(record, sightings)
    for _ in range(LOOKS_MAX - 1):
        if place not in ALARMING:
            break
        before = (record.host, record.task_state, sightings)
        sightings = await _look(world, record.uuid, hosts, before=sightings)
        record = await known_server(world, ask.instance_uuid)
        place = _follows(record, sightings)
        if (record.host, record.task_state, sightings) == before:
            break
    else:
        place = Place.UNKNOWN if place in ALARMING else place
    if place in ALARMING:
        await _raise_alarm(world, record, place, sightings)
    return Whereis(
        server_uuid=record.uuid,
        server=record.name,
        recorded_host=record.host,
        task_state=record.task_state,
        place=place,
        at_hosts=tuple(each.host for each in holders(sightings)),
        sightings=tuple(_with_last(each, last_of(each.host), record.uuid) for each in sightings),
        looked_at=iso(world.clock.now_s()),
    )


def _follows(record: Instance, sightings: Sequence[HostShows]) -> Place:
    return conclude(sightings, recorded=record.host, task_state=record.task_state)


async def _look(
    world: World,
    uuid: InstanceUuid,
    hosts: Sequence[Host],
    *,
    before: Sequence[HostShows] = (),
) -> tuple[HostShows, ...]:
    """One look at every host, in the order of names. One that was silent before is not waited for
    again.
    """
    silent = {each.host: each for each in before if each.shows is Shows.UNREACHABLE}
    asked = {host.name: host for host in hosts if host.name not in silent}
    responses = await look_for_guest(world, uuid, asked)
    seen = silent | {name: _shown(asked[name], each) for name, each in responses.items()}
    return tuple(seen[name] for name in sorted(seen))


def _shown(host: Host, response: Response[GuestHere]) -> HostShows:
    heard_at = iso(host.heard_at_s) if host.heard_at_s else ""
    shows = shows_of(response)
    return HostShows(host=host.name, shows=shows, words=response.words, heard_at=heard_at)


def _with_last(seen: HostShows, heard: Heard | None, uuid: InstanceUuid) -> HostShows:
    """A silent host's last word, so that a person knows what it may still have."""
    if seen.shows is not Shows.UNREACHABLE or heard is None:
        return seen
    shows = shown(heard.guest(uuid)) if heard.answered else Shows.UNREACHABLE
    return replace(seen, last=LastHeard(at=iso(heard.at_s), shows=shows))


async def _raise_alarm(
    world: World, record: Instance, place: Place, sightings: Sequence[HostShows]
) -> None:
    """Nothing is done about it: whatever were done could destroy data."""
    kind = Mismatch.RUNS_TWICE if place is Place.TWICE else Mismatch.NOWHERE
    at = iso(world.clock.now_s())
    seen = tuple(Evidence(by=each.host, said=each.shows, at=at) for each in sightings)
    await alarm(world, record.uuid, kind, seen)
