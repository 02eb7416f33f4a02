"""Rehearsals at one libvirt host, with twins that stand in for the guest. Used by `driver`.

The twin that starts at the destination dies with the connection that made it (AUTODESTROY). libvirt
does not send such a guest, so the one that travels is ended by us; if we die first, it stays,
paused and tiny, until the next rehearsal at that host.
"""

from functools import partial
from typing import Final

from msgspec.structs import replace

from godwit.model.errors import Refused, Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.migrate_data import Guard, LibvirtLiveMigrateData
from godwit.model.reasons import Code, reason
from godwit.model.rehearsal import TwinName, is_left_behind
from godwit.model.steering import UNSTEERED
from godwit.virt.libvirt import acts
from godwit.virt.libvirt.abi import Domain, DomainXml, Libvirt, Start
from godwit.virt.libvirt.connection import Connection, or_none
from godwit.virt.libvirt.errors import LibvirtError, is_certificate_problem
from godwit.virt.libvirt.migration import flags_of, parameters_of
from godwit.virt.libvirt.rewriting import destination_xml
from godwit.virt.libvirt.twins import rehearsal_xml, tiny_xml

START_TIMEOUT_S: Final = 30.0
SEND_TIMEOUT_S: Final = 15.0
END_TIMEOUT_S: Final = 25.0
STARTING: Final = "starting a twin of the guest, paused"


class Rehearsals:
    """What one host does in a rehearsal. Nothing is left in the end, whatever is raised."""

    def __init__(self, host: HostName, connection: Connection) -> None:
        self._host = host
        self._connection = connection

    async def depart(
        self, uuid: InstanceUuid, migrate_data: LibvirtLiveMigrateData, twin: TwinName
    ) -> str:
        """At the source: start a tiny twin, send it as the guest would be sent, end what is left of
        it. Returns the definition of the twin to be started at the destination; raises `Refused`
        if the tiny one did not arrive.
        """
        await self.end(twin)
        definition = await self._connection.call(
            "reading the guest's definition",
            lambda libvirt: libvirt.lookupByUUIDString(uuid).XMLDesc(DomainXml.MIGRATABLE),
        )
        await self._send(tiny_xml(definition, twin), migrate_data, twin)
        there = destination_xml(definition, migrate_data) or definition
        return rehearsal_xml(there, twin, copied=migrate_data.disks_to_copy)

    async def arrive(self, definition: str, twin: TwinName) -> None:
        """At the destination: start this twin as big as the guest, paused, and end it. Raises
        `Refused` with libvirt's words if it does not start.
        """
        await self.end(twin)
        try:
            await self._connection.call(
                STARTING, lambda libvirt: _try(libvirt, definition), timeout_s=START_TIMEOUT_S
            )
        except LibvirtError as error:
            raise self._failed(STARTING, error.message) from error

    async def end(self, twin: TwinName) -> None:
        """End this twin, and any that a rehearsal of long ago has left here."""
        await self._connection.call(
            "ending twins", lambda libvirt: _end(libvirt, twin), timeout_s=END_TIMEOUT_S
        )

    async def _send(self, tiny: str, migrate_data: LibvirtLiveMigrateData, twin: TwinName) -> None:
        alone = replace(
            migrate_data, guard=Guard.PAUSED, hold_back=False, persistent=False, disks_to_copy=()
        )
        doing = f"sending a twin of the guest to {alone.destination_uri}"
        try:
            await self._connection.call(
                doing, lambda libvirt: travel(libvirt, tiny, alone, twin), timeout_s=SEND_TIMEOUT_S
            )
        except LibvirtError as error:
            if is_certificate_problem(error, alone.destination_uri):
                problem = f"it cannot reach {alone.destination_uri}: {error.message}"
                tls = reason(Code.TLS_UNUSABLE, host=self._host, problem=problem)
                raise Refused(tls) from error
            raise self._failed(doing, error.message) from error
        except Unreachable as error:
            problem = f"it had not arrived after {SEND_TIMEOUT_S:.0f} s"
            raise self._failed(doing, problem) from error

    def _failed(self, doing: str, problem: str) -> Refused:
        why = reason(Code.REHEARSAL_FAILED, host=self._host, doing=doing, problem=problem)
        return Refused(why)


def _try(libvirt: Libvirt, definition: str) -> None:
    libvirt.createXML(definition, Start.PAUSED | Start.AUTODESTROY).destroy()


def travel(
    libvirt: Libvirt, tiny: str, migrate_data: LibvirtLiveMigrateData, twin: TwinName
) -> None:
    """Start the tiny twin and send it. What is left of it is ended right after the call, however
    late that comes back: into a network that swallows everything libvirt connects for minutes, in
    which it lets nobody end the twin.
    """
    domain = libvirt.createXML(tiny, Start.PAUSED)
    try:
        domain.migrateToURI3(
            migrate_data.destination_uri,
            parameters_of(migrate_data, UNSTEERED),
            flags_of(migrate_data, UNSTEERED),
        )
    finally:
        _end(libvirt, twin)


def _end(libvirt: Libvirt, twin: TwinName) -> None:
    for domain in libvirt.listAllDomains():
        name = domain.name()
        if name == twin or is_left_behind(name, twin):
            or_none(partial(_end_if_twin, domain), also=acts.ALREADY_SO)


def _end_if_twin(domain: Domain) -> None:
    """Another rehearsal may end it at the same moment. No twin is persistent."""
    if not domain.isPersistent():
        domain.destroy()
