"""Whose guests Godwit moves: the operator's word about a host, and the guest's own about itself."""

import pytest
from msgspec.structs import replace
from tests.unit.scheduler.test_select import INSTANCE, facts

from godwit.model.host import Manage
from godwit.model.instance import Platform
from godwit.model.reasons import Code
from godwit.scheduler.ownership import not_ours


@pytest.mark.parametrize("manage", list(Manage))
@pytest.mark.parametrize("made_by_us", [True, False])
@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("manager", [(), ("nova",), ("nova", "ovirt")])
@pytest.mark.parametrize("allowed", [(), ("nova",), ("nova", "ovirt")])
def test_a_guest_is_moved_only_where_both_the_host_and_its_other_managers_allow_it(
    manage: Manage,
    made_by_us: bool,
    tagged: bool,
    manager: tuple[str, ...],
    allowed: tuple[str, ...],
) -> None:
    platform = Platform(tagged=tagged, managers=manager)
    guest = replace(INSTANCE, discovered=not made_by_us, platform=platform)
    host = replace(facts("host-a"), manage=manage, managers=allowed)
    refusal = not_ours(guest, host)
    if not set(manager) <= set(allowed):
        assert refusal is not None
        assert refusal.code is Code.OTHER_MANAGER
    elif manage is Manage.TAGGED and not (tagged or made_by_us):
        assert refusal is not None
        assert refusal.code is Code.NOT_TAGGED
    else:
        assert refusal is None


def test_the_refusal_names_the_manager_the_host_and_how_to_tag_a_guest() -> None:
    host = replace(facts("host-a"), manage=Manage.TAGGED, managers=("nova",))
    foreign = not_ours(replace(INSTANCE, platform=Platform(managers=("nova", "ovirt"))), host)
    assert foreign is not None
    assert "managed by ovirt" in foreign.words
    assert "[hosts.host-a]" in foreign.remedy
    untagged = not_ours(INSTANCE, host)
    assert untagged is not None
    assert "virsh metadata guest-1 urn:godwit:guest --key godwit --set" in untagged.remedy
