"""Looks at the source's half at the end of a move: has it left, or has the guest ended?

Asked by the transfer driver (`migration`), which weighs the answer with what the call and the
events said.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from godwit.model.errors import Unreachable
from godwit.model.ids import InstanceUuid
from godwit.virt.driver import SeenEnd
from godwit.virt.libvirt import reads
from godwit.virt.libvirt.abi import Shutoff, State
from godwit.virt.libvirt.connection import Connection
from godwit.virt.libvirt.errors import LibvirtError
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.source_events import Heard

TOLD_S: Final = 1.0
"""Events come by another way than answers: one that tells of an end may be so late."""
_ENDINGS: Final[dict[int, SeenEnd]] = {
    Shutoff.SHUTDOWN: SeenEnd.WANTED,
    Shutoff.DESTROYED: SeenEnd.WANTED,
    Shutoff.CRASHED: SeenEnd.CRASHED,
}


async def has_left(source: Connection, uuid: InstanceUuid) -> bool:
    """Is the half no more, or stopped because its guest has migrated?

    Raises `Unreachable` whenever the look fails: that says nothing, and may be asked again.
    """
    reading = await _looked(source, uuid)
    if reading is None:
        return True
    return reading.state == State.SHUTOFF and reading.reason == Shutoff.MIGRATED


async def end_seen(
    source: Connection, uuid: InstanceUuid, *, told: Callable[[], Awaitable[SeenEnd | None]]
) -> SeenEnd | None:
    """How the guest was seen to end here, if it was. Whoever looks later may find it undefined as
    well, which alone would look as if it had left. `told` is asked where it is there no more.

    Raises `Unreachable` whenever the look fails.
    """
    reading = await _looked(source, uuid)
    if reading is None:
        return await told()
    return _ENDINGS.get(reading.reason) if reading.state == State.SHUTOFF else None


async def end_told(heard: Callable[[], Heard], more: asyncio.Event) -> SeenEnd | None:
    """How the events tell that the guest ended; they are waited for, at most `TOLD_S`. `more` is
    set with each.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(TOLD_S):
            while not (heard().left or heard().ended):
                more.clear()
                await more.wait()
    return heard().ended


async def _looked(source: Connection, uuid: InstanceUuid) -> Reading | None:
    try:
        return await source.call(
            "looking for the guest", lambda libvirt: reads.read_state(libvirt, uuid)
        )
    except LibvirtError as error:
        raise Unreachable(error.reason) from error
