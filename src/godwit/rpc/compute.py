"""What a conductor may ask of the compute manager of one host, and what it gets back.

Looks change nothing. Acts carry `Act`: the manager refuses an older generation than it has seen,
runs the acts of one migration one after another, and refuses a do whose undo has been done
(`compute/fence.py`).
"""

from typing import Final, Protocol

import msgspec

from godwit.model.audit import Stock
from godwit.model.host import HostFacts
from godwit.model.ids import InstanceUuid, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.progress import Progress, Statistics
from godwit.model.reasons import Reason
from godwit.model.rehearsal import TwinName
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import DestinationSighting, SourceSighting
from godwit.model.steering import UNSTEERED, Steering
from godwit.model.whereis import Shows
from godwit.rpc.contract import remote

ONLY_LOOKS: Final = "only looks"
LOOK_FOR_GUEST_S: Final = 10.0
TAKE_STOCK_S: Final = 20.0
FILES_MAX: Final = 5_000
FOLLOW_WAIT_S: Final = 10.0
"""How long `follow_transfer` waits for news before it answers that there is none."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Which story acts: its migration and the generation of the conductor's lease."""

    migration_uuid: MigrationUuid
    generation: int


class Nothing(msgspec.Struct, frozen=True):
    """An answer that says only: done."""


class CheckDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Could this guest run at this host?"""

    spec: RequestSpec


class CheckSource(msgspec.Struct, frozen=True, kw_only=True):
    """May this guest leave this host for that destination?"""

    spec: RequestSpec
    destination: HostFacts
    migrate_data: LiveMigrateData


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every reason against, or the agreement so far."""

    refusals: tuple[Reason, ...] = ()
    migrate_data: LiveMigrateData | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One end's part in a migration: who acts, for which guest, under which agreement."""

    act: Act
    instance: Instance
    migrate_data: LiveMigrateData


class RollBack(Move, frozen=True, kw_only=True):
    """Undo at the destination. What may have run there is left, but for half a guest."""

    may_have_run: bool


class PreparedAtDestination(msgspec.Struct, frozen=True, kw_only=True):
    """What the destination prepared, added to the agreement."""

    migrate_data: LiveMigrateData


class StartTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """Begin the transfer, or find the one that was begun."""

    act: Act
    instance: Instance
    migrate_data: LiveMigrateData
    destination: HostFacts
    steering: Steering = UNSTEERED


class FollowTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """Wait for news of a transfer after `after_sequence`, at most `FOLLOW_WAIT_S`."""

    migration_uuid: MigrationUuid
    after_sequence: int = 0


class TransferResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the transfer process ended. A claim, not where the guest is."""

    error: str = ""
    reason: Reason | None = None
    """The catalogue's reason for `error`, where there is no doubt: why it was stopped, or what the
    hypervisor's error means.
    """
    aborted: bool = False
    statistics: Statistics | None = None
    ran_at_destination: bool = False
    """It held the proof and let the guest run at the destination."""


class TransferNews(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a transfer. `ended` means its process is gone and will do nothing more."""

    sequence: int = 0
    progress: Progress | None = None
    ended: bool = False
    result: TransferResult | None = None
    """None with `ended`: the process died without leaving one, or none was ever started."""
    stuck: bool = False
    """Its process gives no sign of life and could not be ended; it may still do something."""
    started: bool = False
    """By the host's own records. Once true it stays so, unless the records were lost."""
    orphaned: bool = False
    """It began, and its process has ended without success: the hypervisor's job may go on."""


class ForTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """The transfer of this migration: to watch it, to stop it, or to close it for ever."""

    act: Act


class RehearseDeparture(msgspec.Struct, frozen=True, kw_only=True):
    """Send something that stands in for the guest, under this name."""

    instance: Instance
    migrate_data: LiveMigrateData
    twin: TwinName


class Departed(msgspec.Struct, frozen=True, kw_only=True):
    """It has arrived; what the destination needs to know to rehearse the rest."""

    definition: str


class RehearseArrival(msgspec.Struct, frozen=True, kw_only=True):
    """Start what stands in for the guest, and end it again."""

    definition: str
    twin: TwinName


class EndRehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of this twin is to be left."""

    twin: TwinName


class SteerTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """Steer the transfer of this migration like this from now on."""

    act: Act
    steering: Steering


class SpawnGuest(msgspec.Struct, frozen=True, kw_only=True):
    """Make and start a guest of our own."""

    instance: Instance
    image_path: str
    disk_mib: int
    kernel: str = ""
    """Boot this kernel directly, with `command_line`, where it is set."""
    command_line: str = ""


class DestroyGuest(msgspec.Struct, frozen=True, kw_only=True):
    """Stop and remove a guest of our own, with the disk that was made for it."""

    instance_uuid: InstanceUuid
    half_made: bool = False
    """Its making came to nothing here: its disk goes also where no definition names it. Never of a
    guest that may have moved: on shared storage another host may use that disk."""


class Destroyed(msgspec.Struct, frozen=True, kw_only=True):
    """It is gone. `left`: paths of disks of its definition that Godwit has not made."""

    left: tuple[str, ...] = ()


class LookForGuest(msgspec.Struct, frozen=True, kw_only=True):
    """What does this hypervisor show of that guest now?"""

    instance_uuid: InstanceUuid


class GuestHere(msgspec.Struct, frozen=True, kw_only=True):
    """The hypervisor's own answer of this moment."""

    shows: Shows


class TakeStock(msgspec.Struct, frozen=True, kw_only=True):
    """What is here now? All of it, but for files: of those at most so many are named."""

    files_max: int = FILES_MAX


class ComputeRpc(Protocol):
    """The compute manager of one host. Any call may raise `Unreachable` (no answer in time)."""

    @remote(timeout_s=LOOK_FOR_GUEST_S, repeat=ONLY_LOOKS)
    async def look_for_guest(self, ask: LookForGuest) -> GuestHere: ...

    @remote(timeout_s=TAKE_STOCK_S, repeat=ONLY_LOOKS)
    async def take_stock(self, ask: TakeStock) -> Stock: ...

    @remote(timeout_s=20, repeat=ONLY_LOOKS)
    async def check_can_live_migrate_destination(self, ask: CheckDestination) -> CheckAnswer: ...

    @remote(timeout_s=20, repeat=ONLY_LOOKS)
    async def check_can_live_migrate_source(self, ask: CheckSource) -> CheckAnswer: ...

    @remote(timeout_s=15, repeat=ONLY_LOOKS)
    async def sight_source(self, ask: Move) -> SourceSighting: ...

    @remote(timeout_s=15, repeat=ONLY_LOOKS)
    async def sight_destination(self, ask: Move) -> DestinationSighting: ...

    @remote(timeout_s=FOLLOW_WAIT_S + 5, repeat=ONLY_LOOKS)
    async def follow_transfer(self, ask: FollowTransfer) -> TransferNews: ...

    @remote(timeout_s=60, repeat="finds what was prepared and answers the same")
    async def pre_live_migration(self, ask: Move) -> PreparedAtDestination: ...

    @remote(timeout_s=60, repeat="harmless, also if nothing was prepared")
    async def rollback_live_migration_at_destination(self, ask: RollBack) -> Nothing: ...

    @remote(timeout_s=20, repeat="attaches to the transfer that was begun; never starts a second")
    async def live_migration(self, ask: StartTransfer) -> TransferNews: ...

    @remote(timeout_s=10, repeat="an older steering never replaces a newer one")
    async def steer_transfer(self, ask: SteerTransfer) -> Nothing: ...

    @remote(timeout_s=20, repeat="looks again, and does what is to be done by then")
    async def watch_transfer(self, ask: ForTransfer) -> TransferNews: ...

    @remote(timeout_s=10, repeat="the mark is already there")
    async def abort_live_migration(self, ask: ForTransfer) -> Nothing: ...

    @remote(timeout_s=20, repeat="it is already closed")
    async def close_transfer(self, ask: ForTransfer) -> TransferNews: ...

    @remote(timeout_s=30, repeat="the flag is already set again")
    async def rollback_live_migration_at_source(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=20, repeat="a guest that runs is left alone")
    async def let_run_at_destination(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=20, repeat="a guest that runs is left alone")
    async def let_run_at_source(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=20, repeat="a stream that flows is left alone")
    async def resume_post_copy(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=30, repeat="it is already gone")
    async def end_source(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=60, repeat="the guest is already permanent")
    async def post_live_migration_at_destination(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=60, repeat="the guest is already forgotten")
    async def post_live_migration_at_source(self, ask: Move) -> Nothing: ...

    @remote(timeout_s=90, repeat="another twin of the same name is sent")
    async def rehearse_departure(self, ask: RehearseDeparture) -> Departed: ...

    @remote(timeout_s=60, repeat="another twin is started and ended")
    async def rehearse_arrival(self, ask: RehearseArrival) -> Nothing: ...

    @remote(timeout_s=30, repeat="the twin is already gone")
    async def end_rehearsal(self, ask: EndRehearsal) -> Nothing: ...

    @remote(timeout_s=120, repeat="the guest is already there")
    async def spawn_guest(self, ask: SpawnGuest) -> Nothing: ...

    @remote(timeout_s=60, repeat="the guest is already gone")
    async def destroy_guest(self, ask: DestroyGuest) -> Destroyed: ...
