"""Heartbeats: what counts as one, what counts as silence, what shows that a guest was doubled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from godwit.lab.beats import (
    Beat,
    Piece,
    Transcript,
    longest_gap,
    longest_own_gap_s,
    parse_beat,
    violations_of_running_once,
)


def beat(sequence: int, seen_s: float, host: str = "host-a", status: str = "OK") -> Beat:
    return Beat(seen_s, host, "vm1", sequence, 0, 0, status)


def line(sequence: int) -> bytes:
    return f"beat vm1 {sequence} {sequence * 10} 0 OK\n".encode()


def steady(count: int, host: str = "host-a") -> list[Beat]:
    return [beat(number, number * 0.02, host) for number in range(1, count + 1)]


def test_a_beat_line_says_who_how_often_and_how() -> None:
    found = parse_beat("beat vm1 12 345 6 BAD pages=1 first=2 disk=0", host="host-a", seen_s=1.5)
    assert found == Beat(1.5, "host-a", "vm1", 12, 345, 6, "BAD pages=1 first=2 disk=0")
    assert not found.is_well


@pytest.mark.parametrize(
    "text", ["", "beat", "beat vm1 1 2 3", "beat vm1 x 2 3 OK", "beat vm1 1 2 3 OK?", "boot vm1"]
)
def test_any_other_line_is_not_a_beat(text: str) -> None:
    assert parse_beat(text, host="host-a", seen_s=0.0) is None


@given(st.lists(st.integers(1, 20), max_size=30))
def test_beats_are_the_same_in_whatever_portions_the_file_is_read(portions: list[int]) -> None:
    text = b"boot vm1 pages=99\n" + b"".join(line(number) for number in range(1, 11))
    transcript = Transcript()
    for portion in portions:
        transcript.take("host-a", "vm1", text[:portion], 1.0)
        text = text[portion:]
    transcript.take("host-a", "vm1", text, 1.0)
    assert [found.sequence for found in transcript.beats] == list(range(1, 11))
    assert transcript.strange == []


@given(st.integers(0, len(line(1) + line(2) + line(3))))
def test_a_guest_may_move_at_any_letter_of_a_line(cut: int) -> None:
    text = line(1) + line(2) + line(3)
    transcript = Transcript()
    transcript.take("host-a", "vm1", text[:cut], 1.0)
    transcript.take("host-b", "vm1", text[cut:] + line(4), 2.0)
    assert [found.sequence for found in transcript.beats] == [1, 2, 3, 4]
    assert violations_of_running_once(transcript.beats) == []
    assert transcript.strange == []


@pytest.mark.parametrize("cut", range(len(line(2))))
def test_a_move_between_two_looks_is_read_in_the_order_it_was_printed(cut: int) -> None:
    transcript = Transcript()
    transcript.take("host-b", "vm1", line(1), 1.0)
    moved = [
        Piece("host-a", "vm1", line(2)[cut:] + line(3)),
        Piece("host-b", "vm1", line(2)[:cut]),
    ]
    transcript.take_look(moved, 2.0)
    assert [found.sequence for found in transcript.beats] == [1, 2, 3]
    assert transcript.strange == []


def test_halves_of_different_guests_are_not_joined() -> None:
    transcript = Transcript()
    transcript.take("host-a", "vm2", b"beat vm1 1 0", 1.0)
    transcript.take("host-b", "vm1", b" 0 OK\n", 1.0)
    assert transcript.beats == []
    assert [strange.text for strange in transcript.strange] == [" 0 OK"]


@pytest.mark.parametrize("printed", [b"beat vm1 7 0", b"be", b"beat vm1 7 0 0 O"])
def test_what_a_killed_guest_left_unfinished_does_not_spoil_the_next_line(printed: bytes) -> None:
    transcript = Transcript()
    transcript.take("host-a", "vm1", printed, 1.0)
    transcript.take("host-a", "vm1", b"boot vm1 pages=9\n" + line(1), 2.0)
    assert [found.sequence for found in transcript.beats] == [1]
    assert transcript.strange == []


def test_the_longest_gap_is_between_neighbours_and_says_where() -> None:
    gap = longest_gap(
        [beat(1, 1.0), beat(2, 1.02), beat(3, 1.3, "host-b"), beat(4, 1.32, "host-b")]
    )
    assert gap is not None
    assert (round(gap.length_s, 3), gap.before.host, gap.after.host) == (0.28, "host-a", "host-b")


def test_one_beat_has_no_gap() -> None:
    assert longest_gap([beat(1, 1.0)]) is None


def silent(*times: tuple[float, float], until_s: float = 8.0) -> list[Beat]:
    """A beat each 20 ms but for these times."""
    moments = [number * 0.02 for number in range(int(until_s / 0.02))]
    heard = [at_s for at_s in moments if not any(a < at_s < b for a, b in times)]
    return [beat(number, at_s) for number, at_s in enumerate(heard, 1)]


def test_a_silence_that_a_guest_which_stayed_has_beaten_through_is_its_own() -> None:
    moved = silent((3.0, 4.0))
    assert longest_own_gap_s(moved, [silent(), silent((6.0, 8.0))]) == pytest.approx(1.0, abs=0.03)
    assert longest_own_gap_s(moved, []) == pytest.approx(1.0, abs=0.03)


def test_a_silence_of_all_guests_is_no_part_of_a_move() -> None:
    moved, stayed = silent((3.0, 3.3), (5.0, 6.2)), silent((5.0, 6.1))
    assert longest_own_gap_s(moved, [stayed]) == pytest.approx(0.3, abs=0.03)
    assert longest_own_gap_s(moved, [silent(), stayed]) == pytest.approx(0.3, abs=0.03)


def test_of_a_silence_only_what_another_guest_shares_is_taken_off() -> None:
    moved, stayed = silent((3.0, 5.0)), silent((2.0, 3.5), (4.5, 7.0))
    assert longest_own_gap_s(moved, [stayed]) == pytest.approx(1.0, abs=0.05)


@given(st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_only_a_bystander_that_is_silent_takes_anything_off_and_never_too_much(
    from_s: float, for_s: float
) -> None:
    moved = silent((from_s, from_s + for_s), until_s=2.0)
    gap = longest_gap(moved)
    assert gap is not None
    assert longest_own_gap_s(moved, [silent(until_s=2.0)]) == gap.length_s
    assert 0.0 <= longest_own_gap_s(moved, [moved]) <= gap.length_s


def test_one_beat_has_no_silence_of_its_own() -> None:
    assert longest_own_gap_s([beat(1, 1.0)], [silent()]) == 0.0


@given(st.integers(0, 20))
def test_a_guest_that_moved_once_ran_once(moved_at: int) -> None:
    beats = [
        beat(number, number * 0.02, "host-a" if number <= moved_at else "host-b")
        for number in range(1, 21)
    ]
    assert violations_of_running_once(beats) == []


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.0, 0.5))
def test_a_guest_on_two_hosts_at_once_is_always_told(
    doubled_from: int, doubled_for: int, later_s: float
) -> None:
    second = [
        beat(doubled_from + number, (doubled_from + number) * 0.02 + later_s, "host-b")
        for number in range(doubled_for)
    ]
    beats = sorted(steady(20) + second, key=lambda each: each.seen_s)
    assert violations_of_running_once(beats) != []


@given(st.integers(2, 19))
def test_a_beat_that_is_missing_is_told(missing: int) -> None:
    beats = [each for each in steady(20) if each.sequence != missing]
    assert len(violations_of_running_once(beats)) == 1


def test_a_guest_that_began_anew_is_told() -> None:
    assert "went back" in violations_of_running_once([*steady(5), beat(1, 0.2)])[0]


def test_a_guest_that_is_not_well_is_told_once() -> None:
    beats = [beat(1, 1.0), beat(2, 1.02, status="BAD pages=1"), beat(3, 1.04, status="BAD pages=1")]
    assert violations_of_running_once(beats) == [
        "beat 2 of vm1 on host-a at 1.020 s says BAD pages=1"
    ]
