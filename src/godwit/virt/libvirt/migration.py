"""One move between two libvirt hosts, as its transfer process drives it.

libvirt's own peer-to-peer migration can run a guest at both ends when the answer to its last
message is lost. So the guest arrives paused (`VIR_MIGRATE_PAUSED`) and is resumed here, and only on
proof that the source can no longer run it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as change
from typing import Final

from godwit.model.errors import HypervisorError, Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance
from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.model.progress import Progress, Statistics
from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import UNSTEERED, Steering, TransferLimits
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.driver import SeenEnd, TransferEvidence, TransferOutcome
from godwit.virt.libvirt import acts, reads, volumes
from godwit.virt.libvirt.abi import (
    PARAM_BANDWIDTH,
    PARAM_CONNECTIONS,
    PARAM_DISKS,
    PARAM_LIVE_XML,
    PARAM_PERSISTENT_XML,
    PARAM_URI,
    Domain,
    DomainXml,
    Libvirt,
    Migrate,
)
from godwit.virt.libvirt.arrival import Arrival
from godwit.virt.libvirt.connection import FOR_EVER, Connection
from godwit.virt.libvirt.deathwatch import Deathwatch
from godwit.virt.libvirt.departure import end_seen, end_told, has_left
from godwit.virt.libvirt.errors import LibvirtError, is_certificate_problem
from godwit.virt.libvirt.own_limits import OwnLimits
from godwit.virt.libvirt.pool_volumes import as_files
from godwit.virt.libvirt.progress import with_disks
from godwit.virt.libvirt.rewriting import destination_xml
from godwit.virt.libvirt.sampling import final_figures, sampled
from godwit.virt.libvirt.sighting import destination_sighting, source_sighting
from godwit.virt.libvirt.source_events import Heard, after, died_when_all_was_sent
from godwit.virt.libvirt.storages import images_of

PROGRESS_TIMEOUT_S: Final = 2.0
HELD_BACK_MIB_PER_S: Final = 1
"""The least that libvirt knows."""


@dataclass(frozen=True)
class End:
    """One of the two hosts: how this process reaches its libvirtd."""

    host: HostName
    settings: LibvirtHostSettings


class LibvirtTransferDriver:
    """A `TransferDriver` for one move. Made inside the event loop that uses it."""

    def __init__(
        self,
        source: End,
        destination: End,
        instance: Instance,
        migrate_data: LibvirtLiveMigrateData,
        *,
        steering: Steering,
        try_first: bool = False,
    ) -> None:
        """`try_first`: in a process that must not hang, each connection is tried in a child."""
        self._steering = steering
        self._uuid: InstanceUuid = instance.uuid
        self._images = images_of(instance, migrate_data)
        self._migrate_data = migrate_data
        self._source_host = source.host
        self._destination_host = destination.host
        # The long call has a connection of its own: nothing may stand in its way, nor it in that
        # of the samples, the abort and the events.
        self._mover = Connection(source.host, source.settings, deaf=True, try_first=try_first)
        self._source = Connection(
            source.host,
            source.settings,
            lifecycle=self._source_event,
            job_completed=self._source_completed,
            try_first=try_first,
        )
        self._arrival = Arrival(instance.uuid, migrate_data.guard)
        self._destination = Connection(
            destination.host,
            destination.settings,
            lifecycle=self._arrival.hear,
            try_first=try_first,
        )
        self._disk_bytes = 0
        """The most that the source has shown of them, in its samples and at the job's end."""
        self._limits = OwnLimits(self._source, instance.uuid)
        self._sampled = Progress()
        self._heard = Heard()
        self._heard_more = asyncio.Event()
        self._deathwatch = Deathwatch(source.settings.uri)
        self._came_back_without_error = False

    async def open(self) -> None:
        """See `TransferDriver`. The three connections are opened at the same time."""
        try:
            async with asyncio.TaskGroup() as group:
                for connection in (self._mover, self._source, self._destination):
                    group.create_task(
                        connection.call("opening", lambda libvirt: libvirt.getHostname()),
                        name=f"open {connection.host}",
                    )
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        # Once events are listened to: no other QEMU can take its place unheard.
        await self._deathwatch.begin(self._source, self._uuid)

    async def clear_autostart(self) -> None:
        """See `TransferDriver`."""
        await self._source.call(
            "clearing autostart", lambda libvirt: acts.set_autostart(libvirt, self._uuid, on=False)
        )

    async def transfer(self) -> TransferOutcome:
        """See `TransferDriver`. Ends by itself, by `abort`, or when libvirtd stops answering
        keepalive; has no other limit.
        """
        return await self._moved("migrating", self._migrate)

    async def arrived(self) -> None:
        """See `TransferDriver`."""
        await self._arrival.wait()

    async def resume_post_copy(self) -> TransferOutcome:
        """See `TransferDriver`. As `transfer`: ends by itself, has no other limit."""
        return await self._moved(
            "resuming post-copy",
            lambda libvirt: resume_post_copy(libvirt, self._uuid, self._migrate_data),
        )

    async def source_word(self) -> SourceWord:
        """See `TransferDriver`."""
        try:
            reading = await self._source.call(
                "sighting the guest",
                lambda libvirt: reads.read_transfer(libvirt, self._uuid),
                key=self._uuid,
            )
        except (Unreachable, LibvirtError):
            return SourceWord.UNREACHABLE
        return source_sighting(reading, self._migrate_data, TransferEvidence(began=True)).word

    async def destination_word(self) -> DestinationWord:
        """See `TransferDriver`."""
        try:
            reading = await self._destination.call(
                "looking for the guest",
                lambda libvirt: reads.read_state(libvirt, self._uuid),
                key=self._uuid,
            )
        except (Unreachable, LibvirtError):
            return DestinationWord.UNREACHABLE
        return destination_sighting(reading).word

    async def _moved(self, doing: str, work: Callable[[Libvirt], None]) -> TransferOutcome:
        try:
            await self._mover.call(doing, work, timeout_s=FOR_EVER)
        except LibvirtError as error:
            problem = f"{error.message} (libvirt error {error.number})"
            return TransferOutcome(error=problem, reason=self._certificate_problem(error))
        except Unreachable as error:
            return TransferOutcome(error=error.reason.words, reason=error.reason)
        self._came_back_without_error = True
        return TransferOutcome()

    async def explained(self, outcome: TransferOutcome) -> TransferOutcome:
        """See `TransferDriver`. What does not answer explains nothing."""
        ended = self._heard.ended
        try:
            ended = await end_seen(self._source, self._uuid, told=self._end_told)
        except Unreachable:
            self._limits.leave()
        why = outcome.reason or await self._full_disk()
        return change(outcome, reason=why, guest_ended=ended)

    async def progress(self) -> Progress | None:
        """See `TransferDriver`. `None` also while the source does not answer."""
        try:
            sample = await self._source.call(
                "reading the job",
                lambda libvirt: sampled(libvirt, self._uuid, self._sampled),
                timeout_s=PROGRESS_TIMEOUT_S,
                key=self._uuid,
            )
        except (Unreachable, LibvirtError):
            return None
        self._sampled = sample or self._sampled
        self._disk_bytes = max(self._disk_bytes, self._sampled.disk_processed_bytes)
        return sample

    async def limit(self, limits: TransferLimits) -> None:
        """See `TransferDriver`."""
        await self._limits.limit(limits)

    async def start_post_copy(self) -> None:
        """See `TransferDriver`."""
        await self._source.call(
            "starting post-copy", lambda libvirt: acts.start_post_copy(libvirt, self._uuid)
        )

    async def abort(self) -> bool:
        """See `TransferDriver`. Harmless where no job runs."""
        return await self._source.call(
            "aborting the job", lambda libvirt: acts.abort_job(libvirt, self._uuid)
        )

    async def source_is_gone(self) -> bool:
        """See `TransferDriver`. The proof: libvirt has confirmed the switch, by the call's return
        without error or by its event, and the source's half is seen to be no more.
        """
        if not (self._came_back_without_error or self._heard.left):
            return False
        return await has_left(self._source, self._uuid)

    async def sees_source_die(self) -> bool:
        """See `TransferDriver`. The proof: QEMU is dead, and from the switch until then it cannot
        have run unheard; and libvirt has found the destination's half whole, and leaves it to us.
        """
        if not await self._deathwatch.sees_it_die():
            return False
        try:
            there = await self._destination.call(
                "looking for the whole guest", lambda libvirt: reads.read_state(libvirt, self._uuid)
            )
        except (Unreachable, LibvirtError):
            return False
        return died_when_all_was_sent(self._heard, there, deaf=self._source.was_lost)

    async def let_run_at_destination(self) -> None:
        """See `TransferDriver`. Resumes only what waits for us (PAUSED by the guard)."""
        if self._migrate_data.was_paused or self._migrate_data.guard is not Guard.PAUSED:
            return
        doing = "letting the guest run"
        seen = await self._destination.call(
            doing, lambda libvirt: acts.resume_arrived(libvirt, self._uuid)
        )
        if seen:
            host = self._destination_host
            problem = f"the guest is {seen} there"
            raise HypervisorError(
                reason(Code.HYPERVISOR_ERROR, host=host, doing=doing, problem=problem)
            )

    async def statistics(self) -> Statistics | None:
        """See `TransferDriver`. The destination's figures know of no disks: they are copied by jobs
        of the source's, whose samples and last word count.
        """
        try:
            figures = await self._destination.call(
                "reading the final figures", lambda libvirt: final_figures(libvirt, self._uuid)
            )
        except (Unreachable, LibvirtError):
            return None
        return with_disks(figures, self._disk_bytes, copied=bool(self._migrate_data.disks_to_copy))

    async def close(self) -> None:
        """See `TransferDriver`."""
        if not self._came_back_without_error:
            await self._limits.put_back()
        self._deathwatch.close()
        connections = (self._mover, self._source, self._destination)
        await asyncio.gather(*(connection.close() for connection in connections))

    # --- details ---

    def _migrate(self, libvirt: Libvirt) -> None:
        domain = libvirt.lookupByUUIDString(self._uuid)
        domain.migrateToURI3(
            self._migrate_data.destination_uri,
            parameters_of(self._migrate_data, self._steering)
            | _definitions(libvirt, domain, self._migrate_data),
            flags_of(self._migrate_data, self._steering),
        )

    def _source_event(self, uuid: str, event: int, detail: int) -> None:
        if uuid == self._uuid:
            self._heard = after(self._heard, event, detail)
            self._heard_more.set()

    async def _end_told(self) -> SeenEnd | None:
        return await end_told(lambda: self._heard, self._heard_more)

    def _source_completed(self, uuid: str, figures: Mapping[str, int]) -> None:
        if uuid == self._uuid:
            self._disk_bytes = max(self._disk_bytes, figures.get("disk_processed", 0))

    async def _full_disk(self) -> Reason | None:
        """libvirt only says that a copy failed. Its file is still there, so a full disk is, too."""
        folders = [image.folder for image in self._images]
        full = ""
        with contextlib.suppress(Unreachable, LibvirtError):
            full = await self._destination.call(
                "looking for room", lambda libvirt: volumes.full_folder(libvirt, folders)
            )
        return reason(Code.DISK_FULL, host=self._destination_host, folder=full) if full else None

    def _certificate_problem(self, error: LibvirtError) -> Reason | None:
        if not is_certificate_problem(error, self._migrate_data.destination_uri):
            return None
        problem = f"{self._source_host} cannot reach it: {error.message}"
        return reason(Code.TLS_UNUSABLE, host=self._destination_host, problem=problem)


