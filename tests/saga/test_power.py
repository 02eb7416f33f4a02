"""A person states that a host has no power: stories that this decides end, and it takes no part
until it is confirmed up.
"""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.saga.house import (
    ASKED,
    GUEST,
    REPORTED_S,
    A,
    B,
    C,
    House,
    a_guest,
    a_house,
    host_settings,
    said_by,
)

from godwit.conductor import power
from godwit.model.audit import Mismatch
from godwit.model.errors import Conflict, NotFound, Refused, Unreachable
from godwit.model.host import Host, HostReport
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.instance import PowerState
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.reasons import Code
from godwit.model.sighting import SourceSighting, SourceWord
from godwit.model.whereis import Place, Shows
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import AskAudit, ConfirmPower, FindServer
from godwit.rpc.contract import calls_of
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind, TransferFault
from godwit.virt.simulated.half import Half, HalfState

S = MigrationStatus


async def confirm(house: House, host: HostName, *, is_down: bool = True) -> Host:
    ask = ConfirmPower(asked=ASKED, host=host, is_down=is_down)
    return await house.conductor.manager.confirm_power(ask)


async def silent_for_long(house: House) -> None:
    await asyncio.sleep(house.settings.hosts_defaults.down_after_s + REPORTED_S)


async def cut_off(house: House, host: HostName) -> None:
    """Its guests run on, its transfers, too; nobody hears of it."""
    house.wires[host].unheard = dict.fromkeys(calls_of(ComputeRpc), 1000)
    house.silent.add(host)
    await silent_for_long(house)


async def without_power(house: House, host: HostName) -> None:
    house.fleet.power_off(host)
    await silent_for_long(house)
    await confirm(house, host)


def person_is_needed(migration: Migration) -> bool:
    return migration.person_needed


async def a_move_whose_source_dies_in_its_copy(house: House) -> MigrationUuid:
    uuid = (await house.ask(host=B)).uuid
    await house.until(uuid, lambda move: move.status is S.RUNNING)
    await asyncio.sleep(1.0)
    house.fleet.power_off(A)
    house.fleet.remove(B, GUEST)
    return uuid


def test_a_host_that_was_heard_lately_cannot_be_confirmed_down_and_hears_why() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.power_off(A)
            with pytest.raises(Conflict) as refused:
                await confirm(house, A)
            why = refused.value.reason
            assert (why.code, why.host) == (Code.HOST_STILL_ANSWERS, A)
            assert "it has reported" in why.words
            assert "20 s after its last sign of life" in why.remedy
            await silent_for_long(house)
            assert (await confirm(house, A)).confirmed_down is not None

    run(story())


def test_a_host_that_answers_when_it_is_asked_cannot_be_confirmed_down() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.clock.set_by_s += 1000  # so nobody has reported lately
            with pytest.raises(Conflict, match="its hypervisor answers"):
                await confirm(house, A)
            with pytest.raises(NotFound):
                await confirm(house, HostName("nobody"))

    run(story())


@pytest.mark.parametrize("by_agents", [True, False])
def test_a_hypervisor_that_answers_with_an_error_has_power(*, by_agents: bool) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.clock.set_by_s += 1000  # so nobody has reported lately
            house.conductor.manager._world = replace(house.world, by_agents=by_agents)
            fails = Fault(A, "guests", FaultKind.FAILS, times=10)
            house.fleet.inject(fails)
            with pytest.raises(Conflict, match=r"answers \("):
                await confirm(house, A)

    run(story())


@pytest.mark.parametrize("by_agents", [True, False])
def test_an_agent_that_has_lost_its_hypervisor_still_says_that_its_host_has_power(
    *, by_agents: bool
) -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.disconnect(A)
            await silent_for_long(house)
            house.conductor.manager._world = replace(house.world, by_agents=by_agents)
            if by_agents:
                with pytest.raises(Conflict, match="its agent answers"):
                    await confirm(house, A)
                house.wires[A].unheard["look_for_guest"] = 1
            assert (await confirm(house, A)).confirmed_down is not None

    run(story())


