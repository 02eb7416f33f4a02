"""Where record and truth disagree: each kind by a ledger and stocks that show it, and nothing where
nothing is wrong.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from godwit.conductor.bookkeeping import ABANDONED_S, UNTOLD_S
from godwit.conductor.disagreements import disagreements, lasting
from godwit.model.audit import (
    ALARMS,
    RECORD,
    Action,
    Claim,
    Disagreement,
    Ledger,
    Mismatch,
    MoveUnderWay,
    Owed,
    SlotTaken,
    Stock,
)
from godwit.model.host import HostFacts
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Disk, Guest, Instance, PowerState, TaskState, VmState
from godwit.model.moments import FAR_S
from godwit.runtime.clock import iso

M = Mismatch
A, B, C = HostName("host-a"), HostName("host-b"), HostName("host-c")
UUID = InstanceUuid("00000000-0000-0000-0000-000000000001")
MOVE = MigrationUuid("77777777-7777-4777-8777-777777777777")
NOW_S = 1_000_000.0
DISK = Disk(device="vda", path="/srv/1.qcow2", format="qcow2")
GUEST = Guest(uuid=UUID, name="guest-1", power_state=PowerState.RUNNING, vcpus=1, memory_mib=512)
OFF = replace(GUEST, power_state=PowerState.SHUTDOWN)
HALF = replace(GUEST, power_state=PowerState.PAUSED, arriving=True)
SERVER = Instance(
    uuid=UUID,
    name="guest-1",
    host=A,
    node="a.example",
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=512,
    disks=(DISK,),
    updated_at=iso(NOW_S - 3600),
)
MOVING = replace(SERVER, task_state=TaskState.MIGRATING)
CLAIM = Claim(consumer=UUID, host=A, vcpus=1, memory_mib=512)
UNDER_WAY = MoveUnderWay(
    uuid=MOVE,
    instance_uuid=UUID,
    source=A,
    destination=B,
    updated_at=iso(NOW_S),
    story_ended=False,
    owner="a conductor",
    lease_until_s=NOW_S + 5,
    wake_at_s=0.0,
)
HERE = (Claim(consumer=MOVE, host=A, vcpus=1, memory_mib=512), replace(CLAIM, host=B))


def ledger(*servers: Instance, **others: Any) -> Ledger:
    """What is recorded, in order but for what is given."""
    told: dict[str, Any] = {"read_at_s": NOW_S, "servers": servers, "claims": (CLAIM,)}
    return Ledger(**told | others)


def stock(host: HostName, *guests: Guest, **more: Any) -> Stock:
    facts = HostFacts(
        name=host,
        node=host,
        hypervisor_type="QEMU",
        hypervisor_version=7_002_022,
        vcpus=8,
        memory_mib=4096,
    )
    shown: dict[str, Any] = {"host": host, "facts": facts, "guests": guests, "seen_at": "then"}
    return Stock(**shown | more)


def silent(host: HostName) -> Stock:
    return Stock(host=host, trouble="no route to host", seen_at="then")


def found(told: Ledger, *stocks: Stock) -> list[tuple[Mismatch, Action]]:
    return [(each.kind, each.action) for each in disagreements(told, stocks)]


def the_one(told: Ledger, *stocks: Stock) -> Disagreement:
    [found] = disagreements(told, stocks)
    return found


@pytest.mark.parametrize(
    ("told", "stocks"),
    [
        (ledger(SERVER), (stock(A, GUEST), stock(B))),
        (ledger(SERVER), (silent(A), stock(B))),
        (ledger(SERVER), (stock(A, GUEST), silent(B))),
        (ledger(MOVING, moves=(UNDER_WAY,), claims=HERE), (stock(A, GUEST), stock(B, HALF))),
        (ledger(MOVING, moves=(UNDER_WAY,), claims=HERE), (stock(A, OFF), stock(B, GUEST))),
        (
            ledger(SERVER, owed=(Owed(instance_uuid=UUID, host=B),)),
            (stock(A, GUEST), stock(B, OFF)),
        ),
        (
            ledger(SERVER, owed=(Owed(instance_uuid=UUID, host=B),)),
            (stock(A, GUEST), stock(B, HALF)),
        ),
        (
            ledger(SERVER, owed=(Owed(instance_uuid=UUID, host=B),)),
            (stock(A, GUEST), stock(B, spare_files=("/srv/1.qcow2",))),
        ),
        (
            ledger(replace(SERVER, task_state=TaskState.SPAWNING, updated_at=iso(NOW_S))),
            (stock(A), stock(B)),
        ),
    ],
)
def test_nothing_is_said_of_what_is_in_order_under_way_owed_or_not_seen(
    told: Ledger, stocks: tuple[Stock, ...]
) -> None:
    assert disagreements(told, stocks) == ()


def test_a_guest_that_runs_at_two_hosts_is_an_alarm_that_nothing_is_done_about() -> None:
    for server in (SERVER, MOVING):
        moves = (UNDER_WAY,) if server is MOVING else ()
        claims = HERE if moves else (CLAIM,)
        twice = the_one(
            ledger(server, moves=moves, claims=claims), stock(A, GUEST), stock(B, GUEST)
        )
        assert (twice.kind, twice.action) == (M.RUNS_TWICE, Action.NOTHING)
        assert twice.is_of_a_guest
        assert [(e.by, e.said) for e in twice.evidence[1:]] == [(A, "runs"), (B, "runs")]
        assert twice.remedy


def test_what_a_host_owes_never_excuses_a_guest_that_runs_there() -> None:
    told = ledger(SERVER, owed=(Owed(instance_uuid=UUID, host=B),))
    assert found(told, stock(A, GUEST), stock(B, GUEST)) == [(M.RUNS_TWICE, Action.NOTHING)]


def test_a_guest_that_no_host_has_is_an_alarm_also_if_its_record_knows() -> None:
    for server in (SERVER, replace(SERVER, vm_state=VmState.MISSING)):
        gone = the_one(ledger(server), stock(A), stock(B))
        assert (gone.kind, gone.action) == (M.NOWHERE, Action.NOTHING)
        assert {e.by for e in gone.evidence} == {RECORD, A, B}


def test_no_guest_is_nowhere_while_a_host_is_silent() -> None:
    assert found(ledger(SERVER), stock(A), silent(B)) == []


@pytest.mark.parametrize(
    ("stocks", "kind", "action"),
    [
        ((stock(A), stock(B, GUEST)), M.ELSEWHERE, Action.FOLLOW_THE_GUEST),
        ((stock(A, GUEST), stock(B, OFF)), M.HELD_TWICE, Action.NOTHING),
        ((stock(A, OFF), stock(B, OFF)), M.HELD_TWICE, Action.NOTHING),
        ((silent(A), stock(B, GUEST)), M.RECORDED_HOST_SILENT, Action.NOTHING),
        ((stock(A, OFF), stock(B)), M.STATE_DIFFERS, Action.FOLLOW_THE_GUEST),
        ((stock(A, GUEST), stock(B, HALF)), M.HALF_LEFT, Action.NOTHING),
        ((stock(A, GUEST), stock(B, spare_files=("/srv/1.qcow2",))), M.DISK_LEFT, Action.NOTHING),
        ((stock(A, GUEST, transfers=(MOVE,)), stock(B)), M.TRANSFER_LEFT, Action.NOTHING),
    ],
)
def test_what_hosts_show_otherwise_than_recorded_is_said_with_who_has_seen_it(
    stocks: tuple[Stock, ...], kind: Mismatch, action: Action
) -> None:
    only = the_one(ledger(SERVER), *stocks)
    assert (only.kind, only.action) == (kind, action)
    assert {A, B} & {HostName(each.by) for each in only.evidence}
    assert bool(only.remedy) is (action is Action.NOTHING)


def test_a_guest_without_a_record_is_recorded_unless_two_hosts_have_it() -> None:
    told = ledger(claims=())
    assert found(told, stock(A, GUEST), stock(B)) == [(M.NOT_ON_RECORD, Action.FOLLOW_THE_GUEST)]
    assert found(told, stock(A, GUEST), stock(B, OFF)) == [(M.HELD_TWICE, Action.NOTHING)]
    assert found(told, stock(A, GUEST), stock(B, GUEST)) == [(M.RUNS_TWICE, Action.NOTHING)]
    assert found(told, stock(A, HALF), stock(B)) == [(M.HALF_LEFT, Action.NOTHING)]


SLOT = SlotTaken(migration_uuid=MOVE, host=B, held=True)


@pytest.mark.parametrize(
    ("told", "kind", "action"),
    [
        (ledger(MOVING), M.TASK_WITHOUT_STORY, Action.LEAVE_TASK),
        (
            ledger(
                replace(
                    SERVER,
                    task_state=TaskState.DELETING,
                    updated_at=iso(NOW_S - ABANDONED_S - 1),
                )
            ),
            M.TASK_WITHOUT_STORY,
            Action.NOTHING,
        ),
        (
            ledger(SERVER, moves=(UNDER_WAY,), claims=(CLAIM, HERE[0])),
            M.STORY_WITHOUT_TASK,
            Action.LOCK_AGAIN,
        ),
        (  # nobody would ever take that task away again
            ledger(
                SERVER,
                moves=(replace(UNDER_WAY, story_ended=True),),
                claims=(CLAIM, HERE[0]),
            ),
            M.STORY_NOT_TOLD,
            Action.NOTHING,
        ),
        (ledger(SERVER, claims=(CLAIM, replace(CLAIM, host=B))), M.CLAIM_LEFT, Action.DROP_CLAIM),
        (ledger(SERVER, claims=(CLAIM, HERE[0])), M.CLAIM_LEFT, Action.DROP_CLAIM),
        (ledger(SERVER, claims=()), M.CLAIM_MISSING, Action.PUT_CLAIM),
        (ledger(SERVER, claims=(replace(CLAIM, vcpus=7),)), M.CLAIM_DIFFERS, Action.PUT_CLAIM),
        (ledger(SERVER, slots=(SLOT,)), M.SLOT_LEFT, Action.GIVE_SLOT_BACK),
        *(
            (ledger(MOVING, moves=(move,), claims=HERE), M.STORY_NOT_TOLD, Action.NOTHING)
            for move in (
                replace(UNDER_WAY, story_ended=True),
                replace(UNDER_WAY, lease_until_s=NOW_S - UNTOLD_S),
                replace(UNDER_WAY, lease_until_s=NOW_S + FAR_S + 1),
                replace(UNDER_WAY, owner="", wake_at_s=NOW_S - UNTOLD_S),
            )
        ),
    ],
)
def test_what_is_wrong_with_the_record_by_itself_is_found(
    told: Ledger, kind: Mismatch, action: Action
) -> None:
    only = the_one(told, stock(A, GUEST), stock(B))
    assert (only.kind, only.action) == (kind, action)
    assert only.evidence[0].by == RECORD


def test_the_alarms_come_first() -> None:
    other = replace(SERVER, uuid=InstanceUuid("other"), name="other")
    told = ledger(SERVER, other, slots=(SLOT,))
    kinds = [each.kind for each in disagreements(told, [stock(A, OFF), stock(B)])]
    assert kinds[0] is M.NOWHERE
    assert set(kinds) == {M.NOWHERE, M.STATE_DIFFERS, M.CLAIM_MISSING, M.SLOT_LEFT}
    assert {M.RUNS_TWICE, M.NOWHERE, M.HEARD_AGAIN} == ALARMS


def test_only_what_two_looks_agree_on_lasts() -> None:
    gone = disagreements(ledger(SERVER), [stock(A), stock(B)])
    later = disagreements(ledger(SERVER), [stock(A, seen_at="later"), stock(B)])
    assert [each.evidence[1].at for each in lasting(gone, later)] == ["later"]
    elsewhere = disagreements(ledger(SERVER), [stock(A), stock(B, GUEST)])
    assert lasting(gone, elsewhere) == ()
    rewritten = ledger(replace(SERVER, updated_at=iso(NOW_S)))
    assert lasting(gone, disagreements(rewritten, [stock(A), stock(B)])) == ()
