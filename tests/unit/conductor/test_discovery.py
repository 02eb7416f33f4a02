from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from godwit.conductor.discovery import (
    ABANDONED_AFTER_S,
    SETTLED_AFTER_S,
    Findings,
    Heard,
    LeftOver,
    left_over,
    reconcile,
)
from godwit.model.finding import InstanceChangeKind
from godwit.model.host import HostFacts, HostReport
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Disk, Guest, Instance, PowerState, TaskState, VmState
from godwit.runtime.clock import iso

K = InstanceChangeKind
A, B = HostName("host-a"), HostName("host-b")
UUID = InstanceUuid("00000000-0000-0000-0000-000000000001")
WRITTEN_S = 1_000_000.0
LATER_S = WRITTEN_S + SETTLED_AFTER_S
DISK = Disk(device="vda", path="/srv/1.qcow2", format="qcow2", size_bytes=100, allocated_bytes=1)
GUEST = Guest(
    uuid=UUID,
    name="guest-1",
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=512,
    disks=(DISK,),
)
RECORD = Instance(
    uuid=UUID,
    name="guest-1",
    host=A,
    node="a.example",
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=512,
    disks=(DISK,),
    updated_at=iso(WRITTEN_S),
)
NOBODY: Mapping[HostName, Heard] = {}


def heard(
    host: HostName,
    *guests: Guest,
    at_s: float = LATER_S,
    answers: bool = True,
    look_s: float = 0.0,
) -> Heard:
    facts = HostFacts(
        name=host,
        node=f"{host[-1]}.example",
        hypervisor_type="QEMU",
        hypervisor_version=7_002_022,
        vcpus=8,
        memory_mib=4096,
    )
    told = HostReport(host=host, facts=facts if answers else None, guests=guests, look_s=look_s)
    return Heard(told, at_s)


def kinds(findings: Findings) -> list[tuple[InstanceChangeKind, HostName]]:
    return [(change.kind, change.host) for change in findings.changes]


def test_a_guest_that_nobody_knew_has_appeared() -> None:
    findings = reconcile((), NOBODY, heard(A, GUEST))
    assert kinds(findings) == [(K.APPEARED, A)]
    assert findings.changes[0].guest == GUEST
    assert findings.changes[0].node == "a.example"


def test_an_unchanged_guest_is_no_news_not_even_if_it_has_written_to_its_disk() -> None:
    busy = replace(GUEST, disks=(replace(DISK, allocated_bytes=99),))
    for guest in (GUEST, busy):
        assert reconcile((RECORD,), NOBODY, heard(A, guest)) == Findings()


@pytest.mark.parametrize(
    "changed",
    [
        replace(GUEST, name="renamed"),
        replace(GUEST, power_state=PowerState.PAUSED),
        replace(GUEST, vcpus=2),
        replace(GUEST, memory_mib=1024),
        replace(GUEST, disks=()),
        replace(GUEST, disks=(replace(DISK, allocated_bytes=2**30),)),
    ],
)
def test_a_guest_that_differs_from_its_record_has_changed(changed: Guest) -> None:
    assert kinds(reconcile((RECORD,), NOBODY, heard(A, changed))) == [(K.CHANGED, A)]


def test_a_missing_server_that_is_seen_again_has_changed() -> None:
    missing = replace(RECORD, vm_state=VmState.MISSING)
    assert kinds(reconcile((missing,), NOBODY, heard(A, GUEST))) == [(K.CHANGED, A)]


def test_a_guest_seen_elsewhere_and_no_longer_where_it_was_has_moved() -> None:
    others = {A: heard(A)}
    assert kinds(reconcile((RECORD,), others, heard(B, GUEST))) == [(K.MOVED, B)]


@pytest.mark.parametrize(
    "others", [{}, {A: heard(A, answers=False)}, {A: heard(A, at_s=LATER_S - 1)}]
)
def test_a_guest_has_not_moved_before_its_old_host_has_answered_that_it_is_gone(
    others: Mapping[HostName, Heard],
) -> None:
    assert reconcile((RECORD,), others, heard(B, GUEST)) == Findings()


def test_a_late_report_of_the_source_does_not_move_a_guest_back() -> None:
    moved = replace(RECORD, host=B, updated_at=iso(LATER_S))
    others = {B: heard(B, at_s=LATER_S)}
    assert reconcile((moved,), others, heard(A, GUEST, at_s=LATER_S + 1)) == Findings()


@pytest.mark.parametrize(("look_s", "findings"), [(25.0, []), (24.0, [(K.VANISHED, A)])])
def test_a_slow_look_that_began_before_a_guest_arrived_does_not_miss_it(
    look_s: float, findings: list[tuple[InstanceChangeKind, HostName]]
) -> None:
    late_s = LATER_S + 24.0
    told = reconcile((RECORD,), NOBODY, heard(A, at_s=late_s, look_s=look_s))
    assert kinds(told) == findings
    slow = {A: heard(A, at_s=late_s, look_s=look_s)}
    there = kinds(reconcile((RECORD,), slow, heard(B, GUEST, at_s=late_s)))
    assert there == ([(K.MOVED, B)] if findings else [])


