"""Who died by itself, by what a lab host's diary and libvirt's log of a guest say."""

from __future__ import annotations

import pytest

from godwit.lab.deaths import CRASHED, libvirtd_deaths, qemu_deaths
from godwit.lab.layout import BEGAN, ENDED, KILLED, LIBVIRTD

OF_SEGV, OF_KILL, WELL = f"{ENDED}139", f"{ENDED}137", f"{ENDED}0"


@pytest.mark.parametrize(
    ("diary", "told"),
    [
        ([BEGAN], []),
        ([BEGAN, WELL], []),
        ([BEGAN, f"{KILLED}{LIBVIRTD}", OF_KILL], []),
        ([BEGAN, "free(): invalid pointer", f"{ENDED}134"], ["SIGABRT"]),
        ([BEGAN, f"{KILLED}vm1", OF_SEGV], ["SIGSEGV"]),
        ([BEGAN, f"{KILLED}{LIBVIRTD}", OF_KILL, BEGAN, OF_SEGV], ["SIGSEGV"]),
        ([BEGAN, f"{ENDED}6"], ["exit code 6"]),
    ],
)
def test_a_libvirtd_died_by_itself_if_nobody_had_killed_it(
    diary: list[str], told: list[str]
) -> None:
    assert libvirtd_deaths(diary, 0) == [f"libvirtd died by itself: {each}" for each in told]


def test_a_death_of_long_ago_is_not_told_again_nor_is_its_killer_forgotten() -> None:
    assert libvirtd_deaths([BEGAN, OF_SEGV, BEGAN], 2) == []
    assert libvirtd_deaths([BEGAN, f"{KILLED}{LIBVIRTD}", OF_KILL], 2) == []


def test_a_qemu_died_by_itself_if_it_crashed_more_often_than_it_was_killed() -> None:
    crashed = f"2026-11-23 00:41:37.000+0000: {CRASHED}"
    assert qemu_deaths("vm1", [crashed], []) == ["the QEMU of vm1 died by itself"]
    assert qemu_deaths("vm1", [crashed], [f"{KILLED}vm1"]) == []
    assert qemu_deaths("vm1", ["shutting down, reason=migrated"], []) == []
