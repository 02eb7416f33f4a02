"""A twin is known by its name, and so is its age."""

import pytest

from godwit.model.rehearsal import STALE_AFTER_S, is_left_behind, is_twin, twin_name

UUID = "0123abcd-0000-4000-8000-000000000000"
NOW_S = 1_800_000_000.0
NOW = twin_name(NOW_S, UUID)


def test_a_twins_name_is_that_of_a_twin() -> None:
    assert NOW == "godwit-rehearsal-1800000000-0123abcd"
    assert is_twin(NOW)


@pytest.mark.parametrize("name", ["vm1", "godwit-rehearsal", "godwit-rehearsal-1-x", f"{NOW}x", ""])
def test_a_guests_name_is_not(name: str) -> None:
    assert not is_twin(name)
    assert not is_left_behind(name, NOW)


@pytest.mark.parametrize(("age_s", "left"), [(STALE_AFTER_S + 1, True), (60, False), (-60, False)])
def test_only_an_old_twin_was_left_behind(age_s: int, *, left: bool) -> None:
    assert is_left_behind(twin_name(NOW_S - age_s, UUID), NOW) is left
