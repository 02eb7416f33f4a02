"""The seam to a hypervisor: what compute may ask of one host, and what a transfer process may ask.

Every method is bounded in time and raises only `model.errors`: `Unreachable` when the hypervisor
did not answer in time, `HypervisorError` when it answered with an error, `Refused` when it cannot
do what is asked. Each docstring says at which end it acts, whether it may be repeated, and what
undoes it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from godwit.model.host import HostFacts
from godwit.model.ids import InstanceUuid
from godwit.model.instance import Guest, Instance
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.progress import Progress, Statistics
from godwit.model.reasons import Reason
from godwit.model.rehearsal import TwinName
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    SourceSighting,
    SourceWord,
)
from godwit.model.steering import TransferLimits


@dataclass(frozen=True)
class Checked:
    """What a check found: every reason against, or the agreement so far (`migrate_data`)."""

    refusals: tuple[Reason, ...] = ()
    migrate_data: LiveMigrateData | None = None


class SeenEnd(StrEnum):
    """How a guest was seen to end at the source, by anything but the move."""

    WANTED = "wanted"
    """Its owner, or the guest itself, has ended it."""
    CRASHED = "crashed"


@dataclass(frozen=True)
class TransferEvidence:
    """What this host's records say of a move; the driver weighs it when it sights the source."""

    began: bool = False
    """The hypervisor was asked to begin the transfer."""
    stopped_as_migrated: bool = False
    """The transfer process saw the source stop because the guest had migrated."""
    seen_to_end: SeenEnd | None = None
    """The transfer process saw the guest end at the source, by anything but the move."""
    ended_by_us: bool = False
    """We recorded that we would end the source's half, and then did."""


@dataclass(frozen=True)
class NewGuest:
    """A guest to be made: its record and the registered image file its disk is made from."""

    instance: Instance
    image_path: str
    disk_mib: int
    kernel: str = ""
    """Boot this kernel directly, with `command_line`, where it is set."""
    command_line: str = ""


class ComputeDriver(Protocol):
    """One hypervisor host."""

    # --- looks: change nothing, may be repeated ---------------------------------------------------

    async def host_facts(self) -> HostFacts:
        """What the host says of itself now."""
        ...

    async def guests(self) -> tuple[Guest, ...]:
        """Every guest of the host, running or not, sorted by uuid."""
        ...

    async def spare_files(self) -> tuple[str, ...]:
        """The files on this host's own storages that none of its guests uses, now or after its next
        boot, sorted; not those on storages that other hosts see, too.
        """
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yields whenever a guest here may have changed. Never ends; may yield too often."""
        ...

    async def check_can_live_migrate_destination(self, spec: RequestSpec) -> Checked:
        """At the destination: could the guest run here? Begins `migrate_data`."""
        ...

    async def check_can_live_migrate_source(
        self, spec: RequestSpec, destination: HostFacts, migrate_data: LiveMigrateData
    ) -> Checked:
        """At the source: may the guest leave for that destination? Completes `migrate_data`."""
        ...

    async def sight_source(
        self, instance: Instance, migrate_data: LiveMigrateData, evidence: TransferEvidence
    ) -> SourceSighting:
        """At the source: where is the guest in its move? UNREACHABLE instead of raising."""
        ...

    async def sight_destination(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> DestinationSighting:
        """At the destination: what is there of the guest? UNREACHABLE instead of raising."""
        ...

    # --- acts of the story: each may be repeated --------------------------------------------------

    async def pre_live_migration(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> LiveMigrateData:
        """At the destination: make room. Undone by `rollback_live_migration_at_destination`."""
        ...

    async def rollback_live_migration_at_destination(
        self, instance: Instance, migrate_data: LiveMigrateData, *, may_have_run: bool
    ) -> None:
        """At the destination: remove what `pre_live_migration` made and a half that never ran.

        Never touches a guest that runs or has run here; harmless if nothing was made. Where it
        `may_have_run`, nothing but half a guest is removed, and its disks only with it. `Refused`
        with what is left, as long as anything is.
        """
        ...

    async def rollback_live_migration_at_source(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """At the source: the guest stays; put back what the transfer cleared (autostart)."""
        ...

    async def let_run(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """At either end: resume the half that waits for us, unless its operator had paused it.

        Only after proof that the other half cannot run.
        """
        ...

    async def resume_post_copy(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """At the source: let a broken post-copy go on. Returns soon, whether it flows or not.

        Harmless where it is not broken, or cannot be resumed yet.
        """
        ...

    async def end_source(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """At the source: end the handed-over half and forget its definition. Not one that runs."""
        ...

    async def post_live_migration_at_destination(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """At the destination: make the guest permanent, as it was at the source."""
        ...

    async def post_live_migration_at_source(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """At the source: forget the guest and remove the disks that were copied away."""
        ...

    # --- rehearsals: may be repeated; the guest is not touched, nothing is left -------------------

    async def rehearse_departure(
        self, instance: Instance, migrate_data: LiveMigrateData, twin: TwinName
    ) -> str:
        """At the source: send something that stands in for the guest, as the guest would be sent.

        Returns what `rehearse_arrival` is to start. `Refused`: it did not arrive.
        Undone by `end_rehearsal` at the destination.
        """
        ...

    async def rehearse_arrival(self, definition: str, twin: TwinName) -> None:
        """At the destination: start what stands in for the guest, paused, and end it. `Refused`: it
        did not start.
        """
        ...

    async def end_rehearsal(self, twin: TwinName) -> None:
        """At either end: remove this twin, and those that rehearsals of long ago left behind."""
        ...

    # --- guests of our own ------------------------------------------------------------------------

    async def spawn(self, guest: NewGuest) -> None:
        """Make and start a guest. Repeatable: one that is there already is left alone."""
        ...

    async def destroy(self, uuid: InstanceUuid, *, half_made: bool = False) -> tuple[str, ...]:
        """Stop and remove a guest and the disk that `spawn` made for it; harmless if there is none.
        Answers with the paths of its other writable disks, which are left alone.

        `half_made`: that disk goes also where no definition names it.
        """
        ...

    async def close(self) -> None:
        """Give back connections and threads. No other method is called afterwards."""
        ...


@dataclass(frozen=True)
class TransferOutcome:
    """What the migrate call said when it came back. Never taken for where the guest is."""

    error: str = ""
    """Empty if the call succeeded; otherwise the hypervisor's code and message."""
    reason: Reason | None = None
    """The catalogue's reason, where the hypervisor's error leaves no doubt."""
    guest_ended: SeenEnd | None = None
    """The guest was seen to end at the source, by anything but the move."""


