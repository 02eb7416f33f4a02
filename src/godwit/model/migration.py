"""A migration: its closed set of statuses, which may follow which, and its record."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from godwit.model.ids import HostName, InstanceUuid, MigrationUuid, RequestId
from godwit.model.progress import NO_WAY_BACK, Progress, Statistics
from godwit.model.reasons import Reason
from godwit.model.refusals import Refusal
from godwit.model.steering import UNSTEERED, Steering


class MigrationStatus(StrEnum):
    """Nova's words. `ERROR` comes only by a person's decision (`godwit migration resolve`)."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    POST_MIGRATING = "post-migrating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ERROR = "error"


S = MigrationStatus

MAY_FOLLOW: Final[Mapping[MigrationStatus, frozenset[MigrationStatus]]] = {
    S.ACCEPTED: frozenset({S.QUEUED, S.PREPARING, S.FAILED, S.CANCELLED}),
    S.QUEUED: frozenset({S.PREPARING, S.FAILED, S.CANCELLED}),
    S.PREPARING: frozenset({S.RUNNING, S.FAILED, S.CANCELLED}),
    S.RUNNING: frozenset({S.POST_MIGRATING, S.FAILED, S.CANCELLED, S.ERROR}),
    S.POST_MIGRATING: frozenset({S.COMPLETED, S.ERROR}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
    S.ERROR: frozenset(),
}

FINAL: Final = frozenset(status for status, after in MAY_FOLLOW.items() if not after)
"""The statuses from which no road leads out."""


class BlockMigration(StrEnum):
    """How disks travel: as the client asked for it."""

    AUTO = "auto"
    """Disks on storage that both hosts share stay there, all others are copied."""
    BLOCK = "block"
    SHARED = "shared"


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one live migration. Times are ISO 8601 in UTC; `id` is what clients see."""

    uuid: MigrationUuid
    id: int = 0
    instance_uuid: InstanceUuid
    status: MigrationStatus = MigrationStatus.ACCEPTED
    migration_type: str = "live-migration"
    source_compute: HostName
    source_node: str
    dest_compute: HostName | None = None
    dest_node: str | None = None
    requested_host: HostName | None = None
    block_migration: BlockMigration = BlockMigration.AUTO
    steering: Steering = UNSTEERED
    """How its transfer is steered: the settings, what the request wished, and changes since."""
    initiator: str = ""
    """Who asked for it."""
    initiator_reason: str = ""
    """Why, in the words of who asked."""
    request_id: RequestId = RequestId("")
    reason: Reason | None = None
    """Why it failed, was cancelled, or waits for a person."""
    refusals: tuple[Refusal, ...] = ()
    """Of every host that was considered and refused."""
    person_needed: bool = False
    abort_requested: bool = False
    progress: Progress | None = None
    statistics: Statistics | None = None
    created_at: str = ""
    updated_at: str = ""


def is_in_post_copy(migration: Migration) -> bool:
    """Was the guest last seen to run at the destination with its memory still on the way?"""
    return (
        migration.status is S.RUNNING
        and migration.progress is not None
        and migration.progress.phase in NO_WAY_BACK
    )


def is_abortable(migration: Migration) -> bool:
    """May an abort still be asked for? After the switch a migration only goes forward."""
    before = {S.ACCEPTED, S.QUEUED, S.PREPARING, S.RUNNING}
    return migration.status in before and not is_in_post_copy(migration)


class IllegalTransition(AssertionError):
    """A defect: somebody tried to move a migration where its status cannot go."""


def advance(migration: Migration, to: MigrationStatus) -> Migration:
    """The same migration with its next status. Repeating the present one is allowed (steps repeat).

    Raises `IllegalTransition`, a defect, for any other pair that `MAY_FOLLOW` does not hold.
    """
    if to is migration.status:
        return migration
    if to not in MAY_FOLLOW[migration.status]:
        raise IllegalTransition(f"migration {migration.uuid}: {migration.status} -> {to}")
    return replace(migration, status=to)
