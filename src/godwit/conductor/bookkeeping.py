"""What is wrong with the record by itself: tasks, claims, slots and leases that belong to nobody,
or are missing; and what people have stated that is not so. Pure; part of `disagreements`.

The first is written in transactions together with what it belongs to, so nothing of this kind is
ever found, unless somebody else has written to the database, or a defect has.
"""

from collections.abc import Iterator, Set
from typing import Final

from godwit.model.audit import (
    RECORD,
    Action,
    Claim,
    Disagreement,
    Evidence,
    Ledger,
    Mismatch,
    MoveUnderWay,
    of_power,
)
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, TaskState, VmState
from godwit.model.moments import FAR_S, seconds

M = Mismatch

UNTOLD_S: Final = 60.0
"""So long after a story is due, or its lease over, any conductor would have taken it up."""
ABANDONED_S: Final = 600.0
"""Longer than it takes to make or remove a guest, and to settle what was cut short."""
_SHORT: Final = (TaskState.SPAWNING, TaskState.DELETING)
NO_CONDUCTOR: Final = "see that a conductor runs and reaches the database"
AGAIN: Final = "if its power is off now, say so again: godwit host confirm-down"
BEING_MADE: Final = (
    "its host's reports settle it: see that the host reports, or godwit server delete"
)


def wrong_records(ledger: Ledger) -> list[Disagreement]:
    """All that is wrong with the record, whatever the hosts show."""
    parts = (_tasks, _claims, _slots, _stories, _powers)
    return [each for part in parts for each in part(ledger)]


def _tasks(ledger: Ledger) -> Iterator[Disagreement]:
    moving = {move.instance_uuid for move in ledger.moves}
    known = {server.uuid: server for server in ledger.servers}
    for server in ledger.servers:
        if server.task_state is TaskState.MIGRATING and server.uuid not in moving:
            said = "migrating, and no migration of it is under way"
            yield _of(server, M.TASK_WITHOUT_STORY, said, action=Action.LEAVE_TASK)
        elif server.task_state in _SHORT and _is_abandoned(server, ledger.read_at_s):
            said = f"{server.task_state}, and nobody attends to it"
            yield _of(server, M.TASK_WITHOUT_STORY, said, remedy=BEING_MADE)
    for move in ledger.moves:
        server_moved = known.get(move.instance_uuid)
        if server_moved is None:
            yield _of_move(move, M.STORY_WITHOUT_TASK, "its server is not on record")
        elif server_moved.task_state is None and not move.story_ended:
            said = f"in no task, and migration {move.uuid} is under way"
            yield _of(server_moved, M.STORY_WITHOUT_TASK, said, action=Action.LOCK_AGAIN)


def _is_abandoned(server: Instance, now_s: float) -> bool:
    return now_s > seconds(server.updated_at or server.created_at) + ABANDONED_S


def _claims(ledger: Ledger) -> Iterator[Disagreement]:
    mine = {(claim.consumer, claim.host): claim for claim in ledger.claims}
    accounted = _accounted(ledger)
    for claim in ledger.claims:
        if (claim.consumer, claim.host) not in accounted:
            yield Disagreement(
                kind=M.CLAIM_LEFT,
                subject=claim.consumer,
                host=claim.host,
                evidence=(_said(f"{_words(claim)} at {claim.host}"),),
                action=Action.DROP_CLAIM,
            )
    for server in ledger.servers:
        if server.task_state is not None or server.vm_state is VmState.MISSING:
            continue
        own = mine.get((server.uuid, server.host))
        if own is None:
            said = f"no claim at {server.host}"
            yield _of(server, M.CLAIM_MISSING, said, action=Action.PUT_CLAIM)
        elif (own.vcpus, own.memory_mib) != (server.vcpus, server.memory_mib):
            said = f"a claim of {_words(own)} for {server.vcpus} vCPUs, {server.memory_mib} MiB"
            yield _of(server, M.CLAIM_DIFFERS, said, action=Action.PUT_CLAIM)


def _accounted(ledger: Ledger) -> Set[tuple[str, HostName]]:
    """Who may hold a claim where: servers where they are and where they go, migrations where they
    come from.
    """
    here = {(str(server.uuid), server.host) for server in ledger.servers}
    leaving = {(str(move.uuid), move.source) for move in ledger.moves}
    moving: dict[InstanceUuid, HostName] = {m.instance_uuid: m.source for m in ledger.moves}
    arriving = {
        (claim.consumer, claim.host)
        for claim in ledger.claims
        if moving.get(InstanceUuid(claim.consumer), claim.host) != claim.host
    }
    return here | leaving | arriving


def _slots(ledger: Ledger) -> Iterator[Disagreement]:
    under_way = {move.uuid for move in ledger.moves}
    for slot in ledger.slots:
        if slot.migration_uuid not in under_way:
            what = "a slot" if slot.held else "a place in the line"
            yield Disagreement(
                kind=M.SLOT_LEFT,
                subject=slot.migration_uuid,
                host=slot.host,
                evidence=(_said(f"{what} at {slot.host} of a migration that is over"),),
                action=Action.GIVE_SLOT_BACK,
            )


def _stories(ledger: Ledger) -> Iterator[Disagreement]:
    for move in ledger.moves:
        why = _why_untold(move, ledger.read_at_s)
        if why:
            yield _of_move(move, M.STORY_NOT_TOLD, why)


def _why_untold(move: MoveUnderWay, now_s: float) -> str:
    if move.story_ended:
        return "its story has ended, and the migration has not"
    due_s = move.lease_until_s if move.owner else move.wake_at_s
    if due_s > now_s + FAR_S:
        return "its lease or rest is over far ahead: a clock was wrong"
    if due_s + UNTOLD_S > now_s:
        return ""
    return f"leased by {move.owner}, which has not renewed it" if move.owner else "due for long"


def _powers(ledger: Ledger) -> Iterator[Disagreement]:
    for fenced in ledger.fenced:
        if fenced.word.heard_at:
            yield Disagreement(
                kind=M.HEARD_AGAIN,
                subject=fenced.host,
                host=fenced.host,
                evidence=of_power(fenced.host, fenced.word),
                remedy=f"see what runs there, then godwit host confirm-up {fenced.host}; {AGAIN}",
            )


def _words(claim: Claim) -> str:
    return f"{claim.vcpus} vCPUs, {claim.memory_mib} MiB"


def _said(words: str) -> Evidence:
    """Of rows that say nothing of when they were written."""
    return Evidence(by=RECORD, said=words, at="")


def _of(
    server: Instance,
    kind: Mismatch,
    said: str,
    *,
    action: Action = Action.NOTHING,
    remedy: str = "",
) -> Disagreement:
    return Disagreement(
        kind=kind,
        subject=server.uuid,
        name=server.name,
        host=server.host,
        evidence=(Evidence(by=RECORD, said=said, at=server.updated_at),),
        action=action,
        remedy=remedy,
    )


def _of_move(move: MoveUnderWay, kind: Mismatch, said: str) -> Disagreement:
    return Disagreement(
        kind=kind,
        subject=move.uuid,
        host=move.source,
        evidence=(Evidence(by=RECORD, said=said, at=move.updated_at),),
        remedy=NO_CONDUCTOR,
    )
