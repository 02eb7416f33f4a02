"""Why a move did not happen, in a reason of the catalogue. Pure; asked by the pivot when the guest
turned out to be at the source.
"""

from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import SourceSighting, SourceWord
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


def _problem(source: SourceSighting, result: TransferResult | None, failure: Reason | None) -> str:
    if result is not None and result.error:
        return result.error
    if failure is not None:
        return failure.words
    return "it never began" if source.never_begun else f"the source shows {source.seen}"