def test_a_guest_seen_at_two_hosts_is_named_and_nothing_about_it_is_changed() -> None:
    others = {A: heard(A, GUEST)}
    findings = reconcile((RECORD,), others, heard(B, replace(GUEST, vcpus=2)))
    assert findings == Findings(doubled=((UUID, A),))


def test_the_last_report_of_a_source_is_not_taken_for_a_second_guest() -> None:
    moved = replace(RECORD, host=B, updated_at=iso(LATER_S))
    others = {A: heard(A, GUEST, at_s=LATER_S - 1)}
    assert reconcile((moved,), others, heard(B, GUEST, at_s=LATER_S + 1)) == Findings()


def test_a_guest_that_its_host_no_longer_has_and_nobody_else_has_has_vanished() -> None:
    assert kinds(reconcile((RECORD,), {B: heard(B)}, heard(A))) == [(K.VANISHED, A)]


@pytest.mark.parametrize(
    ("others", "unheard", "here"),
    [
        ({B: heard(B, GUEST)}, frozenset(), heard(A)),
        ({}, frozenset({B}), heard(A)),
        ({}, frozenset(), heard(A, answers=False)),
        ({}, frozenset(), heard(A, at_s=LATER_S - 1)),
        ({}, frozenset(), heard(A, replace(GUEST, arriving=True))),
    ],
)
def test_a_guest_has_not_vanished_while_it_may_be_somewhere(
    others: Mapping[HostName, Heard], unheard: frozenset[HostName], here: Heard
) -> None:
    assert reconcile((RECORD,), others, here, unheard=unheard) == Findings()


def test_a_server_vanishes_once() -> None:
    missing = replace(RECORD, vm_state=VmState.MISSING)
    assert reconcile((missing,), NOBODY, heard(A)) == Findings()


@pytest.mark.parametrize("task", TaskState)
def test_a_server_in_a_task_is_left_alone(task: TaskState) -> None:
    busy = replace(RECORD, task_state=task)
    for report in (heard(A), heard(A, replace(GUEST, vcpus=2)), heard(B, GUEST)):
        assert reconcile((busy,), {A: heard(A)}, report) == Findings()


def test_what_a_host_showed_before_another_conductor_heard_it_is_no_second_guest() -> None:
    others = {B: heard(B, GUEST)}
    off = replace(GUEST, power_state=PowerState.SHUTDOWN)
    assert reconcile((RECORD,), others, heard(A, off)).doubled == ((UUID, B),)
    findings = reconcile((RECORD,), others, heard(A, off), outdated={B})
    assert (kinds(findings), findings.doubled) == ([(K.CHANGED, A)], ())


def test_a_guest_has_not_moved_while_its_host_may_have_shown_it_to_another_conductor() -> None:
    others = {A: heard(A)}
    assert kinds(reconcile((RECORD,), others, heard(B, GUEST))) == [(K.MOVED, B)]
    assert reconcile((RECORD,), others, heard(B, GUEST), outdated={A}) == Findings()


def test_an_arriving_half_is_no_guest() -> None:
    half = replace(GUEST, arriving=True)
    assert reconcile((), NOBODY, heard(A, half)) == Findings()
    assert reconcile((RECORD,), {B: heard(B, half)}, heard(A, GUEST)) == Findings()


def test_a_hypervisor_that_does_not_answer_says_nothing_about_its_guests() -> None:
    assert reconcile((), NOBODY, heard(A, GUEST, answers=False)) == Findings()


@pytest.mark.parametrize("task", [TaskState.SPAWNING, TaskState.DELETING])
@pytest.mark.parametrize("guests", [(), (GUEST,)])
def test_a_server_whose_making_or_removing_was_abandoned_is_found_after_a_while(
    task: TaskState, guests: tuple[Guest, ...]
) -> None:
    busy = replace(RECORD, task_state=task)
    late_s = WRITTEN_S + ABANDONED_AFTER_S
    found = LeftOver(UUID, RECORD.host, task, guests[0] if guests else None)
    assert left_over((busy,), heard(A, *guests, at_s=late_s)) == (found,)
    assert left_over((busy,), heard(A, *guests, at_s=late_s - 1)) == ()
    assert left_over((busy,), heard(B, *guests, at_s=late_s)) == ()
    assert left_over((busy,), heard(A, *guests, at_s=late_s, answers=False)) == ()


@pytest.mark.parametrize("task", [None, TaskState.MIGRATING])
def test_a_server_in_a_story_or_in_no_task_is_never_abandoned(task: TaskState | None) -> None:
    record = replace(RECORD, task_state=task)
    assert left_over((record,), heard(A, GUEST, at_s=LATER_S + 1e6)) == ()
