"""The rows of stories: leases and generations, timeline, debts. Called by `sql` in transactions.

The generation is the fence: whoever writes for a story names the one it was given, and an old one
changes nothing.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

from msgspec import structs
from sqlalchemy import (
    Boolean,
    Float,
    String,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from godwit.model.audit import Mismatch
from godwit.model.errors import NotFound, Superseded
from godwit.model.moments import FAR_S
from godwit.model.reasons import Code, Reason, reason
from godwit.saga.log import Debt, Direction, Entry, Recorded, Story, What
from godwit.store import claims
from godwit.store.statements import Connection, Locks, Reads, Writes
from godwit.store.tables import alarms, debts, migrations, stories, story_entries

D = Direction

STORY = tuple(stories.c[name] for name in Story.__struct_fields__)
DEBT = tuple(debts.c[name] for name in Debt.__struct_fields__)
TOLD = tuple(name for name in Entry.__struct_fields__ if name != "sequence")
ENTRY = tuple(story_entries.c[name] for name in Entry.__struct_fields__)
KEPT: Final = frozenset({"uuid", "saga", "generation", "abort", "lease_until_s"})
RECORDED = tuple(name for name in Story.__struct_fields__ if name not in KEPT)
"""What a record changes of a story. The lease is claims' and renewals' alone: whoever records knows
only how long it was when it was claimed.
"""

_this = stories.c.uuid == bindparam("key")
_held = (
    _this,
    stories.c.generation == bindparam("held"),
    or_(bindparam("also_if_aborted", type_=Boolean), stories.c.abort.is_(None)),
)
_this_debt = (
    debts.c.story_uuid == bindparam("of"),
    debts.c.step == bindparam("act"),
    debts.c.undo == bindparam("back"),
)

BEGIN = Writes(insert(stories).values(woken=False), *Story.__struct_fields__)
FIND = Reads(select(*STORY).where(_this), Story)
TAKE = Reads(select(*STORY).where(_this).with_for_update(skip_locked=True, key_share=True), Story)
"""Whoever has it locked is about to change it: it is looked at again later, not waited for."""
LOCK = Locks(select(stories.c.uuid).where(_this))
FENCE = Reads(select(stories.c.generation).where(_this), int)
RECORD = Writes(update(stories).where(*_held), *RECORDED)
REST = Writes(
    update(stories)
    .where(*_held)
    .values(
        wake_at_s=case((stories.c.woken, 0.0), else_=bindparam("due_at_s", type_=Float)),
        woken=False,
    ),
    *(name for name in RECORDED if name != "wake_at_s"),
)
LEASE = Writes(
    update(stories).where(_this).values(woken=False), "owner", "generation", "lease_until_s"
)
RENEW = Writes(
    update(stories).where(_this, stories.c.generation == bindparam("held"), stories.c.owner != ""),
    "lease_until_s",
)
GIVE_BACK = Writes(update(stories).where(_this).values(owner=""))
REQUEST_ABORT = Writes(update(stories).where(_this, stories.c.abort.is_(None)), "abort")
WAKE = Writes(
    update(stories)
    .where(_this)
    .values(
        wake_at_s=case((stories.c.owner == "", 0.0), else_=stories.c.wake_at_s),
        woken=case((stories.c.owner == "", stories.c.woken), else_=True),
    )
)
_unfinished = or_(*(stories.c.direction == each for each in Direction if each is not D.ENDED))
_now = bindparam("now_s", type_=Float)
_rests = (stories.c.owner == "") & (
    (stories.c.wake_at_s <= _now) | (stories.c.wake_at_s > _now + FAR_S)
)
_left = (stories.c.owner != "") & (
    (stories.c.lease_until_s < _now) | (stories.c.lease_until_s > _now + FAR_S)
)
_of_a_dead_process = (
    bindparam("alone", type_=Boolean)
    & (stories.c.owner != "")
    & (stories.c.owner != bindparam("owner"))
)
DUE = Reads(
    select(stories.c.uuid)
    .where(_unfinished, _rests | _left | _of_a_dead_process)
    .order_by(stories.c.number),
    str,
)
TIMELINE = Reads(
    select(*ENTRY)
    .where(
        story_entries.c.story_uuid == bindparam("key"),
        story_entries.c.sequence > bindparam("after"),
    )
    .order_by(story_entries.c.sequence),
    Entry,
)
OWE = Writes(insert(debts), *Debt.__struct_fields__)
DROP_DEBT = Writes(delete(debts).where(*_this_debt))
POSTPONE = Writes(update(debts).where(*_this_debt), "attempts", "words", "due_at_s")
_owed_by = migrations.alias("owed_by")
_hindered = (
    select(_owed_by.c.uuid)
    .where(
        _owed_by.c.uuid == debts.c.story_uuid,
        or_(
            select(migrations.c.uuid)
            .where(
                migrations.c.instance_uuid == _owed_by.c.instance_uuid,
                claims.UNDER_WAY,
            )
            .exists(),
            select(alarms.c.instance_uuid)
            .where(
                alarms.c.instance_uuid == _owed_by.c.instance_uuid,
                alarms.c.kind == Mismatch.RUNS_TWICE,
            )
            .exists(),
        ),
    )
    .exists()
)
"""Its guest is on the way again, and the owed act belongs to where it was before; or it runs twice,
and nothing of it is touched.
"""
DEBTS_DUE = Reads(
    select(*DEBT)
    .join(stories, stories.c.uuid == debts.c.story_uuid)
    .where(
        (debts.c.due_at_s <= _now) | (debts.c.due_at_s > _now + FAR_S),
        stories.c.direction == Direction.ENDED,
        ~_hindered,
    )
    .order_by(debts.c.number),
    Debt,
)

OWED = Reads(select(debts.c.number).where(*_this_debt, ~_hindered), int)


@cache
def adding(count: int) -> Writes:
    """Adds so many entries at the end of a timeline; the columns of each are numbered."""
    last = select(func.coalesce(func.max(story_entries.c.sequence), 0)).where(
        story_entries.c.story_uuid == bindparam("key")
    )
    rows = [
        {"story_uuid": bindparam("key", type_=String), "sequence": last.scalar_subquery() + nth}
        | {name: bindparam(f"{name}_{nth}", type_=story_entries.c[name].type) for name in TOLD}
        for nth in range(1, count + 1)
    ]
    return Writes(insert(story_entries).values(rows))


@dataclass(frozen=True)
class Lease:
    """Who wants to hold a story, until when."""

    owner: str
    until_s: float
    now_s: float
    alone: bool = False
    """No other process can be alive: another owner's lease counts as run out."""