def flags_of(migrate_data: LibvirtLiveMigrateData, steering: Steering) -> Migrate:
    """How libvirt is asked to move the guest.

    UNSAFE says only that storage is judged by Godwit's own identities: libvirt's check knows
    nothing but a list of file systems.
    """
    flags = Migrate.LIVE | Migrate.PEER2PEER | Migrate.ABORT_ON_ERROR | Migrate.UNSAFE
    if migrate_data.persistent:
        flags |= Migrate.PERSIST_DEST | Migrate.UNDEFINE_SOURCE
    if migrate_data.guard is Guard.PAUSED:
        flags |= Migrate.PAUSED
    if migrate_data.guard is Guard.POSTCOPY:
        flags |= Migrate.POSTCOPY
    if migrate_data.tls:
        flags |= Migrate.TLS
    if migrate_data.disks_to_copy:
        incremental = migrate_data.incremental
        flags |= Migrate.NON_SHARED_INC if incremental else Migrate.NON_SHARED_DISK
    if steering.auto_converge:
        flags |= Migrate.AUTO_CONVERGE
    if _connections(migrate_data, steering) > 1:
        flags |= Migrate.PARALLEL
    return flags


def _connections(migrate_data: LibvirtLiveMigrateData, steering: Steering) -> int:
    """QEMU cannot go over to post-copy where several connections carry the memory."""
    return 1 if migrate_data.guard is Guard.POSTCOPY else steering.parallel_connections