def test_a_host_that_is_heard_though_confirmed_down_is_an_alarm_and_the_word_is_void() -> None:
    async def story() -> None:
        async with a_house() as house:
            await without_power(house, A)
            house.fleet.power_on(A)
            await asyncio.sleep(REPORTED_S)
            host = await house.store.queries.host(A)
            assert host is not None
            assert host.confirmed_down is not None
            assert host.confirmed_down.heard_at
            found = await house.conductor.manager.audit(AskAudit(asked=ASKED))
            [alarm] = found.disagreements
            assert (alarm.kind, alarm.subject) == (Mismatch.HEARD_AGAIN, A)
            assert [seen.by for seen in alarm.evidence] == [ASKED.initiator, A]
            with pytest.raises(Unreachable) as fenced:
                await house.world.compute(A).look_for_guest(None)  # type: ignore[arg-type]
            assert fenced.value.reason.code is Code.HOST_HEARD_AGAIN, "it still takes no part"
            where = await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))
            shown = {each.host: each.shows for each in where.sightings}
            assert shown[A] is Shows.UNREACHABLE, "it may run there again"
            with pytest.raises(Conflict, match="it has reported"):
                await confirm(house, A)
            await confirm(house, A, is_down=False)
            await asyncio.sleep(REPORTED_S)
            again = await house.conductor.manager.audit(AskAudit(asked=ASKED))
            assert Mismatch.HEARD_AGAIN not in {each.kind for each in again.disagreements}

    with capture_logs() as lines:
        run(story())
    said = [line for line in lines if line["event"] == power.ALARM]
    assert [(line["log_level"], line["host"]) for line in said] == [("critical", A)]


def test_no_story_rests_on_the_word_about_a_source_that_was_heard_since() -> None:
    async def story() -> None:
        slow = host_settings(transfer_s=3600.0)
        async with a_house(hosts=dict.fromkeys((A, B, C), slow)) as house:
            uuid = (await house.ask(host=B)).uuid
            await house.until(uuid, lambda move: move.status is S.RUNNING)
            await cut_off(house, A)
            house.wires[B].unheard = dict.fromkeys(calls_of(ComputeRpc), 1000)
            await confirm(house, A)
            await asyncio.sleep(5)
            house.silent.discard(A)
            await asyncio.sleep(REPORTED_S)
            house.wires[B].unheard.clear()
            waiting = await house.until(uuid, person_is_needed)
            assert waiting.status is S.RUNNING
            half = house.fleet.half(B, GUEST)
            assert half is not None
            assert half.state is HalfState.RECEIVING

    run(story())


def test_a_host_confirmed_down_that_was_heard_may_be_confirmed_down_again_once_it_is_silent() -> (
    None
):
    async def story() -> None:
        async with a_house() as house:
            await without_power(house, A)
            house.fleet.power_on(A)
            await asyncio.sleep(REPORTED_S)
            house.fleet.power_off(A)
            await silent_for_long(house)
            stated = await confirm(house, A)
            assert stated.confirmed_down is not None
            assert not stated.confirmed_down.heard_at
            where = await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))
            assert {each.host: each.shows for each in where.sightings}[A] is Shows.NO_POWER

    run(story())


def test_a_story_that_waits_for_a_dead_source_ends_once_that_is_confirmed_down() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_move_whose_source_dies_in_its_copy(house)
            waiting = await house.until(uuid, person_is_needed)
            assert waiting.status is S.RUNNING
            await confirm(house, A)
            ended = await house.end_of(uuid, within_s=10)
            assert ended.status is S.FAILED
            assert ended.reason is not None
            assert ended.reason.code is Code.GUEST_ENDED
            assert "its host has lost its power" in ended.reason.words
            instance = await house.store.queries.instance(GUEST)
            assert instance is not None
            assert (instance.host, instance.task_state) == (A, None)
            assert instance.power_state is PowerState.SHUTDOWN
            assert house.fleet.is_prepared(B, GUEST), "its disks there may be the newest"
            assert B in {debt.where for debt in await house.store.queries.debts()}

    run(story())


