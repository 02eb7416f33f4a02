"""Why a move did not happen, or what is to be told of one that did, in a reason of the catalogue.
Pure; asked by the pivot when the guest turned out to be at the source, and at the story's end.
"""

from godwit.model.ids import HostName
from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import GuestEnd, SourceSighting, SourceWord
from godwit.rpc.compute import TransferResult

S = SourceWord


def why_it_did_not_happen(
    source: SourceSighting,
    result: TransferResult | None,
    *,
    abort: Reason | None,
    failure: Reason | None,
) -> Reason:
    """The most telling reason: what became of the guest goes before what was asked for, and that
    before what the transfer says of itself. `failure`: how the call to the source failed, if it
    did.
    """
    if source.word is S.ENDED:
        wanted = source.end is not None and source.end.on_purpose
        return reason(Code.GUEST_STOPPED if wanted else Code.GUEST_ENDED, how=source.seen)
    if source.word in (S.TOOK_BACK, S.HANDED_OVER):
        return reason(Code.SOURCE_TOOK_THE_GUEST_BACK)
    if abort is not None:
        return abort
    if result is not None and result.reason is not None:
        return result.reason
    return reason(Code.TRANSFER_FAILED, problem=_problem(source, result, failure))


def why_it_needs_words(
    end: GuestEnd | None, *, host: HostName, decided: Reason | None
) -> Reason | None:
    """Of a guest that has moved to `host`: a person's word, if there was one, or that it has ended
    there and nobody wanted that. A guest that was ended on purpose has simply moved.
    """
    if decided is not None:
        return decided
    if end is None or end.on_purpose:
        return None
    return reason(Code.GUEST_ENDED_THERE, host=host, how=end.how)


def _problem(source: SourceSighting, result: TransferResult | None, failure: Reason | None) -> str:
    if result is not None and result.error:
        return result.error
    if failure is not None:
        return failure.words
    return "it never began" if source.never_begun else f"the source shows {source.seen}"
