"""The pivot's look at both ends: what is shown there is acted on, and never a guess."""

import asyncio

import pytest
from tests.saga.house import GUEST, A, B, House, a_house

from godwit.model.instance import PowerState, VmState
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.reasons import Code
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    GuestEnd,
    SourceSighting,
    SourceWord,
)
from godwit.rpc.compute import TransferNews
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind, TransferFault

S = MigrationStatus
D = DestinationWord


def shows(house: House, source: SourceWord, destination: DestinationWord | None = None) -> None:
    """From now on the hosts show this of the guest, whatever is true."""
    house.wires[A].says["sight_source"] = SourceSighting(word=source, seen="as told")
    if destination is not None:
        seen = DestinationSighting(word=destination, seen="as told")
        house.wires[B].says["sight_destination"] = seen


def shows_the_truth(house: House) -> None:
    for wire in house.wires.values():
        wire.says.clear()


def person_is_needed(migration: Migration) -> bool:
    return migration.person_needed


def test_a_copy_that_goes_on_without_its_process_is_watched_without_an_end() -> None:
    async def story() -> None:
        async with a_house() as house:
            shows(house, SourceWord.COPYING, DestinationWord.RECEIVING)
            uuid = (await house.ask()).uuid
            await asyncio.sleep(200)
            watched = await house.see(uuid)
            assert watched.status is S.RUNNING
            assert not watched.person_needed
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_an_abort_is_passed_on_while_a_copy_is_only_watched() -> None:
    async def story() -> None:
        async with a_house() as house:
            shows(house, SourceWord.COPYING, DestinationWord.RECEIVING)
            orphaned = TransferNews(ended=True, orphaned=True, started=True)
            house.wires[A].says["close_transfer"] = orphaned
            uuid = (await house.ask()).uuid
            await asyncio.sleep(60)
            await house.abort(uuid)
            await asyncio.sleep(10)
            assert "abort_live_migration" in house.wires[A].heard

    run(story())


def test_two_guests_are_never_touched_and_a_person_is_told() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.HALF_LEFT_OVER)
            shows(house, SourceWord.KEPT, DestinationWord.RUNS)
            uuid = (await house.ask()).uuid
            asking = await house.until(uuid, person_is_needed)
            assert asking.reason is not None
            assert asking.reason.code is Code.TWO_GUESTS
            before = house.fleet.snapshot()
            await house.resolve(uuid, at=A)
            await asyncio.sleep(120)
            assert house.fleet.snapshot() == before
            assert (await house.see(uuid)).person_needed, "the other half is still seen running"
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


def test_a_transfer_that_never_began_is_undone_only_after_it_was_seen_twice() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.inject(Fault(A, "open", FaultKind.UNREACHABLE))
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            assert (await house.migrate()).status is S.FAILED
            assert loop.time() - began_s >= 5
            await house.assert_sound()

    run(story())


def test_the_two_looks_at_what_never_began_do_not_span_a_job() -> None:
    never_begun = SourceSighting(word=SourceWord.KEPT, seen="as told", never_begun=True)

    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            house.wires[A].says["sight_source"] = never_begun
            uuid = (await house.ask()).uuid
            await asyncio.sleep(4)
            assert "sight_source" in house.wires[A].heard
            shows(house, SourceWord.COPYING)
            await asyncio.sleep(30)
            house.wires[A].says["sight_source"] = never_begun
            await asyncio.sleep(4)
            assert (await house.see(uuid)).status is S.RUNNING
            assert (await house.end_of(uuid)).status is S.FAILED

    run(story())


def test_two_looks_at_what_never_began_that_differ_decide_nothing() -> None:
    """A hypervisor that holds the request to begin shows it first in what it says of the guest."""

    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            looks = []

            async def change(_where: str, name: str) -> None:
                if name == "sight_destination":
                    looks.append(name)
                    house.wires[A].says["sight_source"] = SourceSighting(
                        word=SourceWord.KEPT, seen=f"look {len(looks)}", never_begun=True
                    )

            house.wires[A].says["sight_source"] = SourceSighting(
                word=SourceWord.KEPT, seen="look 0", never_begun=True
            )
            house.wires[B].then = change
            uuid = (await house.ask()).uuid
            await asyncio.sleep(60)
            assert len(looks) > 4
            assert (await house.see(uuid)).status is S.RUNNING
            house.wires[B].then = None
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


def test_a_transfer_process_that_cannot_be_ended_leaves_the_move_to_a_person() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            stuck = TransferNews(stuck=True, started=True)
            house.wires[A].says |= {"follow_transfer": stuck, "close_transfer": stuck}
            uuid = (await house.ask()).uuid
            await asyncio.sleep(house.settings.migration.ask_again_s - 5)
            assert not (await house.see(uuid)).person_needed
            asking = await house.until(uuid, person_is_needed, within_s=60)
            assert asking.reason is not None
            assert asking.reason.code is Code.WHEREABOUTS_UNKNOWN
            assert "cannot be ended" in asking.reason.words
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


def test_a_source_that_changes_between_two_looks_decides_nothing() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            looks = []

            async def change(_where: str, name: str) -> None:
                if name == "sight_destination":
                    looks.append(name)
                    shows(house, SourceWord.KEPT if len(looks) % 2 else SourceWord.COPYING)

            house.wires[B].then = change
            shows(house, SourceWord.COPYING)
            uuid = (await house.ask()).uuid
            await asyncio.sleep(150)
            assert len(looks) > 10
            assert (await house.see(uuid)).status is S.RUNNING
            house.wires[B].then = None
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


