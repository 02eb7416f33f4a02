"""The audit of a whole house: it finds what was broken by hand, mends what is safe, and touches no
guest.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from msgspec.structs import replace
from sqlalchemy import delete, insert, update
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
)

from godwit.conductor.audit import LOOKS_MAX
from godwit.conductor.audit import audit as look
from godwit.model.audit import Action, Audit, Mismatch
from godwit.model.host import HostReport
from godwit.model.ids import InstanceUuid, MigrationUuid
from godwit.model.instance import Disk, PowerState, TaskState
from godwit.model.migration import MigrationStatus
from godwit.rpc.conductor import AskAudit
from godwit.sim.loop import run
from godwit.store.statements import Writes
from godwit.store.tables import allocations, instances, migrations
from godwit.virt.simulated.faults import Fault, FaultKind

M = Mismatch
OTHER = InstanceUuid("00000000-0000-0000-0000-000000000002")


async def audit(house: House, *, repair: bool = False) -> Audit:
    before = house.fleet.snapshot()
    found = await house.conductor.manager.audit(AskAudit(asked=ASKED, repair=repair))
    assert house.fleet.snapshot() == before, "an audit touches no guest"
    return found


def kinds(found: Audit) -> list[tuple[Mismatch, bool]]:
    return [(each.kind, each.repaired) for each in found.disagreements]


def in_a_house(claim: Callable[[House], Awaitable[None]]) -> list[MutableMapping[str, Any]]:
    """The claim, and what was logged while it was made."""

    async def story() -> None:
        async with a_house() as house:
            await claim(house)

    with capture_logs() as lines:
        run(story())
    return lines


async def break_it(house: House, statement: Writes) -> None:
    """As somebody does who writes to the database beside Godwit."""
    await house.store._write(statement.run)


def test_a_house_in_order_is_found_in_order_at_every_moment_of_a_move() -> None:
    async def claim(house: House) -> None:
        move = await house.ask()
        while (await house.see(move.uuid)).status not in {"completed", "failed"}:
            found = await house.conductor.manager.audit(AskAudit(asked=ASKED, repair=True))
            assert found.disagreements == ()
            await asyncio.sleep(0.05)
        found = await audit(house, repair=True)
        assert (found.disagreements, found.silent, found.servers, found.hosts) == ((), (), 1, 3)
        await house.assert_sound()

    lines = in_a_house(claim)
    assert not [line for line in lines if line["event"].startswith("repaired")]


def test_a_move_that_begins_while_the_hosts_are_asked_has_left_no_half() -> None:
    async def claim(house: House) -> None:
        async def move_meanwhile(call: str) -> None:
            if call == "take_stock":
                move = await house.ask(host=B)
                await house.until(move.uuid, lambda _: house.fleet.half(B, GUEST) is not None)
                house.tasks.create_task(give_up(move.uuid))

        async def give_up(uuid: MigrationUuid) -> None:
            await asyncio.sleep(1.0)  # after this look, and before the next
            await house.abort(uuid)

        house.wires[B].first = move_meanwhile
        found = await house.conductor.manager.audit(AskAudit(asked=ASKED))
        assert kinds(found) == []
        house.wires[B].first = None
        assert house.wires[B].heard.count("take_stock") == LOOKS_MAX
        await asyncio.sleep(10)

    in_a_house(claim)


def test_an_alarm_is_not_missed_because_a_report_tells_of_it_between_two_looks() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(60)
        house.fleet.destroy(A, GUEST)
        written = Writes(update(instances).values(updated_at="2026-01-02T03:04:05.000006"))

        async def write_meanwhile(call: str) -> None:
            if call == "take_stock" and "take_stock" not in house.wires[B].heard:
                await break_it(house, written)

        house.wires[B].first = write_meanwhile
        found = await house.conductor.manager.audit(AskAudit(asked=ASKED))
        assert kinds(found) == [(M.NOWHERE, False)]

    in_a_house(claim)


def test_what_the_hosts_have_shown_grows_older_while_their_reports_are_taken() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(61)  # between two rounds of reports, which would mend it
        await break_it(house, Writes(update(instances).values(host=C)))
        began = []

        async def take(report: HostReport) -> None:
            began.append((report.host, asyncio.get_running_loop().time() - report.look_s))
            await asyncio.sleep(20)

        await look(house.world, AskAudit(asked=ASKED, repair=True), take)
        (first, first_s), (second, second_s) = began
        assert (first, second) == (C, A)
        assert first_s == second_s

    in_a_house(claim)


def test_a_record_broken_by_hand_is_mended_only_when_that_is_asked_for() -> None:
    async def claim(house: House) -> None:
        await break_it(house, Writes(delete(allocations)))
        stray = insert(allocations).values(consumer="nobody", host=B, vcpus=1, memory_mib=1)
        await break_it(house, Writes(stray))
        await break_it(house, Writes(update(instances).values(task_state=TaskState.MIGRATING)))
        for _ in range(2):
            looked = await audit(house)
            assert kinds(looked) == [(M.TASK_WITHOUT_STORY, False), (M.CLAIM_LEFT, False)]
        assert kinds(await audit(house, repair=True)) == [
            (M.TASK_WITHOUT_STORY, True),
            (M.CLAIM_LEFT, True),
        ]
        assert kinds(await audit(house, repair=True)) == [(M.CLAIM_MISSING, True)]
        assert kinds(await audit(house, repair=True)) == []
        await house.assert_sound()

    lines = in_a_house(claim)
    repairs = [line for line in lines if line["event"] == "repaired"]
    assert [line["action"] for line in repairs] == ["leave-task", "drop-claim", "put-claim"]
    assert {line["by"] for line in repairs} == {ASKED.initiator}
    assert all(line["evidence"] for line in repairs)


def test_a_record_that_names_another_host_follows_the_guest_before_the_next_report() -> None:
    async def claim(house: House) -> None:
        await asyncio.sleep(61)  # between two rounds of reports, which would mend it
        reports = house.wires[A].heard.count("take_stock")
        await break_it(house, Writes(update(instances).values(host=C)))
        await break_it(house, Writes(update(allocations).values(host=C)))
        assert kinds(await audit(house, repair=True)) == [(M.ELSEWHERE, True)]
        assert house.wires[A].heard.count("take_stock") == reports + 2
        instance = await house.store.queries.instance(GUEST)
        assert instance is not None
        assert instance.host == A
        await house.assert_sound()

    in_a_house(claim)


def test_a_guest_at_two_hosts_is_the_loudest_alarm_and_left_alone() -> None:
    async def claim(house: House) -> None:
        house.fleet.add_guest(C, a_guest())
        found = await audit(house, repair=True)
        assert kinds(found) == [(M.RUNS_TWICE, False)]
        [twice] = found.disagreements
        assert twice.action is Action.NOTHING
        assert [seen.by for seen in twice.evidence[1:]] == [A, C]

    lines = in_a_house(claim)
    assert [line["kind"] for line in lines if line["log_level"] == "critical"] == [M.RUNS_TWICE]


def test_a_guest_that_no_host_has_is_the_loudest_alarm() -> None:
    async def claim(house: House) -> None:
        house.fleet.remove(A, GUEST)
        assert kinds(await audit(house, repair=True)) == [(M.NOWHERE, False)]
        await asyncio.sleep(60)
        assert kinds(await audit(house, repair=True)) == [(M.NOWHERE, False)]

    lines = in_a_house(claim)
    assert {line["kind"] for line in lines if line["log_level"] == "critical"} == {M.NOWHERE}


def test_a_disk_of_a_guest_that_is_elsewhere_is_named_and_left_alone() -> None:
    async def claim(house: House) -> None:
        disk = Disk(device="vda", path="/srv/own/1.qcow2", format="qcow2")
        guest = replace(a_guest(), disks=(disk,))
        house.fleet.destroy(A, GUEST)
        house.fleet.add_guest(A, guest)
        for host in (A, C):
            house.fleet.add_file(host, disk.path)
        house.fleet.add_file(B, "/srv/own/somebody's.iso")
        await asyncio.sleep(3 * REPORTED_S)
        found = await audit(house, repair=True)
        assert kinds(found) == [(M.DISK_LEFT, False)]
        [left] = found.disagreements
        assert (left.host, left.evidence[0].by, left.evidence[0].said) == (C, C, disk.path)
        assert house.fleet.files(C) == {disk.path}

    in_a_house(claim)


def test_a_host_whose_files_cannot_be_listed_is_judged_by_its_guests() -> None:
    async def claim(house: House) -> None:
        house.fleet.inject(Fault(A, "spare_files", FaultKind.FAILS, times=9))
        found = await audit(house)
        assert (found.disagreements, found.silent) == ((), ())

    in_a_house(claim)


def test_a_transfer_that_lives_on_after_its_migration_is_named() -> None:
    async def claim(house: House) -> None:
        uuid = (await house.ask(host=B)).uuid
        await house.until(uuid, lambda move: move.status == "running")
        over = Writes(update(migrations).values(status=MigrationStatus.FAILED))
        house.kill_conductor()
        await break_it(house, over)
        await break_it(house, Writes(update(instances).values(task_state=None)))
        await break_it(house, Writes(delete(allocations).where(allocations.c.consumer == uuid)))
        found = await audit(house, repair=True)
        [lives] = [each for each in found.disagreements if each.kind is M.TRANSFER_LEFT]
        assert (lives.subject, lives.host, lives.action) == (uuid, A, Action.NOTHING)

    async def story() -> None:
        slow = host_settings(transfer_s=600.0)
        async with a_house(hosts=dict.fromkeys((A, B, C), slow)) as house:
            await claim(house)

    run(story())


def test_a_silent_host_is_named_and_what_it_has_is_not_judged() -> None:
    async def claim(house: House) -> None:
        house.fleet.disconnect(A)
        found = await audit(house)
        assert kinds(found) == []
        [silent] = found.silent
        assert silent.by == A
        assert "no route to host" in silent.said
        house.fleet.add_guest(C, replace(a_guest(2), power_state=PowerState.PAUSED))
        await asyncio.sleep(REPORTED_S)
        assert kinds(await audit(house)) == []

    in_a_house(claim)
