"""A host as the scheduler sees it: what it said of itself, what is claimed there, and whether it
lives.
"""

from dataclasses import dataclass
from functools import cached_property

from godwit.model.host import Host, HostFacts, PersonsWord, Usage
from godwit.model.ids import HostName
from godwit.model.reasons import Code, Reason, reason


@dataclass(frozen=True)
class HostState:
    """One candidate. `facts` is None as long as the host has never described itself."""

    name: HostName
    facts: HostFacts | None
    usage: Usage
    up: bool
    silent_s: float = 0.0
    """Since when it has not reported."""
    trouble: str = ""
    """Why its hypervisor could not be looked at the last time; empty while it answers."""
    disabled: bool = False
    disabled_reason: str = ""
    confirmed_down: PersonsWord | None = None
    """It has no power, as a person says."""

    @cached_property
    def free_memory_mib(self) -> int:
        """Memory that guests may still claim; may be negative, 0 if the host is not described."""
        if self.facts is None:
            return 0
        return memory_max_mib(self.facts) - self.usage.memory_mib

    @cached_property
    def free_vcpus(self) -> int:
        """vCPUs that guests may still claim; may be negative, 0 if the host is not described."""
        return 0 if self.facts is None else vcpus_max(self.facts) - self.usage.vcpus


def host_state(host: Host, usage: Usage, *, up: bool, silent_s: float) -> HostState:
    """The state of a host from its record, what is claimed there, and servicegroup's word."""
    return HostState(
        name=host.name,
        facts=host.facts,
        usage=usage,
        up=up,
        silent_s=silent_s,
        trouble=host.trouble,
        disabled=host.disabled,
        disabled_reason=host.disabled_reason,
        confirmed_down=host.confirmed_down,
    )


def memory_max_mib(facts: HostFacts) -> int:
    """All the memory that guests may claim at a host."""
    return facts.memory_mib - facts.reserved_memory_mib


def vcpus_max(facts: HostFacts) -> int:
    """All the vCPUs that guests may claim at a host."""
    return int(facts.vcpus * facts.cpu_allocation_ratio)


def why_unavailable(state: HostState) -> Reason | None:
    """Why nothing can be asked of this host now: it has no power, does not report, has not
    described itself, or its hypervisor does not answer.
    """
    if state.confirmed_down is not None:
        return state.confirmed_down.why_it_takes_no_part(state.name)
    if not state.up:
        return reason(Code.COMPUTE_SERVICE_UNAVAILABLE, host=state.name, silent_s=state.silent_s)
    if state.trouble or state.facts is None:
        problem = state.trouble or f"{state.name} has not described itself yet"
        return reason(Code.HYPERVISOR_UNAVAILABLE, host=state.name, problem=problem)
    return None
