"""Version 5: a host may be confirmed down or up by a person; guests that alarm are kept."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
KEPT = ("name", "facts", "heard_at_s", "trouble", "disabled", "disabled_reason")
NEW = ("confirmed_down", "confirmed_up")


def upgrade() -> None:
    """Nobody has confirmed anything yet, and nothing alarms."""
    op.create_table(
        "alarms",
        sa.Column("instance_uuid", NAME, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("since", NAME, nullable=False),
        sa.Column("seen_at", NAME, nullable=False),
    )
    if op.get_context().dialect.name == "sqlite":
        _made_anew()
        return
    for name in NEW:
        op.add_column("hosts", sa.Column(name, sa.Text))


def _made_anew() -> None:
    """SQLite keeps the text a table was made with."""
    op.rename_table("hosts", "hosts_4")
    op.create_table(
        "hosts",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("facts", sa.Text),
        sa.Column("heard_at_s", sa.Float, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in NEW),
    )
    before = sa.table("hosts_4", *map(sa.column, KEPT))
    after = sa.table("hosts", *map(sa.column, KEPT))
    op.execute(sa.insert(after).from_select(KEPT, sa.select(*before.columns)))
    op.drop_table("hosts_4")
