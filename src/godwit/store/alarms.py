"""Guests that run twice or nowhere, as they were last seen. Called by `sql` and `queries`."""

from typing import Final

from msgspec import structs
from sqlalchemy import bindparam, delete, insert, select, update

from godwit.model.audit import Alarm, Mismatch
from godwit.model.ids import InstanceUuid
from godwit.store.statements import Connection, Reads, Writes
from godwit.store.tables import alarms

_this = alarms.c.instance_uuid == bindparam("key")

ALL: Final = Reads(select(alarms).order_by(alarms.c.since, alarms.c.instance_uuid), Alarm)
OF: Final = Reads(select(alarms).where(_this), Alarm)
RAISE: Final = Writes(insert(alarms), *alarms.c.keys())
SEEN_AGAIN: Final = Writes(
    update(alarms).where(_this, alarms.c.kind == bindparam("the_same")), "evidence", "seen_at"
)
FOUND: Final = Writes(delete(alarms).where(_this, alarms.c.kind == Mismatch.NOWHERE))
"""One that was nowhere shows again."""
END: Final = Writes(delete(alarms).where(_this))


def keep(connection: Connection, alarm: Alarm) -> bool:
    """See `Store.raise_alarm`."""
    again = SEEN_AGAIN.run(
        connection,
        key=alarm.instance_uuid,
        the_same=alarm.kind,
        evidence=alarm.evidence,
        seen_at=alarm.seen_at,
    )
    if again:
        return False
    END.run(connection, key=alarm.instance_uuid)
    RAISE.run(connection, **structs.asdict(alarm))
    return True


def end(connection: Connection, uuid: InstanceUuid) -> bool:
    """See `Store.end_alarm`."""
    return bool(END.run(connection, key=uuid))
