"""Any sequence of claims, slots, takeovers and ends, against a small model of what they mean."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.contract.store_records import (
    A,
    B,
    C,
    accepted,
    along,
    change,
    held,
    leaks,
    report,
    with_guests,
)

from godwit.model.errors import Conflict, Superseded
from godwit.model.finding import InstanceChangeKind
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.migration import MigrationStatus
from godwit.sim.loop import VirtualLoop
from godwit.store.interface import Ending, Fence, HoldSource, MigrationChanges, Needs, NewHost
from godwit.store.sql import SqlStore

pytestmark = pytest.mark.slow

T = TypeVar("T")
S = MigrationStatus
HOSTS = (A, B, C)
GUESTS = (1, 2, 3, 4)
ROOM = 3
"""So many guests have room at a host."""
NEEDS = Needs(vcpus=1, memory_mib=512, vcpus_max=99, memory_max_mib=ROOM * 512)


class FixedClock:
    """Time does not matter here."""

    def now_s(self) -> float:
        return 1_700_000_000.0


@dataclass
class Move:
    """The model of a migration under way."""

    guest: int
    source: HostName
    fence: Fence
    destination: HostName | None = None
    wants: tuple[HostName, ...] = ()
    slots: bool = False
    moved: bool = False


@dataclass
class Model:
    """What the store should hold, in plain values."""

    at: dict[int, HostName] = field(default_factory=lambda: dict.fromkeys(GUESTS, A))
    moves: dict[int, Move] = field(default_factory=dict)
    line: list[Move] = field(default_factory=list)
    """Who wants slots, held or not, in the order of arrival."""

    def claimed(self, host: HostName) -> int:
        """How many guests' room is taken at the host."""
        coming = [m for m in self.moves.values() if m.destination == host and not m.moved]
        return len(coming) + len([g for g, h in self.at.items() if h == host])

    def grant(self) -> None:
        """First come, first served; one slot out of and one into each host."""
        barred: set[HostName] = set()
        for move in self.line:
            if move.slots:
                continue
            ends = list(zip(("out", "in"), move.wants, strict=True))
            taken = [
                end
                for other in self.line
                if other.slots
                for end in zip(("out", "in"), other.wants, strict=True)
            ]
            if barred.isdisjoint(move.wants) and not any(end in taken for end in ends):
                move.slots = True
            else:
                barred |= set(move.wants)

    def leave_line(self, move: Move) -> None:
        """Slots, or a place, given back."""
        self.line = [other for other in self.line if other is not move]
        move.slots, move.wants = False, ()
        self.grant()


