"""Who waits for a change of a migration is woken by the write that makes it.

`sql` tells of this process's writes, `listener` of those of others on the same server; the API
waits at `Queries.news`. Not everything is heard: whoever waits also looks by itself now and then.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol
from weakref import WeakValueDictionary


class Ears(Protocol):
    """Whoever hears of the writes of other processes."""

    def close(self) -> None:
        """Listen no more. Repeatable."""
        ...


Listen = Callable[["News"], Ears]


class News:
    """The changes of migrations that somebody waits for."""

    def __init__(self, listen: "Listen | None" = None) -> None:
        """`listen` begins when somebody waits for the first time."""
        self._listen = listen
        self._ears: Ears | None = None
        # Weak: what nobody waits for any more is forgotten by itself.
        self._changes: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._ends: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where they wait."""

    def change_of(self, uuid: str) -> asyncio.Event:
        """Set by the next change of the migration or its story. Take it before you look: then no
        change falls in between.
        """
        self._attend()
        return self._changes.setdefault(uuid, asyncio.Event())

    def end_of(self, uuid: str) -> asyncio.Event:
        """Set when the migration's final status is on record. Take it before you look."""
        self._attend()
        return self._ends.setdefault(uuid, asyncio.Event())

    def tell(self, uuid: str, *, ended: bool = False) -> None:
        """Wake those who wait for this."""
        for events in (self._changes, self._ends) if ended else (self._changes,):
            event = events.pop(uuid, None)
            if event is not None:
                event.set()

    def heard(self, uuids: Mapping[str, bool]) -> None:
        """As `tell`, in a thread: which migrations have changed, and whether each has ended."""
        awaited = {uuid: uuids[uuid] for uuid in uuids if self._is_awaited(uuid)}
        if awaited and self._loop is not None:
            with suppress(RuntimeError):  # it is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._tell_all, awaited)

    def close(self) -> None:
        """Hear no more of others. Repeatable."""
        if self._ears is not None:
            self._ears.close()

    def _attend(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._ears is None and self._listen is not None:
            self._ears = self._listen(self)

    def _is_awaited(self, uuid: str) -> bool:
        return uuid in self._changes or uuid in self._ends

    def _tell_all(self, uuids: Mapping[str, bool]) -> None:
        for uuid, ended in uuids.items():
            self.tell(uuid, ended=ended)

    def wake_all(self) -> None:
        """Let everybody look again, whatever they wait for."""
        for events in (self._changes, self._ends):
            for event in list(events.values()):
                event.set()
            events.clear()
