"""The fleet sees whatever must never happen to a guest, and its faults do what they say."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from godwit.model.errors import GodwitError, HypervisorError, Unreachable
from godwit.model.ids import HostName
from godwit.model.instance import Guest
from godwit.runtime.settings import Settings, SimulatedHostSettings
from godwit.sim.loop import run
from godwit.virt.registry import simulated_fleet
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.faults import Fault, FaultKind
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.guests import simulated_guest
from godwit.virt.simulated.half import Half, HalfState

A, B = HostName("host-a"), HostName("host-b")
GUEST = simulated_guest("guest-1")


def a_fleet() -> SimulatedFleet:
    """Two hosts; the guest runs at the first."""
    fleet = SimulatedFleet({A: SimulatedHostSettings(), B: SimulatedHostSettings()})
    fleet.add_guest(A, GUEST)
    return fleet


def the_half(fleet: SimulatedFleet, host: HostName, guest: Guest = GUEST) -> Half:
    half = fleet.half(host, guest.uuid)
    assert half is not None
    return half


def switch(fleet: SimulatedFleet) -> None:
    """Everything was sent: the source is paused, the destination whole."""
    half = the_half(fleet, A)
    fleet.put(B, replace(half, state=HalfState.ARRIVED))
    fleet.put(A, replace(half, state=HalfState.HANDED_OVER))


def test_a_guest_that_runs_on_one_host_after_the_other_violates_nothing() -> None:
    fleet = a_fleet()
    switch(fleet)
    fleet.put(A, replace(the_half(fleet, A), state=HalfState.MIGRATED))
    fleet.put(B, replace(the_half(fleet, B), state=HalfState.RUNNING))
    fleet.remove(A, GUEST.uuid)
    assert fleet.violations() == ()
    assert fleet.running_at(GUEST.uuid) == (B,)


def test_a_guest_that_runs_on_two_hosts_is_a_violation() -> None:
    fleet = a_fleet()
    fleet.put(B, replace(the_half(fleet, A), state=HalfState.RUNNING))
    assert "began to run on host-b while it ran on host-a" in fleet.violations()[0]


def test_a_guest_that_runs_from_memory_it_had_left_behind_is_a_violation() -> None:
    fleet = a_fleet()
    switch(fleet)
    fleet.put(A, replace(the_half(fleet, A), state=HalfState.RUNNING))
    fleet.power_off(A)
    fleet.put(B, replace(the_half(fleet, B), state=HalfState.RUNNING))
    assert "from memory it had left behind" in fleet.violations()[0]


@pytest.mark.parametrize("how", ["removed", "shut off"])
def test_ending_the_only_whole_half_of_a_guest_is_a_violation(how: str) -> None:
    fleet = a_fleet()
    if how == "removed":
        fleet.remove(A, GUEST.uuid)
    else:
        fleet.put(A, replace(the_half(fleet, A), state=HalfState.OFF))
    assert "was ended" in fleet.violations()[0]


def test_ending_the_newest_half_is_a_violation_even_if_an_older_one_waits() -> None:
    fleet = a_fleet()
    switch(fleet)
    fleet.put(A, replace(the_half(fleet, A), state=HalfState.RUNNING))
    fleet.remove(A, GUEST.uuid)
    assert "was ended" in fleet.violations()[0]


def test_a_guest_that_its_owner_destroys_or_a_power_cut_ends_is_no_violation() -> None:
    fleet = a_fleet()
    other = simulated_guest("guest-2")
    fleet.add_guest(B, other)
    fleet.destroy(A, GUEST.uuid)
    fleet.power_off(B)
    assert fleet.violations() == ()
    assert the_half(fleet, B, other).state is HalfState.OFF


def test_a_power_cut_takes_what_was_arriving_with_it() -> None:
    fleet = a_fleet()
    switch(fleet)
    fleet.power_off(B)
    assert fleet.half(B, GUEST.uuid) is None
    assert the_half(fleet, A).state is HalfState.HANDED_OVER


def test_the_settings_say_which_guests_run_at_the_start() -> None:
    settings = Settings(hosts={A: SimulatedHostSettings(guests=2), B: SimulatedHostSettings()})
    fleet = simulated_fleet(settings)
    names = sorted(half.guest.name for half in fleet.halves(A))
    assert names == ["host-a-guest-1", "host-a-guest-2"]
    assert {half.state for half in fleet.halves(A)} == {HalfState.RUNNING}
    assert fleet.snapshot() == simulated_fleet(settings).snapshot()


# --- faults ---------------------------------------------------------------------------------------


def outcome_of(fleet: SimulatedFleet) -> tuple[str, float, bool]:
    """What `pre_live_migration` at B raises, after how long, and whether it acted."""

    async def main() -> tuple[str, float]:
        raised = ""
        try:
            async with fleet.calling(B, "pre_live_migration"):
                fleet.prepare(B, GUEST.uuid)
        except GodwitError as error:
            raised = type(error).__name__
        return raised, asyncio.get_running_loop().time()

    before = fleet.snapshot()
    raised, after_s = run(main())
    return raised, after_s, fleet.snapshot() != before


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (FaultKind.HANGS, ("Unreachable", 7.0, False)),
        (FaultKind.HANGS_AFTER_ACTING, ("Unreachable", 7.0, True)),
        (FaultKind.FAILS, ("HypervisorError", 0.0, False)),
        (FaultKind.FAILS_AFTER_ACTING, ("HypervisorError", 0.0, True)),
        (FaultKind.UNREACHABLE, ("Unreachable", 0.0, False)),
    ],
)
def test_a_fault_does_what_it_says_once(kind: FaultKind, outcome: tuple[str, float, bool]) -> None:
    fleet = a_fleet()
    fleet.inject(Fault(B, "pre_live_migration", kind, hang_s=7.0))
    assert outcome_of(fleet) == outcome
    fleet.give_room_back(B, GUEST.uuid)
    assert outcome_of(fleet) == ("", 0.0, True)


def test_a_fault_strikes_as_often_as_it_says_and_only_its_own_call() -> None:
    fleet = a_fleet()
    fleet.inject(Fault(B, "pre_live_migration", FaultKind.FAILS, times=2))
    fleet.inject(Fault(A, "pre_live_migration", FaultKind.FAILS))
    assert [outcome_of(fleet)[0] for _ in range(3)] == ["HypervisorError", "HypervisorError", ""]
    assert fleet.calls(B, "pre_live_migration") == 3


def test_healing_takes_all_faults_away() -> None:
    fleet = a_fleet()
    fleet.inject(Fault(B, "pre_live_migration", FaultKind.FAILS))
    fleet.disconnect(B)
    fleet.power_off(B)
    fleet.heal()
    assert outcome_of(fleet)[0] == ""


Break = Callable[[SimulatedFleet], None]


@pytest.mark.parametrize(
    "break_it",
    [lambda fleet: fleet.disconnect(A), lambda fleet: fleet.power_off(A)],
    ids=["cut off", "without power"],
)
def test_a_host_that_is_out_of_reach_answers_nothing(break_it: Break) -> None:
    fleet = a_fleet()
    driver = SimulatedDriver(fleet, A)
    break_it(fleet)

    async def main(look: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(Unreachable):
            await look()

    run(main(driver.host_facts))
    run(main(driver.guests))


def test_changes_are_announced_to_the_host_that_changed() -> None:
    fleet = a_fleet()

    async def first_change(host: HostName) -> float:
        async for _ in SimulatedDriver(fleet, host).changes():
            break
        return asyncio.get_running_loop().time()

    async def main() -> float:
        async with asyncio.TaskGroup() as tasks:
            heard = tasks.create_task(first_change(B))
            await asyncio.sleep(3)
            fleet.add_guest(B, simulated_guest("guest-2"))
        return heard.result()

    assert run(main()) == pytest.approx(3)


def test_an_error_names_host_and_call() -> None:
    fleet = a_fleet()
    fleet.inject(Fault(A, "host_facts", FaultKind.FAILS))

    async def main() -> None:
        with pytest.raises(HypervisorError, match="host-a: host_facts failed"):
            await SimulatedDriver(fleet, A).host_facts()

    run(main())