class TransferDriver(Protocol):
    """What the transfer process of one move asks of the two hypervisors. Made for that one move."""

    async def open(self) -> None:
        """Open every connection that will be needed, so that nothing waits at the switch.

        Raises `Unreachable`: then nothing has begun.
        """
        ...

    async def clear_autostart(self) -> None:
        """At the source: no boot of this host may start a second guest from now on."""
        ...

    async def transfer(self) -> TransferOutcome:
        """Make the long blocking call, once. Returns when it is back, with error or without."""
        ...

    async def arrived(self) -> None:
        """Returns as soon as the guest is seen whole at the destination, with nothing left to be
        sent; that may be never. It is no proof of anything: the source may still take it back.
        """
        ...

    async def explained(self, outcome: TransferOutcome) -> TransferOutcome:
        """An outcome with an error, and what the hosts show about its `reason` and `guest_ended`.

        Asked once nobody waits for the guest any more: the looks may take their time.
        """
        ...

    async def progress(self) -> Progress | None:
        """A sample of the running job; `None` while there is none to be had."""
        ...

    async def limit(self, limits: TransferLimits) -> None:
        """At the source: hold the transfer within `limits`, whether it runs or is about to begin.

        May be repeated. What outlives a transfer there is put back by `close`.
        """
        ...

    async def start_post_copy(self) -> None:
        """Let the guest run at the destination now, the rest of its memory following.

        Only with the guard `postcopy`, while memory is copied. There is no way back. May be
        repeated: a post-copy that runs already is left alone.
        """
        ...

    async def resume_post_copy(self) -> TransferOutcome:
        """Make the call again for a post-copy that broke. Returns when it is over, or at once if it
        cannot be resumed yet; an error does not say that it does not flow.
        """
        ...

    async def source_word(self) -> SourceWord:
        """What the source shows of the guest now. UNREACHABLE instead of raising."""
        ...

    async def destination_word(self) -> DestinationWord:
        """What the destination shows of the guest now. UNREACHABLE instead of raising. Does not
        wait for the guest's own hypervisor process, which may stand still.
        """
        ...

    async def abort(self) -> bool:
        """Ask the source to stop the job. Returns at once; the call then ends by itself.

        False: there is no job that could be stopped, not yet or not any more. In post-copy it does
        nothing: there is no way back.
        """
        ...

    async def source_is_gone(self) -> bool:
        """Proof at the source that its half can never run again. False where there is no proof;
        `Unreachable` where a look would be needed to tell, and failed: it may be asked again.
        """
        ...

    async def sees_source_die(self) -> bool:
        """At both ends, while `transfer` is out: proof before its return. True as soon as the
        source's half is seen dead and all of the guest arrived, False as soon as it is known that
        this will not be seen. May wait for ever, and may be cancelled; only looks.
        """
        ...

    async def let_run_at_destination(self) -> None:
        """Resume the arrived guest. Only after proof; a guest that already runs is left alone."""
        ...

    async def statistics(self) -> Statistics | None:
        """What a transfer that succeeded has cost; None if nobody can say. Asked once the guest
        runs: it does not wait for figures.
        """
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...
