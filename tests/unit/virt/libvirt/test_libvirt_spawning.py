"""What `destroy` removes of a guest of our own, at a libvirtd in memory."""

from typing import Any

import pytest
from tests.unit.virt.libvirt.fake_libvirt import FakeLibvirt, FakeVolume

from godwit.model.ids import InstanceUuid
from godwit.virt.libvirt.spawning import destroy

UUID = InstanceUuid("6a1c2a4c-7c5c-4c36-9d0e-1f6c9f6f7b11")
OWN = f"/srv/local/{UUID}.qcow2"
LATER = "/srv/local/attached-later.raw"
RUNNING = (1, 1)


@pytest.fixture
def libvirt() -> FakeLibvirt:
    made = FakeLibvirt()
    made.add_pool("/srv/local")
    made.files = {path: FakeVolume(made, path, 2**20) for path in (OWN, LATER)}
    return made


def test_a_disk_that_was_attached_later_is_left_and_named(libvirt: Any) -> None:
    libvirt.add(UUID, RUNNING, disks=(OWN, LATER))
    assert destroy(libvirt, UUID, half_made=False) == (LATER,)
    assert (set(libvirt.files), libvirt.domains) == ({LATER}, {})


def test_the_disk_of_a_spawn_that_defined_nothing_goes(libvirt: Any) -> None:
    assert destroy(libvirt, UUID, half_made=True) == ()
    assert set(libvirt.files) == {LATER}


def test_a_disk_that_no_definition_here_names_may_be_in_use_elsewhere(libvirt: Any) -> None:
    assert destroy(libvirt, UUID, half_made=False) == ()
    assert set(libvirt.files) == {LATER, OWN}
