"""The driver of one simulated host: the fleet, seen and changed from where that host stands."""

from collections.abc import AsyncIterator
from dataclasses import replace as change
from typing import assert_never

from msgspec.structs import replace

from godwit.model.errors import GodwitError, HypervisorError, Refused
from godwit.model.host import HostFacts, Storage
from godwit.model.ids import HostName, InstanceUuid, StorageId
from godwit.model.instance import Guest, Instance, PowerState
from godwit.model.migrate_data import LiveMigrateData, SimulatedLiveMigrateData
from godwit.model.reasons import Code, Reason, reason
from godwit.model.rehearsal import TwinName
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    SourceSighting,
    SourceWord,
)
from godwit.virt.driver import Checked, NewGuest, TransferEvidence
from godwit.virt.guard import GuardFacts, choose_guard
from godwit.virt.simulated import post_copy
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.half import HalfState
from godwit.virt.simulated.sighting import destination_sighting, source_sighting

STORAGE = StorageId("simulated")
"""The one storage, which all simulated hosts share."""


class SimulatedDriver:
    """A `ComputeDriver` whose hypervisor is in memory."""

    def __init__(self, fleet: SimulatedFleet, host: HostName) -> None:
        self._fleet = fleet
        self._host = host

    # --- looks ------------------------------------------------------------------------------------

    async def host_facts(self) -> HostFacts:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "host_facts"):
            return self.facts()

    def facts(self) -> HostFacts:
        """The same, for who sees through every wire."""
        settings = self._fleet.settings(self._host)
        return HostFacts(
            name=self._host,
            node=self._host,
            hypervisor_type="simulated",
            hypervisor_version=settings.hypervisor_version,
            vcpus=settings.vcpus,
            memory_mib=settings.memory_mib,
            storages=(_storage(),),
            networks=settings.networks,
            cpu_allocation_ratio=settings.cpu_allocation_ratio,
            reserved_memory_mib=settings.reserved_memory_mib,
            transfers_max=settings.transfers_max,
        )

    async def guests(self) -> tuple[Guest, ...]:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "guests"):
            return tuple(half.as_guest() for half in self._fleet.halves(self._host))

    async def spare_files(self) -> tuple[str, ...]:
        """See `ComputeDriver`. There are none but those that a test has left."""
        async with self._fleet.calling(self._host, "spare_files"):
            halves = self._fleet.halves(self._host)
            used = {disk.path for half in halves for disk in half.guest.disks}
            return tuple(sorted(self._fleet.files(self._host) - used))

    async def changes(self) -> AsyncIterator[None]:
        """See `ComputeDriver`."""
        while True:
            await self._fleet.next_change(self._host)
            yield

    async def check_can_live_migrate_destination(self, spec: RequestSpec) -> Checked:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "check_can_live_migrate_destination"):
            refusals = (*self._fleet.refusals(self._host), *self._obstacles(spec.instance))
            agreed = None if refusals else SimulatedLiveMigrateData()
            return Checked(refusals, agreed)

    async def check_can_live_migrate_source(
        self, spec: RequestSpec, destination: HostFacts, migrate_data: LiveMigrateData
    ) -> Checked:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "check_can_live_migrate_source"):
            half = self._fleet.half(self._host, spec.instance.uuid)
            if half is None or half.state not in {HalfState.RUNNING, HalfState.PAUSED}:
                state = half.state if half else "not there"
                return Checked((_invalid_state(spec.instance, self._host, state),))
            paused = half.state is HalfState.PAUSED
            choice = choose_guard(
                GuardFacts(
                    disks=spec.instance.disks,
                    storages_there=destination.storages,
                    rely_on_fencing=spec.rely_on_fencing,
                    permit_post_copy=spec.permit_post_copy,
                    can_post_copy=True,
                    copies_disks=False,
                    was_paused=paused,
                )
            )
            agreed = replace(_own(migrate_data), guard=choice.guard, hold_back=choice.hold_back)
            autostart = half.guest.autostart or spec.autostart_owed
            return Checked((), replace(agreed, was_paused=paused, autostart=autostart))

    async def sight_source(
        self, instance: Instance, migrate_data: LiveMigrateData, evidence: TransferEvidence
    ) -> SourceSighting:
        """See `ComputeDriver`."""
        try:
            async with self._fleet.calling(self._host, "sight_source"):
                return source_sighting(self._fleet.half(self._host, instance.uuid), evidence)
        except GodwitError as error:
            return SourceSighting(word=SourceWord.UNREACHABLE, seen=error.reason.words)

    async def sight_destination(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> DestinationSighting:
        """See `ComputeDriver`."""
        try:
            async with self._fleet.calling(self._host, "sight_destination"):
                return destination_sighting(self._fleet.half(self._host, instance.uuid))
        except GodwitError as error:
            return DestinationSighting(word=DestinationWord.UNREACHABLE, seen=error.reason.words)

    # --- acts of the story ------------------------------------------------------------------------

    async def pre_live_migration(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> LiveMigrateData:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "pre_live_migration"):
            self._fleet.prepare(self._host, instance.uuid)
            return migrate_data

    async def rollback_live_migration_at_destination(
        self, instance: Instance, migrate_data: LiveMigrateData, *, may_have_run: bool
    ) -> None:
        """See `ComputeDriver`. What is shut off here has been a guest."""
        doing = "rollback_live_migration_at_destination"
        async with self._fleet.calling(self._host, doing):
            half = self._fleet.half(self._host, instance.uuid)
            removable = {HalfState.RECEIVING}
            if not may_have_run:
                removable.add(HalfState.ARRIVED)
            if half is not None and half.state not in removable:
                raise self._failed(doing, f"the guest is {half.state}")
            if half is None and may_have_run and self._fleet.is_prepared(self._host, instance.uuid):
                raise self._failed(doing, "its room is left, as it may hold the newest")
            self._fleet.remove(self._host, instance.uuid)
            self._fleet.give_room_back(self._host, instance.uuid)

    async def rollback_live_migration_at_source(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "rollback_live_migration_at_source"):
            half = self._fleet.half(self._host, instance.uuid)
            if half is None:
                return
            autostart = half.guest.autostart or _own(migrate_data).autostart
            guest = replace(half.guest, autostart=autostart)
            kept = change(half, guest=guest, outcome=None, took_back=False)
            self._fleet.put(self._host, kept)

    async def let_run(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "let_run"):
            let_run(self._fleet, self._host, instance.uuid, _own(migrate_data))

    async def resume_post_copy(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """See `ComputeDriver`. What is left follows in no time."""
        async with self._fleet.calling(self._host, "resume_post_copy"):
            problem = post_copy.resume(self._fleet, self._host, instance.uuid)
            if problem:
                raise self._failed("resume_post_copy", problem)
            post_copy.finish(self._fleet, self._host, instance.uuid)

    async def end_source(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "end_source"):
            self._forget(instance, "end_source")

    async def post_live_migration_at_destination(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "post_live_migration_at_destination"):
            half = self._fleet.half(self._host, instance.uuid)
            if half is None:
                raise self._failed("post_live_migration_at_destination", "no such guest")
            guest = replace(half.guest, persistent=True)
            self._fleet.put(self._host, change(half, guest=guest))
            self._fleet.give_room_back(self._host, instance.uuid)

    async def post_live_migration_at_source(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "post_live_migration_at_source"):
            self._forget(instance, "post_live_migration_at_source")

    # --- rehearsals: nothing to send here, only questions that may fail ---------------------------

    async def rehearse_departure(
        self, instance: Instance, migrate_data: LiveMigrateData, twin: TwinName
    ) -> str:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "rehearse_departure"):
            if self._fleet.half(self._host, instance.uuid) is None:
                raise self._failed("rehearse_departure", "no such guest")
            return instance.name

    async def rehearse_arrival(self, definition: str, twin: TwinName) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "rehearse_arrival"):
            return

    async def end_rehearsal(self, twin: TwinName) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "end_rehearsal"):
            return

    # --- guests of our own ------------------------------------------------------------------------

    async def spawn(self, guest: NewGuest) -> None:
        """See `ComputeDriver`."""
        async with self._fleet.calling(self._host, "spawn"):
            instance = guest.instance
            if self._fleet.half(self._host, instance.uuid) is None:
                self._fleet.add_guest(self._host, _as_made(instance))

    async def destroy(self, uuid: InstanceUuid, *, half_made: bool = False) -> tuple[str, ...]:
        """See `ComputeDriver`. A guest in memory has no disk files."""
        async with self._fleet.calling(self._host, "destroy"):
            self._fleet.destroy(self._host, uuid)
            return ()

    async def close(self) -> None:
        """See `ComputeDriver`."""

    def _obstacles(self, instance: Instance) -> tuple[Reason, ...]:
        """Why the guest could not run here: its uuid or name is taken, a network is missing."""
        refusals = []
        for half in self._fleet.halves(self._host):
            if half.guest.uuid == instance.uuid:
                refusals.append(reason(Code.UUID_TAKEN, host=self._host, uuid=instance.uuid))
            elif half.guest.name == instance.name:
                refusals.append(reason(Code.NAME_TAKEN, host=self._host, name=instance.name))
        known = self._fleet.settings(self._host).networks
        missing = sorted({nic.network for nic in instance.nics} - set(known))
        refusals += [reason(Code.BRIDGE_MISSING, host=self._host, bridge=each) for each in missing]
        return tuple(refusals)

    def _forget(self, instance: Instance, doing: str) -> None:
        """Remove a half that has left. Never one that runs, or waits for its operator."""
        half = self._fleet.half(self._host, instance.uuid)
        if half is None:
            return
        if half.state not in {HalfState.HANDED_OVER, HalfState.MIGRATED, HalfState.OFF}:
            raise self._failed(doing, f"the guest is {half.state}")
        self._fleet.remove(self._host, instance.uuid)

    def _failed(self, doing: str, problem: str) -> HypervisorError:
        return HypervisorError(
            reason(Code.HYPERVISOR_ERROR, host=self._host, doing=doing, problem=problem)
        )


