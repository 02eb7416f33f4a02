"""What a host's report says about the servers: appeared, changed, moved, vanished. Pure.

Asked for every report. Servers in a task are left alone, for their story writes their record;
arriving halves are no guests. A guest seen at two hosts is named and nothing about it is changed.

A report may have been under way while a story finished. So findings that contradict a record count
only if the looks of both hosts' reports began after the record was last written.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from msgspec.structs import replace

from godwit.model.finding import InstanceChange, InstanceChangeKind
from godwit.model.host import HostReport
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Disk, Guest, Instance, PowerState, TaskState, VmState
from godwit.model.moments import seconds

SETTLED_AFTER_S: Final = 15.0
"""Longer than a report may take from the end of its look at the hypervisor to the conductor."""

ALLOCATED_STEP_BYTES: Final = 64 * 2**20
"""A disk that has grown by so much is news: `disk_over_commit` counts what a disk holds."""
ABANDONED_AFTER_S: Final = 300.0
"""Longer than a conductor may take to make or remove a guest."""
_SHORT_TASKS: Final = frozenset({TaskState.SPAWNING, TaskState.DELETING})


@dataclass(frozen=True)
class Heard:
    """A host's latest report, and when it came in (wall clock)."""

    report: HostReport
    at_s: float

    @property
    def look_began_s(self) -> float:
        """What the report shows is not older than that, but for the way here."""
        return self.at_s - self.report.look_s

    @property
    def answered(self) -> bool:
        """Whether the hypervisor itself was heard; otherwise the guests mean nothing."""
        return self.report.facts is not None

    def guest(self, uuid: InstanceUuid) -> Guest | None:
        """The guest, if it is at this host; not the half that is still arriving."""
        return self._here.get(uuid)

    @cached_property
    def _here(self) -> Mapping[InstanceUuid, Guest]:
        return {guest.uuid: guest for guest in self.report.guests if not guest.arriving}


@dataclass(frozen=True)
class Findings:
    """`changes` are to be recorded; `doubled` are guests seen at this host and at another one."""

    changes: tuple[InstanceChange, ...] = ()
    doubled: tuple[tuple[InstanceUuid, HostName], ...] = ()
    """Each with the other host."""


@dataclass(frozen=True)
class LeftOver:
    """A server left in `task`, and its guest, if the host has one."""

    uuid: InstanceUuid
    host: HostName
    task: TaskState
    guest: Guest | None


def reconcile(
    known: tuple[Instance, ...],
    others: Mapping[HostName, Heard],
    heard: Heard,
    *,
    unheard: frozenset[HostName] = frozenset(),
    outdated: Collection[HostName] = (),
    without_power: Collection[HostName] = (),
) -> Findings:
    """What this report changes, given the servers on record and the other hosts' latest reports.

    `unheard` are hosts that have not reported yet and are expected to: a guest may be at one of
    them, so nothing has vanished before they are heard. `outdated` are those of the others that
    have reported to another conductor since: what they showed before is no guest at two hosts, and
    no guest that has left. Hosts `without_power` run nothing: what they showed is over.
    """
    if not heard.answered:
        return Findings()
    records = {instance.uuid: instance for instance in known}
    unasked = {heard.report.host, *without_power}
    others = {name: others[name] for name in sorted(others) if name not in unasked}
    fresh = {name: other for name, other in others.items() if name not in outdated}
    changes: list[InstanceChange] = []
    doubled: list[tuple[InstanceUuid, HostName]] = []
    for guest in heard.report.guests:
        if guest.arriving or _in_a_task(records.get(guest.uuid)):
            continue
        elsewhere = _host_with(guest.uuid, fresh)
        if elsewhere is not None:
            if _is_news(records.get(guest.uuid), heard, fresh[elsewhere]):
                doubled.append((guest.uuid, elsewhere))
            continue
        record = records.get(guest.uuid)
        if record is not None and record.host in without_power:
            changes += [_change(InstanceChangeKind.MOVED, guest, heard)]
        else:
            changes += _seen_here(guest, record, heard, fresh)
    for instance in known:
        changes += _not_seen_here(instance, heard, others, unheard)
    return Findings(tuple(changes), tuple(doubled))


