"""Hears from the destination's libvirtd that a guest is whole there. Used by `migration`.

Only then does libvirt announce it: as suspended where the guest waits for us, as resumed where
libvirt has let it run. The source's call comes back some 200 ms later, once its QEMU has ended.
"""

import asyncio

from godwit.model.ids import InstanceUuid
from godwit.model.migrate_data import Guard
from godwit.virt.libvirt.abi import Event


class Arrival:
    """The arrival of one guest. Made inside the event loop that uses it."""

    def __init__(self, uuid: InstanceUuid, guard: Guard) -> None:
        """With the guard `postcopy` nothing is ever heard: a guest that runs may be half."""
        self._uuid = uuid
        self._arrived = asyncio.Event()
        self._tells = frozenset({Event.SUSPENDED, Event.RESUMED})
        if guard is Guard.POSTCOPY:
            self._tells = frozenset()

    def hear(self, uuid: str, event: int, _detail: int) -> None:
        """A lifecycle event of the destination."""
        if uuid == self._uuid and event in self._tells:
            self._arrived.set()

    async def wait(self) -> None:
        """Returns as soon as it is heard."""
        await self._arrived.wait()
