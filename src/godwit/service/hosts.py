"""The compute managers that live in a process, each with its reporter."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from godwit.compute.managers import ComputeManagers
from godwit.compute.reporter import Hearer, Reporter
from godwit.model.errors import Conflict, Refused
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.runtime.clock import Clock
from godwit.runtime.process_lock import Held, ProcessLock
from godwit.runtime.settings import Settings, SimulatedHostSettings
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


@contextmanager
def held(settings: Settings, hosts: Collection[HostName]) -> Iterator[None]:
    """Keep any other process of this machine from acting on the same hosts: their fences are kept
    by one. Raises `Conflict` (agent-running), or `Refused` if the state folder cannot be used.
    """
    with ExitStack() as stack:
        for host in hosts:
            if not isinstance(settings.hosts[host], SimulatedHostSettings):
                folder = Path(settings.server.state_dir) / "hosts" / host
                stack.callback(_hold(host, folder).release)
        yield


def _hold(host: HostName, folder: Path) -> ProcessLock:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return ProcessLock(folder / "lock")
    except Held as error:
        raise Conflict(
            reason(Code.AGENT_RUNNING, host=host, pid=error.pid, folder=folder)
        ) from error
    except OSError as error:
        problem = f"{folder}: {error.strerror}"
        field, expected = "server.state_dir", "name one that this process may use"
        said = reason(Code.INVALID_INPUT, field=field, problem=problem, expected=expected)
        raise Refused(said) from error
