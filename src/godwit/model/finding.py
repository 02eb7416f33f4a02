"""What discovery found out about a server: said by the conductor, kept by the store."""

from dataclasses import dataclass
from enum import StrEnum

from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest


class InstanceChangeKind(StrEnum):
    """What discovery found out about a server that no story holds."""

    APPEARED = "appeared"
    CHANGED = "changed"
    """Same host; state, size, disks, name or cards are new."""
    MOVED = "moved"
    """Seen at another host than recorded, and no longer at the recorded one."""
    VANISHED = "vanished"
    """Its host answered, and it is not there nor anywhere else."""


@dataclass(frozen=True)
class InstanceChange:
    """One finding of discovery. `guest` is what was seen (None: VANISHED)."""

    kind: InstanceChangeKind
    uuid: InstanceUuid
    host: HostName
    node: str = ""
    guest: Guest | None = None
