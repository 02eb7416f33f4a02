"""What was repaired in the record, as evidence for people. Called by `ledger` and `queries`."""

from typing import Final

from msgspec import structs
from sqlalchemy import bindparam, delete, func, insert, select

from godwit.model.audit import Disagreement, Repaired
from godwit.store.statements import Connection, Reads, Writes
from godwit.store.tables import repairs

KEPT: Final = 1_000
"""So many are kept."""
TOLD: Final = 20
"""So many are told of."""
_FIELDS: Final = Repaired.__struct_fields__

ADD: Final = Writes(insert(repairs), *_FIELDS)
_oldest: Final = select(func.max(repairs.c.number) - bindparam("kept")).scalar_subquery()
FORGET: Final = Writes(delete(repairs).where(repairs.c.number <= _oldest))
LATEST: Final = Reads(
    select(*(repairs.c[name] for name in _FIELDS)).order_by(repairs.c.number.desc()).limit(TOLD),
    Repaired,
)


def keep(connection: Connection, found: Disagreement, *, by: str, at: str) -> None:
    """This was mended."""
    done = Repaired(
        at=at,
        by=by,
        kind=found.kind,
        action=found.action,
        subject=found.subject,
        name=found.name,
        host=found.host,
        evidence=found.evidence,
    )
    ADD.run(connection, **structs.asdict(done))
    FORGET.run(connection, kept=KEPT)
