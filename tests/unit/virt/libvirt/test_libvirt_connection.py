"""Bounded threads and connections: nothing waits for ever, and a stuck call holds up nobody else.

The connection is tried on libvirt's own `test:///default` hypervisor, which needs no libvirtd.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from godwit.model.errors import Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, PowerState, VmState
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.steering import UNSTEERED
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.driver import SeenEnd
from godwit.virt.libvirt.connection import Connection, or_none
from godwit.virt.libvirt.departure import end_seen, has_left
from godwit.virt.libvirt.errors import LibvirtError, LibvirtUnreachable
from godwit.virt.libvirt.migration import End, LibvirtTransferDriver
from godwit.virt.libvirt.threads import AllThreadsStuck, BoundedThreads, StillBusy

HOST = HostName("host-a")
INSTANCE = Instance(
    uuid=InstanceUuid("6a1c2a4c-7c5c-4c36-9d0e-1f6c9f6f7b11"),
    name="vm1",
    host=HOST,
    node="a",
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=64,
)


def run(test: Coroutine[Any, Any, None]) -> None:
    """In a real loop: threads do not live in virtual time."""
    asyncio.run(test)


@asynccontextmanager
async def a_stuck_thread(threads: BoundedThreads, key: str = "") -> AsyncIterator[None]:
    """One thread is held by a call that nobody waits for any more; it is let go afterwards."""
    let_go = threading.Event()
    back = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await threads.run(let_go.wait, key=key, when_back=back.set)
    assert not back.is_set()
    try:
        yield
    finally:
        let_go.set()
        await back.wait()


def test_results_and_expected_errors_come_back() -> None:
    async def test() -> None:
        threads = BoundedThreads("t", 2, (ValueError,))
        assert await threads.run(lambda: 7) == 7
        with pytest.raises(ValueError, match="x"):
            await threads.run(lambda: int("x"))

    run(test())


def test_when_every_thread_is_stuck_the_next_call_fails_at_once_until_one_is_back() -> None:
    async def test() -> None:
        threads = BoundedThreads("t", 2, ())
        async with a_stuck_thread(threads):
            assert await threads.run(lambda: 1) == 1
            async with a_stuck_thread(threads):
                with pytest.raises(AllThreadsStuck):
                    await threads.run(lambda: 1)
            assert await threads.run(lambda: 1) == 1

    run(test())


def test_a_stuck_key_refuses_only_its_own_next_call() -> None:
    async def test() -> None:
        threads = BoundedThreads("t", 4, ())
        async with a_stuck_thread(threads, key="vm1"):
            with pytest.raises(StillBusy):
                await threads.run(lambda: 1, key="vm1")
            assert await threads.run(lambda: 1, key="vm2") == 1
        assert await threads.run(lambda: 1, key="vm1") == 1

    run(test())


def test_calls_beyond_the_bound_wait_their_turn() -> None:
    async def test() -> None:
        threads = BoundedThreads("t", 2, ())
        busy = peak = 0
        lock = threading.Lock()

        def work() -> None:
            nonlocal busy, peak
            with lock:
                busy += 1
                peak = max(peak, busy)
            threading.Event().wait(0.005)
            with lock:
                busy -= 1

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(threads.run(work))
        assert peak == 2

    run(test())


@asynccontextmanager
async def a_connection(uri: str) -> AsyncIterator[Connection]:
    connection = Connection(HOST, LibvirtHostSettings(uri=uri, call_timeout_s=5.0, threads_max=4))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.slow
def test_a_call_is_answered_and_an_error_keeps_its_number_and_words() -> None:
    async def test() -> None:
        async with a_connection("test:///default") as connection:
            assert await connection.call("asking", lambda libvirt: libvirt.getType()) == "TEST"
            absent = "6a1c2a4c-7c5c-4c36-9d0e-1f6c9f6f7b11"
            with pytest.raises(LibvirtError) as raised:
                await connection.call("asking", lambda lv: lv.lookupByUUIDString(absent))
            assert raised.value.number == 42
            assert "asking failed" in raised.value.reason.words
            nobody = await connection.call(
                "asking", lambda lv: or_none(lambda: lv.lookupByUUIDString(absent))
            )
            assert nobody is None

    run(test())


@pytest.mark.slow
def test_a_call_over_its_limit_is_unreachable_and_the_next_one_gets_through() -> None:
    async def test() -> None:
        let_go = threading.Event()
        async with a_connection("test:///default") as connection:
            await connection.call("asking", lambda libvirt: libvirt.getType())
            begun = time.monotonic()
            with pytest.raises(LibvirtUnreachable):
                await connection.call("hanging", lambda _: let_go.wait(), timeout_s=0.05)
            assert time.monotonic() - begun < 4.0
            assert await connection.call("asking", lambda libvirt: libvirt.getType()) == "TEST"
            let_go.set()

    run(test())


@pytest.mark.slow
def test_quick_calls_take_turns_on_one_connection_and_do_not_wait_for_one_that_hangs() -> None:
    async def test() -> None:
        let_go = threading.Event()
        used = []

        def look(libvirt: Any) -> None:
            used.append(id(libvirt))
            threading.Event().wait(0.005)

        async with a_connection("test:///default") as connection:
            async with asyncio.TaskGroup() as group:
                for _ in range(6):
                    group.create_task(connection.call("looking", look))
            assert (len(used), len(set(used))) == (6, 1)
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.call("hanging", lambda _: let_go.wait()))
                await asyncio.sleep(0)
                begun = time.monotonic()
                await connection.call("looking", look)
                let_go.set()
                assert time.monotonic() - begun < 4.0
            assert len(set(used)) == 2

    run(test())


class SlowSecondOpening(Connection):
    """Opens its second connection when it is let. Waits for none, until it is made patient."""

    def __init__(self) -> None:
        super().__init__(HOST, LibvirtHostSettings(uri="test:///default"))
        self.may_open = threading.Event()
        self.opened = 0
        self._patience_s = 0.0

    def make_patient(self) -> None:
        """From now on a call waits for as long as it has for a connection that comes back."""
        self._patience_s = 60.0

    def _probe(self) -> None:
        self.opened += 1
        if self.opened == 2:
            self.may_open.wait(10.0)


@pytest.mark.slow
def test_a_connection_whose_opener_gave_up_serves_a_call_that_waits_for_one() -> None:
    async def test() -> None:
        let_go, connection = threading.Event(), SlowSecondOpening()
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.call("hanging", lambda _: let_go.wait(10.0)))
            await asyncio.sleep(0)
            with pytest.raises(LibvirtUnreachable):
                await connection.call("giving up", lambda lv: lv.getType(), timeout_s=0.2)
            connection.make_patient()
            waiting = group.create_task(
                connection.call("waiting", lambda lv: lv.getType(), timeout_s=5.0)
            )
            await asyncio.sleep(0)
            connection.may_open.set()
            assert await waiting == "TEST"
            let_go.set()
        assert connection.opened == 2
        await connection.close()

    run(test())


@pytest.mark.slow
def test_where_nobody_listens_every_waiting_call_is_unreachable() -> None:
    async def test() -> None:
        async with a_connection("qemu+unix:///system?socket=/nowhere/socket") as connection:
            changed = connection.subscribe()
            answers = await asyncio.gather(
                *(connection.call("asking", lambda lv: lv.getType()) for _ in range(6)),
                return_exceptions=True,
            )
            assert {type(answer) for answer in answers} == {LibvirtUnreachable}
            assert not connection.is_open
            assert not changed.is_set()

    run(test())


@pytest.mark.slow
def test_a_new_connection_counts_as_a_change() -> None:
    async def test() -> None:
        async with a_connection("test:///default") as connection:
            changed = connection.subscribe()
            await connection.call("asking", lambda libvirt: libvirt.getType())
            assert changed.is_set()

    run(test())


@pytest.mark.slow
def test_a_call_whose_connection_is_closed_meanwhile_has_no_answer() -> None:
    async def test() -> None:
        closed = threading.Event()

        def ask_when_closed(libvirt: Any) -> Any:
            closed.wait()
            return libvirt.getType()

        async with a_connection("test:///default") as connection:
            await connection.call("asking", lambda libvirt: libvirt.getType())

            async def ask() -> None:
                with pytest.raises(LibvirtUnreachable):
                    await connection.call("asking", ask_when_closed)

            async with asyncio.TaskGroup() as group:
                group.create_task(ask())
                await asyncio.sleep(0)
                await connection.close()
                closed.set()

    run(test())


@pytest.mark.slow
def test_a_look_for_the_source_that_fails_is_no_answer_and_may_be_asked_again() -> None:
    async def test() -> None:
        async with a_connection("qemu+unix:///system?socket=/nowhere/socket") as nowhere:
            with pytest.raises(Unreachable):
                await has_left(nowhere, INSTANCE.uuid)
            with pytest.raises(Unreachable):
                await end_seen(nowhere, INSTANCE.uuid, told=told_of(SeenEnd.WANTED))
        async with a_connection("test:///default") as connection:
            with pytest.raises(Unreachable):  # it answers with an error: that is no name of a guest
                await has_left(connection, InstanceUuid("not a uuid"))
            assert await has_left(connection, INSTANCE.uuid)
            for told in (*SeenEnd, None):
                assert await end_seen(connection, INSTANCE.uuid, told=told_of(told)) is told
            [uuid] = await connection.call(
                "asking", lambda lv: [domain.UUIDString() for domain in lv.listAllDomains()]
            )
            assert not await has_left(connection, InstanceUuid(uuid))
            wanted = told_of(SeenEnd.WANTED)
            assert not await end_seen(connection, InstanceUuid(uuid), told=wanted)

    run(test())


def told_of(end: SeenEnd | None) -> Callable[[], Awaitable[SeenEnd | None]]:
    """What the events say where the guest is gone."""

    async def told() -> SeenEnd | None:
        return end

    return told


@pytest.mark.slow
def test_a_transfer_that_reaches_neither_end_says_so_before_anything_begins() -> None:
    async def test() -> None:
        nowhere = LibvirtHostSettings(uri="qemu+unix:///system?socket=/nowhere/socket")
        ends = End(HOST, nowhere), End(HostName("host-b"), nowhere)
        transfer = LibvirtTransferDriver(
            *ends, INSTANCE, LibvirtLiveMigrateData(), steering=UNSTEERED
        )
        with pytest.raises(LibvirtUnreachable):
            await transfer.open()
        assert (await transfer.transfer()).error != ""
        assert not await transfer.source_is_gone()
        assert await transfer.progress() is None
        await transfer.close()

    run(test())
