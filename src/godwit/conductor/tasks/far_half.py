"""May what is left at the destination be removed? Asked by the undo of `pre_live_migration`, at
every attempt: long may have passed since the verdict, and people may have acted meanwhile.
"""

from enum import StrEnum

from godwit.conductor.tasks.decision import decision_of
from godwit.conductor.tasks.facts import Telling, at_destination, move
from godwit.conductor.tasks.look import host_on_record, sight_source
from godwit.model.errors import HypervisorError, Unreachable
from godwit.model.ids import HostName
from godwit.model.sighting import DestinationWord, SourceWord

SHOWN = frozenset({DestinationWord.RUNS, DestinationWord.READY})
"""A whole guest is there, in its host's memory."""


class FarHalf(StrEnum):
    """What is left at the destination of a move that did not happen."""

    NEVER_RAN = "never ran"
    MAY_BE_THE_GUEST = "may be the guest"
    """Only half a guest may go; what is whole, shut off or on disk is left to a person."""
    IS_THE_GUEST = "is the guest"
    """It came there by another way since: nothing is owed."""


async def far_half(context: Telling) -> FarHalf:
    """What the destination holds, as far as it can be known from elsewhere, now."""
    is_late = context.has_ended
    host = await host_on_record(context) if is_late else None
    if host == at_destination(context.facts):
        return FarHalf.IS_THE_GUEST
    if context.facts.may_have_run_there:
        return FarHalf.MAY_BE_THE_GUEST
    if context.facts.source_by_word or await decision_of(context) is not None:
        proven = await _the_source_gave_up(context)
    else:  # an undo at once rests on the verdict; a late one on a host that shows the guest
        proven = not is_late or (host is not None and await _is_shown_at(context, host))
    return FarHalf.NEVER_RAN if proven else FarHalf.MAY_BE_THE_GUEST


async def _the_source_gave_up(context: Telling) -> bool:
    """A person's word does not tell what was written at the destination, nor that the source has
    sent no more. That this very QEMU gave this very transfer up does: a guest that was started anew
    says nothing of it.
    """
    source = await sight_source(context)
    return source.word is SourceWord.KEPT and not source.never_begun


async def _is_shown_at(context: Telling, host: HostName) -> bool:
    try:
        seen = await context.world.compute(host).sight_destination(move(context))
    except (Unreachable, HypervisorError):
        return False
    return seen.word in SHOWN
