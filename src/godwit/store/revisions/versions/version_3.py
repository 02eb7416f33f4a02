"""Version 3: the refusals of a migration are grouped by their reason code."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"

migrations = sa.table("migrations", sa.column("id", sa.Integer), sa.column("refusals", sa.Text))


def upgrade() -> None:
    """Group those of each migration. What was said stays word for word."""
    connection = op.get_bind()
    rows = connection.execute(sa.select(migrations).where(migrations.c.refusals != "[]")).all()
    for number, refusals in rows:
        grouped = json.dumps(_grouped(json.loads(refusals)), ensure_ascii=False)
        change = sa.update(migrations).where(migrations.c.id == number)
        connection.execute(change.values(refusals=grouped))


def _grouped(reasons: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    by_code: dict[str, list[Mapping[str, Any]]] = {}
    for reason in reasons:
        by_code.setdefault(reason["code"], []).append(reason)
    groups = [_group(code, said) for code, said in by_code.items()]
    return sorted(groups, key=lambda group: (-len(group["hosts"]), group["hosts"], group["code"]))


def _group(code: str, said: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What differs from host to host stands in `details`, one for each of `hosts`."""
    said = sorted(said, key=lambda reason: reason["host"] or "")
    details = {name: [reason[name] for reason in said] for name in ("words", "remedy")}
    same = {
        name: column[0]
        for name, column in details.items()
        if len(set(column)) == 1 and "{" not in column[0]
    }
    return {
        "code": code,
        "words": same.get("words", "{words}"),
        "remedy": same.get("remedy", "{remedy}"),
        "hosts": [reason["host"] or "" for reason in said],
        "details": {name: column for name, column in details.items() if name not in same},
    }
