"""`LibvirtDriver`: one host driven through its libvirtd. Made by `virt.registry`, used by the
host's compute manager.

Thin: each method makes one or two bounded calls whose work stands in `reads`, `acts` and `volumes`,
and lets the pure `checks`, `storages` and `sighting` judge what came back.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from msgspec.structs import replace

from godwit.model.errors import HypervisorError, Refused, Unreachable
from godwit.model.host import HostFacts
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest, Instance
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.reasons import Code, reason
from godwit.model.rehearsal import TwinName, is_twin
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    SourceSighting,
    SourceWord,
)
from godwit.runtime.settings import LibvirtHostSettings, NetworkSettings, StorageSettings
from godwit.virt.driver import Checked, NewGuest, TransferEvidence
from godwit.virt.guard import choose_guard
from godwit.virt.libvirt import acts, check_reads, reads, spawning, volumes
from godwit.virt.libvirt.abi import Libvirt
from godwit.virt.libvirt.addresses import peer_uri
from godwit.virt.libvirt.agreement import agreement_begun, ours
from godwit.virt.libvirt.changes import changes_at
from godwit.virt.libvirt.checks import (
    DestinationLook,
    console_refusals,
    destination_refusals,
    source_refusals,
)
from godwit.virt.libvirt.connection import Connection
from godwit.virt.libvirt.guard_facts import guard_facts, was_paused
from godwit.virt.libvirt.guests import DiskSizes, guest_of, host_facts_of
from godwit.virt.libvirt.handshake import TRUSTED_FOR_S, OwnListener, beside
from godwit.virt.libvirt.host_view import HostView
from godwit.virt.libvirt.migration import resume_post_copy
from godwit.virt.libvirt.networks import bridge_at, bridges_there, network_of
from godwit.virt.libvirt.reads import HostLook
from godwit.virt.libvirt.rehearsals import Rehearsals
from godwit.virt.libvirt.rollback import roll_back
from godwit.virt.libvirt.sighting import destination_sighting, source_sighting
from godwit.virt.libvirt.storages import DiskPlan, images_of, plan_disks, storages_of

NO_NETWORKS: Final[Mapping[str, NetworkSettings]] = {}
ENDING_TIMEOUT_S: Final = 25.0
"""libvirt gives a QEMU that does not end 15 s or more before it kills it."""
SPAWN_TIMEOUT_S: Final = 100.0
"""Copying an image takes its time."""


class LibvirtDriver:
    """A `ComputeDriver` for one host. Made inside the event loop that uses it."""

    def __init__(
        self,
        host: HostName,
        settings: LibvirtHostSettings,
        storages: Mapping[str, StorageSettings],
        networks: Mapping[str, NetworkSettings] = NO_NETWORKS,
        *,
        trusted_for_s: float = TRUSTED_FOR_S,
    ) -> None:
        """`storages` and `networks`: as declared, for all hosts. Nothing is opened yet."""
        self._host = host
        self._settings = settings
        self._storages = storages
        self._networks = networks
        self._sizes = DiskSizes()
        self._connection = Connection(host, settings)
        self._view = HostView(
            lambda: self._connection.call("reading the host", reads.look_at_host),
            lambda: self._connection.losses,
        )
        self._listener = OwnListener(host, settings, trusted_for_s=trusted_for_s)
        self._rehearsals = Rehearsals(host, self._connection)

    # --- looks ---

    async def host_facts(self) -> HostFacts:
        """See `ComputeDriver`."""
        return self._facts_of(await self._view.now())

    async def guests(self) -> tuple[Guest, ...]:
        """See `ComputeDriver`. QEMU is asked for the size of a disk in no pool, once."""
        pools, looks = await self._connection.call(
            "reading the guests",
            lambda libvirt: (reads.active_pools(libvirt), reads.look_at_domains(libvirt)),
        )
        storages = storages_of(self._host, self._storages, pools)
        await self._sizes.learn(self._connection, looks)
        found = (
            guest_of(look, storages, self._sizes, self._network_of)
            for look in looks
            if not is_twin(look.facts.name)
        )
        return tuple(sorted(found, key=lambda guest: guest.uuid))

    async def spare_files(self) -> tuple[str, ...]:
        """See `ComputeDriver`."""
        host = await self._view.now()
        storages = storages_of(self._host, self._storages, host.pools)
        folders = [storage.path for storage in storages if not storage.shared]
        return await self._connection.call(
            "looking for files that no guest uses",
            lambda libvirt: volumes.spare_files(libvirt, folders),
        )

    def changes(self) -> AsyncIterator[None]:
        """See `ComputeDriver`."""
        return changes_at(self._connection)

    async def check_can_live_migrate_destination(self, spec: RequestSpec) -> Checked:
        """See `ComputeDriver`."""

        def plan_for(there: HostFacts) -> DiskPlan:
            return plan_disks(spec.instance.disks, spec.source, there, spec.block_migration)

        networks = {nic.network for nic in spec.instance.nics if nic.network}

        async def look_there() -> tuple[HostLook, DestinationLook]:
            before = await self._view.lately()
            bridges = {self._bridge_at(network) for network in networks}

            def look(libvirt: Libvirt) -> tuple[HostLook, DestinationLook]:
                host = reads.look_again_at_host(libvirt, before, bridges)
                paths = plan_for(self._facts_of(host)).files_there
                return check_reads.look_at_destination(libvirt, spec.instance, host, paths)

            return await self._connection.call("checking whether the guest can come", look)

        untrusted, looked = await beside(self._listener.refusals_as_destination(), look_there())
        if untrusted:
            return Checked(untrusted)
        host, look = looked()
        there = self._facts_of(host)
        plan = plan_for(there)
        refusals = destination_refusals(spec, there, look, plan)
        if not peer_uri(self._settings):
            problem = "its settings name no peer_uri, so no other host can reach it"
            refusals += (reason(Code.MIGRATION_PRE_CHECK_ERROR, host=self._host, problem=problem),)
        if refusals:
            return Checked(refusals)
        bridges = bridges_there(networks, spec.source.name, self._host, self._networks)
        return Checked(migrate_data=agreement_begun(plan, self._settings, bridges))

    async def check_can_live_migrate_source(
        self, spec: RequestSpec, destination: HostFacts, migrate_data: LiveMigrateData
    ) -> Checked:
        """See `ComputeDriver`."""
        agreed = ours(migrate_data)
        uuid = spec.instance.uuid
        untrusted, looked = await beside(
            self._listener.refusals_as_source(agreed.destination_uri),
            self._connection.call(
                "checking whether the guest may leave",
                lambda libvirt: check_reads.look_at_source(libvirt, uuid),
                key=uuid,
            ),
        )
        if untrusted:
            return Checked(untrusted)
        look = looked()
        if look is None:
            problem = f"it has no guest with uuid {uuid}"
            refusal = reason(Code.MIGRATION_PRE_CHECK_ERROR, host=self._host, problem=problem)
            return Checked((refusal,))
        plan = plan_disks(spec.instance.disks, spec.source, destination, spec.block_migration)
        refusals = (
            *source_refusals(
                self._host,
                spec.instance,
                look,
                plan,
                nested_moves=self._settings.nested == "move",
            ),
            *console_refusals(destination.name, look, agreed.console_address),
        )
        if refusals:
            return Checked(refusals)
        reading = look.reading
        choice = choose_guard(guard_facts(spec, destination, reading, plan))
        return Checked(
            migrate_data=replace(
                agreed,
                guard=choice.guard,
                hold_back=choice.hold_back,
                was_paused=was_paused(reading),
                tls=agreed.tls or self._settings.tls,
                state_before=(reading.state, reading.reason),
                qemu_status_before=reading.qemu_status or "",
                persistent=reading.persistent,
                autostart=look.autostart or (reading.persistent and spec.autostart_owed),
            )
        )

    async def sight_source(
        self, instance: Instance, migrate_data: LiveMigrateData, evidence: TransferEvidence
    ) -> SourceSighting:
        """See `ComputeDriver`."""
        try:
            reading = await self._connection.call(
                "sighting the guest",
                lambda libvirt: reads.read_transfer(libvirt, instance.uuid),
                key=instance.uuid,
            )
        except (Unreachable, HypervisorError) as error:
            return SourceSighting(word=SourceWord.UNREACHABLE, seen=error.reason.words)
        return source_sighting(reading, ours(migrate_data), evidence)

    async def sight_destination(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> DestinationSighting:
        """See `ComputeDriver`. Never waits for the guest's QEMU."""
        try:
            reading = await self._connection.call(
                "sighting the guest", lambda libvirt: reads.read_state(libvirt, instance.uuid)
            )
        except (Unreachable, HypervisorError) as error:
            return DestinationSighting(word=DestinationWord.UNREACHABLE, seen=error.reason.words)
        return destination_sighting(reading)

    # --- acts of the story ---

    async def pre_live_migration(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> LiveMigrateData:
        """See `ComputeDriver`."""
        agreed = ours(migrate_data)
        wanted = images_of(instance, agreed)
        if not wanted:
            return agreed
        refusal = await self._connection.call(
            "making room for its disks",
            lambda libvirt: volumes.make_images(libvirt, self._host, wanted),
        )
        if refusal is not None:
            raise Refused(refusal)
        return replace(agreed, created_disks=tuple(image.path for image in wanted))

    async def rollback_live_migration_at_destination(
        self, instance: Instance, migrate_data: LiveMigrateData, *, may_have_run: bool
    ) -> None:
        """See `ComputeDriver`."""
        agreed = ours(migrate_data)
        await self._act(
            "removing what has arrived",
            lambda libvirt: roll_back(libvirt, instance, agreed, may_have_run=may_have_run),
            timeout_s=ENDING_TIMEOUT_S,
        )

    async def rollback_live_migration_at_source(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """See `ComputeDriver`."""
        if ours(migrate_data).autostart:
            await self._connection.call(
                "setting autostart again",
                lambda libvirt: acts.set_autostart(libvirt, instance.uuid, on=True),
            )

    async def let_run(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """See `ComputeDriver`."""
        if ours(migrate_data).was_paused:
            return
        await self._act(
            "letting the guest run",
            lambda libvirt: acts.resume_either(libvirt, instance.uuid),
            key=instance.uuid,
        )

    async def resume_post_copy(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """See `ComputeDriver`. libvirt answers when all is over: it is not waited for."""
        agreed = ours(migrate_data)
        with contextlib.suppress(Unreachable):
            await self._connection.call(
                "resuming post-copy",
                lambda libvirt: resume_post_copy(libvirt, instance.uuid, agreed),
                key=f"post-copy of {instance.uuid}",
            )

    async def end_source(self, instance: Instance, migrate_data: LiveMigrateData) -> None:
        """See `ComputeDriver`."""
        await self._act(
            "ending the half that was handed over",
            lambda libvirt: acts.end_handed_over(libvirt, instance.uuid),
            key=instance.uuid,
            timeout_s=ENDING_TIMEOUT_S,
        )

    async def post_live_migration_at_destination(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """See `ComputeDriver`."""
        agreed = ours(migrate_data)
        await self._act(
            "making the guest permanent",
            lambda libvirt: acts.make_permanent(
                libvirt, instance.uuid, persistent=agreed.persistent, autostart=agreed.autostart
            ),
        )

    async def post_live_migration_at_source(
        self, instance: Instance, migrate_data: LiveMigrateData
    ) -> None:
        """See `ComputeDriver`."""
        copied = ours(migrate_data).disks_to_copy
        copied_away = [disk.path for disk in instance.disks if disk.device in copied]

        def clean_up(libvirt: Libvirt) -> str:
            seen = acts.forget_left(libvirt, instance.uuid)
            if not seen:
                volumes.remove_files(libvirt, copied_away)
            return seen

        await self._act("forgetting the guest", clean_up, timeout_s=ENDING_TIMEOUT_S)

    # --- rehearsals ---

    async def rehearse_departure(
        self, instance: Instance, migrate_data: LiveMigrateData, twin: TwinName
    ) -> str:
        """See `ComputeDriver`."""
        return await self._rehearsals.depart(instance.uuid, ours(migrate_data), twin)

    async def rehearse_arrival(self, definition: str, twin: TwinName) -> None:
        """See `ComputeDriver`."""
        await self._rehearsals.arrive(definition, twin)

    async def end_rehearsal(self, twin: TwinName) -> None:
        """See `ComputeDriver`."""
        await self._rehearsals.end(twin)

    # --- guests of our own ---

    async def spawn(self, guest: NewGuest) -> None:
        """See `ComputeDriver`."""
        await self._act(
            "making the guest",
            lambda libvirt: spawning.spawn(libvirt, guest, self._bridge_at),
            timeout_s=SPAWN_TIMEOUT_S,
        )

    async def destroy(self, uuid: InstanceUuid, *, half_made: bool = False) -> tuple[str, ...]:
        """See `ComputeDriver`."""
        return await self._connection.call(
            "removing the guest",
            lambda libvirt: spawning.destroy(libvirt, uuid, half_made=half_made),
            timeout_s=ENDING_TIMEOUT_S,
        )

    async def close(self) -> None:
        """See `ComputeDriver`."""
        await self._connection.close()

    def _facts_of(self, look: HostLook) -> HostFacts:
        return host_facts_of(self._host, self._settings, self._storages, self._network_of, look)

    def _network_of(self, bridge: str) -> str:
        return network_of(self._host, bridge, self._networks)

    def _bridge_at(self, network: str) -> str:
        return bridge_at(self._host, network, self._networks)

    async def _act(
        self,
        doing: str,
        act: Callable[[Libvirt], str],
        *,
        key: str = "",
        timeout_s: float | None = None,
    ) -> None:
        """Do it. Raises `Refused` with what was seen where the act would not touch the guest."""
        seen = await self._connection.call(doing, act, key=key, timeout_s=timeout_s)
        if seen:
            raise Refused(reason(Code.HYPERVISOR_ERROR, host=self._host, doing=doing, problem=seen))
