"""Who waits for a change of a migration is woken by the write that makes it, within one process.

`sql` tells, `Queries.news` is where the API waits. Another process's writes are not heard: whoever
waits also looks by itself now and then.
"""

import asyncio
from weakref import WeakValueDictionary


class News:
    """The changes of migrations that somebody waits for."""

    def __init__(self) -> None:
        # Weak: what nobody waits for any more is forgotten by itself.
        self._changes: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._ends: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def change_of(self, uuid: str) -> asyncio.Event:
        """Set by the next change of the migration or its story. Take it before you look: then no
        change falls in between.
        """
        return self._changes.setdefault(uuid, asyncio.Event())

    def end_of(self, uuid: str) -> asyncio.Event:
        """Set when the migration's final status is on record. Take it before you look."""
        return self._ends.setdefault(uuid, asyncio.Event())

    def tell(self, uuid: str, *, ended: bool = False) -> None:
        """Wake those who wait for this."""
        for events in (self._changes, self._ends) if ended else (self._changes,):
            event = events.pop(uuid, None)
            if event is not None:
                event.set()

    def wake_all(self) -> None:
        """Let everybody look again, whatever they wait for."""
        for events in (self._changes, self._ends):
            for event in list(events.values()):
                event.set()
            events.clear()
