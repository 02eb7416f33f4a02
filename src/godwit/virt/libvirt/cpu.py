"""Can a host give a guest the very CPU it has? Pure; the comparison itself is libvirt's.

Asked of the hypervisor that would run the guest (`compareHypervisorCPU`), never of the physical CPU
(`compareCPU`), which under emulation calls every CPU incompatible.
"""

from typing import Final

from godwit.model.host import HostFacts, version_words
from godwit.model.instance import Platform
from godwit.model.reasons import Code, Reason, reason

PASSTHROUGH: Final = 'mode="host-passthrough"'
MAXIMUM: Final = 'mode="maximum"'
DIFFERENCES_MAX: Final = 8


def is_compared(platform: Platform) -> bool:
    """Can libvirt compare it? A CPU that is whatever its host or QEMU has, it cannot."""
    return bool(platform.cpu) and not _is_the_hosts_own(platform) and not _is_maximum(platform)


def cpu_refusals(
    platform: Platform, source: HostFacts, there: HostFacts, missing: str
) -> tuple[Reason, ...]:
    """`missing`: what libvirt said of a CPU that it can compare; empty if nothing is missing."""
    problems = [missing] if missing else []
    if _is_the_hosts_own(platform):
        problems += _difference(source, there)
    if _is_maximum(platform) and there.hypervisor_version != source.hypervisor_version:
        here_words, there_words = (
            version_words(each.hypervisor_version) for each in (source, there)
        )
        problems.append(f"it has all that QEMU {here_words} can give, and there is {there_words}")
    return tuple(
        reason(Code.INVALID_CPU_INFO, host=there.name, missing=problem) for problem in problems
    )


def _is_the_hosts_own(platform: Platform) -> bool:
    kvm_maximum = _is_maximum(platform) and platform.virtualisation == "kvm"
    return PASSTHROUGH in platform.cpu or kvm_maximum


def _is_maximum(platform: Platform) -> bool:
    return MAXIMUM in platform.cpu


def _difference(source: HostFacts, there: HostFacts) -> list[str]:
    """A guest that sees its host's own CPU keeps it only on a host with the very same."""
    if there.cpu_model != source.cpu_model:
        return [f"it sees the source's own {source.cpu_model}, not {there.cpu_model}"]
    differing = sorted(set(source.cpu_features) ^ set(there.cpu_features))
    if not differing:
        return []
    more = ", ..." if len(differing) > DIFFERENCES_MAX else ""
    named = ", ".join(differing[:DIFFERENCES_MAX])
    return [f"it sees the source's own CPU, from which that host's differs ({named}{more})"]
