"""A simulated transfer goes as a real one may go, and each fault leaves what it says."""

import asyncio

import pytest
from tests.contract.driver_contract import record_of

from godwit.model.ids import HostName
from godwit.model.instance import Instance
from godwit.model.migrate_data import Guard, SimulatedLiveMigrateData
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.runtime.settings import SimulatedHostSettings
from godwit.sim.loop import run
from godwit.virt.driver import TransferEvidence, TransferOutcome
from godwit.virt.simulated.copying import Writes
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.faults import TransferFault
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.guests import simulated_guest
from godwit.virt.simulated.half import HalfState
from godwit.virt.simulated.transfer_driver import SimulatedTransferDriver

A, B = HostName("host-a"), HostName("host-b")
GUEST = simulated_guest("guest-1")
MIB = 2**20
T, S, D = TransferFault, SourceWord, DestinationWord


class Move:
    """A fleet of two, and one move between them."""

    def __init__(self, *, transfer_s: float = 4.0, guard: Guard = Guard.PAUSED) -> None:
        settings = SimulatedHostSettings(transfer_s=transfer_s)
        self.fleet = SimulatedFleet({A: settings, B: settings})
        self.fleet.add_guest(A, GUEST)
        self.migrate_data = SimulatedLiveMigrateData(guard=guard)

    def driver(self) -> SimulatedTransferDriver:
        return SimulatedTransferDriver(
            self.fleet, source=A, destination=B, uuid=GUEST.uuid, migrate_data=self.migrate_data
        )

    async def words(self) -> tuple[SourceWord, DestinationWord]:
        instance = await self._instance()
        began = TransferEvidence(began=True)
        source = await SimulatedDriver(self.fleet, A).sight_source(
            instance, self.migrate_data, began
        )
        destination = await SimulatedDriver(self.fleet, B).sight_destination(
            instance, self.migrate_data
        )
        return source.word, destination.word

    async def _instance(self) -> Instance:
        for host in (A, B):
            if self.fleet.half(host, GUEST.uuid) is not None:
                return await record_of(SimulatedDriver(self.fleet, host), GUEST.uuid)
        raise AssertionError("the guest is nowhere")


LEAVES = {
    T.FAILS_MID_COPY: (S.KEPT, D.GONE),
    T.HALF_LEFT_OVER: (S.KEPT, D.RECEIVING),
    T.GUEST_ENDS: (S.ENDED, D.GONE),
    T.SOURCE_TAKES_BACK: (S.TOOK_BACK, D.READY),
    T.HANDED_OVER: (S.HANDED_OVER, D.READY),
    T.HANDED_OVER_UNFINISHED: (S.HANDED_OVER, D.RECEIVING),
    T.HANDED_OVER_TO_NOBODY: (S.HANDED_OVER, D.GONE),
    T.REPLY_LOST: (S.GONE, D.READY),
}


@pytest.mark.parametrize("fault", [fault for fault in TransferFault if fault is not T.STALLS])
@pytest.mark.parametrize("transfer_s", [0.0, 4.0])
def test_each_fault_leaves_its_two_words_and_an_error(
    fault: TransferFault, transfer_s: float
) -> None:
    move = Move(transfer_s=transfer_s)
    move.fleet.break_transfer(GUEST.uuid, fault)

    async def main() -> None:
        outcome = await move.driver().transfer()
        assert outcome.error
        assert await move.words() == LEAVES[fault]

    run(main())
    assert move.fleet.violations() == ()


def test_a_fault_strikes_one_transfer() -> None:
    move = Move()
    move.fleet.break_transfer(GUEST.uuid, T.FAILS_MID_COPY)

    async def main() -> list[bool]:
        return [bool((await move.driver().transfer()).error) for _ in range(2)]

    assert run(main()) == [True, False]


async def timed(driver: SimulatedTransferDriver) -> tuple[TransferOutcome, float]:
    outcome = await driver.transfer()
    return outcome, asyncio.get_running_loop().time()


@pytest.mark.parametrize("transfer_s", [0.0, 0.1, 4.0])
def test_a_transfer_takes_the_time_of_the_settings(transfer_s: float) -> None:
    outcome, after_s = run(timed(Move(transfer_s=transfer_s).driver()))
    assert outcome.error == ""
    assert after_s == pytest.approx(transfer_s)


