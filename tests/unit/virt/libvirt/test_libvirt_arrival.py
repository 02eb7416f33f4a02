"""When a guest is said to have arrived, by the events of its destination."""

import asyncio

import pytest

from godwit.model.ids import InstanceUuid
from godwit.model.migrate_data import Guard
from godwit.virt.libvirt.abi import Event
from godwit.virt.libvirt.arrival import Arrival

GUEST = InstanceUuid("00000000-0000-0000-0000-000000000001")
OTHER = InstanceUuid("00000000-0000-0000-0000-000000000002")


def is_heard(guard: Guard, *heard: tuple[str, Event]) -> bool:
    """Is the guest said to have arrived after these events?"""

    async def ask() -> bool:
        arrival = Arrival(GUEST, guard)
        for uuid, event in heard:
            arrival.hear(uuid, event, 0)
        try:
            async with asyncio.timeout(0):
                await arrival.wait()
        except TimeoutError:
            return False
        return True

    return asyncio.run(ask())


@pytest.mark.parametrize("guard", [Guard.PAUSED, Guard.LOCKS])
@pytest.mark.parametrize("event", [Event.SUSPENDED, Event.RESUMED])
def test_a_guest_has_arrived_once_libvirt_has_let_it_run_or_wait(
    guard: Guard, event: Event
) -> None:
    assert is_heard(guard, (GUEST, Event.STARTED), (GUEST, event))


@pytest.mark.parametrize("guard", [Guard.PAUSED, Guard.LOCKS])
@pytest.mark.parametrize(
    "heard",
    [(GUEST, Event.STARTED), (GUEST, Event.STOPPED), (OTHER, Event.RESUMED)],
    ids=["its QEMU was started", "its half was ended", "another guest"],
)
def test_nothing_else_is_an_arrival(guard: Guard, heard: tuple[str, Event]) -> None:
    assert not is_heard(guard, heard)


@pytest.mark.parametrize("event", [Event.SUSPENDED, Event.RESUMED])
def test_a_guest_that_may_run_as_a_half_is_never_said_to_have_arrived(event: Event) -> None:
    assert not is_heard(Guard.POSTCOPY, (GUEST, event))
