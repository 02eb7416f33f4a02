"""The rows of stories: leases and generations, timeline, debts. Called by `sql` in transactions.

The generation is the fence: whoever writes for a story names the one it was given, and an old one
changes nothing.
"""

from dataclasses import dataclass

from msgspec import structs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from godwit.model.errors import NotFound, Superseded
from godwit.model.reasons import Code, Reason, reason
from godwit.saga.log import Debt, Direction, Entry, Story, What
from godwit.store.tables import debts, stories, story_entries

UNFINISHED = tuple(direction for direction in Direction if direction is not Direction.ENDED)
STORY = tuple(stories.c[name] for name in Story.__struct_fields__)
DEBT = tuple(debts.c[name] for name in Debt.__struct_fields__)
ENTRY = tuple(story_entries.c[name] for name in Entry.__struct_fields__)

# Built once: putting a statement together costs more than running it.
FIND = select(*STORY).where(stories.c.uuid == bindparam("key"))
FENCE = select(stories.c.generation, stories.c.woken).where(stories.c.uuid == bindparam("key"))
CHANGE = update(stories).where(stories.c.uuid == bindparam("key"))
LAST_ENTRY = select(func.max(story_entries.c.sequence)).where(
    story_entries.c.story_uuid == bindparam("key")
)


@dataclass(frozen=True)
class Lease:
    """Who wants to hold a story, until when."""

    owner: str
    until_s: float
    now_s: float
    alone: bool = False
    """No other process can be alive: another owner's lease counts as run out."""


def begin(connection: Connection, story: Story, *, at: str) -> None:
    """Keep a new story; harmless if it is known."""
    if find(connection, story.uuid) is None:
        connection.execute(insert(stories), structs.asdict(story))
        _add_entries(connection, story.uuid, (Entry(step=story.step, what=What.BEGAN),), at)


def find(connection: Connection, uuid: str) -> Story | None:
    """The story as it stands."""
    row = connection.execute(FIND, {"key": uuid}).first()
    return None if row is None else Story(**row._mapping)


def claim(connection: Connection, uuid: str, lease: Lease, *, at: str) -> Story | None:
    """See `SagaLog.claim`."""
    story = find(connection, uuid)
    if story is None or story.direction is Direction.ENDED or not _free(story, lease):
        return None
    if story.owner not in ("", lease.owner):
        words = f"{lease.owner} goes on where {story.owner} stopped"
        entry = Entry(step=story.step, what=What.TAKEN_OVER, words=words)
        _add_entries(connection, uuid, (entry,), at)
    return _lease(connection, story, lease)


def claim_debt(connection: Connection, debt: Debt, lease: Lease) -> Story | None:
    """See `SagaLog.claim_debt`."""
    story = find(connection, debt.story_uuid)
    if story is None or story.direction is not Direction.ENDED or not _free(story, lease):
        return None
    owed = connection.execute(select(debts.c.number).where(_is(debt))).first()
    return None if owed is None else _lease(connection, story, lease)


def renew(connection: Connection, uuid: str, *, generation: int, until_s: float) -> bool:
    """See `SagaLog.renew`. A renewal that comes after the lease was given back changes nothing."""
    held = update(stories).where(
        stories.c.uuid == uuid, stories.c.generation == generation, stories.c.owner != ""
    )
    return connection.execute(held.values(lease_until_s=until_s)).rowcount == 1


def record(
    connection: Connection, story: Story, entries: tuple[Entry, ...], owed: Debt | None, *, at: str
) -> None:
    """See `SagaLog.record`."""
    row = _fenced(connection, story.uuid, story.generation)
    values = structs.asdict(story)
    for kept in ("uuid", "generation", "abort"):
        del values[kept]
    if not story.owner:
        values["wake_at_s"] = 0.0 if row.woken else story.wake_at_s
        values["woken"] = False
    connection.execute(CHANGE, {"key": story.uuid, **values})
    _add_entries(connection, story.uuid, entries, at)
    if owed is not None:
        connection.execute(delete(debts).where(_is(owed)))
        connection.execute(insert(debts), structs.asdict(owed))


def check_fence(connection: Connection, uuid: str, generation: int) -> None:
    """Raise `Superseded` unless `generation` is the story's newest, `NotFound` without a story."""
    _fenced(connection, uuid, generation)


def request_abort(connection: Connection, uuid: str, why: Reason) -> None:
    """Put the request on record, the first one only, and wake the story."""
    wanted = update(stories).where(stories.c.uuid == uuid, stories.c.abort.is_(None))
    connection.execute(wanted.values(abort=why))
    wake(connection, uuid)


