"""What a person wants to know of one migration, from its record, its story and its timeline. Pure.

Statuses say how far a migration is; an *outcome* says what that means for the guest, and a script's
exit code follows from it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from godwit.model.migrate_data import Guard
from godwit.model.migration import Migration, MigrationStatus, is_abortable
from godwit.model.progress import TransferPhase
from godwit.model.reasons import Code
from godwit.saga.log import Entry, Story, What
from godwit.store.queries import Account

PIVOT: Final = "live_migration"
FIRST_ACT: Final = "pre_live_migration"
"""Up to this step a story only looks, claims and waits."""


class Outcome(StrEnum):
    """How it stands with the guest."""

    UNDER_WAY = "under-way"
    MOVED = "moved"
    MOVED_AND_ENDED = "moved-and-ended"
    """It is at the destination and runs no more: it has ended there right after the switch."""
    REFUSED = "refused"
    """A check said no before anything was prepared; the guest was not touched."""
    FAILED = "failed"
    """The guest runs on at the source."""
    ENDED = "ended"
    """Its owner, or the guest itself, has ended it at the source; it was not moved."""
    CANCELLED = "cancelled"
    """As asked; the guest runs on at the source."""
    PERSON_NEEDED = "person-needed"
    """Where the guest is cannot be told, or it runs nowhere."""


class Kind(StrEnum):
    """What a line of the timeline belongs to."""

    STEP = "step"
    PIVOT = "pivot"
    FORWARD = "forward"
    UNDO = "undo"


_NOT_A_CHECK: Final = frozenset(
    {
        Code.TRANSFER_FAILED,
        Code.TRANSFER_STALLED,
        Code.TRANSFER_TOO_SLOW,
        Code.MEMORY_NOT_CONVERGING,
        Code.DISKS_NOT_CONVERGING,
        Code.SOURCE_TOOK_THE_GUEST_BACK,
        Code.HYPERVISOR_ERROR,
        Code.SUPERSEDED,
        Code.NO_ANSWER,
        Code.STORE_UNAVAILABLE,
        Code.INTERNAL_ERROR,
    }
)


def outcome_of(migration: Migration, timeline: Sequence[Entry]) -> Outcome:
    """What the migration's status means for the guest."""
    if migration.person_needed:
        return Outcome.PERSON_NEEDED
    match migration.status:
        case MigrationStatus.COMPLETED:
            return _how_it_moved(migration)
        case MigrationStatus.CANCELLED:
            return Outcome.CANCELLED
        case MigrationStatus.ERROR:
            return Outcome.PERSON_NEEDED
        case MigrationStatus.FAILED:
            return _how_it_failed(migration, timeline)
        case _:
            return Outcome.UNDER_WAY


def _how_it_moved(migration: Migration) -> Outcome:
    ended = migration.reason is not None and migration.reason.code is Code.GUEST_ENDED_THERE
    return Outcome.MOVED_AND_ENDED if ended else Outcome.MOVED


def _how_it_failed(migration: Migration, timeline: Sequence[Entry]) -> Outcome:
    code = migration.reason.code if migration.reason else None
    if code is Code.GUEST_ENDED:
        # The guest is safe nowhere: it ended by itself, and somebody must start it again.
        return Outcome.PERSON_NEEDED
    if code is Code.GUEST_STOPPED:
        return Outcome.ENDED
    begun = any(entry.step == FIRST_ACT for entry in timeline)
    if begun or code is None or code in _NOT_A_CHECK:
        return Outcome.FAILED
    return Outcome.REFUSED


def allowed_actions(migration: Migration) -> list[str]:
    """What may be asked of it now."""
    if migration.person_needed:
        return ["resolve"]
    if not is_abortable(migration) or migration.abort_requested:
        return []
    progress = migration.progress
    copies_memory = progress is not None and progress.phase is TransferPhase.COPYING_MEMORY
    return ["abort", "set", "force-complete"] if copies_memory else ["abort", "set"]


def choices(migration: Migration) -> list[dict[str, Any]]:
    """What a person may say where one is needed; `at_host` is what `resolve` takes."""
    if not migration.person_needed:
        return []
    source, destination = migration.source_compute, migration.dest_compute
    if destination is None:
        return [_lost(source)]
    return [_at(source, destination), _at(destination, source), _lost(source, destination)]


def _at(host: str, other: str) -> dict[str, Any]:
    words = (
        f"the guest is at {host}: what is left of it at {other} is tidied up,"
        f" but never ended while it runs there: stop it there first"
    )
    return {"at_host": host, "words": words}


