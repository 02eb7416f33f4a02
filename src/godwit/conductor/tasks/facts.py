"""What the live-migration story remembers from step to step, and what every step needs of it.

`LiveMigrationFacts` is stored at every record of the story: a process that takes the story over
knows what the one before knew.
"""

from typing import TypeAlias

import msgspec

from godwit.conductor.world import World
from godwit.model.host import HostFacts
from godwit.model.ids import HostName, MigrationUuid, RequestId
from godwit.model.instance import Instance
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.migration import BlockMigration
from godwit.model.sighting import GuestEnd
from godwit.rpc.compute import Act, Move, RollBack, TransferResult
from godwit.saga.log import Story
from godwit.saga.step import Along, Context
from godwit.store.interface import Fence


class LiveMigrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one move."""

    instance: Instance
    """The server as it was when the move was accepted."""
    source: HostFacts
    requested_host: HostName | None = None
    block_migration: BlockMigration = BlockMigration.AUTO
    disk_over_commit: bool = False
    permit_post_copy: bool = False
    request_id: RequestId = RequestId("")
    """The request that asked for it; empty in stories of a release that did not keep it."""
    destination: HostFacts | None = None
    """Chosen by `find_destination`."""
    migrate_data: LiveMigrateData | None = None
    """What both ends agreed on; `pre_live_migration` adds what the destination prepared."""
    result: TransferResult | None = None
    """How the transfer process ended. A claim, not where the guest is."""
    started: bool = False
    """The source has said that the transfer was started there: its evidence must be there, too."""
    may_have_run_there: bool = False
    """The guest was seen to run at the destination, or to have left for it."""
    source_by_word: bool = False
    """Of the source was known only that it has no power, as a person says: it may have sent on."""
    end: GuestEnd | None = None
    """How the guest has ended, where that was seen at the pivot: at the destination if the story
    goes on, else at the source."""
    undecided_for_s: float = 0.0
    """How long no verdict could be given; 0 while there is nothing to wonder about."""


def facts_of(story: Story) -> LiveMigrationFacts:
    """What is on record of it."""
    return msgspec.json.decode(story.facts, type=LiveMigrationFacts)


Telling: TypeAlias = Context[World, LiveMigrationFacts]
"""What every do and undo of this story is given."""

Told: TypeAlias = Along[LiveMigrationFacts]
"""What a do returns that writes to the store: committed with the record that it is done."""


def uuid_of(context: Telling) -> MigrationUuid:
    """The migration that this story tells."""
    return MigrationUuid(context.story_uuid)


def fence(context: Telling) -> Fence:
    """In whose name the story writes to the store."""
    return Fence(uuid_of(context), context.generation)


def act(context: Telling) -> Act:
    """In whose name the story acts at a host."""
    return Act(migration_uuid=uuid_of(context), generation=context.generation)


def destination_of(facts: LiveMigrationFacts) -> HostFacts:
    """The chosen destination. A step that asks before one is chosen is a defect."""
    if facts.destination is None:
        raise AssertionError("no destination has been chosen yet")
    return facts.destination


def agreement_of(facts: LiveMigrationFacts) -> LiveMigrateData:
    """What both ends agreed on. A step that asks before they did is a defect."""
    if facts.migrate_data is None:
        raise AssertionError("the two ends have not agreed yet")
    return facts.migrate_data


def move(context: Telling) -> Move:
    """One end's part in this migration, for every call that acts or looks on its behalf."""
    return Move(
        act=act(context),
        instance=context.facts.instance,
        migrate_data=agreement_of(context.facts),
    )


def rolling_back(context: Telling, *, may_have_run: bool) -> RollBack:
    """The destination's part in undoing it."""
    return RollBack(
        act=act(context),
        instance=context.facts.instance,
        migrate_data=agreement_of(context.facts),
        may_have_run=may_have_run,
    )


def request_of(facts: LiveMigrationFacts) -> RequestId:
    """The request that asked for the move."""
    return facts.request_id


def at_source(facts: LiveMigrationFacts) -> HostName:
    """Where the source's acts are owed."""
    return facts.source.name


def at_destination(facts: LiveMigrationFacts) -> HostName:
    """Where the destination's acts are owed."""
    return destination_of(facts).name
