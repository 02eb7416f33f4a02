"""When something may have changed at a host: libvirt's events, and the loss and the return of the
connection. Used by `driver`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from godwit.model.errors import HypervisorError, Unreachable
from godwit.virt.libvirt.connection import Connection

RETRY_S: Final = 2.0
"""How often a libvirtd that is away is looked for, while someone waits for changes."""


def changes_at(connection: Connection) -> AsyncIterator[None]:
    """Yields at the start, at each event, and whenever the connection is lost or back. Changes are
    noticed from this call on.
    """
    changed = connection.subscribe()
    changed.set()
    return _changes(connection, changed)


async def _changes(connection: Connection, changed: asyncio.Event) -> AsyncIterator[None]:
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await changed.wait()
            if changed.is_set():
                changed.clear()
                yield
            elif not connection.is_open:
                with contextlib.suppress(Unreachable, HypervisorError):
                    await connection.call("looking again", lambda _: None)
    finally:
        connection.unsubscribe(changed)