def _lost(*hosts: str) -> dict[str, Any]:
    words = f"the guest is lost: nothing is touched at {' or '.join(hosts)}, the migration ends"
    return {"at_host": None, "words": words}


def entry_views(timeline: Sequence[Entry]) -> list[dict[str, Any]]:
    """The timeline, each line with the kind of step it belongs to."""
    kinds = _kinds(timeline)
    return [
        {
            "sequence": entry.sequence,
            "at": entry.at,
            "step": entry.step,
            "what": entry.what,
            "kind": Kind.UNDO if entry.what is What.UNDONE else kinds[entry.step],
            "words": entry.words,
            "code": entry.code,
            "attempt": entry.attempt,
            "by": entry.by,
            "where": entry.where,
        }
        for entry in timeline
    ]


def _kinds(timeline: Sequence[Entry]) -> dict[str, Kind]:
    """Each step's kind: a step that is first heard of after the pivot only goes forward."""
    kinds: dict[str, Kind] = {}
    for entry in timeline:
        if entry.step == PIVOT:
            kinds[entry.step] = Kind.PIVOT
        else:
            kinds.setdefault(entry.step, Kind.FORWARD if PIVOT in kinds else Kind.STEP)
    return kinds


def last_rest(timeline: Sequence[Entry]) -> Entry | None:
    """The newest line that says that the story rests, and why."""
    return next((entry for entry in reversed(timeline) if entry.what is What.RESTS), None)


class _Agreement(msgspec.Struct, frozen=True):
    """What tells of the guard in what both ends agreed on."""

    guard: Guard = Guard.PAUSED
    was_paused: bool = False
    block_migration: bool = False


class _Facts(msgspec.Struct, frozen=True):
    """What a story's facts say of it; None until both ends have agreed."""

    migrate_data: _Agreement | None = None


def guard_view(migration: Migration, story: Story | None) -> dict[str, Any]:
    """What keeps the guest from running twice, and why not post-copy where that was permitted."""
    facts = msgspec.json.decode(story.facts, type=_Facts) if story else _Facts()
    agreed = facts.migrate_data
    if agreed is None:
        return {"guard": None, "no_post_copy": None}
    denied = migration.steering.permit_post_copy and agreed.guard is not Guard.POSTCOPY
    return {"guard": agreed.guard, "no_post_copy": _why_no_post_copy(agreed) if denied else None}


def _why_no_post_copy(agreed: _Agreement) -> str:
    """In the order in which the guard is chosen."""
    if agreed.was_paused:
        return "the guest is paused"
    if agreed.block_migration:
        return "disks are copied"
    return "a host's hypervisor is too old for it, or the destination's too new to be trusted"


def full_view(account: Account) -> dict[str, Any]:
    """Everything about one migration but its timeline."""
    migration, story, rest = account.migration, account.story, last_rest(account.timeline)
    return {
        **brief_view(migration, server_name=account.server_name, queue=account.queue),
        "outcome": outcome_of(migration, account.timeline),
        "phase": story.step if story else "",
        "direction": story.direction if story else "",
        "resting": story.resting if story else "",
        "seen_since": rest.at if rest and migration.person_needed else None,
        "seen_at": migration.updated_at if migration.person_needed else None,
        **guard_view(migration, story),
        "choices": choices(migration),
        "allowed_actions": allowed_actions(migration),
        "decision": account.decision,
    }


def brief_view(
    migration: Migration, *, server_name: str, queue: Sequence[Any] = ()
) -> dict[str, Any]:
    """One migration in our own list."""
    return {
        "id": migration.id,
        "uuid": migration.uuid,
        "server_uuid": migration.instance_uuid,
        "server_name": server_name,
        "status": migration.status,
        "queue": queue,
        "person_needed": migration.person_needed,
        "abort_requested": migration.abort_requested,
        "source": migration.source_compute,
        "destination": migration.dest_compute,
        "requested_host": migration.requested_host,
        "block_migration": migration.block_migration,
        "initiator": migration.initiator,
        "initiator_reason": migration.initiator_reason,
        "request_id": migration.request_id,
        "reason": migration.reason,
        "refusals": migration.refusals,
        "steering": migration.steering,
        "progress": migration.progress,
        "statistics": migration.statistics,
        "created_at": migration.created_at,
        "updated_at": migration.updated_at,
    }
