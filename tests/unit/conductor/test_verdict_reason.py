import pytest

from godwit.conductor.tasks.verdict_reason import why_it_did_not_happen, why_it_needs_words
from godwit.model.ids import HostName
from godwit.model.instance import PowerState
from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import GuestEnd, SourceSighting, SourceWord
from godwit.rpc.compute import TransferResult

ABORT = reason(Code.CANCELLED_BY_REQUEST, initiator="tester")
NO_ANSWER = reason(Code.NO_ANSWER, who="host-a", call="live_migration", timeout_s=20)
NO_TLS = reason(Code.TLS_UNUSABLE, host=None, problem="expired")


def why(
    word: SourceWord,
    result: TransferResult | None = None,
    *,
    abort: Reason | None = None,
    failure: Reason | None = None,
    never_begun: bool = False,
) -> Reason:
    seen = SourceSighting(word=word, seen="running", never_begun=never_begun)
    return why_it_did_not_happen(seen, result, abort=abort, failure=failure)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (SourceWord.ENDED, Code.GUEST_ENDED),
        (SourceWord.TOOK_BACK, Code.SOURCE_TOOK_THE_GUEST_BACK),
        (SourceWord.HANDED_OVER, Code.SOURCE_TOOK_THE_GUEST_BACK),
        (SourceWord.KEPT, Code.CANCELLED_BY_REQUEST),
    ],
)
def test_what_became_of_the_guest_goes_before_what_was_asked_for(
    word: SourceWord, code: Code
) -> None:
    assert why(word, TransferResult(error="canceled", aborted=True), abort=ABORT).code is code


@pytest.mark.parametrize("on_purpose", [True, False])
def test_a_guest_that_was_ended_on_purpose_is_not_taken_for_one_that_crashed(
    on_purpose: bool,
) -> None:
    end = GuestEnd(how="so", power_state=PowerState.SHUTDOWN, on_purpose=on_purpose)
    seen = SourceSighting(word=SourceWord.ENDED, seen="so", end=end)
    told = why_it_did_not_happen(seen, None, abort=ABORT, failure=None)
    assert told.code is (Code.GUEST_STOPPED if on_purpose else Code.GUEST_ENDED)
    assert "(so)" in told.words


def test_a_reason_without_doubt_goes_before_the_hypervisors_words() -> None:
    assert why(SourceWord.KEPT, TransferResult(error="7: TLS", reason=NO_TLS)) == NO_TLS


@pytest.mark.parametrize(
    ("result", "failure", "never_begun", "words"),
    [
        (TransferResult(error="socket closed"), NO_ANSWER, False, "socket closed"),
        (None, NO_ANSWER, True, "did not answer live_migration"),
        (None, None, True, "never began"),
        (None, None, False, "the source shows running"),
    ],
)
def test_a_failed_transfer_says_what_is_known(
    result: TransferResult | None, failure: Reason | None, never_begun: bool, words: str
) -> None:
    failed = why(SourceWord.KEPT, result, failure=failure, never_begun=never_begun)
    assert failed.code is Code.TRANSFER_FAILED
    assert words in failed.words


CRASHED = GuestEnd(how="it has crashed", power_state=PowerState.CRASHED)
SHUT_DOWN = GuestEnd(
    how="it has shut itself down", power_state=PowerState.SHUTDOWN, on_purpose=True
)
WORD = reason(Code.RESOLVED_BY_A_PERSON, initiator="ana", choice="at host-b", why="seen there")


def test_only_an_end_that_nobody_wanted_is_told_of_a_guest_that_has_moved() -> None:
    told = why_it_needs_words(CRASHED, host=HostName("host-b"), decided=None)
    assert told == reason(Code.GUEST_ENDED_THERE, host=HostName("host-b"), how="it has crashed")
    assert why_it_needs_words(SHUT_DOWN, host=HostName("host-b"), decided=None) is None
    assert why_it_needs_words(None, host=HostName("host-b"), decided=None) is None


@pytest.mark.parametrize("end", [CRASHED, SHUT_DOWN, None])
def test_a_persons_word_is_what_stays_on_record(end: GuestEnd | None) -> None:
    assert why_it_needs_words(end, host=HostName("host-b"), decided=WORD) == WORD
