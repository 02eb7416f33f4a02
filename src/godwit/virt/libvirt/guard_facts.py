"""What libvirt's source check knows of the guard to choose. Pure."""

from typing import Final

from godwit.model.host import HostFacts
from godwit.model.request_spec import RequestSpec
from godwit.virt.guard import GuardFacts
from godwit.virt.libvirt.abi import Paused, State
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.storages import DiskPlan

RESUMES_SINCE_LIBVIRT: Final = 8_005_000
RESUMES_SINCE_QEMU: Final = 2_011_000
"""Below these, a post-copy whose network fails for a moment is a lost guest."""
KNOWN_TO_RESUME_BEFORE: Final = 9_001_000
"""Measured: libvirt 9.0 resumes one, the libvirtd of 11.3 dies at the destination each time it is
asked to, and the guest is lost. What is between them was not measured, so it is not trusted."""


def guard_facts(
    spec: RequestSpec, destination: HostFacts, reading: Reading, plan: DiskPlan
) -> GuardFacts:
    """What `choose_guard` rests on for this guest and this destination."""
    return GuardFacts(
        disks=spec.instance.disks,
        storages_there=destination.storages,
        rely_on_fencing=spec.rely_on_fencing,
        permit_post_copy=spec.permit_post_copy,
        can_post_copy=_can_resume(spec.source) and _can_be_resumed(destination),
        copies_disks=bool(plan.copied),
        was_paused=was_paused(reading),
    )


def was_paused(reading: Reading) -> bool:
    """Had its operator paused the guest?"""
    return (reading.state, reading.reason) == (State.PAUSED, Paused.USER)


def _can_resume(host: HostFacts) -> bool:
    return (
        host.library_version >= RESUMES_SINCE_LIBVIRT
        and host.hypervisor_version >= RESUMES_SINCE_QEMU
    )


def _can_be_resumed(destination: HostFacts) -> bool:
    return _can_resume(destination) and destination.library_version < KNOWN_TO_RESUME_BEFORE
