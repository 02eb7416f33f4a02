"""What the API and the compute managers may ask of a conductor (Nova: ComputeTaskAPI)."""

from typing import Final, Protocol

import msgspec

from godwit.model.audit import Audit
from godwit.model.host import Host, HostReport
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid, RequestId
from godwit.model.instance import Instance
from godwit.model.migrate_data import Guard
from godwit.model.migration import BlockMigration, Migration
from godwit.model.reasons import Reason
from godwit.model.refusals import Refusal
from godwit.model.steering import NO_WISH, Force, SteeringWish
from godwit.model.whereis import Whereis
from godwit.rpc.compute import Destroyed, Nothing
from godwit.rpc.contract import remote

REHEARSAL_S: Final = 300.0
"""Several hosts, a few at a time."""
WHEREIS_S: Final = 120.0
"""Every host, many at a time, some of them silent, and what alarms is looked at again."""

CONFIRM_S: Final = 30.0
"""It is asked whether it still answers."""
AUDIT_S: Final = 240.0
"""Every host twice."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for something, why, and in which request."""

    initiator: str
    reason: str = ""
    request_id: RequestId


class LiveMigrate(msgspec.Struct, frozen=True, kw_only=True):
    """Move this server, to `host` if one is named. A named host is checked like any other."""

    asked: Asked
    instance_uuid: InstanceUuid
    host: HostName | None = None
    block_migration: BlockMigration = BlockMigration.AUTO
    steering: SteeringWish = NO_WISH
    disk_over_commit: bool = False


class Willing(msgspec.Struct, frozen=True, kw_only=True):
    """A host that would take the guest."""

    host: HostName
    guard: Guard
    """What would keep the guest from running twice on its way there."""
    rehearsed: bool = False
    """The move there was rehearsed as well."""


class CheckLiveMigration(msgspec.Struct, frozen=True, kw_only=True):
    """The same question as `LiveMigrate`, to be answered and not to be done."""

    instance_uuid: InstanceUuid
    host: HostName | None = None
    block_migration: BlockMigration = BlockMigration.AUTO
    steering: SteeringWish = NO_WISH
    disk_over_commit: bool = False


class Verdicts(msgspec.Struct, frozen=True, kw_only=True):
    """Which hosts would take the guest, and why each other one would not."""

    willing: tuple[Willing, ...] = ()
    """The best choice first."""
    refusals: tuple[Refusal, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """What no host can change: the guest's own state, its source. Then no host was asked."""


class AbortMigration(msgspec.Struct, frozen=True, kw_only=True):
    """Stop this migration if it can still be stopped."""

    asked: Asked
    migration_uuid: MigrationUuid


class SteerMigration(msgspec.Struct, frozen=True, kw_only=True):
    """Steer the transfer of this migration otherwise, now or once it runs."""

    asked: Asked
    migration_uuid: MigrationUuid
    wish: SteeringWish


class ForceComplete(msgspec.Struct, frozen=True, kw_only=True):
    """Bring the transfer of this migration to its end now."""

    asked: Asked
    migration_uuid: MigrationUuid


class Forced(msgspec.Struct, frozen=True, kw_only=True):
    """How it is brought to its end, and how long the guest is expected to pause."""

    force: Force
    expected_pause_ms: int | None = None


class ResolveMigration(msgspec.Struct, frozen=True, kw_only=True):
    """A person says where the guest is (`at_host`), or that it is lost (None)."""

    asked: Asked
    migration_uuid: MigrationUuid
    at_host: HostName | None


class SetHostEnabled(msgspec.Struct, frozen=True, kw_only=True):
    """Let a host take guests, or not."""

    asked: Asked
    host: HostName
    enabled: bool


class ConfirmPower(msgspec.Struct, frozen=True, kw_only=True):
    """A person states that this host's power is off, or that it may take part again."""

    asked: Asked
    host: HostName
    is_down: bool


class CreateServer(msgspec.Struct, frozen=True, kw_only=True):
    """Make a guest of a flavor from a registered image; on `host` if one is named."""

    asked: Asked
    name: str
    flavor: str
    image: str
    host: HostName | None = None


class ForServer(msgspec.Struct, frozen=True, kw_only=True):
    """Delete or forget this server."""

    asked: Asked
    instance_uuid: InstanceUuid


class FindServer(msgspec.Struct, frozen=True, kw_only=True):
    """Ask every host what it shows of this server now."""

    instance_uuid: InstanceUuid


class AskAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Compare what is recorded with what every host shows; mend what is safe to mend, if asked."""

    asked: Asked
    repair: bool = False


class ComputeTaskApi(Protocol):
    """Any conductor. Refusals are raised as `model.errors`, with their reason."""

    @remote(timeout_s=10, repeat="a second request finds the server busy: Conflict")
    async def live_migrate_instance(self, ask: LiveMigrate) -> Migration: ...

    @remote(timeout_s=60, repeat="only looks")
    async def check_live_migration(self, ask: CheckLiveMigration) -> Verdicts: ...

    @remote(timeout_s=REHEARSAL_S, repeat="rehearses again")
    async def rehearse_live_migration(self, ask: CheckLiveMigration) -> Verdicts: ...

    @remote(timeout_s=WHEREIS_S, repeat="only looks")
    async def whereis(self, ask: FindServer) -> Whereis: ...

    @remote(timeout_s=AUDIT_S, repeat="looks again; what is mended already is left alone")
    async def audit(self, ask: AskAudit) -> Audit: ...

    @remote(timeout_s=10, repeat="the request is already on record")
    async def abort_live_migration(self, ask: AbortMigration) -> Migration: ...

    @remote(timeout_s=10, repeat="the same is asked for again")
    async def steer_live_migration(self, ask: SteerMigration) -> Migration: ...

    @remote(timeout_s=10, repeat="the same is asked for again, by the figures of then")
    async def force_complete_live_migration(self, ask: ForceComplete) -> Forced: ...

    @remote(timeout_s=10, repeat="Conflict once it was carried out")
    async def resolve_live_migration(self, ask: ResolveMigration) -> Migration: ...

    @remote(timeout_s=10, repeat="it already is")
    async def set_host_enabled(self, ask: SetHostEnabled) -> Nothing: ...

    @remote(timeout_s=CONFIRM_S, repeat="stated once more, by who asks now")
    async def confirm_power(self, ask: ConfirmPower) -> Host: ...

    @remote(timeout_s=150, repeat="makes another server")
    async def create_server(self, ask: CreateServer) -> Instance: ...

    @remote(timeout_s=90, repeat="NotFound")
    async def delete_server(self, ask: ForServer) -> Destroyed: ...

    @remote(timeout_s=10, repeat="NotFound")
    async def forget_server(self, ask: ForServer) -> Nothing: ...

    @remote(timeout_s=10, repeat="a newer report replaces an older one", by="host")
    async def report_host(self, ask: HostReport) -> Nothing: ...
