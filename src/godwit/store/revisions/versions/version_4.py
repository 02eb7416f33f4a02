"""Version 4: a line of a timeline says who told it, where, at which attempt, and why."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
KEPT = ("story_uuid", "sequence", "step", "what", "words", "at")
NEW = {"attempt": "0", "by": "", "where": "", "code": ""}


def upgrade() -> None:
    """Of lines that are there already nothing more is known."""
    if op.get_context().dialect.name == "sqlite":
        _made_anew()
        return
    for name, unknown in NEW.items():
        op.add_column(
            "story_entries", sa.Column(*_column(name), nullable=False, server_default=unknown)
        )
        op.alter_column("story_entries", name, server_default=None)


def _made_anew() -> None:
    """SQLite adds no column without a default, and keeps the text a table was made with."""
    op.rename_table("story_entries", "story_entries_3")
    op.create_table(
        "story_entries",
        sa.Column("story_uuid", NAME, sa.ForeignKey("stories.uuid"), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("step", NAME, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("at", NAME, nullable=False),
        *(sa.Column(*_column(name), nullable=False) for name in NEW),
    )
    before = sa.table("story_entries_3", *map(sa.column, KEPT))
    after = sa.table("story_entries", *map(sa.column, (*KEPT, *NEW)))
    unknown: tuple[sa.ColumnElement[Any], ...] = tuple(
        sa.literal_column(value or "''") for value in NEW.values()
    )
    rows = sa.select(*before.columns, *unknown)
    op.execute(sa.insert(after).from_select((*KEPT, *NEW), rows))
    op.drop_table("story_entries_3")


def _column(name: str) -> tuple[str, sa.types.TypeEngine[Any]]:
    return name, sa.Integer() if name == "attempt" else NAME
