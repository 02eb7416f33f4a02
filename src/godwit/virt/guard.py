"""What keeps a guest from running twice while it moves? Pure; asked by every driver's source check,
and recorded in `migrate_data` before anything starts.

`paused` is safe on any storage and is the default. The others need the operator's word: `locks`
that the storage fences and that this may be relied on, `postcopy` that this move may become one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from godwit.model.host import Storage
from godwit.model.instance import Disk
from godwit.model.migrate_data import Guard


@dataclass(frozen=True)
class GuardFacts:
    """What the choice rests on."""

    disks: Sequence[Disk]
    storages_there: Sequence[Storage]
    """The destination's, each with what its operator declared of it."""
    rely_on_fencing: bool
    permit_post_copy: bool
    can_post_copy: bool
    """Both hypervisors can begin a post-copy, and resume one that broke."""
    copies_disks: bool
    was_paused: bool
    """The operator had paused the guest: at neither end will it run."""


@dataclass(frozen=True)
class GuardChoice:
    """The guard, and how a post-copy is kept apart from the window of a pre-copy."""

    guard: Guard
    hold_back: bool = False
    """Nothing fences the storage, so pre-copy must not come to its end: its first pass is held back
    until the guest runs at the destination."""


def choose_guard(facts: GuardFacts) -> GuardChoice:
    """The guard of one move.

    A post-copy that copies disks is not held back (one limit holds for disks and memory), so such a
    guest travels under `paused`, as does one that runs at neither end.
    """
    fenced = every_disk_is_fenced(facts.disks, facts.storages_there)
    if facts.was_paused:
        return GuardChoice(Guard.PAUSED)
    if facts.permit_post_copy and facts.can_post_copy and not facts.copies_disks:
        return GuardChoice(Guard.POSTCOPY, hold_back=not fenced)
    if fenced and facts.rely_on_fencing:
        return GuardChoice(Guard.LOCKS)
    return GuardChoice(Guard.PAUSED)


def every_disk_is_fenced(disks: Sequence[Disk], there: Sequence[Storage]) -> bool:
    """Is the guest on declared fencing storage with all that it writes?

    A guest without such a disk is not: nothing would stop it from running twice.
    """
    fencing = {storage.id for storage in there if storage.fences and storage.shared}
    written = [disk for disk in disks if not disk.read_only]
    return bool(written) and all(disk.storage in fencing for disk in written)
