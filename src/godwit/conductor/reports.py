"""Hosts' reports as they come in: each is kept with what discovery makes of it.

The latest report of every host is kept in memory only. After a start nothing is said to have
vanished until every host that was up has reported again.
"""

from collections.abc import Mapping
from typing import Final

import structlog

from godwit.conductor import alarms, power
from godwit.conductor.discovery import Findings, Heard, LeftOver, left_over, reconcile
from godwit.conductor.world import World
from godwit.model.errors import GodwitError, Refused
from godwit.model.finding import InstanceChangeKind
from godwit.model.host import HostReport
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, TaskState
from godwit.rpc.compute import DestroyGuest

SAME_REPORT_S: Final = 1.0
"""Two conductors may hear one report so far apart, by their own clocks."""
ALARMS_MAX: Final = 8
"""So many guests of one report are looked for at once; of the rest an audit tells."""

log = structlog.get_logger()


class Reports:
    """The latest word of every host. One per conductor."""

    def __init__(self, world: World, *, alone: bool) -> None:
        """Nothing has been heard yet. `alone`: no other process can be making a server."""
        self._world = world
        self._alone = alone
        self._heard: dict[HostName, Heard] = {}
        self._shown: dict[InstanceUuid, set[HostName]] = {}
        """Which hosts' latest reports show a guest."""

    async def take(self, report: HostReport) -> None:
        """Keep the report, and what has changed about the servers by it, in one transaction.
        Raises `Refused` (host-confirmed-down, host-heard-again), keeping nothing.

        Many are taken at once, and share their commits. So a finding may be older than what another
        report has changed: it is looked at again in its transaction.
        """
        now_s = self._world.clock.now_s()
        fenced = await self._world.fences.down()
        if report.host in fenced:
            raise Refused(await power.heard(self._world, report, fenced[report.host]))
        down = await self._world.fences.without_power()
        heard = Heard(report, now_s)
        known = await self._world.queries.instances_seen(
            report.host, [guest.uuid for guest in report.guests]
        )
        others = self._concerned(known, heard)
        outdated = await self._outdated(others)
        findings = reconcile(known, others, heard, outdated=outdated, without_power=down)
        if any(change.kind is InstanceChangeKind.VANISHED for change in findings.changes):
            unheard = await self._unheard(report.host)
            findings = reconcile(
                known, others, heard, unheard=unheard, outdated=outdated, without_power=down
            )
        self._keep(heard)
        await self._world.store.record_report(report, findings.changes, now_s=now_s)
        await self._alarm(report.host, findings)
        ours = self._world.being_made if self._alone else None
        for each in left_over(known, heard, ours=ours):
            await self._settle(each)

    async def _alarm(self, host: HostName, findings: Findings) -> None:
        """After all is on record: who is looked for here may take its time to answer."""
        for uuid, elsewhere in findings.doubled[:ALARMS_MAX]:
            await alarms.two_reports(self._world, uuid, (host, elsewhere))
        gone = [c.uuid for c in findings.changes if c.kind is InstanceChangeKind.VANISHED]
        for uuid in gone[:ALARMS_MAX]:
            await alarms.vanished(self._world, uuid)

    def overhear(self, report: HostReport) -> None:
        """Know what the host says, and leave it to another conductor to put it on record."""
        self._keep(Heard(report, self._world.clock.now_s()))

    def last_of(self, host: HostName) -> Heard | None:
        """The host's latest report, if it has reported to this process."""
        return self._heard.get(host)

    def _concerned(self, known: tuple[Instance, ...], heard: Heard) -> dict[HostName, Heard]:
        """The reports of other hosts that say something of the same servers."""
        uuids = {record.uuid for record in known} | {guest.uuid for guest in heard.report.guests}
        hosts = {record.host for record in known}
        hosts.update(*(self._shown.get(uuid, ()) for uuid in uuids))
        hosts.discard(heard.report.host)
        return {host: self._heard[host] for host in sorted(hosts) if host in self._heard}

    async def _outdated(self, others: Mapping[HostName, Heard]) -> frozenset[HostName]:
        """Those that another conductor has heard since."""
        outdated = set()
        for name, other in others.items():
            host = await self._world.queries.host(name)
            if host is not None and host.heard_at_s > other.at_s + SAME_REPORT_S:
                outdated.add(name)
        return frozenset(outdated)

    def _keep(self, heard: Heard) -> None:
        host, before = heard.report.host, self._heard.get(heard.report.host)
        for guest in before.report.guests if before is not None else ():
            self._shown[guest.uuid].discard(host)
            if not self._shown[guest.uuid]:
                del self._shown[guest.uuid]
        for guest in heard.report.guests:
            self._shown.setdefault(guest.uuid, set()).add(host)
        self._heard[host] = heard

    async def _settle(self, server: LeftOver) -> None:
        """A guest that was being made is kept if it is there, else its disk goes, too. One that was
        being deleted is not deleted from here: its owner may ask again.
        """
        if server.task is not TaskState.SPAWNING:
            if server.guest is None:
                await self._world.store.remove_instance(server.uuid)
            return
        if server.guest is None:
            ask = DestroyGuest(instance_uuid=server.uuid, half_made=True)
            try:
                await self._world.compute(server.host).destroy_guest(ask)
            except GodwitError as error:
                log.warning("half-made server left", server=server.uuid, words=error.reason.words)
                return  # asked again at the next report
        await self._world.store.finish_instance(server.uuid, server.guest)

    async def _unheard(self, reporting: HostName) -> frozenset[HostName]:
        """Hosts that were up lately and have not been heard by this process."""
        down_after_s = self._world.settings.hosts_defaults.down_after_s
        up_since_s = self._world.clock.now_s() - down_after_s
        return (await self._world.queries.heard_since(up_since_s)) - {reporting, *self._heard}
