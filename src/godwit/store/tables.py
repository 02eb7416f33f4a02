"""The tables. Columns are named as the fields of the records they keep, in the fields' own types.

Read by the modules of this room. `SCHEMA_VERSION` is raised with every change to a table.
"""

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from godwit.model.audit import Action, Evidence, Mismatch
from godwit.model.host import HostFacts, PersonsWord
from godwit.model.instance import Disk, Nic, Platform, PowerState, TaskState, VmState
from godwit.model.migration import BlockMigration, MigrationStatus
from godwit.model.progress import Progress, Statistics
from godwit.model.reasons import Reason
from godwit.model.refusals import Refusal
from godwit.model.steering import Steering
from godwit.saga.log import Direction, What
from godwit.store.columns import Json, Word

SCHEMA_VERSION: Final = 6

metadata: Final = MetaData()

NAME: Final = String().with_variant(String(collation="C"), "postgresql")
"""Sorted as SQLite sorts: by code point, whatever the database's language."""

hosts = Table(
    "hosts",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("facts", Json(HostFacts)),
    Column("heard_at_s", Float, nullable=False, default=0.0),
    Column("trouble", Text, nullable=False, default=""),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("disabled_reason", Text, nullable=False, default=""),
    Column("confirmed_down", Json(PersonsWord)),
    Column("confirmed_up", Json(PersonsWord)),
)

instances = Table(
    "instances",
    metadata,
    Column("uuid", NAME, primary_key=True),
    Column("name", NAME, nullable=False, index=True),
    Column("host", NAME, nullable=False, index=True),
    Column("node", NAME, nullable=False),
    Column("vm_state", Word(VmState), nullable=False),
    Column("power_state", Word(PowerState), nullable=False),
    Column("task_state", Word(TaskState)),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disks", Json(tuple[Disk, ...]), nullable=False),
    Column("nics", Json(tuple[Nic, ...]), nullable=False),
    Column("platform", Json(Platform)),
    Column("discovered", Boolean, nullable=False),
    Column("flavor", NAME),
    Column("image", NAME),
    Column("group", NAME),
    Column("created_at", NAME, nullable=False),
    Column("updated_at", NAME, nullable=False),
)

migrations = Table(
    "migrations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", NAME, nullable=False, unique=True),
    # No foreign key: a migration's record outlives the server that was moved.
    Column("instance_uuid", NAME, nullable=False, index=True),
    Column("status", Word(MigrationStatus), nullable=False, index=True),
    Column("migration_type", NAME, nullable=False),
    Column("source_compute", NAME, nullable=False),
    Column("source_node", NAME, nullable=False),
    Column("dest_compute", NAME),
    Column("dest_node", NAME),
    Column("requested_host", NAME),
    Column("block_migration", Word(BlockMigration), nullable=False),
    Column("steering", Json(Steering), nullable=False),
    Column("initiator", NAME, nullable=False),
    Column("initiator_reason", Text, nullable=False),
    Column("request_id", NAME, nullable=False),
    Column("reason", Json(Reason)),
    Column("refusals", Json(tuple[Refusal, ...]), nullable=False),
    Column("person_needed", Boolean, nullable=False),
    Column("abort_requested", Boolean, nullable=False),
    Column("progress", Json(Progress)),
    Column("statistics", Json(Statistics)),
    Column("created_at", NAME, nullable=False),
    Column("updated_at", NAME, nullable=False),
    sqlite_autoincrement=True,
)

allocations = Table(
    "allocations",
    metadata,
    # A server's uuid, or a migration's: the source's share belongs to the migration while it runs.
    Column("consumer", NAME, primary_key=True),
    Column("host", NAME, primary_key=True, index=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
)

slots = Table(
    "slots",
    metadata,
    Column("migration_uuid", ForeignKey(migrations.c.uuid), primary_key=True),
    Column("host", NAME, primary_key=True, index=True),
    Column("outgoing", Boolean, nullable=False),
    Column("slots_max", Integer, nullable=False),
    Column("held", Boolean, nullable=False),
    # The place in the line: lower came earlier.
    Column("place", Integer, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("migration_uuid", ForeignKey(migrations.c.uuid), primary_key=True),
    Column("at_host", NAME),
    Column("why", Json(Reason), nullable=False),
    Column("at", NAME, nullable=False),
)

stories = Table(
    "stories",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("uuid", NAME, nullable=False, unique=True),
    Column("saga", NAME, nullable=False),
    Column("direction", Word(Direction), nullable=False, index=True),
    Column("step", NAME, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("owner", NAME, nullable=False),
    Column("lease_until_s", Float, nullable=False),
    Column("wake_at_s", Float, nullable=False),
    Column("resting", NAME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failure", Json(Reason)),
    Column("abort", Json(Reason)),
    # Somebody asked for it to be woken while it was being told.
    Column("woken", Boolean, nullable=False, default=False),
    sqlite_autoincrement=True,
)

story_entries = Table(
    "story_entries",
    metadata,
    Column("story_uuid", ForeignKey(stories.c.uuid), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("step", NAME, nullable=False),
    Column("what", Word(What), nullable=False),
    Column("words", Text, nullable=False),
    Column("at", NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("by", NAME, nullable=False),
    Column("where", NAME, nullable=False),
    Column("code", NAME, nullable=False),
)

debts = Table(
    "debts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("story_uuid", ForeignKey(stories.c.uuid), nullable=False),
    Column("step", NAME, nullable=False),
    Column("undo", Boolean, nullable=False),
    Column("where", NAME, nullable=False),
    Column("words", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at_s", Float, nullable=False),
    Index("one_debt_per_act", "story_uuid", "step", "undo", unique=True),
    sqlite_autoincrement=True,
)

alarms = Table(
    "alarms",
    metadata,
    # No foreign key: a guest without a record may run twice, too.
    Column("instance_uuid", NAME, primary_key=True),
    Column("kind", Word(Mismatch), nullable=False),
    Column("evidence", Json(tuple[Evidence, ...]), nullable=False),
    Column("since", NAME, nullable=False),
    Column("seen_at", NAME, nullable=False),
)

repairs = Table(
    "repairs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", NAME, nullable=False),
    Column("by", NAME, nullable=False),
    Column("kind", Word(Mismatch), nullable=False),
    Column("action", Word(Action), nullable=False),
    Column("subject", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("host", NAME),
    Column("evidence", Json(tuple[Evidence, ...]), nullable=False),
    sqlite_autoincrement=True,
)

turns = Table(
    "turns",
    metadata,
    # What is done by one conductor, every now and then.
    Column("duty", NAME, primary_key=True),
    Column("by", NAME, nullable=False),
    Column("taken_at_s", Float, nullable=False),
)
