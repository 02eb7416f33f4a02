"""Version 2, the first that can be upgraded from: all tables as they were then."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make them."""
    _allocations()
    _hosts()
    _instances()
    _migrations()
    _stories()
    _debts()
    _decisions()
    _slots()
    _story_entries()


def _allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("consumer", NAME, primary_key=True),
        sa.Column("host", NAME, primary_key=True, index=True),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
    )


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("facts", sa.Text),
        sa.Column("heard_at_s", sa.Float, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text, nullable=False),
    )


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("uuid", NAME, primary_key=True),
        sa.Column("name", NAME, nullable=False, index=True),
        sa.Column("host", NAME, nullable=False, index=True),
        sa.Column("node", NAME, nullable=False),
        sa.Column("vm_state", sa.String, nullable=False),
        sa.Column("power_state", sa.String, nullable=False),
        sa.Column("task_state", sa.String),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("disks", sa.Text, nullable=False),
        sa.Column("nics", sa.Text, nullable=False),
        sa.Column("platform", sa.Text),
        sa.Column("discovered", sa.Boolean, nullable=False),
        sa.Column("flavor", NAME),
        sa.Column("image", NAME),
        sa.Column("group", NAME),
        sa.Column("created_at", NAME, nullable=False),
        sa.Column("updated_at", NAME, nullable=False),
    )


def _migrations() -> None:
    op.create_table(
        "migrations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("uuid", NAME, nullable=False, unique=True),
        sa.Column("instance_uuid", NAME, nullable=False, index=True),
        sa.Column("status", sa.String, nullable=False, index=True),
        sa.Column("migration_type", NAME, nullable=False),
        sa.Column("source_compute", NAME, nullable=False),
        sa.Column("source_node", NAME, nullable=False),
        sa.Column("dest_compute", NAME),
        sa.Column("dest_node", NAME),
        sa.Column("requested_host", NAME),
        sa.Column("block_migration", sa.String, nullable=False),
        sa.Column("steering", sa.Text, nullable=False),
        sa.Column("initiator", NAME, nullable=False),
        sa.Column("initiator_reason", sa.Text, nullable=False),
        sa.Column("request_id", NAME, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("refusals", sa.Text, nullable=False),
        sa.Column("person_needed", sa.Boolean, nullable=False),
        sa.Column("abort_requested", sa.Boolean, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("statistics", sa.Text),
        sa.Column("created_at", NAME, nullable=False),
        sa.Column("updated_at", NAME, nullable=False),
        sqlite_autoincrement=True,
    )


def _stories() -> None:
    op.create_table(
        "stories",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("uuid", NAME, nullable=False, unique=True),
        sa.Column("saga", NAME, nullable=False),
        sa.Column("direction", sa.String, nullable=False, index=True),
        sa.Column("step", NAME, nullable=False),
        sa.Column("facts", sa.LargeBinary, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("lease_until_s", sa.Float, nullable=False),
        sa.Column("wake_at_s", sa.Float, nullable=False),
        sa.Column("resting", NAME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("abort", sa.Text),
        sa.Column("woken", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )


def _debts() -> None:
    op.create_table(
        "debts",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("story_uuid", NAME, sa.ForeignKey("stories.uuid"), nullable=False),
        sa.Column("step", NAME, nullable=False),
        sa.Column("undo", sa.Boolean, nullable=False),
        sa.Column("where", NAME, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at_s", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("one_debt_per_act", "debts", ["story_uuid", "step", "undo"], unique=True)


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("migration_uuid", NAME, sa.ForeignKey("migrations.uuid"), primary_key=True),
        sa.Column("at_host", NAME),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", NAME, nullable=False),
    )


def _slots() -> None:
    op.create_table(
        "slots",
        sa.Column("migration_uuid", NAME, sa.ForeignKey("migrations.uuid"), primary_key=True),
        sa.Column("host", NAME, primary_key=True, index=True),
        sa.Column("outgoing", sa.Boolean, nullable=False),
        sa.Column("slots_max", sa.Integer, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
    )


def _story_entries() -> None:
    op.create_table(
        "story_entries",
        sa.Column("story_uuid", NAME, sa.ForeignKey("stories.uuid"), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("step", NAME, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("at", NAME, nullable=False),
    )
