"""The rows of stories: leases and generations, timeline, debts. Called by `sql` in transactions.

The generation is the fence: whoever writes for a story names the one it was given, and an old one
changes nothing.
"""

from dataclasses import dataclass

from msgspec import structs
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    String,
    bindparam,
    case,
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
FENCE = select(stories.c.generation).where(stories.c.uuid == bindparam("key"))
CHANGE = update(stories).where(stories.c.uuid == bindparam("key"))
RECORD = CHANGE.where(
    stories.c.generation == bindparam("held"),
    bindparam("also_if_aborted", type_=Boolean) | stories.c.abort.is_(None),
)
REST = RECORD.values(
    wake_at_s=case((stories.c.woken, 0.0), else_=bindparam("due_at_s")), woken=False
)
WAKE = CHANGE.values(
    wake_at_s=case((stories.c.owner == "", 0.0), else_=stories.c.wake_at_s),
    woken=case((stories.c.owner == "", stories.c.woken), else_=True),
)
ADD_ENTRY = insert(story_entries).from_select(
    ["story_uuid", "sequence", "step", "what", "words", "at"],
    select(
        bindparam("key", type_=String),
        func.coalesce(func.max(story_entries.c.sequence), 0) + 1,
        *(
            bindparam(f"its_{name}", type_=story_entries.c[name].type)
            for name in ("step", "what", "words", "at")
        ),
    ).where(story_entries.c.story_uuid == bindparam("key")),
)
TIMELINE = (
    select(*ENTRY)
    .where(
        story_entries.c.story_uuid == bindparam("key"),
        story_entries.c.sequence > bindparam("after"),
    )
    .order_by(story_entries.c.sequence)
)


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
    connection: Connection, story: Story, happened: Happening, *, unless_aborted: bool, at: str
) -> Reason | None:
    """See `SagaLog.record`."""
    values = structs.asdict(story)
    for kept in ("uuid", "generation", "abort"):
        del values[kept]
    values |= {"key": story.uuid, "held": story.generation, "also_if_aborted": not unless_aborted}
    statement = RECORD
    if not story.owner:
        statement = REST
        values["due_at_s"] = values.pop("wake_at_s")
    if connection.execute(statement, values).rowcount == 0:
        _fenced(connection, story.uuid, story.generation)
        found = find(connection, story.uuid)
        return None if found is None else found.abort
    _add_entries(connection, story.uuid, happened.entries, at)
    if happened.owed is not None:
        connection.execute(delete(debts).where(_is(happened.owed)))
        connection.execute(insert(debts), structs.asdict(happened.owed))
    return None


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
    connection.execute(WAKE, {"key": uuid})


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
    rows = connection.execute(TIMELINE, {"key": uuid, "after": after_sequence})
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


def _fenced(connection: Connection, uuid: str, generation: int) -> None:
    row = connection.execute(FENCE, {"key": uuid}).first()
    if row is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    if row.generation != generation:
        raise Superseded(reason(Code.SUPERSEDED, migration=uuid))


def _add_entries(connection: Connection, uuid: str, entries: tuple[Entry, ...], at: str) -> None:
    """At the end of the timeline, in order."""
    rows = [
        {
            "key": uuid,
            "its_step": entry.step,
            "its_what": entry.what,
            "its_words": entry.words,
            "its_at": entry.at or at,
        }
        for entry in entries
    ]
    if rows:
        connection.execute(ADD_ENTRY, rows)


def _is(debt: Debt) -> ColumnElement[bool]:
    return (
        (debts.c.story_uuid == debt.story_uuid)
        & (debts.c.step == debt.step)
        & (debts.c.undo == debt.undo)
    )
