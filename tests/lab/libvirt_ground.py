"""The lab's hosts and one guest, for the table of steps and faults: real libvirt, QEMU and transfer
processes under the same conductors, agents and seams as in `tests/faults`.

Several guests share the hosts, each with a control plane of its own that sees it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from msgspec.structs import replace
from tests.faults.stage import Stage
from tests.faults.table import Tale
from tests.lab.libvirt_moves import AS_THE_LAB_IS
from tests.lab.libvirt_moves import settings_of as impatient_settings_of
from tests.lab.whole import CRAWLING, RUSHING, set_pace

from godwit.compute.disk import Disk
from godwit.compute.fence_keepers import DiskFenceKeeper
from godwit.compute.nursery import Nursery
from godwit.compute.process_transfers import Means, ProcessTransfers
from godwit.lab.guest import GuestSpec
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import (
    HostsSettings,
    LibvirtHostSettings,
    MigrationSettings,
    ServerSettings,
    Settings,
)
from godwit.virt.driver import ComputeDriver
from godwit.virt.libvirt.driver import LibvirtDriver

T = TypeVar("T")

PATIENCE_MAX_S: Final = 4.0
SEEN_FOR_S: Final = 0.5
"""A look at a host's guests serves all who ask within so long."""
CALL_TIMEOUT_S: Final = 20.0
KILL_LOOK_S: Final = 0.1


def settings_of(host: LabHost) -> LibvirtHostSettings:
    """A host that so many move away from at once may take its time."""
    return replace(impatient_settings_of(host), call_timeout_s=CALL_TIMEOUT_S)


@dataclass
class LibvirtHosts:
    """What all guests of the table share: a driver per host, and what starts transfers. Made and
    closed inside one event loop.
    """

    lab: Lab
    means: Means = field(init=False)
    drivers: dict[HostName, LibvirtDriver] = field(init=False)
    _seen: dict[HostName, tuple[float, tuple[Guest, ...]]] = field(default_factory=dict)
    _looking: dict[HostName, asyncio.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.means = Means(Disk(), Disk(), SystemClock(), Nursery())
        self.means.nursery.start()
        self.drivers = {
            HostName(host.name): LibvirtDriver(
                HostName(host.name),
                settings_of(host),
                AS_THE_LAB_IS.storages,
                AS_THE_LAB_IS.networks,
            )
            for host in self.lab.hosts
        }

    async def guests(self, host: HostName) -> tuple[Guest, ...]:
        """All that are there, as of a moment ago."""
        async with self._looking.setdefault(host, asyncio.Lock()):
            now_s = asyncio.get_running_loop().time()
            at_s, seen = self._seen.get(host, (-SEEN_FOR_S, ()))
            if now_s - at_s >= SEEN_FOR_S:
                seen = await self.drivers[host].guests()
                self._seen[host] = (now_s, seen)
            return seen

    async def close(self) -> None:
        """Let everything go."""
        for driver in self.drivers.values():
            await driver.close()
        self.means.disk.close()
        self.means.births.close()
        self.means.nursery.close()


class OfOneGuest:
    """A host's driver for one guest's control plane: it reports no other."""

    def __init__(self, hosts: LibvirtHosts, host: HostName, guest: InstanceUuid) -> None:
        self._hosts = hosts
        self._host = host
        self._guest = guest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hosts.drivers[self._host], name)

    async def guests(self) -> tuple[Guest, ...]:
        """See `ComputeDriver`."""
        here = await self._hosts.guests(self._host)
        return tuple(guest for guest in here if guest.uuid == self._guest)

    async def changes(self) -> AsyncIterator[None]:
        """See `ComputeDriver`. The next report is soon enough."""
        await asyncio.Event().wait()
        yield


class LibvirtGround:
    """See `Ground`."""

    def __init__(self, hosts: LibvirtHosts, spec: GuestSpec, folder: Path) -> None:
        self.spec = spec
        self.guest = InstanceUuid(str(spec.uuid))
        self.patience_max_s = PATIENCE_MAX_S
        self.settings = Settings(
            server=ServerSettings(state_dir=str(folder)),
            migration=MigrationSettings(stall_timeout_s=20.0),
            hosts_defaults=HostsSettings(report_interval_s=2.0, down_after_s=60.0),
            hosts={HostName(host.name): settings_of(host) for host in hosts.lab.hosts},
            storages=dict(AS_THE_LAB_IS.storages),
        )
        self._hosts = hosts
        self._folder = folder

    @property
    def here(self) -> LabHost:
        """Where the guest starts."""
        return self._hosts.lab.hosts[0]

    def driver(self, host: HostName) -> ComputeDriver:
        """See `Ground`."""
        return cast("ComputeDriver", OfOneGuest(self._hosts, host, self.guest))

    def transfers(self, _stage: Stage, host: HostName) -> ProcessTransfers:
        """See `Ground`."""
        return ProcessTransfers(
            host=host,
            root=self._folder / host / "transfers",
            settings=self.settings,
            means=self._hosts.means,
        )

    def keeper(self, host: HostName) -> DiskFenceKeeper:
        """See `Ground`."""
        return DiskFenceKeeper(
            self._folder / host / "fence",
            host=host,
            disk=self._hosts.means.disk,
            clock=self._hosts.means.clock,
        )

    async def prepare(self, stage: Stage, tale: Tale) -> None:
        """See `Ground`. What has arrived of the guest dies in the middle of its copy."""
        if tale is not Tale.UNDONE:
            return
        here, others = self.here, self._hosts.lab.hosts[1:]
        await in_a_thread(partial(set_pace, here, CRAWLING, self.spec.name))

        async def kill() -> None:
            arriving: list[LabHost] = []
            while not arriving:
                await asyncio.sleep(KILL_LOOK_S)
                arriving = [host for host in others if host.qemu_pids(self.spec.name)]
            await in_a_thread(partial(set_pace, here, RUSHING, self.spec.name))
            for host in arriving:
                host.kill_qemu(self.spec.name)

        stage.tasks.create_task(kill(), name=f"death of what arrives of {self.spec.name}")

    async def end_tale(self) -> None:
        """See `Ground`."""

    async def problems(self, at: HostName) -> list[str]:
        """See `Ground`."""
        said = [
            in_a_thread(partial(self._problems_at, host, is_here=host.name == at))
            for host in self._hosts.lab.hosts
        ]
        return [problem for problems in await asyncio.gather(*said) for problem in problems]

    def _problems_at(self, host: LabHost, *, is_here: bool) -> list[str]:
        name = self.spec.name
        processes = len(host.qemu_pids(name))
        disks = [disk.name for disk in self.spec.disks if (host.local / disk.name).exists()]
        asks = (
            f"list --all --name; dominfo {name}; domjobinfo {name}"
            if is_here
            else "list --all --name"
        )
        told = host.run("virsh", "-q", asks).stdout
        said = []
        if is_here:
            facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
            wanted = {"State": "running", "Persistent": "yes", "Autostart": "enable"}
            wanted["Job type"] = "None"
            said = [
                f"{k}: {facts.get(k)}" for k, v in wanted.items() if facts.get(k, "").strip() != v
            ]
            if len(disks) != len(self.spec.disks):
                said.append(f"of its disks only {disks}")
        elif name in told.split() or disks:
            said.append(f"known, or with disks {disks}")
        if processes != (1 if is_here else 0):
            said.append(f"{processes} QEMU")
        return [f"{name} at {host.name}: {each}" for each in said]


async def in_a_thread(work: Callable[[], T]) -> T:
    """The lab's own acts block."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
