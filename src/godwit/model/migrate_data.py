"""`migrate_data`: what both ends agreed on before a transfer, one shape per hypervisor, with one
name everywhere.

The destination's check begins it, the source's check completes it, `pre_live_migration` adds what
the destination prepared. It is stored with the story, so a new process continues with what the old
one knew.
"""

from enum import StrEnum

import msgspec


class Guard(StrEnum):
    """What keeps the guest from running twice. Chosen before the start and recorded."""

    PAUSED = "paused"
    """The destination arrives paused and is resumed on proof that the source cannot run again."""
    LOCKS = "locks"
    """The storage is declared to fence: only one side can ever write."""
    POSTCOPY = "postcopy"
    """The guest runs at the destination before its memory is there; there is no way back."""


class LibvirtLiveMigrateData(msgspec.Struct, frozen=True, kw_only=True, tag="libvirt"):
    """Both ends' agreement for a libvirt peer-to-peer migration."""

    guard: Guard = Guard.PAUSED
    hold_back: bool = False
    """With the guard `postcopy`: memory crawls until the guest runs at the destination, so that
    pre-copy cannot come to its end. Nothing else keeps the guest from running twice there."""
    block_migration: bool = False
    was_paused: bool = False
    """The operator had paused the guest: it stays paused at either end."""
    disks_to_copy: tuple[str, ...] = ()
    """Target devices (`vda`) whose contents are copied to the destination."""
    incremental: bool = False
    """Only the top of each overlay is copied; its base is at the destination already."""
    paths_there: dict[str, str] = {}
    """Files that have another path at the destination, by their path at the source."""
    bridges_there: dict[str, str] = {}
    """Bridges and libvirt networks that are called otherwise there, by their name at the source."""
    console_address: str = ""
    """Where a console listens there that listens on an address of the source."""
    created_disks: tuple[str, ...] = ()
    """Paths of the volumes `pre_live_migration` made at the destination; its undo removes just
    these.
    """
    destination_uri: str = ""
    """Where the source's libvirtd reaches the destination's (control connection)."""
    migration_uri: str = ""
    """Where QEMU sends memory and disks: `tcp://ADDRESS`."""
    tls: bool = True
    state_before: tuple[int, int] = (0, 0)
    """R0: libvirt's state and reason of the source's domain before the start."""
    qemu_status_before: str = ""
    """What `query-migrate` said there before the start: it may be left over from an older move."""
    persistent: bool = True
    autostart: bool = False


class SimulatedLiveMigrateData(msgspec.Struct, frozen=True, kw_only=True, tag="simulated"):
    """Both ends' agreement for a move between two hypervisors in memory."""

    guard: Guard = Guard.PAUSED
    hold_back: bool = False
    block_migration: bool = False
    was_paused: bool = False
    autostart: bool = False


LiveMigrateData = LibvirtLiveMigrateData | SimulatedLiveMigrateData
