"""All that is known of one migration, read in one look. Called by `queries`."""

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from godwit.model.ids import MigrationUuid
from godwit.model.migration import Migration, MigrationStatus
from godwit.saga.log import Entry, Story
from godwit.store import moves, servers, slots, stories
from godwit.store.interface import Decision
from godwit.store.statements import Connection, Reads
from godwit.store.tables import decisions


@dataclass(frozen=True)
class Account:
    """All that is known of one migration, at one moment."""

    migration: Migration
    server_name: str
    """Empty: the server is no longer on record."""
    story: Story | None
    timeline: tuple[Entry, ...]
    decision: Decision | None
    queue: tuple[slots.Place, ...]
    """Where it stands while it is `queued`."""

    @property
    def last_sequence(self) -> int:
        """Of the timeline's last line; 0 if there is none."""
        return self.timeline[-1].sequence if self.timeline else 0


DECISION = Reads(
    select(decisions.c.at_host, decisions.c.why, decisions.c.at).where(
        decisions.c.migration_uuid == bindparam("key")
    ),
    Decision,
)


def find(connection: Connection, uuid: MigrationUuid) -> Account | None:
    """The account of this migration."""
    migration = moves.find(connection, uuid)
    if migration is None:
        return None
    server = servers.find(connection, migration.instance_uuid)
    queued = migration.status is MigrationStatus.QUEUED
    return Account(
        migration=migration,
        server_name=server.name if server is not None else "",
        story=stories.find(connection, uuid),
        timeline=stories.timeline(connection, uuid, after_sequence=0),
        decision=DECISION.first(connection, key=uuid),
        queue=slots.places_of(connection, uuid) if queued else (),
    )
