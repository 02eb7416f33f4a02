"""A look at one end of a move: what the driver sees, weighed with what is on record here. And a
look for a guest that need not move at all.
"""

from msgspec.structs import replace

from godwit.compute.transfer_folder import Mark
from godwit.compute.transfers import Transfers
from godwit.model.errors import GodwitError
from godwit.model.sighting import DestinationSighting, SourceSighting, SourceWord
from godwit.model.whereis import shown
from godwit.rpc.compute import GuestHere, LookForGuest, Move
from godwit.virt.driver import ComputeDriver

MAY_STILL_BEGIN = frozenset({SourceWord.KEPT})
"""Words that are not true yet while the transfer's process lives."""


async def sight_source(driver: ComputeDriver, transfers: Transfers, ask: Move) -> SourceSighting:
    """Where the guest is in its move, as its source shows it. UNREACHABLE instead of raising.

    A source once seen stopped as migrated is put on record: later it may be absent, which alone
    would say less.
    """
    uuid = ask.act.migration_uuid
    try:
        evidence = await transfers.evidence(uuid)
        alive = await transfers.is_alive(uuid)
        seen = await driver.sight_source(ask.instance, ask.migrate_data, evidence)
        if seen.word is SourceWord.GONE and evidence.began and not evidence.stopped_as_migrated:
            await transfers.set(uuid, Mark.STOPPED_AS_MIGRATED)
    except GodwitError as error:
        return SourceSighting(word=SourceWord.UNREACHABLE, seen=str(error))
    return _while_alive(seen) if alive else seen


async def sight_destination(driver: ComputeDriver, ask: Move) -> DestinationSighting:
    """What is there of the guest at its destination. UNREACHABLE instead of raising."""
    return await driver.sight_destination(ask.instance, ask.migrate_data)


async def look_for_guest(driver: ComputeDriver, ask: LookForGuest) -> GuestHere:
    """What this host shows of a guest now, whether it moves or not. Raises what a look raises."""
    guests = await driver.guests()
    return GuestHere(shows=shown(next((g for g in guests if g.uuid == ask.instance_uuid), None)))


def _while_alive(seen: SourceSighting) -> SourceSighting:
    """The guest is not kept as long as its transfer may still begin."""
    if seen.word not in MAY_STILL_BEGIN:
        return seen
    words = f"{seen.seen}; the transfer process lives"
    return replace(seen, word=SourceWord.COPYING, seen=words, never_begun=False)