def parameters_of(migrate_data: LibvirtLiveMigrateData, steering: Steering) -> dict[str, object]:
    """What goes with the flags: where memory is sent, and exactly which disks are copied."""
    parameters: dict[str, object] = {}
    if migrate_data.migration_uri:
        parameters[PARAM_URI] = migrate_data.migration_uri
    if migrate_data.disks_to_copy:
        parameters[PARAM_DISKS] = list(migrate_data.disks_to_copy)
    if (connections := _connections(migrate_data, steering)) > 1:
        parameters[PARAM_CONNECTIONS] = connections
    if migrate_data.hold_back:
        parameters[PARAM_BANDWIDTH] = HELD_BACK_MIB_PER_S
    return parameters


def _definitions(
    libvirt: Libvirt, domain: Domain, migrate_data: LibvirtLiveMigrateData
) -> dict[str, object]:
    """What the destination defines otherwise: the running guest, and the guest of the next boot.

    Where nothing differs libvirt carries both over by itself, be they alike or not.
    """
    wanted = {PARAM_LIVE_XML: DomainXml.SECURE | DomainXml.MIGRATABLE}
    if migrate_data.persistent:
        wanted[PARAM_PERSISTENT_XML] = wanted[PARAM_LIVE_XML] | DomainXml.INACTIVE
    definitions: dict[str, object] = {}
    for name, flags in wanted.items():
        here = domain.XMLDesc(flags)
        files = as_files(libvirt, here)
        there = destination_xml(files, migrate_data) or files
        if there != here:
            definitions[name] = there
    return definitions


def resume_post_copy(
    libvirt: Libvirt, uuid: InstanceUuid, migrate_data: LibvirtLiveMigrateData
) -> None:
    """The migrate call, made again for a post-copy that broke. Blocks until all is over."""
    libvirt.lookupByUUIDString(uuid).migrateToURI3(
        migrate_data.destination_uri,
        parameters_of(migrate_data, UNSTEERED),
        flags_of(migrate_data, UNSTEERED) | Migrate.POSTCOPY_RESUME,
    )