def let_run(
    fleet: SimulatedFleet,
    host: HostName,
    uuid: InstanceUuid,
    migrate_data: SimulatedLiveMigrateData,
) -> None:
    """Resume the half that waits for us; one that its operator had paused stays paused.

    A guest that runs is left alone. Raises `HypervisorError` if there is no whole guest.
    """
    half = fleet.half(host, uuid)
    problem = "no such guest" if half is None else f"the guest is {half.state}"
    failed = HypervisorError(
        reason(Code.HYPERVISOR_ERROR, host=host, doing="let_run", problem=problem)
    )
    if half is None:
        raise failed
    match half.state:
        case HalfState.RUNNING | HalfState.PAUSED:
            return
        case HalfState.ARRIVED | HalfState.HANDED_OVER:
            state = HalfState.PAUSED if migrate_data.was_paused else HalfState.RUNNING
            fleet.put(host, change(half, state=state))
        case HalfState.RECEIVING | HalfState.POST_COPY | HalfState.MIGRATED | HalfState.OFF:
            raise failed
        case _:
            assert_never(half.state)


def _own(migrate_data: LiveMigrateData) -> SimulatedLiveMigrateData:
    """The agreement, if it is ours. Raises `Refused` for another hypervisor's."""
    if isinstance(migrate_data, SimulatedLiveMigrateData):
        return migrate_data
    raise Refused(
        reason(
            Code.INTERNAL_ERROR,
            problem=f"{type(migrate_data).__name__} was given to a simulated host",
        )
    )


def _storage() -> Storage:
    return Storage(
        id=STORAGE, path="/simulated", shared=True, fences=False, total_mib=2**20, free_mib=2**19
    )


def _invalid_state(instance: Instance, host: HostName, state: str) -> Reason:
    return reason(Code.INSTANCE_INVALID_STATE, host=host, server=instance.name, state=state)


def _as_made(instance: Instance) -> Guest:
    return Guest(
        uuid=instance.uuid,
        name=instance.name,
        power_state=PowerState.RUNNING,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        disks=instance.disks,
        nics=instance.nics,
    )
