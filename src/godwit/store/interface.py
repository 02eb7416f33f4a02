"""What the conductor asks of its store. Every method is one transaction, durable when it returns.

Writes on behalf of a story carry its `Fence` and raise `Superseded`, changing nothing, when the
fence is old. Each may be repeated with the same arguments (a process may die between the write and
its next record). Reads live in `store/queries.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from godwit.model.audit import Alarm, Disagreement
from godwit.model.finding import InstanceChange as InstanceChange
from godwit.model.finding import InstanceChangeKind as InstanceChangeKind
from godwit.model.host import HostReport, PersonsWord
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Guest, Instance
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.progress import Progress, Statistics
from godwit.model.reasons import Reason
from godwit.model.refusals import Refusal
from godwit.model.sighting import GuestEnd
from godwit.model.steering import Steering
from godwit.saga.log import SagaLog, Story


@dataclass(frozen=True)
class Fence:
    """Which story writes, under which generation of its lease."""

    migration_uuid: MigrationUuid
    generation: int


@dataclass(frozen=True)
class MigrationChanges:
    """What a story adds to its migration's record. `None` leaves a field as it is."""

    status: MigrationStatus | None = None
    dest_compute: HostName | None = None
    dest_node: str | None = None
    refusals: tuple[Refusal, ...] | None = None
    reason: Reason | None = None
    person_needed: bool | None = None
    statistics: Statistics | None = None
    forget_destination: bool = False
    """Clear `dest_compute` and `dest_node` (a candidate that was dropped)."""


@dataclass(frozen=True)
class HoldSource:
    """The server's claim at the source now belongs to the migration."""


@dataclass(frozen=True)
class NewHost:
    """The guest is at `host`: `instance.host`, node, the migration's claim at the source and
    `post-migrating`; the transfer slots are given back.
    """

    host: HostName
    node: str
    end: GuestEnd | None = None
    """It has ended there since it moved."""
    statistics: Statistics | None = None


@dataclass(frozen=True)
class Ending:
    """The end of the story: final status, server in no task, nothing held by the migration."""

    status: MigrationStatus
    reason: Reason | None = None
    end: GuestEnd | None = None
    """The guest has ended where its record says that it is."""


@dataclass(frozen=True)
class Needs:
    """What a claim takes at a host, and what the host has. Checked where it is claimed."""

    vcpus: int
    memory_mib: int
    vcpus_max: int
    """The host's vCPUs times its allocation ratio."""
    memory_max_mib: int
    """The host's memory less what it reserves for itself."""
    group_members_barred: tuple[InstanceUuid, ...] = field(default=())
    """Anti-affinity: the claim fails if one of these is on the host, or on its way to it."""
    group: str = "?"
    """Their group, for people."""


@dataclass(frozen=True)
class Decision:
    """What a person said about a guest: it is at this host, or it is lost (None)."""

    at_host: HostName | None
    why: Reason
    at: str
    """When, in ISO 8601, UTC."""


