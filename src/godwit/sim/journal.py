"""All that happens in a simulated run, in order: one line per event, and a hash over all lines.

Whoever does something that matters says it here; the checkers hear every event at that moment.
Two runs of one seed have the same hash.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from godwit.compute.fence import Deed
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.saga.log import Direction, Entry
from godwit.virt.simulated.half import Half

KEPT: Final = 400
"""So many of the newest lines are kept, for whoever reads a failed run."""


@dataclass(frozen=True)
class Said:
    """What nobody checks: a fault struck, a process died, a message was lost."""

    words: str

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Changed:
    """A hypervisor holds something else of a guest than before."""

    host: HostName
    guest: InstanceUuid
    before: Half | None
    after: Half | None

    def __str__(self) -> str:
        return f"{self.host} holds {self.guest[-3:]} {_short(self.before)} -> {_short(self.after)}"


@dataclass(frozen=True)
class Acting:
    """A host has let an act of a story pass, and begins with it. `owner`: where its guest is on
    record at this moment.
    """

    host: HostName
    migration: MigrationUuid
    generation: int
    deed: Deed
    guest: InstanceUuid
    owner: HostName

    def __str__(self) -> str:
        return f"{self.host} acts {self.deed} for {self.migration[:8]}/{self.generation}"


@dataclass(frozen=True)
class Held:
    """A conductor has the lease of a story. `over`: who had it until then, if anybody."""

    by: str
    migration: MigrationUuid
    generation: int
    over: str
    now_s: float
    """By the store's clock, whatever that conductor takes it to be."""
    until_s: float

    def __str__(self) -> str:
        return f"{self.by} holds {self.migration[:8]}/{self.generation}"


@dataclass(frozen=True)
class Renewed:
    """A conductor has prolonged the lease of a story."""

    by: str
    migration: MigrationUuid
    generation: int
    until_s: float

    def __str__(self) -> str:
        return f"{self.by} still holds {self.migration[:8]}/{self.generation}"


@dataclass(frozen=True)
class Recorded:
    """A story's record is committed. `owner`: where the guest is on record from now on."""

    by: str
    migration: MigrationUuid
    generation: int
    direction: Direction
    step: str
    entries: tuple[Entry, ...]
    owner: HostName | None
    left: tuple[str, ...] = ()
    """What is held by nobody who may hold it; looked for where a story ends."""

    def __str__(self) -> str:
        told = ", ".join(f"{entry.step} {entry.what}" for entry in self.entries)
        place = f"{self.direction} {self.step}"
        return f"{self.by} records {self.migration[:8]}/{self.generation} {place} [{told}]"


@dataclass(frozen=True)
class Moved:
    """A server's record names this host from now on."""

    guest: InstanceUuid
    owner: HostName

    def __str__(self) -> str:
        return f"on record {self.guest[-3:]} is at {self.owner}"


@dataclass(frozen=True)
class Defect:
    """Somebody met an error that nobody expects."""

    words: str

    def __str__(self) -> str:
        return f"DEFECT {self.words}"


Event = Said | Changed | Acting | Held | Renewed | Recorded | Moved | Defect


class Journal:
    """The events of one run."""

    def __init__(self) -> None:
        """Nothing has happened yet, and nobody listens."""
        self.lines: deque[str] = deque(maxlen=KEPT)
        self.hear: Callable[[Event], None] = lambda _: None
        """Called with every event."""
        self._digest = hashlib.sha256()

    def say(self, event: Event) -> None:
        """This has just happened."""
        line = f"{asyncio.get_running_loop().time():10.4f} {event}"
        self._digest.update(line.encode())
        self.lines.append(line)
        self.hear(event)

    def note(self, words: str) -> None:
        """This has just happened, and there is nothing to check about it."""
        self.say(Said(words))

    def hash(self) -> str:
        """Of all lines so far."""
        return self._digest.hexdigest()[:16]


def _short(half: Half | None) -> str:
    return f"{half.state.value}{'*' if half.job else ''}" if half else "nothing"
