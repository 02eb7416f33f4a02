"""A box that cannot have a lab is told why, and what to do."""

from __future__ import annotations

import pytest

from godwit.lab.errors import LabError
from godwit.lab.requirements import PACKAGES, check_requirements


def test_a_box_with_everything_may_have_a_lab() -> None:
    check_requirements(user_id=0, find=lambda name: f"/usr/bin/{name}", driver_is_there=True)


def test_a_user_who_is_not_root_is_told_to_become_it() -> None:
    with pytest.raises(LabError, match="needs root") as refused:
        check_requirements(user_id=1000, find=lambda name: name, driver_is_there=True)
    assert "sudo" in refused.value.remedy


@pytest.mark.parametrize(("program", "package"), PACKAGES.items())
def test_a_missing_program_is_told_with_the_package_it_comes_in(program: str, package: str) -> None:
    with pytest.raises(LabError, match=program) as refused:
        check_requirements(
            user_id=0, find=lambda name: None if name == program else name, driver_is_there=True
        )
    assert package in refused.value.remedy.split()


def test_libvirt_without_its_qemu_driver_is_told() -> None:
    with pytest.raises(LabError) as refused:
        check_requirements(user_id=0, find=lambda name: name, driver_is_there=False)
    assert refused.value.remedy.split()[-1] == "libvirt-daemon-driver-qemu"