def test_half_a_guest_whose_source_is_confirmed_down_is_removed_with_its_room() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_move_whose_source_dies_in_its_copy(house)
            await house.until(uuid, person_is_needed)
            house.fleet.put(B, Half(a_guest(), HalfState.RECEIVING))
            await confirm(house, A)
            ended = await house.end_of(uuid, within_s=10)
            assert ended.status is S.FAILED
            assert house.fleet.half(B, GUEST) is None
            assert not house.fleet.is_prepared(B, GUEST)

    run(story())


def test_a_whole_guest_is_not_removed_on_a_mistaken_word_about_its_source() -> None:
    async def story() -> None:
        slow = host_settings(transfer_s=3600.0)
        async with a_house(hosts=dict.fromkeys((A, B, C), slow)) as house:
            uuid = (await house.ask(host=B)).uuid
            await house.until(uuid, lambda move: move.status is S.RUNNING)
            await asyncio.sleep(1.0)
            await cut_off(house, A)

            async def arrive(_where: str, name: str) -> None:
                here, there = house.fleet.half(A, GUEST), house.fleet.half(B, GUEST)
                if name == "sight_destination" and here is not None and there is not None:
                    house.fleet.put(A, replace(here, state=HalfState.HANDED_OVER))
                    house.fleet.put(B, replace(there, state=HalfState.ARRIVED))

            house.wires[B].then = arrive  # just after it was seen to be half a guest
            await confirm(house, A)
            assert (await house.end_of(uuid)).status is S.FAILED
            await asyncio.sleep(300)
            left = house.fleet.half(B, GUEST)
            assert left is not None
            assert left.state is HalfState.ARRIVED
            assert house.fleet.violations() == ()
            assert B in {debt.where for debt in await house.store.queries.debts()}

    run(story())


def test_the_room_is_given_back_once_a_source_that_lived_shows_that_its_guest_never_left() -> None:
    async def story() -> None:
        slow = host_settings(transfer_s=100.0)
        async with a_house(hosts=dict.fromkeys((A, B, C), slow)) as house:
            house.fleet.break_transfer(GUEST, TransferFault.FAILS_MID_COPY)
            uuid = (await house.ask(host=B)).uuid
            await house.until(uuid, lambda move: move.status is S.RUNNING)
            await cut_off(house, A)
            await house.until(uuid, person_is_needed)
            await confirm(house, A)
            assert (await house.end_of(uuid)).status is S.FAILED
            await asyncio.sleep(300)
            assert house.fleet.is_prepared(B, GUEST)
            kept = SourceSighting(word=SourceWord.KEPT, seen="runs, last copy failed")
            house.wires[A].says["sight_source"] = kept  # as QEMU tells as long as it lives
            house.wires[A].unheard.clear()
            house.silent.discard(A)
            await confirm(house, A, is_down=False)
            await house.all_paid()
            assert not house.fleet.is_prepared(B, GUEST)
            await house.assert_sound(again=False)

    run(story())


def test_a_guest_that_was_handed_over_runs_on_at_its_source_once_the_destination_is_down() -> None:
    async def story() -> None:
        async with a_house() as house:

            async def die(_where: str, _name: str) -> None:
                half = house.fleet.half(A, GUEST)
                if half is not None and half.state is HalfState.HANDED_OVER:
                    house.fleet.power_off(B)

            house.fleet.break_transfer(GUEST, TransferFault.HANDED_OVER)
            house.wires[A].then = die
            uuid = (await house.ask(host=B)).uuid
            await house.until(uuid, lambda _: not house.fleet.is_up(B))
            await silent_for_long(house)
            assert house.fleet.running_at(GUEST) == ()
            await confirm(house, B)
            ended = await house.end_of(uuid, within_s=20)
            assert ended.status is S.FAILED
            assert house.fleet.running_at(GUEST) == (A,)

    run(story())


