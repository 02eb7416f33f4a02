"""Post-copy is only for hosts that are known to mend one that breaks."""

import pytest
from msgspec.structs import replace
from tests.unit.transfer_orders import GUEST
from tests.unit.virt.libvirt.test_libvirt_records import A, facts_of

from godwit.model.host import HostFacts
from godwit.model.request_spec import RequestSpec
from godwit.virt.libvirt.abi import Paused, Running, State
from godwit.virt.libvirt.guard_facts import guard_facts, was_paused
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.storages import DiskPlan

RUNNING = Reading(State.RUNNING, Running.BOOTED)


def host(library: int, qemu: int = 7_002_000) -> HostFacts:
    return replace(facts_of(A), library_version=library, hypervisor_version=qemu)


@pytest.mark.parametrize(
    ("here", "there", "can"),
    [
        (host(9_000_000), host(9_000_000), True),
        (host(8_005_000), host(8_005_000), True),
        (host(8_004_000), host(9_000_000), False),
        (host(9_000_000), host(8_004_000), False),
        (host(9_000_000), host(9_000_000, qemu=2_010_000), False),
        (host(9_000_000), host(11_003_000, qemu=10_000_000), False),
        (host(11_003_000), host(9_000_000), True),
    ],
)
def test_both_ends_must_be_known_to_resume_a_broken_post_copy(
    here: HostFacts, there: HostFacts, can: bool
) -> None:
    spec = RequestSpec(instance=GUEST, source=here, permit_post_copy=True)
    facts = guard_facts(spec, there, RUNNING, DiskPlan())
    assert (facts.permit_post_copy, facts.can_post_copy) == (True, can)


def test_only_an_operators_pause_counts_as_one() -> None:
    assert was_paused(Reading(State.PAUSED, Paused.USER))
    assert not was_paused(Reading(State.PAUSED, Paused.MIGRATION))
    assert not was_paused(RUNNING)