def due(connection: Connection, *, now_s: float, owner: str, alone: bool) -> tuple[str, ...]:
    """See `SagaLog.due`."""
    rests = (stories.c.owner == "") & (stories.c.wake_at_s <= now_s)
    left = (stories.c.owner != "") & (stories.c.lease_until_s < now_s)
    if alone:
        left |= (stories.c.owner != "") & (stories.c.owner != owner)
    query = select(stories.c.uuid).where(stories.c.direction.in_(UNFINISHED), rests | left)
    return tuple(connection.execute(query.order_by(stories.c.number)).scalars())


def wake(connection: Connection, uuid: str) -> None:
    """See `SagaLog.wake`."""
    story = update(stories).where(stories.c.uuid == uuid)
    connection.execute(story.where(stories.c.owner == "").values(wake_at_s=0.0))
    connection.execute(story.where(stories.c.owner != "").values(woken=True))


def debts_due(connection: Connection, *, now_s: float) -> tuple[Debt, ...]:
    """See `SagaLog.debts_due`."""
    query = (
        select(*DEBT)
        .join(stories, stories.c.uuid == debts.c.story_uuid)
        .where(debts.c.due_at_s <= now_s, stories.c.direction == Direction.ENDED)
        .order_by(debts.c.number)
    )
    return tuple(Debt(**row._mapping) for row in connection.execute(query))


def pay(connection: Connection, debt: Debt, entry: Entry, *, generation: int, at: str) -> None:
    """See `SagaLog.pay`."""
    _fenced(connection, debt.story_uuid, generation)
    connection.execute(delete(debts).where(_is(debt)))
    _add_entries(connection, debt.story_uuid, (entry,), at)
    _give_back(connection, debt.story_uuid)


def postpone(connection: Connection, debt: Debt, *, generation: int) -> None:
    """See `SagaLog.postpone`."""
    _fenced(connection, debt.story_uuid, generation)
    changed = {"attempts": debt.attempts, "words": debt.words, "due_at_s": debt.due_at_s}
    connection.execute(update(debts).where(_is(debt)).values(changed))
    _give_back(connection, debt.story_uuid)


def timeline(connection: Connection, uuid: str, *, after_sequence: int) -> tuple[Entry, ...]:
    """What happened after that entry, in order."""
    query = select(*ENTRY).where(
        story_entries.c.story_uuid == uuid, story_entries.c.sequence > after_sequence
    )
    rows = connection.execute(query.order_by(story_entries.c.sequence))
    return tuple(Entry(**row._mapping) for row in rows)


def _free(story: Story, lease: Lease) -> bool:
    """May `lease` be had? Decided by who holds the story now."""
    if story.owner in ("", lease.owner) or lease.alone:
        return True
    return story.lease_until_s < lease.now_s


def _lease(connection: Connection, story: Story, lease: Lease) -> Story:
    held = structs.replace(
        story,
        owner=lease.owner,
        generation=story.generation + 1,
        lease_until_s=lease.until_s,
    )
    changed = {
        "owner": held.owner,
        "generation": held.generation,
        "lease_until_s": held.lease_until_s,
        "woken": False,
    }
    connection.execute(CHANGE, {"key": story.uuid, **changed})
    return held


def _give_back(connection: Connection, uuid: str) -> None:
    connection.execute(CHANGE, {"key": uuid, "owner": ""})


def _fenced(connection: Connection, uuid: str, generation: int) -> Row[int, bool]:
    row = connection.execute(FENCE, {"key": uuid}).first()
    if row is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    if row.generation != generation:
        raise Superseded(reason(Code.SUPERSEDED, migration=uuid))
    return row


def _add_entries(connection: Connection, uuid: str, entries: tuple[Entry, ...], at: str) -> None:
    if not entries:
        return
    last = connection.execute(LAST_ENTRY, {"key": uuid}).scalar() or 0
    rows = [
        structs.asdict(entry) | {"story_uuid": uuid, "sequence": sequence, "at": entry.at or at}
        for sequence, entry in enumerate(entries, last + 1)
    ]
    connection.execute(insert(story_entries), rows)


def _is(debt: Debt) -> ColumnElement[bool]:
    return (
        (debts.c.story_uuid == debt.story_uuid)
        & (debts.c.step == debt.step)
        & (debts.c.undo == debt.undo)
    )