def test_nothing_is_decided_before_the_transfer_is_closed() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            house.wires[A].says["close_transfer"] = TransferNews(ended=False)
            uuid = (await house.ask()).uuid
            await asyncio.sleep(150)
            assert "sight_source" not in house.wires[A].heard
            assert (await house.see(uuid)).status is S.RUNNING
            shows_the_truth(house)
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


def test_a_source_that_took_the_guest_back_waits_for_a_silent_destination_only_so_long() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.SOURCE_TAKES_BACK)
            uuid = (await house.ask()).uuid
            await asyncio.sleep(1)
            house.fleet.disconnect(B)
            await asyncio.sleep(house.settings.migration.ask_again_s - 10)
            assert (await house.see(uuid)).status is S.RUNNING
            ended = await house.end_of(uuid, within_s=60)
            assert ended.status is S.FAILED
            assert ended.reason is not None
            assert ended.reason.code is Code.SOURCE_TOOK_THE_GUEST_BACK
            [debt] = await house.store.queries.debts()
            assert debt.where == B
            house.fleet.reconnect(B)
            await house.assert_sound()

    run(story())


def test_the_destination_is_let_run_only_after_the_source_was_seen_gone() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER)
            house.wires[A].unheard["end_source"] = 3
            left_at_source = []

            async def look(_where: str, name: str) -> None:
                if name == "let_run_at_destination":
                    left_at_source.append(house.fleet.half(A, GUEST))

            house.wires[B].then = look
            assert (await house.migrate()).status is S.COMPLETED
            assert left_at_source == [None]
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("call", ["end_source", "let_run_at_destination"])
def test_an_act_of_the_verdict_that_was_not_confirmed_is_looked_at_again(call: str) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER)
            for wire in house.wires.values():
                wire.lost[call] = 2
            assert (await house.migrate()).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_the_source_is_resumed_only_after_the_unfinished_half_was_seen_gone() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER_UNFINISHED)
            house.wires[B].unheard["rollback_live_migration_at_destination"] = 3
            house.wires[A].lost["let_run_at_source"] = 1
            uuid = (await house.ask()).uuid
            await asyncio.sleep(house.settings.migration.ask_again_s)
            assert house.fleet.running_at(GUEST) == ()
            assert (await house.end_of(uuid)).status is S.FAILED
            await house.assert_sound()

    run(story())


@pytest.mark.parametrize("left", [D.GONE, D.RECEIVING])
def test_a_source_is_not_resumed_once_the_guest_was_seen_to_run_at_the_other_end(
    left: DestinationWord,
) -> None:
    """Somebody let it run there by hand, and it has ended: it wrote what the source never saw."""

    async def story() -> None:
        async with a_house() as house:
            house.wires[A].unheard["end_source"] = 1000
            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER)
            shows(house, SourceWord.HANDED_OVER, D.RUNS)
            uuid = (await house.ask(host=B)).uuid
            await asyncio.sleep(30)
            shows(house, SourceWord.HANDED_OVER, left)
            told = await house.until(uuid, person_is_needed)
            assert told.status is S.RUNNING
            assert "let_run_at_source" not in house.wires[A].heard

    run(story())


@pytest.mark.parametrize("fault", [None, TransferFault.HANDED_OVER])
def test_a_guest_that_ended_right_after_the_switch_has_moved_and_is_told_of_and_left_alone(
    fault: TransferFault | None,
) -> None:
    async def story() -> None:
        async with a_house() as house:
            if fault is not None:
                house.fleet.break_transfer(GUEST, fault)

            async def end(_where: str, name: str) -> None:
                if name == "close_transfer" and house.fleet.running_at(GUEST) == (B,):
                    house.fleet.power_off_guest(B, GUEST)

            house.wires[A].then = end
            house.wires[B].then = lambda where, _name: end(where, "close_transfer")
            moved = await house.migrate(host=B)
            assert moved.status is S.COMPLETED
            assert moved.reason is not None
            assert moved.reason.code is Code.GUEST_ENDED_THERE
            assert "host-b" in moved.reason.words
            server = await house.store.queries.instance(GUEST)
            assert server is not None
            assert (server.host, server.vm_state) == (B, VmState.STOPPED)
            await house.all_paid()
            assert house.fleet.running_at(GUEST) == ()
            assert house.fleet.half(A, GUEST) is None

    run(story())


@pytest.mark.parametrize("power_state", [PowerState.SHUTDOWN, None])
def test_a_guest_that_its_owner_ended_in_the_copy_is_on_record_as_ended_at_once(
    power_state: PowerState | None,
) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            end = GuestEnd(how="as told", power_state=power_state, on_purpose=True)
            house.wires[A].says["sight_source"] = SourceSighting(
                word=SourceWord.ENDED, seen="as told", end=end
            )
            failed = await house.migrate()
            assert failed.status is S.FAILED
            assert failed.reason is not None
            assert failed.reason.code is Code.GUEST_STOPPED
            server = await house.store.queries.instance(GUEST)
            assert server is not None
            assert server.vm_state is (VmState.STOPPED if power_state else VmState.MISSING)

    run(story())
