"""Every state of a simulated half has its word at both ends."""

import pytest

from godwit.model.sighting import DestinationWord, SourceWord
from godwit.virt.driver import TransferEvidence
from godwit.virt.simulated.guests import simulated_guest
from godwit.virt.simulated.half import CopyOutcome, Half, HalfState, Stream
from godwit.virt.simulated.sighting import destination_sighting, source_sighting

H, S, D = HalfState, SourceWord, DestinationWord
GUEST = simulated_guest("guest-1")
NOTHING = TransferEvidence()

AT_SOURCE = [
    (Half(GUEST, H.RUNNING, job=True), S.COPYING),
    (Half(GUEST, H.PAUSED, job=True), S.COPYING),
    (Half(GUEST, H.RUNNING), S.KEPT),
    (Half(GUEST, H.PAUSED), S.KEPT),
    (Half(GUEST, H.RUNNING, took_back=True), S.TOOK_BACK),
    (Half(GUEST, H.HANDED_OVER, job=True), S.IN_WINDOW),
    (Half(GUEST, H.HANDED_OVER), S.HANDED_OVER),
    (Half(GUEST, H.POST_COPY, stream=Stream.FLOWS), S.POSTCOPY),
    (Half(GUEST, H.POST_COPY, stream=Stream.BROKEN), S.POSTCOPY_BROKEN),
    (Half(GUEST, H.MIGRATED), S.GONE),
    (Half(GUEST, H.OFF), S.ENDED),
    (Half(GUEST, H.RECEIVING), S.UNREACHABLE),
    (Half(GUEST, H.ARRIVED), S.UNREACHABLE),
    (None, S.ENDED),
]

AT_DESTINATION = {
    H.RUNNING: D.RUNS,
    H.PAUSED: D.READY,
    H.RECEIVING: D.RECEIVING,
    H.ARRIVED: D.READY,
    H.HANDED_OVER: D.OFF,
    H.POST_COPY: D.OFF,
    H.MIGRATED: D.OFF,
    H.OFF: D.OFF,
}


@pytest.mark.parametrize(("half", "word"), AT_SOURCE, ids=str)
def test_what_the_source_holds_has_one_word(half: Half | None, word: SourceWord) -> None:
    assert source_sighting(half, NOTHING).word is word


@pytest.mark.parametrize("state", HalfState)
def test_what_the_destination_holds_has_one_word(state: HalfState) -> None:
    assert destination_sighting(Half(GUEST, state)).word is AT_DESTINATION[state]


@pytest.mark.parametrize(
    ("stream", "word"), [(Stream.FLOWS, D.POSTCOPY), (Stream.BROKEN, D.POSTCOPY_BROKEN)]
)
def test_a_guest_that_runs_before_its_memory_is_there_has_its_own_words(
    stream: Stream, word: DestinationWord
) -> None:
    assert destination_sighting(Half(GUEST, H.RUNNING, stream=stream)).word is word


def test_a_destination_that_holds_nothing_says_so() -> None:
    assert destination_sighting(None).word is D.GONE


@pytest.mark.parametrize(
    ("evidence", "word"),
    [
        (TransferEvidence(began=True), S.ENDED),
        (TransferEvidence(began=True, stopped_as_migrated=True), S.GONE),
        (TransferEvidence(began=True, ended_by_us=True), S.GONE),
    ],
    ids=["began", "stopped as migrated", "ended by us"],
)
def test_an_absence_counts_as_gone_only_with_a_record_of_the_departure(
    evidence: TransferEvidence, word: SourceWord
) -> None:
    assert source_sighting(None, evidence).word is word


def test_a_half_that_we_ended_is_gone_and_has_not_ended_by_itself() -> None:
    evidence = TransferEvidence(began=True, ended_by_us=True)
    assert source_sighting(Half(GUEST, H.OFF), evidence).word is S.GONE


@pytest.mark.parametrize(
    ("outcome", "never_begun"),
    [(None, True), (CopyOutcome.CANCELLED, False), (CopyOutcome.FAILED, False)],
)
def test_kept_says_whether_a_copy_was_ever_begun(
    outcome: CopyOutcome | None, never_begun: bool
) -> None:
    assert source_sighting(Half(GUEST, H.RUNNING, outcome=outcome), NOTHING).never_begun is (
        never_begun
    )
