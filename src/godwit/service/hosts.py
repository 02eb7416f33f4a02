"""The compute managers that live in a process, each with its reporter."""

import asyncio
from collections.abc import Collection

from godwit.compute.managers import ComputeManagers
from godwit.compute.reporter import Hearer, Reporter
from godwit.model.ids import HostName
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.virt.registry import simulated_fleet


class HostsHere:
    """Those of the settings' hosts that this process acts on."""

    def __init__(
        self,
        settings: Settings,
        hosts: Collection[HostName],
        *,
        tasks: asyncio.TaskGroup,
        clock: Clock,
    ) -> None:
        self._interval_s = settings.hosts_defaults.report_interval_s
        self._tasks = tasks
        fleet = simulated_fleet(settings)
        self._maker = ComputeManagers(settings, tasks=tasks, clock=clock, fleet=fleet)
        self.managers = self._maker.make(hosts)

    def report_to(self, conductor: Hearer) -> None:
        """Tell the conductor of every host, for as long as the task group lives."""
        for host, manager in self.managers.items():
            reporter = Reporter(manager, conductor, interval_s=self._interval_s)
            self._tasks.create_task(reporter.run(), name=f"reports of {host}")

    async def close(self) -> None:
        """Give connections and threads back. Transfers under way go on."""
        for manager in self.managers.values():
            await manager.close()
        self._maker.close()
