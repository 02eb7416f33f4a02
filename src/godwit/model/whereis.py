"""Where a guest is, asked of every host at once: what each of them shows now, and what follows.

`conclude` is the whole decision and is pure. It says only what the hypervisors show; the record
takes no part in it but to be compared.
"""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest, PowerState, TaskState


class Shows(StrEnum):
    """What one host shows of a guest now."""

    RUNS = "runs"
    PAUSED = "paused"
    """Paused or suspended: it holds the guest's memory."""
    OFF = "off"
    """Defined there, shut off or crashed."""
    ARRIVING = "arriving"
    """Half a guest, which a migration is still filling."""
    NOTHING = "nothing"
    """The hypervisor answered: it is not there."""
    UNREACHABLE = "unreachable"
    """No answer. This says nothing about the guest."""
    NO_POWER = "no-power"
    """Its power is off, as a person confirms: it runs nothing, whatever it may have."""


class LastHeard(msgspec.Struct, frozen=True, kw_only=True):
    """The latest report of a host, as one conductor has it in memory."""

    at: str
    """When it came in, in ISO 8601, UTC."""
    shows: Shows
    """What it showed of the guest; UNREACHABLE: the hypervisor did not answer its agent."""


class HostShows(msgspec.Struct, frozen=True, kw_only=True):
    """One host's answer, of this moment."""

    host: HostName
    shows: Shows
    words: str = ""
    """Why it is unreachable."""
    heard_at: str = ""
    """When any conductor last had a report of this host; empty: never."""
    last: LastHeard | None = None
    """Only of a host that is unreachable, and that reported to this conductor."""


class Place(StrEnum):
    """What follows from all answers together."""

    AS_RECORDED = "as-recorded"
    """At the host that the record names, and at no other that answers."""
    UNDER_WAY = "under-way"
    """In a task, as its record says, and seen: whoever carries that on knows more."""
    ELSEWHERE = "elsewhere"
    """At one host, which is not the recorded one; that one answered that it is not there."""
    LEFT_OVER = "left-over"
    """In use at one host alone; another has it, too, shut off, and no task accounts for that."""
    UNKNOWN = "unknown"
    """Hosts that do not answer may have it; or several have it, and not just one in use."""
    TWICE = "twice"
    """Runs at two hosts: it may be writing its disks from both."""
    NOWHERE = "nowhere"
    """Every host answered, and none has it."""


ALARMING: Final = frozenset({Place.TWICE, Place.NOWHERE})
"""What nobody may be left in doubt about. Never said after a single look: hosts do not answer all
at the same moment, and a guest may move between two answers."""


class Whereis(msgspec.Struct, frozen=True, kw_only=True):
    """The record, what every host shows, and what follows."""

    server_uuid: InstanceUuid
    server: str
    recorded_host: HostName
    task_state: TaskState | None
    place: Place
    at_hosts: tuple[HostName, ...]
    """Those that show a guest, not only half of one that arrives; the one in use first."""
    sightings: tuple[HostShows, ...]
    """By the hosts' names."""
    looked_at: str


def shown(guest: Guest | None) -> Shows:
    """The word for what a host that answered has of the guest."""
    if guest is None:
        return Shows.NOTHING
    if guest.arriving:
        return Shows.ARRIVING
    return _OF_POWER_STATE[guest.power_state]


_OF_POWER_STATE: Final = {
    PowerState.NOSTATE: Shows.OFF,
    PowerState.RUNNING: Shows.RUNS,
    PowerState.PAUSED: Shows.PAUSED,
    PowerState.SHUTDOWN: Shows.OFF,
    PowerState.CRASHED: Shows.OFF,
    PowerState.SUSPENDED: Shows.PAUSED,
}
_MADE_OR_REMOVED: Final = (TaskState.SPAWNING, TaskState.DELETING)
_IN_USE: Final = (Shows.RUNS, Shows.PAUSED)
_USED_FIRST: Final = (Shows.RUNS, Shows.PAUSED, Shows.OFF)


def holders(sightings: Sequence[HostShows]) -> tuple[HostShows, ...]:
    """The hosts that show a guest: those where it runs, then paused ones, then the rest."""
    having = [each for each in sightings if each.shows in _USED_FIRST]
    return tuple(sorted(having, key=lambda each: (_USED_FIRST.index(each.shows), each.host)))


def conclude(
    sightings: Sequence[HostShows], *, recorded: HostName, task_state: TaskState | None
) -> Place:
    """What follows from one look at every host, if nothing has moved while it was taken."""
    having = holders(sightings)
    if sum(each.shows is Shows.RUNS for each in having) > 1:
        return Place.TWICE
    silent = {each.host for each in sightings if each.shows is Shows.UNREACHABLE}
    if not having:
        off = {each.host for each in sightings if each.shows is Shows.NO_POWER}
        return _unseen(sightings, silent | off, task_state)
    if task_state is not None:
        return Place.UNDER_WAY
    # A host that does not answer may still run what its record says it has.
    if recorded in silent:
        return Place.UNKNOWN
    if len(having) > 1:
        alone = sum(each.shows in _IN_USE for each in having) == 1
        return Place.LEFT_OVER if alone else Place.UNKNOWN
    return Place.AS_RECORDED if having[0].host == recorded else Place.ELSEWHERE


def _unseen(
    sightings: Sequence[HostShows], silent: Collection[HostName], task_state: TaskState | None
) -> Place:
    is_half_there = any(each.shows is Shows.ARRIVING for each in sightings)
    if is_half_there or task_state in _MADE_OR_REMOVED:
        return Place.UNKNOWN if task_state is None else Place.UNDER_WAY
    return Place.UNKNOWN if silent else Place.NOWHERE