@dataclass(frozen=True)
class Happening:
    """What a record says beside the story's new row."""

    entries: tuple[Entry, ...]
    owed: Debt | None = None
    along: object = None
    unless_aborted: bool = False


def begin(connection: Connection, story: Story, *, at: str) -> None:
    """Keep a new story; harmless if it is known."""
    if find(connection, story.uuid) is None:
        keep(connection, story, at=at)


def keep(connection: Connection, story: Story, *, at: str) -> None:
    """Keep a story that cannot be known yet."""
    BEGIN.run(connection, **structs.asdict(story))
    _add_entries(connection, story.uuid, (Entry(step=story.step, what=What.BEGAN),), at)


def find(connection: Connection, uuid: str) -> Story | None:
    """The story as it stands."""
    return FIND.first(connection, key=uuid)


def claim(connection: Connection, uuid: str, lease: Lease, *, at: str) -> Story | None:
    """See `SagaLog.claim`."""
    story = TAKE.first(connection, key=uuid)
    if story is None or story.direction is Direction.ENDED or not _free(story, lease):
        return None
    if story.owner not in ("", lease.owner):
        words = f"{lease.owner} goes on where {story.owner} stopped"
        entry = Entry(step=story.step, what=What.TAKEN_OVER, words=words, by=lease.owner)
        _add_entries(connection, uuid, (entry,), at)
    return _lease(connection, story, lease)


def claim_debt(connection: Connection, debt: Debt, lease: Lease) -> Story | None:
    """See `SagaLog.claim_debt`."""
    story = TAKE.first(connection, key=debt.story_uuid)
    if story is None or story.direction is not Direction.ENDED or not _free(story, lease):
        return None
    owed = OWED.first(connection, **_is(debt))
    return None if owed is None else _lease(connection, story, lease)


def renew(connection: Connection, uuid: str, *, generation: int, until_s: float) -> bool:
    """See `SagaLog.renew`. A renewal that comes after the lease was given back changes nothing."""
    return RENEW.run(connection, key=uuid, held=generation, lease_until_s=until_s) == 1