class StoreMachine(RuleBasedStateMachine):
    """Does the same to both, compares after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = self.a_runner()
        self.store = self.a_store()
        self.model = Model()
        self.old: list[Fence] = []
        self.count = 0
        self.do(with_guests(self.store, *GUESTS))

    def a_runner(self) -> asyncio.Runner:
        return asyncio.Runner(loop_factory=VirtualLoop)

    def a_store(self) -> SqlStore:
        return SqlStore.in_memory(FixedClock())

    def do(self, act: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(act)

    def a_move(self, data: st.DataObject, *, moved: bool = False) -> Move:
        moves = [move for move in self.model.moves.values() if move.moved == moved]
        return data.draw(st.sampled_from(moves))

    def any_under_way(self) -> bool:
        return any(not move.moved for move in self.model.moves.values())

    @rule(guest=st.sampled_from(GUESTS))
    def accept(self, guest: int) -> None:
        self.count += 1
        source = self.model.at[guest]
        try:
            fence = self.do(accepted(self.store, guest, source, key=f"-{self.count}"))
        except Conflict:
            assert guest in self.model.moves
        else:
            assert guest not in self.model.moves
            self.model.moves[guest] = Move(guest, source, fence)
            self.do(along(self.store, fence, HoldSource()))

    @precondition(any_under_way)
    @rule(data=st.data(), host=st.sampled_from(HOSTS))
    def claim(self, data: st.DataObject, host: HostName) -> None:
        move = self.a_move(data)
        refusal = self.do(self.store.claim_destination(move.fence, host, NEEDS))
        if host == move.source:
            assert refusal is not None
            return
        move.destination = None
        fits = self.model.claimed(host) < ROOM
        assert (refusal is None) == fits
        move.destination = host if fits else None

    @precondition(any_under_way)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        move = self.a_move(data)
        self.do(self.store.drop_claims(move.fence))
        move.destination = None

    @precondition(any_under_way)
    @rule(data=st.data(), back=st.booleans())
    def hand_the_source_claim_to_and_fro(self, data: st.DataObject, *, back: bool) -> None:
        fence = self.a_move(data).fence
        if back:
            self.do(self.store.give_back_source_allocation(fence))
        else:
            self.do(along(self.store, fence, HoldSource()))

    @precondition(any_under_way)
    @rule(data=st.data(), host=st.sampled_from(HOSTS))
    def take_slots(self, data: st.DataObject, host: HostName) -> None:
        move = self.a_move(data)
        if host == move.source:
            return
        got = self.do(self.store.take_slots(move.fence, slots_max={move.source: 1, host: 1}))
        if move.wants != (move.source, host):
            # Its old place is free only after it stands in the new one: nobody else is let in
            # before all are looked at together.
            self.model.line = [other for other in self.model.line if other is not move]
            move.slots, move.wants = False, (move.source, host)
            self.model.line.append(move)
            self.model.grant()
        assert got == move.slots

    @precondition(any_under_way)
    @rule(data=st.data())
    def give_slots_back(self, data: st.DataObject) -> None:
        move = self.a_move(data)
        waiting = [other for other in self.model.line if not other.slots and other is not move]
        granted = self.do(self.store.give_slots_back(move.fence))
        self.model.leave_line(move)
        expected = [other.fence.migration_uuid for other in waiting if other.slots]
        assert list(granted) == expected

    @precondition(any_under_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        move = self.a_move(data)
        if move.destination is None:
            return
        self.do(self.store.change_migration(move.fence, MigrationChanges(status=S.PREPARING)))
        arrival = NewHost(host=move.destination, node="there")
        self.do(along(self.store, move.fence, arrival))
        self.model.leave_line(move)
        self.model.at[move.guest] = move.destination
        move.moved = True

    @precondition(lambda self: self.model.moves)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        move = data.draw(st.sampled_from(list(self.model.moves.values())))
        status = S.COMPLETED if move.moved else S.FAILED
        self.do(along(self.store, move.fence, Ending(status)))
        self.old.append(move.fence)
        del self.model.moves[move.guest]
        move.destination = None
        self.model.leave_line(move)

    @precondition(lambda self: self.model.moves)
    @rule(data=st.data())
    def take_over(self, data: st.DataObject) -> None:
        move = data.draw(st.sampled_from(list(self.model.moves.values())))
        self.old.append(move.fence)
        move.fence = self.do(held(self.store, move.fence.migration_uuid, f"owner-{self.count}"))

    @precondition(lambda self: self.old)
    @rule(data=st.data(), host=st.sampled_from(HOSTS))
    def a_late_story_takes_nothing(self, data: st.DataObject, host: HostName) -> None:
        late = data.draw(st.sampled_from(self.old))
        slots_max = {A: 1, B: 1}
        for act in (
            self.store.claim_destination(late, host, NEEDS),
            along(self.store, late, HoldSource()),
            self.store.take_slots(late, slots_max=slots_max),
            along(self.store, late, NewHost(host=host, node="")),
        ):
            with pytest.raises(Superseded):
                self.do(act)

    @rule(
        guest=st.sampled_from(GUESTS),
        host=st.sampled_from(HOSTS),
        kind=st.sampled_from([InstanceChangeKind.CHANGED, InstanceChangeKind.MOVED]),
    )
    def discover(self, guest: int, host: HostName, kind: InstanceChangeKind) -> None:
        found = change(kind, guest, host)
        self.do(self.store.record_report(report(host), (found,), now_s=1.0))
        if kind is InstanceChangeKind.MOVED and guest not in self.model.moves:
            self.model.at[guest] = host

    @invariant()
    def nothing_is_leaked(self) -> None:
        assert self.do(self.store.queries.read(leaks)) == ()

    @invariant()
    def both_agree(self) -> None:
        usage = self.do(self.store.queries.usage())
        for host in HOSTS:
            assert usage[host].vcpus == self.model.claimed(host)
            in_line = [move for move in self.model.line if host in move.wants]
            moving = [move for move in in_line if move.slots]
            assert usage[host].transfers == len(moving)
            assert usage[host].waiting == len(in_line) - len(moving)
        for guest in GUESTS:
            server = self.do(self.store.queries.instance(InstanceUuid(f"guest-{guest}")))
            assert server is not None
            assert server.host == self.model.at[guest]
            assert (server.task_state is not None) == (guest in self.model.moves)

    def teardown(self) -> None:
        for move in list(self.model.moves.values()):
            status = S.COMPLETED if move.moved else S.FAILED
            self.do(along(self.store, move.fence, Ending(status)))
        usage = self.do(self.store.queries.usage())
        assert sum(host.vcpus for host in usage.values()) == len(GUESTS)
        assert sum(host.transfers for host in usage.values()) == 0
        self.store.close()
        self.runner.close()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=12, stateful_step_count=40)
