"""The table of steps and faults on real libvirt, on demand: it wants the machine for itself.

`GODWIT_FAULTS=some` has each fault strike once and each step be struck once, `GODWIT_FAULTS=all`
has every fault strike every call of every step.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.faults.cases import CASES, Case, endure
from tests.faults.seams import Seam
from tests.faults.stage import a_stage
from tests.faults.table import Fault, Tale, steps_of
from tests.lab.libvirt_ground import LibvirtGround, LibvirtHosts, in_a_thread
from tests.lab.whole import roomy, small_disk, start

from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.lab.guest import GuestSpec
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.lab import Lab
from godwit.runtime.clock import SystemClock
from godwit.virt.driver import ComputeDriver

WANTED: Final = os.environ.get("GODWIT_FAULTS", "")
AT_ONCE: Final = 5
"""So many guests are on their way at the same time."""
CASE_TIMEOUT_S: Final = 180.0
ON_LIBVIRT: Final = [
    case
    for case in CASES
    if case.tale in (Tale.ARRIVES, Tale.UNDONE)
    and (case.point.seam is not Seam.DRIVER or hasattr(ComputeDriver, case.point.call))
]
"""All but what the transfer asks of its driver: here it is a process of its own. Real hosts are
brought to the other tales by `tests/lab/test_kills.py`.
"""


def each_step_and_each_fault_once() -> list[Case]:
    """Every fault at the step that has been struck least until then."""
    struck: Counter[str] = Counter()
    chosen: list[Case] = []
    for fault in Fault:
        case = min(
            (case for case in ON_LIBVIRT if case.fault is fault),
            key=lambda each: (struck[each.point.part.step], each.point.seam is Seam.STORE),
        )
        struck[case.point.part.step] += 1
        chosen.append(case)
    return chosen


def batches() -> list[list[Case]]:
    """What is run side by side in one test."""
    if WANTED != "all":
        return [each_step_and_each_fault_once()]
    size = 4 * AT_ONCE
    return [ON_LIBVIRT[i : i + size] for i in range(0, len(ON_LIBVIRT), size)]


def test_the_selection_has_every_step_and_every_fault() -> None:
    chosen = each_step_and_each_fault_once()
    assert {case.fault for case in chosen} == set(Fault)
    assert {case.point.part.step for case in chosen} == set(steps_of(LIVE_MIGRATION))


@pytest.mark.skipif(not WANTED, reason="on demand: GODWIT_FAULTS=some or all")
@pytest.mark.parametrize("cases", batches(), ids=lambda cases: f"{cases[0]}")
def test_whatever_strikes_a_step_leaves_one_guest_and_no_trace_on_real_hosts(
    lab: Lab, tmp_path: Path, cases: list[Case]
) -> None:
    specs = [a_spec(number) for number, _ in enumerate(cases)]
    with Heartbeats(lab, [spec.name for spec in specs]) as beats:

        async def all_of_them() -> list[BaseException | None]:
            hosts = LibvirtHosts(lab)
            turns = asyncio.Semaphore(AT_ONCE)
            grounds = [LibvirtGround(hosts, spec, tmp_path / spec.name) for spec in specs]
            try:
                return await asyncio.gather(
                    *(struck(*each, turns) for each in zip(grounds, cases, strict=True)),
                    return_exceptions=True,
                )
            finally:
                await hosts.close()

        ends = asyncio.run(all_of_them())
        said = [words(*each) for each in zip(cases, ends, strict=True) if each[1] is not None]
        for spec in specs:
            said += [f"{spec.name}: {each}" for each in beats.check_ran_once(spec.name)]
    assert not said, "\n\n".join(said)


def a_spec(number: int) -> GuestSpec:
    """A guest with a disk that only its host sees, and that starts with its host."""
    name = f"struck-{number}"
    return replace(roomy(name, small_disk(name), set_mib=8), autostart=True)


async def struck(ground: LibvirtGround, case: Case, turns: asyncio.Semaphore) -> None:
    """One case, when its turn comes."""
    async with turns:
        await in_a_thread(lambda: start(ground.here, (ground.spec,)))
        async with asyncio.timeout(CASE_TIMEOUT_S), a_stage(ground, SystemClock()) as stage:
            await endure(stage, case)


def words(case: Case, error: BaseException | None) -> str:
    """What went wrong, without the way there."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{case}: {type(error).__name__}: {error}"