@pytest.mark.parametrize("fault", [None, T.STALLS])
def test_an_abort_ends_the_transfer_and_the_guest_stays(fault: TransferFault | None) -> None:
    move = Move()
    if fault:
        move.fleet.break_transfer(GUEST.uuid, fault)

    async def main() -> float:
        driver = move.driver()
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(timed(driver))
            await asyncio.sleep(3)
            assert await driver.abort()
        outcome, after_s = call.result()
        assert outcome.error == "operation aborted: canceled by client"
        assert await move.words() == (S.KEPT, D.GONE)
        return after_s

    assert run(main()) == pytest.approx(3)


def test_an_abort_before_there_is_a_job_finds_none_and_stops_nothing() -> None:
    async def main() -> str:
        driver = Move().driver()
        assert not await driver.abort()
        return (await driver.transfer()).error

    assert run(main()) == ""


@pytest.mark.parametrize("host", [A, B])
def test_a_power_cut_mid_copy_ends_the_transfer(host: HostName) -> None:
    move = Move()

    async def main() -> str:
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(move.driver().transfer())
            await asyncio.sleep(1)
            move.fleet.power_off(host)
        return call.result().error

    assert run(main()) == "client socket is closed"
    assert move.fleet.half(B, GUEST.uuid) is None


def test_a_post_copy_is_not_resumed_towards_a_host_that_is_off() -> None:
    move = Move(guard=Guard.POSTCOPY)

    async def main() -> TransferOutcome:
        driver = move.driver()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(driver.transfer())
            await asyncio.sleep(1)
            await driver.start_post_copy()
            await asyncio.sleep(1)
            move.fleet.power_off(B)
        return await driver.resume_post_copy()

    assert run(main()).error == "unable to connect to server: no route to host"
    assert run(move.words())[0] is S.POSTCOPY_BROKEN


def test_progress_grows_steadily_and_ends_with_the_job() -> None:
    move = Move()

    async def main() -> list[int | None]:
        driver, seen = move.driver(), []
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(driver.transfer())
            for pause_s in (1, 1, 1, 2):
                await asyncio.sleep(pause_s)
                sample = await driver.progress()
                seen.append(sample.moved_bytes if sample else None)
            await call
        return seen

    total = GUEST.memory_mib * 2**20
    assert run(main()) == [total // 4, total // 2, total * 3 // 4, None]


def test_with_another_guard_the_guest_runs_at_once() -> None:
    move = Move(guard=Guard.LOCKS)
    run(timed(move.driver()))
    assert move.fleet.running_at(GUEST.uuid) == (B,)


def test_the_copy_of_a_guest_that_shuts_itself_off_ends_though_it_could_never_be_whole() -> None:
    move = Move()
    move.fleet.set_writes(GUEST.uuid, Writes(400 * MIB, 256 * MIB))

    async def main() -> TransferOutcome:
        asyncio.get_running_loop().call_later(
            10.0, lambda: move.fleet.power_off_guest(A, GUEST.uuid)
        )
        outcome, _ = await timed(move.driver())
        return outcome

    assert run(main()).error == "domain is not running"
    assert move.fleet.half(B, GUEST.uuid) is None


def test_what_the_hypervisor_does_goes_on_when_nobody_waits_for_it_any_more() -> None:
    async def main() -> None:
        move = Move()
        async with asyncio.TaskGroup() as tasks:
            driver = move.driver()
            driver.leave_jobs_to(tasks)
            call = tasks.create_task(driver.transfer())
            await asyncio.sleep(1)
            call.cancel()
        assert await move.words() == (S.GONE, D.READY)

    run(main())


def test_a_guest_is_never_transferred_onto_itself() -> None:
    move = Move()
    move.fleet.put(B, move.fleet.halves(A)[0])
    outcome, _ = run(timed(move.driver()))
    assert outcome.error == "the guest exists at host-b already"


def test_only_a_live_guest_is_transferred() -> None:
    move = Move()
    move.fleet.power_off_guest(A, GUEST.uuid)
    outcome, _ = run(timed(move.driver()))
    assert outcome.error == "domain is not running"
    half = move.fleet.half(A, GUEST.uuid)
    assert half is not None
    assert half.state is HalfState.OFF
