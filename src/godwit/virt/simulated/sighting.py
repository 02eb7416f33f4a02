"""What a simulated host shows of a guest in its move, in neutral words. Pure."""

from typing import assert_never

from godwit.model.instance import PowerState
from godwit.model.sighting import (
    DestinationSighting,
    DestinationWord,
    GuestEnd,
    SourceSighting,
    SourceWord,
)
from godwit.virt.driver import TransferEvidence
from godwit.virt.simulated.half import Half, HalfState, Stream


def source_sighting(half: Half | None, evidence: TransferEvidence) -> SourceSighting:
    """The word for what the source holds (`None`: it answered, and holds nothing)."""
    word = _source_word(half, evidence)
    never_begun = word is SourceWord.KEPT and half is not None and half.outcome is None
    end = _end(half) if word is SourceWord.ENDED else None
    return SourceSighting(word=word, seen=_seen(half), never_begun=never_begun, end=end)


def destination_sighting(half: Half | None) -> DestinationSighting:
    """The word for what the destination holds (`None`: it answered, and holds nothing)."""
    word = _destination_word(half)
    end = _end(half) if word is DestinationWord.OFF else None
    return DestinationSighting(word=word, seen=_seen(half), end=end)


def _source_word(half: Half | None, evidence: TransferEvidence) -> SourceWord:
    if half is None:
        # A simulated source forgets nobody by itself: without a record, somebody else did.
        left = evidence.stopped_as_migrated or evidence.ended_by_us
        return SourceWord.GONE if left else SourceWord.ENDED
    match half.state:
        case HalfState.RUNNING | HalfState.PAUSED:
            return _word_while_alive(half)
        case HalfState.HANDED_OVER:
            return SourceWord.IN_WINDOW if half.job else SourceWord.HANDED_OVER
        case HalfState.POST_COPY:
            broken = half.stream is Stream.BROKEN
            return SourceWord.POSTCOPY_BROKEN if broken else SourceWord.POSTCOPY
        case HalfState.MIGRATED | HalfState.OFF:
            left = half.state is HalfState.MIGRATED or evidence.ended_by_us
            return SourceWord.GONE if left else SourceWord.ENDED
        case HalfState.RECEIVING | HalfState.ARRIVED:
            return SourceWord.UNREACHABLE  # means nothing at a source
        case _:
            assert_never(half.state)


def _word_while_alive(half: Half) -> SourceWord:
    if half.job:
        return SourceWord.COPYING
    return SourceWord.TOOK_BACK if half.took_back else SourceWord.KEPT


def _destination_word(half: Half | None) -> DestinationWord:
    if half is None:
        return DestinationWord.GONE
    match half.state:
        case HalfState.RECEIVING:
            return DestinationWord.RECEIVING
        case HalfState.ARRIVED | HalfState.PAUSED:
            return DestinationWord.READY
        case HalfState.RUNNING:
            return _word_while_running(half)
        case HalfState.OFF | HalfState.MIGRATED | HalfState.HANDED_OVER | HalfState.POST_COPY:
            return DestinationWord.OFF
        case _:
            assert_never(half.state)


def _word_while_running(half: Half) -> DestinationWord:
    if half.stream is None:
        return DestinationWord.RUNS
    broken = half.stream is Stream.BROKEN
    return DestinationWord.POSTCOPY_BROKEN if broken else DestinationWord.POSTCOPY


def _end(half: Half | None) -> GuestEnd:
    """Why is not known: a simulated guest ends by the power of its host, or of itself."""
    return GuestEnd(how=_seen(half), power_state=PowerState.SHUTDOWN if half else None)


def _seen(half: Half | None) -> str:
    if half is None:
        return "no such guest"
    job = ", job under way" if half.job else ""
    outcome = f", last copy {half.outcome}" if half.outcome else ""
    stream = f", {half.stream}" if half.stream else ""
    return f"{half.state}{job}{outcome}{stream}"