def record(connection: Connection, story: Story, happened: Happening, *, at: str) -> Recorded:
    """See `SagaLog.record`. What goes along is written by `moves`."""
    recorded = (RECORD if story.owner else REST).run(
        connection,
        key=story.uuid,
        held=story.generation,
        also_if_aborted=not happened.unless_aborted,
        due_at_s=story.wake_at_s,
        **{name: getattr(story, name) for name in RECORDED},
    )
    if not recorded:
        _fenced(connection, story.uuid, story.generation)
        found = find(connection, story.uuid)
        return Recorded(abort=None if found is None else found.abort)
    _add_entries(connection, story.uuid, happened.entries, at)
    if happened.owed is not None:
        DROP_DEBT.run(connection, **_is(happened.owed))
        OWE.run(connection, **structs.asdict(happened.owed))
    return Recorded()


def request_abort(connection: Connection, uuid: str, why: Reason) -> None:
    """Put the request on record, the first one only, and wake the story."""
    REQUEST_ABORT.run(connection, key=uuid, abort=why)
    wake(connection, uuid)


def due(connection: Connection, *, now_s: float, owner: str, alone: bool) -> tuple[str, ...]:
    """See `SagaLog.due`."""
    return DUE.all(connection, now_s=now_s, owner=owner, alone=alone)


def wake(connection: Connection, uuid: str) -> None:
    """See `SagaLog.wake`."""
    WAKE.run(connection, key=uuid)


def debts_due(connection: Connection, *, now_s: float) -> tuple[Debt, ...]:
    """See `SagaLog.debts_due`."""
    return DEBTS_DUE.all(connection, now_s=now_s)


def pay(connection: Connection, debt: Debt, entry: Entry, *, generation: int, at: str) -> None:
    """See `SagaLog.pay`."""
    LOCK.hold(connection, key=debt.story_uuid)
    _fenced(connection, debt.story_uuid, generation)
    DROP_DEBT.run(connection, **_is(debt))
    _add_entries(connection, debt.story_uuid, (entry,), at)
    _give_back(connection, debt.story_uuid)


def postpone(connection: Connection, debt: Debt, *, generation: int) -> None:
    """See `SagaLog.postpone`."""
    LOCK.hold(connection, key=debt.story_uuid)
    _fenced(connection, debt.story_uuid, generation)
    changed = {"attempts": debt.attempts, "words": debt.words, "due_at_s": debt.due_at_s}
    POSTPONE.run(connection, **_is(debt), **changed)
    _give_back(connection, debt.story_uuid)


def timeline(connection: Connection, uuid: str, *, after_sequence: int) -> tuple[Entry, ...]:
    """What happened after that entry, in order."""
    return TIMELINE.all(connection, key=uuid, after=after_sequence)


def _free(story: Story, lease: Lease) -> bool:
    """May `lease` be had? Decided by who holds the story now."""
    if story.owner in ("", lease.owner) or lease.alone:
        return True
    return not lease.now_s <= story.lease_until_s <= lease.now_s + FAR_S


def _lease(connection: Connection, story: Story, lease: Lease) -> Story:
    held = structs.replace(
        story,
        owner=lease.owner,
        generation=story.generation + 1,
        lease_until_s=lease.until_s,
    )
    LEASE.run(
        connection,
        key=story.uuid,
        owner=held.owner,
        generation=held.generation,
        lease_until_s=held.lease_until_s,
    )
    return held


def _give_back(connection: Connection, uuid: str) -> None:
    GIVE_BACK.run(connection, key=uuid)


def _fenced(connection: Connection, uuid: str, generation: int) -> None:
    newest = FENCE.first(connection, key=uuid)
    if newest is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    if newest != generation:
        raise Superseded(reason(Code.SUPERSEDED, migration=uuid))


def _add_entries(connection: Connection, uuid: str, entries: tuple[Entry, ...], at: str) -> None:
    """At the end of the timeline, in order."""
    if entries:
        lines = {
            f"{name}_{nth}": entry.at or at if name == "at" else getattr(entry, name)
            for nth, entry in enumerate(entries, 1)
            for name in TOLD
        }
        adding(len(entries)).run(connection, key=uuid, **lines)


def _is(debt: Debt) -> dict[str, object]:
    return {"of": debt.story_uuid, "act": debt.step, "back": debt.undo}
