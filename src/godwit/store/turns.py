"""What one process does every now and then, whoever of them it is. Called by `sql`."""

from typing import Final

from sqlalchemy import bindparam, insert, or_, select, text, update

from godwit.model.moments import FAR_S
from godwit.store.statements import Connection, Locks, Reads, Writes
from godwit.store.tables import turns

_this = turns.c.duty == bindparam("key")
_over = or_(
    turns.c.taken_at_s <= bindparam("before_s"),
    turns.c.taken_at_s > bindparam("now_s") + FAR_S,
)

LOCK: Final = Locks(text("LOCK TABLE turns IN SHARE ROW EXCLUSIVE MODE"))
KNOWN: Final = Reads(select(turns.c.duty).where(_this), str)
TAKE: Final = Writes(update(turns).where(_this, _over), "by", "taken_at_s")
ADD: Final = Writes(insert(turns), "duty", "by", "taken_at_s")


def take(connection: Connection, duty: str, *, by: str, now_s: float, every_s: float) -> bool:
    """See `Store.take_turn`."""
    turn = {"by": by, "taken_at_s": now_s}
    if TAKE.run(connection, key=duty, before_s=now_s - every_s, now_s=now_s, **turn):
        return True
    if KNOWN.first(connection, key=duty) is None:
        LOCK.hold(connection)
        if KNOWN.first(connection, key=duty) is None:
            ADD.run(connection, duty=duty, **turn)
            return True
    return False
