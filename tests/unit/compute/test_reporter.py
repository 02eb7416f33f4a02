"""The reporter tells the conductor what is on a host, whatever happens to either of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from godwit.compute.managers import ComputeManagers
from godwit.compute.reporter import Reporter
from godwit.model.errors import Unreachable
from godwit.model.host import HostFacts, HostReport
from godwit.model.ids import HostName
from godwit.model.instance import Guest
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import Nothing
from godwit.runtime.settings import Settings, SimulatedHostSettings
from godwit.sim.loop import VirtualClock, run
from godwit.virt.registry import simulated_fleet
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.faults import Fault, FaultKind
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.guests import simulated_guest
from godwit.virt.simulated.half import HalfState

A = HostName("host-a")
INTERVAL_S = 5.0
SETTINGS = Settings(hosts={A: SimulatedHostSettings(guests=1)})


class Listener:
    """Keeps every report and when it came. The first `deaf` of them are lost."""

    def __init__(self, deaf: int = 0) -> None:
        self.heard: list[tuple[float, HostReport]] = []
        self._deaf = deaf

    async def report_host(self, ask: HostReport) -> Nothing:
        if self._deaf:
            self._deaf -= 1
            why = reason(Code.NO_ANSWER, who="conductor", call="report_host", timeout_s=10)
            raise Unreachable(why)
        self.heard.append((asyncio.get_running_loop().time(), ask))
        return Nothing()

    @property
    def times(self) -> list[float]:
        return [at_s for at_s, _ in self.heard]


def reported(
    meanwhile: Callable[[SimulatedFleet], Awaitable[None]],
    *,
    listener: Listener | None = None,
    driver: type[SimulatedDriver] | None = None,
) -> Listener:
    """Run a reporter while `meanwhile` happens to its host."""
    listener = listener or Listener()
    fleet = simulated_fleet(SETTINGS)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            maker = ComputeManagers(SETTINGS, tasks=tasks, clock=VirtualClock(), fleet=fleet)
            manager = maker.make([A])[A]
            if driver is not None:
                manager.driver = driver(fleet, A)
            reporter = Reporter(manager, listener, interval_s=INTERVAL_S)
            running = tasks.create_task(reporter.run())
            await meanwhile(fleet)
            running.cancel()
            maker.close()

    run(main())
    return listener


class SlowDriver(SimulatedDriver):
    """Its guests are counted for 20 s."""

    async def guests(self) -> tuple[Guest, ...]:
        await asyncio.sleep(20)
        return await super().guests()


def noting(looked_at_s: list[float]) -> type[SimulatedDriver]:
    """Notes when the host itself was looked at."""

    class Driver(SimulatedDriver):
        async def host_facts(self) -> HostFacts:
            looked_at_s.append(asyncio.get_running_loop().time())
            return await super().host_facts()

    return Driver


async def quiet(_fleet: SimulatedFleet) -> None:
    await asyncio.sleep(16)


def test_a_report_comes_at_the_start_and_then_every_interval() -> None:
    times = reported(quiet).times
    assert times[0] == pytest.approx(0.0)
    assert times[-3:] == pytest.approx([times[-3], times[-3] + 5, times[-3] + 10])


def test_a_change_is_reported_soon_and_a_swarm_of_changes_once() -> None:
    async def swarm(fleet: SimulatedFleet) -> None:
        await asyncio.sleep(1)
        for number in range(20):
            fleet.add_guest(A, simulated_guest(f"new-{number}"))
            await asyncio.sleep(0.005)
        await asyncio.sleep(1)

    listener = reported(swarm)
    after = [(at_s, report) for at_s, report in listener.heard if at_s > 0.9]
    assert len(after) == 1
    assert 1.0 < after[0][0] < 1.5
    assert len(after[0][1].guests) == 21


def test_guests_that_change_all_the_time_are_reported_ever_less_often_but_within_two_seconds() -> (
    None
):
    async def storm(fleet: SimulatedFleet) -> None:
        for _ in range(1_000):
            fleet.put(A, fleet.halves(A)[0])
            await asyncio.sleep(0.01)

    times = reported(storm).times
    assert len(times) <= 11
    assert max(later - earlier for earlier, later in pairwise(times)) < 2.0


def test_a_change_after_a_calm_is_reported_soon_whatever_went_on_before() -> None:
    async def storm_calm_and_one_more(fleet: SimulatedFleet) -> None:
        for _ in range(400):
            fleet.put(A, fleet.halves(A)[0])
            await asyncio.sleep(0.01)
        await asyncio.sleep(3.5)
        fleet.put(A, fleet.halves(A)[0])
        await asyncio.sleep(0.3)

    assert reported(storm_calm_and_one_more).times[-1] == pytest.approx(7.7, abs=0.05)


def test_a_hypervisor_in_trouble_is_reported_with_the_words_and_no_facts() -> None:
    async def cut(fleet: SimulatedFleet) -> None:
        fleet.disconnect(A)
        await asyncio.sleep(7)
        fleet.reconnect(A)
        await asyncio.sleep(6)

    reports = [report for _, report in reported(cut).heard]
    assert (reports[0].facts, reports[0].guests) == (None, ())
    assert "no route to host" in reports[0].trouble
    assert reports[-1].facts is not None
    assert reports[-1].trouble == ""


def test_a_hypervisor_that_hangs_is_reported_as_such_within_its_bound() -> None:
    async def hang(fleet: SimulatedFleet) -> None:
        fleet.inject(Fault(A, "guests", FaultKind.HANGS, hang_s=1_000.0))
        await asyncio.sleep(40)

    at_s, first = reported(hang).heard[0]
    assert at_s == pytest.approx(30.0)
    assert first.facts is None
    assert "took longer than 30 s" in first.trouble


def test_a_conductor_that_does_not_answer_ends_no_reporter() -> None:
    assert len(reported(quiet, listener=Listener(deaf=2)).heard) >= 2


def test_a_report_that_nobody_has_heard_is_made_again_soon() -> None:
    assert reported(quiet, listener=Listener(deaf=4)).times[0] < 4.5


def test_half_a_guest_that_is_still_arriving_is_not_reported() -> None:
    async def arrive(fleet: SimulatedFleet) -> None:
        other = simulated_guest("arriving")
        half = replace(fleet.halves(A)[0], guest=other, state=HalfState.RECEIVING)
        fleet.put(A, half)
        await asyncio.sleep(3)

    _, last = reported(arrive).heard[-1]
    assert [guest.name for guest in last.guests] == ["host-a-guest-1"]


def test_a_report_tells_how_long_its_look_has_taken() -> None:
    async def long(_fleet: SimulatedFleet) -> None:
        await asyncio.sleep(21)

    [(at_s, slow)] = reported(long, driver=SlowDriver).heard
    assert at_s == pytest.approx(20.0)
    assert slow.look_s == pytest.approx(20.0)
    assert reported(quiet).heard[0][1].look_s == pytest.approx(0.0)


def test_changes_of_guests_do_not_have_the_host_itself_looked_at_more_often() -> None:
    looked_at_s: list[float] = []

    async def storm(fleet: SimulatedFleet) -> None:
        for _ in range(1_600):
            fleet.put(A, fleet.halves(A)[0])
            await asyncio.sleep(0.01)

    heard = reported(storm, driver=noting(looked_at_s)).heard
    assert len(heard) > 8
    assert all(report.facts is not None for _, report in heard)
    apart = [later - earlier for earlier, later in pairwise(looked_at_s)]
    assert min(apart) >= INTERVAL_S
    assert max(apart) < INTERVAL_S + 2.0


def test_a_host_that_was_in_trouble_is_looked_at_again_itself() -> None:
    looked_at_s: list[float] = []

    async def cut(fleet: SimulatedFleet) -> None:
        await asyncio.sleep(1)
        for change in (fleet.disconnect, fleet.reconnect):
            change(A)
            fleet.put(A, fleet.halves(A)[0])
            await asyncio.sleep(1)

    said = [bool(report.trouble) for _, report in reported(cut, driver=noting(looked_at_s)).heard]
    assert said[-2:] == [True, False]
    assert len(looked_at_s) == 2