def test_a_host_that_is_confirmed_down_takes_no_part_until_it_is_confirmed_up() -> None:
    async def story() -> None:
        async with a_house() as house:
            await without_power(house, B)
            house.fleet.power_on(B)
            await asyncio.sleep(REPORTED_S)
            report = HostReport(host=B, facts=await house.managers[B].driver.host_facts())
            with pytest.raises(Refused) as refused:
                await house.conductor.manager.report_host(report)
            assert refused.value.reason.code is Code.HOST_HEARD_AGAIN
            with pytest.raises(Refused):
                await house.store.record_report(report, (), now_s=house.clock.now_s())
            assert said_by((await house.check()).refusals)[B] is Code.HOST_HEARD_AGAIN
            moved = await house.migrate()
            assert moved.dest_compute == C
            asked = len(house.wires[B].heard)
            with pytest.raises(Unreachable, match="takes no part"):
                await house.world.compute(B).look_for_guest(None)  # type: ignore[arg-type]
            assert len(house.wires[B].heard) == asked

            stated = await confirm(house, B, is_down=False)
            assert stated.confirmed_down is None
            assert stated.confirmed_up is not None
            assert stated.confirmed_up.by == ASKED.initiator
            await asyncio.sleep(REPORTED_S)
            assert (await house.migrate(host=B)).status is S.COMPLETED
            await house.assert_sound()

    run(story())


def test_what_a_dead_host_owes_is_paid_once_it_is_confirmed_up() -> None:
    async def story() -> None:
        async with a_house() as house:
            uuid = await a_move_whose_source_dies_in_its_copy(house)
            await house.until(uuid, person_is_needed)
            await confirm(house, A)
            await house.end_of(uuid, within_s=10)
            house.fleet.give_room_back(B, GUEST)  # by hand: a person has seen to it
            house.fleet.power_on(A)
            await asyncio.sleep(600)
            assert {debt.where for debt in await house.store.queries.debts()} == {A}
            await confirm(house, A, is_down=False)
            await house.all_paid()

    run(story())


def test_a_source_that_comes_back_starts_no_guest_that_has_been_started_elsewhere() -> None:
    async def story() -> None:
        guest = a_guest(autostart=True)
        async with a_house(guests={A: (guest,)}) as house:
            uuid = await a_move_whose_source_dies_in_its_copy(house)
            await house.until(uuid, person_is_needed)
            await confirm(house, A)
            await house.end_of(uuid, within_s=10)
            house.fleet.give_room_back(B, GUEST)
            house.fleet.add_guest(C, guest)
            await asyncio.sleep(3 * REPORTED_S)
            instance = await house.store.queries.instance(GUEST)
            assert instance is not None
            assert instance.host == C
            house.fleet.power_on(A)
            await confirm(house, A, is_down=False)
            await house.all_paid()
            left = house.fleet.half(A, GUEST)
            assert left is not None
            assert not left.guest.autostart, "the next boot of its host would start a second one"

    run(story())


def test_the_record_follows_a_guest_that_was_started_elsewhere_after_its_host_had_died() -> None:
    async def story() -> None:
        async with a_house() as house:
            house.fleet.power_off(A)
            await silent_for_long(house)
            house.fleet.destroy(A, GUEST)
            house.fleet.add_guest(C, a_guest())
            await asyncio.sleep(60)
            before = await house.store.queries.instance(GUEST)
            assert before is not None
            assert before.host == A, "it might run there, too"
            await confirm(house, A)
            where = await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))
            assert {each.host: each.shows for each in where.sightings}[A] is Shows.NO_POWER
            assert where.place in {Place.ELSEWHERE, Place.AS_RECORDED}
            await asyncio.sleep(REPORTED_S)
            after = await house.store.queries.instance(GUEST)
            assert after is not None
            assert after.host == C
            found = await house.conductor.manager.audit(AskAudit(asked=ASKED))
            assert (found.disagreements, found.silent) == ((), ())
            assert [seen.by for seen in found.without_power] == [A]

    run(story())


def test_a_guest_of_a_host_without_power_is_not_said_to_be_nowhere() -> None:
    async def story() -> None:
        async with a_house() as house:
            await without_power(house, A)
            found = await house.conductor.manager.audit(AskAudit(asked=ASKED))
            assert Mismatch.NOWHERE not in {each.kind for each in found.disagreements}
            where = await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))
            assert where.place is Place.UNKNOWN

    run(story())
