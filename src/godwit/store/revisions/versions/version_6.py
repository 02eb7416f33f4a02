"""Version 6: what was repaired is kept, and whose turn it is to look."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Nothing was repaired yet, and it is nobody's turn."""
    op.create_table(
        "repairs",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", NAME, nullable=False),
        sa.Column("by", NAME, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("host", NAME),
        sa.Column("evidence", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "turns",
        sa.Column("duty", NAME, primary_key=True),
        sa.Column("by", NAME, nullable=False),
        sa.Column("taken_at_s", sa.Float, nullable=False),
    )
