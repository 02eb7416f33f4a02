"""Look at the guest at both ends: the source, the destination, the source again."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from godwit.conductor.tasks.facts import Telling, at_destination, at_source, move
from godwit.conductor.tasks.whereabouts import NOBODY_SAYS, WithoutPower
from godwit.model.errors import GodwitError, HypervisorError, Superseded, Unreachable
from godwit.model.ids import HostName
from godwit.model.instance import PowerState
from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    GuestEnd,
    SourceSighting,
    SourceWord,
)


@dataclass(frozen=True)
class Seen:
    """One look at both ends. An end that does not answer was seen as unreachable."""

    source: SourceSighting
    destination: DestinationSighting
    without_power: WithoutPower = NOBODY_SAYS

    @property
    def source_by_word_alone(self) -> bool:
        """What is known of the source is that it has no power, as a person says."""
        return self.without_power.source and self.source.word is SourceWord.UNREACHABLE

    @property
    def told_source(self) -> SourceSighting:
        """The source's sighting, or what follows from its having no power."""
        if not self.source_by_word_alone:
            return self.source
        end = GuestEnd(how=NO_POWER, power_state=PowerState.SHUTDOWN)
        return SourceSighting(word=SourceWord.ENDED, seen=NO_POWER, end=end)


async def look(context: Telling, *, unfit: SourceSighting | None) -> Seen | None:
    """What is at both ends, or None if the source changed between the two looks at it.

    `unfit`: the source's word would prove nothing, whatever it shows; this counts instead.
    """
    before = unfit or await sight_source(context)
    destination = await sight_destination(context)
    after = unfit or await sight_source(context)
    if (before.word, before.never_begun) != (after.word, after.never_begun):
        return None
    return Seen(after, destination, await without_power(context))


async def without_power(context: Telling) -> WithoutPower:
    """Which ends have no power, as people state."""
    down = await context.world.fences.without_power()
    return WithoutPower(
        source=at_source(context.facts) in down,
        destination=at_destination(context.facts) in down,
    )


NO_POWER: Final = "its host has lost its power, as a person confirms"
NOT_CLOSED = SourceSighting(
    word=SourceWord.UNREACHABLE, seen="the source does not answer; a transfer may still run there"
)
STUCK = SourceSighting(
    word=SourceWord.UNREACHABLE,
    seen="the transfer process gives no sign of life and cannot be ended",
)
EVIDENCE_LOST = SourceSighting(
    word=SourceWord.UNREACHABLE, seen="the transfer was started, and its folder there is gone"
)


async def host_on_record(context: Telling) -> HostName | None:
    """Where the record has the guest now, which may be after many other stories; None: nowhere."""
    instance = await context.world.queries.instance(context.facts.instance.uuid)
    return instance.host if instance is not None else None


async def sight_source(context: Telling) -> SourceSighting:
    """The guest at the source now."""
    try:
        return await context.world.compute(at_source(context.facts)).sight_source(move(context))
    except (Unreachable, HypervisorError) as error:
        return SourceSighting(word=SourceWord.UNREACHABLE, seen=error.reason.words)


async def sight_destination(context: Telling) -> DestinationSighting:
    """The guest at the destination now."""
    compute = context.world.compute
    try:
        return await compute(at_destination(context.facts)).sight_destination(move(context))
    except (Unreachable, HypervisorError) as error:
        return DestinationSighting(word=DestinationWord.UNREACHABLE, seen=error.reason.words)


async def answered(act: Awaitable[object]) -> bool:
    """Whether an act at a host was confirmed. If not, look again: it may have happened."""
    try:
        await act
    except Superseded:
        raise
    except GodwitError:
        return False
    return True


def seen_words(context: Telling, seen: Seen, code: Code) -> Reason:
    """What a person is told who must decide: both hosts, both words, and what was seen there."""
    return reason(
        code,
        source=at_source(context.facts),
        destination=at_destination(context.facts),
        source_word=f"{seen.source.word} ({seen.source.seen})",
        destination_word=f"{seen.destination.word} ({seen.destination.seen})",
    )
