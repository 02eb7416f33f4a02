"""The world of a conductor: the rooms that its stories and answers may use. Made once by `service`;
the tests make one of simulated hosts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from godwit.conductor.fences import Fences
from godwit.conductor.hosts import Hosts
from godwit.model.errors import Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import ComputeRpc
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.store.interface import Store
from godwit.store.queries import Queries


def nobody_listens(_uuid: str) -> None:
    """For a world without a sweeper: nobody is told that a story is due."""


@dataclass(frozen=True)
class World:
    """Everything a conductor reaches. `computes`: the compute manager of each host."""

    store: Store
    queries: Queries
    computes: Mapping[HostName, ComputeRpc]
    clock: Clock
    settings: Settings
    notice: Callable[[str], None] = nobody_listens
    """Called with a story that has become due, so that it is told at once, not at the next sweep.
    """
    being_made: set[InstanceUuid] = field(init=False, default_factory=set)
    """Servers that this life of the conductor has begun to make. One of an earlier life is attended
    to by nobody."""
    by_agents: bool = False
    """Each host is reached by an agent that stands there."""
    hosts: Hosts = field(init=False)
    """What the scheduler chooses from."""
    fences: Fences = field(init=False)
    """The hosts that nothing is asked of."""
    ways: dict[HostName, ComputeRpc] = field(init=False, default_factory=dict)
    """To the hosts that were asked for, through the fences."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", Hosts(self.queries, self.clock, self.settings))
        object.__setattr__(self, "fences", Fences(self.queries))

    def compute(self, host: HostName) -> ComputeRpc:
        """The compute manager of that host, which is not asked while the host is confirmed down.
        Raises `Unreachable` if no settings name it (any more).
        """
        if host not in self.ways:
            self.ways[host] = self.fences.around(host, self.compute_unfenced(host))
        return self.ways[host]

    def compute_unfenced(self, host: HostName) -> ComputeRpc:
        """The same, asked whatever people have confirmed: only to see whether they are right."""
        try:
            return self.computes[host]
        except KeyError as error:
            problem = f"the settings do not name {host}"
            why = reason(Code.HYPERVISOR_UNAVAILABLE, host=host, problem=problem)
            raise Unreachable(why) from error