def left_over(
    known: tuple[Instance, ...], heard: Heard, *, ours: Collection[InstanceUuid] | None = None
) -> tuple[LeftOver, ...]:
    """Servers at this host whose making or removing nobody attends to any more (a process died).

    `ours`: those that this life has begun to make, where no other can be alive: any other that is
    being made is left over at once.
    """
    if not heard.answered:
        return ()
    return tuple(
        LeftOver(record.uuid, record.host, record.task_state, heard.guest(record.uuid))
        for record in known
        if record.task_state in _SHORT_TASKS
        and record.host == heard.report.host
        and (_is_of_an_earlier_life(record, ours) or _is_abandoned(record, heard))
    )


def _is_of_an_earlier_life(record: Instance, ours: Collection[InstanceUuid] | None) -> bool:
    making = record.task_state is TaskState.SPAWNING
    return making and ours is not None and record.uuid not in ours


def _is_abandoned(record: Instance, heard: Heard) -> bool:
    return heard.at_s >= seconds(record.updated_at or record.created_at) + ABANDONED_AFTER_S


def _seen_here(
    guest: Guest, record: Instance | None, heard: Heard, others: Mapping[HostName, Heard]
) -> list[InstanceChange]:
    if record is None:
        return [_change(InstanceChangeKind.APPEARED, guest, heard)]
    if record.host == heard.report.host:
        same = _as_recorded(guest) == _of_record(record) and record.vm_state is not VmState.MISSING
        return [] if same else [_change(InstanceChangeKind.CHANGED, guest, heard)]
    recorded_host = others.get(record.host)
    if recorded_host is None or not recorded_host.answered:
        return []
    if not (_settled(record, heard) and _settled(record, recorded_host)):
        return []
    return [_change(InstanceChangeKind.MOVED, guest, heard)]


def _not_seen_here(
    record: Instance,
    heard: Heard,
    others: Mapping[HostName, Heard],
    unheard: frozenset[HostName],
) -> list[InstanceChange]:
    here = record.host == heard.report.host
    if not here or _in_a_task(record) or record.vm_state is VmState.MISSING:
        return []
    if any(guest.uuid == record.uuid for guest in heard.report.guests):
        return []
    if unheard or _host_with(record.uuid, others) is not None or not _settled(record, heard):
        return []
    return [InstanceChange(InstanceChangeKind.VANISHED, record.uuid, record.host, record.node)]


def _change(kind: InstanceChangeKind, guest: Guest, heard: Heard) -> InstanceChange:
    facts = heard.report.facts
    node = facts.node if facts is not None else ""
    return InstanceChange(kind, guest.uuid, heard.report.host, node, guest)


def _host_with(uuid: InstanceUuid, others: Mapping[HostName, Heard]) -> HostName | None:
    """The first of them, which are in the order of their names; one where it runs before others."""
    there = {
        name: guest
        for name, each in others.items()
        if each.answered and (guest := each.guest(uuid)) is not None
    }
    running = (name for name, guest in there.items() if guest.power_state is PowerState.RUNNING)
    return next(running, next(iter(there), None))


def _in_a_task(record: Instance | None) -> bool:
    return record is not None and record.task_state is not None


def _is_news(record: Instance | None, heard: Heard, other: Heard) -> bool:
    """Just after a move the source's last report still shows the guest: that is no second one."""
    return record is None or (_settled(record, heard) and _settled(record, other))


def _settled(record: Instance, heard: Heard) -> bool:
    return heard.look_began_s >= seconds(record.updated_at or record.created_at) + SETTLED_AFTER_S


def _as_recorded(guest: Guest) -> tuple[object, ...]:
    return (
        guest.name,
        guest.power_state,
        guest.vcpus,
        guest.memory_mib,
        _shapes(guest.disks),
        guest.nics,
        guest.platform,
    )


def _of_record(record: Instance) -> tuple[object, ...]:
    return (
        record.name,
        record.power_state,
        record.vcpus,
        record.memory_mib,
        _shapes(record.disks),
        record.nics,
        record.platform,
    )


def _shapes(disks: tuple[Disk, ...]) -> tuple[Disk, ...]:
    """Disks without what every write of the guest changes: what they hold counts in steps."""
    return tuple(
        replace(disk, allocated_bytes=disk.allocated_bytes // ALLOCATED_STEP_BYTES)
        for disk in disks
    )