class Store(SagaLog, Protocol):
    """The one keeper of what must survive."""

    # --- hosts and servers -----------------------------------------------------------------------

    async def ensure_hosts(self, names: tuple[HostName, ...]) -> None:
        """Make the hosts of the settings known; forget none that a server or migration names."""
        ...

    async def record_report(
        self, report: HostReport, changes: tuple[InstanceChange, ...], *, now_s: float
    ) -> None:
        """Keep what a host said of itself, and discovery's findings, each only if its server is
        still in no task. Servers' allocations follow (without capacity check: the guests are
        there). What a host owes is due at once when it answers again. Raises `Refused`
        (host-confirmed-down or host-heard-again), keeping nothing, as long as a person says that it
        has no power.
        """
        ...

    async def set_host_enabled(self, host: HostName, *, enabled: bool, why: str) -> None:
        """Raises `NotFound` for an unknown host."""
        ...

    async def confirm_power(
        self, host: HostName, word: PersonsWord, *, is_down: bool
    ) -> tuple[str, ...]:
        """A person states that the host's power is off, or that it may take part again. The stories
        that have it at an end are due at once, and are returned; what it owes is, once it is
        confirmed up. Raises `NotFound`.
        """
        ...

    async def hear_confirmed_down(self, host: HostName, *, at: str) -> bool:
        """It was heard all the same: what a person stated is evidence of nothing any more. True for
        the first time since; False, too, for a host that is not confirmed down.
        """
        ...

    async def create_instance(self, instance: Instance, needs: Needs) -> None:
        """Insert a server and its claim. Raises `Refused` (capacity) or `Conflict` (uuid or
        name taken).
        """
        ...

    async def finish_instance(self, uuid: InstanceUuid, guest: Guest | None) -> None:
        """The end of spawning: its guest as made, or None: remove the record and the claim."""
        ...

    async def begin_delete(self, uuid: InstanceUuid) -> Instance:
        """Mark as being deleted; one that is marked may be marked again (whoever did may have
        died). Raises `NotFound`, or `Conflict` if it is in another task.
        """
        ...

    async def remove_instance(self, uuid: InstanceUuid) -> None:
        """Remove record and claim. Raises `Conflict` if it is migrating. Harmless if it is gone."""
        ...

    async def repair(self, found: Disagreement, *, by: str) -> bool:
        """Mend this in the record, if it is still as the audit has read it, and keep that it was,
        for whom and on which evidence. False: it is not so any more, and nothing was changed. A
        record that was to follow its guest has followed it by a report: only that is kept.
        """
        ...

    async def take_turn(self, duty: str, *, by: str, now_s: float, every_s: float) -> bool:
        """Whether this is the process that does its `duty` now: no other has for `every_s`, nor
        will for as long.
        """
        ...

    async def raise_alarm(self, alarm: Alarm) -> bool:
        """Keep it; one of the same kind keeps since when it holds. True if it is a new one."""
        ...

    async def end_alarm(self, uuid: InstanceUuid) -> bool:
        """It is over. False if there was none."""
        ...

    # --- the story's own writes --------------------------------------------------------------

    async def accept_migration(self, migration: Migration, story: Story) -> Migration:
        """One transaction: task_state from none to migrating, the migration's row (with its
        number), the story's row. Raises `NotFound`, or `Conflict` (instance-busy) if it is in a
        task.
        """
        ...

    async def change_migration(self, fence: Fence, changes: MigrationChanges) -> Migration:
        """Apply `changes`; the status only along `MAY_FOLLOW`."""
        ...

    async def record_progress(self, fence: Fence, progress: Progress) -> None:
        """Best effort: the newest sample replaces the one before. One of an old generation, or
        that comes after the end, is dropped.
        """
        ...

    async def give_back_source_allocation(self, fence: Fence) -> None:
        """Undo of `HoldSource`: the claim belongs to the server again."""
        ...

    async def claim_destination(self, fence: Fence, host: HostName, needs: Needs) -> Reason | None:
        """Claim for the server at `host`, checked and taken in one transaction; a reason if it does
        not fit. A claim of this migration at another host is dropped first."""
        ...

    async def drop_claims(self, fence: Fence) -> None:
        """Undo of `claim_destination`: nothing is claimed at any destination for this migration."""
        ...

    async def take_slots(self, fence: Fence, *, slots_max: Mapping[HostName, int]) -> bool:
        """One transfer slot at each of the two hosts (the keys), or a place in the line.

        A host has so many slots for each direction, out and in. First come, first served at each
        host; a later story passes only an earlier one with which it shares no host. Whoever frees a
        slot grants it to the first and wakes it. True once both are held.
        """
        ...

    async def give_slots_back(self, fence: Fence) -> tuple[str, ...]:
        """Give slots or the place in the line back; returns the stories that got what they waited
        for, first first. They are due at once.
        """
        ...

    async def request_abort(self, uuid: MigrationUuid, why: Reason) -> Migration:
        """Put the request on record. Raises `NotFound`, or `Conflict` while a person is needed and
        once it is post-migrating or final."""
        ...

    async def steer_migration(self, uuid: MigrationUuid, steering: Steering) -> Migration | None:
        """Replace the steering by its next revision; None, changing nothing, if it is not the next.

        Raises `NotFound`, or `Conflict` once it is post-migrating, final or asked to stop, and
        while it waits for a person.
        """
        ...

    async def resolve_by_person(
        self, uuid: MigrationUuid, *, at_host: HostName | None, why: Reason
    ) -> Migration:
        """Record a person's decision for a story that rests as `person_needed`, and wake it.
        Raises `NotFound`, or `Conflict` if no person is needed. Kept beside the story; see
        `Queries.decision`."""
        ...
