"""What must hold at every event of a run. Each finding is a sentence; one is enough to fail.

They look at the hypervisors themselves and at what was committed, never at what somebody says.
"""

from typing import Final

from godwit.compute.fence import Deed
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.saga.log import Direction, What
from godwit.sim.journal import Acting, Changed, Defect, Event, Held, Moved, Recorded, Renewed, Said
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.half import Half, HalfState

S = HalfState

LIVES: Final = frozenset({S.RUNNING, S.PAUSED})
BACK: Final = frozenset({Direction.BACKWARD, Direction.UNWOUND})
UNDOES: Final = frozenset({Deed.ROLLBACK_AT_DESTINATION, Deed.ROLLBACK_AT_SOURCE})
TIDIES: Final = frozenset({Deed.POST_AT_SOURCE, Deed.POST_AT_DESTINATION})
CLOCKS_APART_S: Final = 0.1
"""So well does every conductor know the store's time."""
RECORDING: Final = "record_new_host"


class Checkers:
    """Hear every event of one run. `findings` stays empty if all is well."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self.findings: list[str] = []
        self.decided: set[MigrationUuid] = set()
        """Moves about which a person has said where the guest is: then that counts."""
        self._fleet = fleet
        self._heard_of_fleet = 0
        self._newest: dict[MigrationUuid, int] = {}
        """By the leases that were given."""
        self._leased_until_s: dict[MigrationUuid, float] = {}
        """As it was claimed or renewed last."""
        self._obeyed: dict[tuple[HostName, MigrationUuid], int] = {}
        """By the acts that a host let pass."""
        self._guest_of: dict[MigrationUuid, InstanceUuid] = {}
        self._destination: dict[MigrationUuid, HostName] = {}
        self._under_way: dict[InstanceUuid, MigrationUuid] = {}
        """Whose transfer was begun last."""
        self._recorded: set[MigrationUuid] = set()
        self._arrived: set[MigrationUuid] = set()
        """Their guest has lived at the destination."""

    def hear(self, event: Event) -> None:
        """Check what this event says."""
        match event:
            case Changed():
                self._on_change(event)
            case Acting():
                self._on_act(event)
            case Held():
                self._on_lease(event)
            case Renewed():
                self._leased_until_s[event.migration] = event.until_s
            case Recorded():
                self._on_record(event)
            case Defect():
                self._find(f"a defect: {event.words}")
            case Moved() | Said():
                pass
        self._ask_the_fleet()

    def _find(self, words: str) -> None:
        self.findings.append(words)

    def _ask_the_fleet(self) -> None:
        """A guest began to run twice, ran from old memory, or its newest memory is gone."""
        violations = self._fleet.violations()
        self.findings += violations[self._heard_of_fleet :]
        self._heard_of_fleet = len(violations)

    def _on_change(self, event: Changed) -> None:
        before, after = event.before, event.after
        if _lives(before) and after is None:
            self._find(f"a guest that ran was removed: {event}")
        migration = self._under_way.get(event.guest)
        begins = _lives(after) and not _lives(before)
        if begins and migration and self._destination.get(migration) == event.host:
            self._arrived.add(migration)

    def _on_act(self, event: Acting) -> None:
        uuid, key = event.migration, (event.host, event.migration)
        if event.generation < self._obeyed.get(key, 0):
            self._find(f"a host obeyed an old generation: {event}")
        self._obeyed[key] = max(event.generation, self._obeyed.get(key, 0))
        self._guest_of[uuid] = event.guest
        if event.deed is Deed.PRE_LIVE_MIGRATION:
            self._destination[uuid] = event.host
        if event.deed is Deed.LIVE_MIGRATION:
            self._under_way[event.guest] = uuid
        if event.deed in UNDOES and uuid in self._arrived and uuid not in self.decided:
            self._find(f"undone after its guest had moved: {event}")
        recorded = uuid in self._recorded or event.owner == self._destination.get(uuid)
        if event.deed in TIDIES and not recorded:
            self._find(f"tidied before it was on record, guest still at {event.owner}: {event}")

    def _on_lease(self, event: Held) -> None:
        if event.generation <= self._newest.get(event.migration, 0):
            self._find(f"two leases of one generation: {event}")
        self._newest[event.migration] = event.generation
        left_s = self._leased_until_s.get(event.migration, 0.0) - event.now_s
        if event.over not in ("", event.by) and left_s > CLOCKS_APART_S:
            self._find(f"taken from {event.over} {left_s:.1f} s before its lease was over: {event}")
        self._leased_until_s[event.migration] = event.until_s

    def _on_record(self, event: Recorded) -> None:
        uuid = event.migration
        if event.generation < self._newest.get(uuid, 0):
            self._find(f"the store obeyed an old generation: {event}")
        if any(e.step == RECORDING and e.what is What.DONE for e in event.entries):
            self._recorded.add(uuid)
        if event.direction in BACK and uuid in self._arrived and uuid not in self.decided:
            self._find(f"turned back after its guest had moved: {event}")
        if event.direction is Direction.ENDED:
            self._on_end(event)

    def _on_end(self, event: Recorded) -> None:
        for words in event.left:
            self._find(f"outlives its story {event.migration[:8]}: {words}")
        guest = self._guest_of.get(event.migration)
        if guest is None or event.migration in self.decided:
            return
        for host in self._fleet.hosts():
            if host != event.owner and _lives(self._fleet.half(host, guest)):
                self._find(f"its guest lives at {host}, on record is {event.owner}: {event}")


def _lives(half: Half | None) -> bool:
    return half is not None and half.state in LIVES
