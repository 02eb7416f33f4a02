"""`ComputeTaskManager`: what a conductor answers, one short method per question of
`rpc/conductor.py`. The work is done in the modules beside it.
"""

from godwit.conductor import audit, dry_run, power, rehearsal, requests, servers, steer, whereis
from godwit.conductor.reports import Reports
from godwit.conductor.world import World
from godwit.model.audit import Audit
from godwit.model.host import Host, HostReport
from godwit.model.instance import Instance
from godwit.model.migration import Migration
from godwit.model.whereis import Whereis
from godwit.rpc.compute import Destroyed, Nothing
from godwit.rpc.conductor import (
    AbortMigration,
    AskAudit,
    CheckLiveMigration,
    ConfirmPower,
    CreateServer,
    FindServer,
    ForceComplete,
    Forced,
    ForServer,
    LiveMigrate,
    ResolveMigration,
    SetHostEnabled,
    SteerMigration,
    Verdicts,
)


class ComputeTaskManager:
    """A conductor's answers; implements `ComputeTaskApi`. Stories are told by the sweeper."""

    def __init__(self, world: World, *, alone: bool) -> None:
        """Nothing is started here. `alone`: no other process can be alive."""
        self._world = world
        self._reports = Reports(world, alone=alone)

    async def live_migrate_instance(self, ask: LiveMigrate) -> Migration:
        """The accepted migration. Raises what `requests.accept` says."""
        return await requests.accept(self._world, ask)

    async def check_live_migration(self, ask: CheckLiveMigration) -> Verdicts:
        """The dry run: a verdict per host."""
        return await dry_run.check(self._world, ask)

    async def rehearse_live_migration(self, ask: CheckLiveMigration) -> Verdicts:
        """The dry run with a rehearsal where the checks agree."""
        return await rehearsal.rehearse(self._world, ask)

    async def whereis(self, ask: FindServer) -> Whereis:
        """Every host's sighting of the server, and what follows. Raises `NotFound`."""
        return await whereis.find(self._world, ask, self._reports.last_of)

    async def audit(self, ask: AskAudit) -> Audit:
        """Where record and hosts disagree, mended where that is asked for and safe."""
        return await audit.audit(self._world, ask, self._reports.take)

    async def abort_live_migration(self, ask: AbortMigration) -> Migration:
        """The request is on record; it is too late (`Conflict`) once the guest has moved."""
        return await requests.abort(self._world, ask)

    async def steer_live_migration(self, ask: SteerMigration) -> Migration:
        """It is on record how the transfer is to be steered; the story passes it on."""
        return await steer.steer(self._world, ask)

    async def force_complete_live_migration(self, ask: ForceComplete) -> Forced:
        """It is on record that the transfer is to end now, and how."""
        return await steer.force_complete(self._world, ask)

    async def resolve_live_migration(self, ask: ResolveMigration) -> Migration:
        """A person's decision is on record and about to be carried out."""
        return await requests.resolve(self._world, ask)

    async def set_host_enabled(self, ask: SetHostEnabled) -> Nothing:
        """The host may take guests, or not. Raises `NotFound`."""
        await self._world.store.set_host_enabled(
            ask.host, enabled=ask.enabled, why=ask.asked.reason
        )
        self._world.hosts.forget()
        return Nothing()

    async def confirm_power(self, ask: ConfirmPower) -> Host:
        """The host is fenced out, or takes part again. Raises what `power.confirm` says."""
        return await power.confirm(self._world, ask)

    async def create_server(self, ask: CreateServer) -> Instance:
        """The server as made. Raises what `servers.create` says."""
        return await servers.create(self._world, ask)

    async def delete_server(self, ask: ForServer) -> Destroyed:
        """Guest and record are gone."""
        return await servers.delete(self._world, ask)

    async def forget_server(self, ask: ForServer) -> Nothing:
        """The record is gone, the guest is left alone."""
        await servers.forget(self._world, ask)
        return Nothing()

    async def report_host(self, ask: HostReport) -> Nothing:
        """The report, and what it says of the servers, is on record."""
        await self._reports.take(ask)
        return Nothing()

    def overhear_report(self, report: HostReport) -> None:
        """Another conductor puts it on record; what this one finds later rests on it, too."""
        self._reports.overhear(report)
