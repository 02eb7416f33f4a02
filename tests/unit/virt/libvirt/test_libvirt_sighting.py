"""Words for what libvirt and QEMU show: every row of the evidence, and what must not be guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.virt.libvirt.evidence_rows import (
    AS_PAUSED,
    AS_RUNNING,
    BEGAN,
    ROWS,
    Absent,
    NoAnswer,
    Row,
    paused,
    running,
    shut_off,
    there,
)

from godwit.model.instance import PowerState
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.virt.driver import SeenEnd, TransferEvidence
from godwit.virt.libvirt.abi import MIGRATION_OUT, Paused, Running, Shutoff, State
from godwit.virt.libvirt.sighting import (
    Reading,
    destination_sighting,
    qemu_status,
    source_sighting,
)

SOURCE_ROWS = [row for row in ROWS if not isinstance(row.source, NoAnswer)]
DESTINATION_ROWS = [row for row in ROWS if not isinstance(row.destination, NoAnswer)]


def _name(row: Row) -> str:
    return f"{row.number} {row.source_word} {row.destination_word} {row.note}".strip()


@pytest.mark.parametrize("row", SOURCE_ROWS, ids=_name)
def test_the_source_is_named_as_the_evidence_says(row: Row) -> None:
    assert not isinstance(row.source, NoAnswer)
    reading = None if isinstance(row.source, Absent) else row.source
    assert source_sighting(reading, row.migrate_data, row.evidence).word is row.source_word


@pytest.mark.parametrize("row", DESTINATION_ROWS, ids=_name)
def test_the_destination_is_named_as_the_evidence_says(row: Row) -> None:
    assert not isinstance(row.destination, NoAnswer)
    reading = None if isinstance(row.destination, Absent) else row.destination
    assert destination_sighting(reading).word is row.destination_word


def test_every_numbered_row_of_the_evidence_is_there() -> None:
    numbers = {row.number for row in ROWS}
    of_its_own = {"6b", "1 paused", "2 paused", "10 paused"}
    without_the_flag = {"7 no flag", "9 no flag", "13 no flag"}
    assert numbers == {*map(str, range(1, 24)), *of_its_own, *without_the_flag}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Shutoff.SHUTDOWN, "it has shut itself down"),
        (Shutoff.DESTROYED, "somebody has destroyed it"),
        (Shutoff.CRASHED, "it has crashed"),
        (Shutoff.FAILED, "SHUTOFF(FAILED)"),
    ],
)
def test_each_way_to_end_has_words_of_its_own(reason: Shutoff, words: str) -> None:
    assert source_sighting(shut_off(reason), AS_RUNNING, BEGAN).seen.startswith(words)


def test_a_transfer_that_qemu_never_saw_is_kept_but_may_still_begin() -> None:
    assert source_sighting(running(), AS_RUNNING, BEGAN).never_begun
    assert not source_sighting(running(qemu="cancelled"), AS_RUNNING, BEGAN).never_begun


def test_what_an_older_migration_left_in_qemu_is_not_taken_for_this_ones_end() -> None:
    after_a_failure = replace(AS_RUNNING, qemu_status_before="failed")
    sighting = source_sighting(running(qemu="failed"), after_a_failure, BEGAN)
    assert sighting.word is SourceWord.KEPT
    assert sighting.never_begun


def test_canceled_left_from_an_older_attempt_is_not_taken_for_a_return() -> None:
    before = replace(
        AS_RUNNING,
        state_before=(State.RUNNING, Running.MIGRATION_CANCELED),
        qemu_status_before="completed",
    )
    reading = running(Running.MIGRATION_CANCELED, qemu="completed")
    sighting = source_sighting(reading, before, BEGAN)
    assert (sighting.word, sighting.never_begun) == (SourceWord.KEPT, True)


def test_a_request_that_may_wait_behind_another_job_is_not_called_kept() -> None:
    backup = 8
    assert source_sighting(running(job=backup), AS_RUNNING, BEGAN).word is SourceWord.UNREACHABLE


def test_completed_without_figures_is_left_from_the_guests_own_arrival() -> None:
    assert qemu_status({"status": "completed"}) == "none"
    assert qemu_status({"status": "completed", "ram": {}}) == "completed"
    assert qemu_status({}) == "none"


@pytest.mark.parametrize("reading", [running(), paused(Paused.MIGRATION), paused(Paused.USER)])
def test_nothing_is_said_of_an_active_source_whose_qemu_does_not_answer(reading: Reading) -> None:
    mute = Reading(reading.state, reading.reason, job=0, qemu_status=None)
    deaf = Reading(reading.state, reading.reason, job=None, qemu_status="completed")
    for unread in (mute, deaf):
        assert source_sighting(unread, AS_RUNNING, BEGAN).word is SourceWord.UNREACHABLE


def test_an_absence_before_anything_began_is_not_a_departure() -> None:
    sighting = source_sighting(None, AS_RUNNING, TransferEvidence(began=False))
    assert sighting.word is SourceWord.ENDED


@pytest.mark.parametrize("reading", [None, shut_off(Shutoff.DESTROYED), shut_off(Shutoff.UNKNOWN)])
def test_what_we_recorded_to_have_ended_is_gone(reading: Reading | None) -> None:
    ours = TransferEvidence(began=True, ended_by_us=True)
    assert source_sighting(reading, AS_RUNNING, ours).word is SourceWord.GONE


def test_an_operators_pause_during_the_copy_is_still_the_copy() -> None:
    reading = paused(Paused.USER, job=MIGRATION_OUT, qemu="active")
    assert source_sighting(reading, AS_RUNNING, BEGAN).word is SourceWord.COPYING


def test_a_guest_paused_after_all_was_sent_is_not_guessed_at() -> None:
    reading = paused(Paused.USER, qemu="completed")
    assert source_sighting(reading, AS_RUNNING, BEGAN).word is SourceWord.UNREACHABLE
    assert source_sighting(reading, AS_PAUSED, BEGAN).word is SourceWord.TOOK_BACK


@pytest.mark.parametrize("reason", [0, 3, 4, 6, 7, 8, 9, 10, 14])
def test_a_pause_of_another_kind_at_the_destination_is_not_guessed_at(reason: int) -> None:
    word = destination_sighting(there(State.PAUSED, reason)).word
    assert word is DestinationWord.UNREACHABLE


ANY_STATUS = st.sampled_from(
    ["none", "setup", "active", "device", "completed", "failed", "cancelling", "cancelled", "new"]
)
ANY_READING = st.builds(
    Reading,
    state=st.integers(0, 9),
    reason=st.integers(0, 15),
    persistent=st.booleans(),
    job=st.none() | st.integers(0, 8),
    qemu_status=st.none() | ANY_STATUS,
)
ANY_EVIDENCE = st.builds(
    TransferEvidence,
    began=st.booleans(),
    stopped_as_migrated=st.booleans(),
    ended_by_us=st.booleans(),
)


@pytest.mark.parametrize("reason", Shutoff)
def test_only_an_end_that_somebody_wanted_is_called_on_purpose(reason: Shutoff) -> None:
    reading = Reading(State.SHUTOFF, reason)
    end = destination_sighting(reading).end
    assert end is not None
    assert end.power_state is PowerState.SHUTDOWN
    assert end.on_purpose == (reason in {Shutoff.SHUTDOWN, Shutoff.DESTROYED, Shutoff.SAVED})
    if reason is not Shutoff.MIGRATED:
        assert source_sighting(reading, AS_RUNNING, BEGAN).end == end


@pytest.mark.parametrize("seen", SeenEnd)
@pytest.mark.parametrize("persistent", [True, False])
def test_an_absent_guest_was_removed_on_purpose_only_where_it_did_not_go_by_itself(
    persistent: bool, seen: SeenEnd
) -> None:
    agreed = replace(AS_RUNNING, persistent=persistent)
    end = source_sighting(None, agreed, TransferEvidence(began=True, seen_to_end=seen)).end
    assert end is not None
    wanted = persistent and seen is not SeenEnd.CRASHED
    assert (end.power_state, end.on_purpose) == (None, wanted)


@given(reading=ANY_READING, evidence=ANY_EVIDENCE)
def test_an_end_is_told_of_those_alone_that_have_ended(
    reading: Reading, evidence: TransferEvidence
) -> None:
    source = source_sighting(reading, AS_RUNNING, evidence)
    assert (source.end is not None) == (source.word is SourceWord.ENDED)
    destination = destination_sighting(reading)
    assert (destination.end is not None) == (destination.word is DestinationWord.OFF)


@given(reading=ANY_READING, evidence=ANY_EVIDENCE, was_paused=st.booleans())
def test_an_active_source_is_never_called_gone(
    reading: Reading, evidence: TransferEvidence, was_paused: bool
) -> None:
    word = source_sighting(reading, AS_PAUSED if was_paused else AS_RUNNING, evidence).word
    if reading.state not in (State.SHUTOFF, State.CRASHED):
        assert word not in (SourceWord.GONE, SourceWord.ENDED)


@given(reading=ANY_READING, evidence=ANY_EVIDENCE)
def test_kept_is_said_only_where_no_migration_is_at_work(
    reading: Reading, evidence: TransferEvidence
) -> None:
    if source_sighting(reading, AS_RUNNING, evidence).word is SourceWord.KEPT:
        assert reading.job is not None
        assert reading.job != MIGRATION_OUT
        assert reading.qemu_status in ("none", "failed", "cancelled")


@given(reading=ANY_READING)
def test_only_a_whole_guest_paused_by_the_guard_is_called_ready(reading: Reading) -> None:
    is_ready = destination_sighting(reading).word is DestinationWord.READY
    assert is_ready == ((reading.state, reading.reason) == (State.PAUSED, Paused.USER))
