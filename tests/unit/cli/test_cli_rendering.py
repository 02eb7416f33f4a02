"""What is pure in the client: figures, columns, the bar, and a terminal's live line."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from godwit.cli.many_lines import row_of
from godwit.cli.migration_answers import Entry, Migration, Place, Progress
from godwit.cli.move import Move
from godwit.cli.progress import Furthest, fraction_of, live_line, progress_line
from godwit.cli.screen import PlainScreen
from godwit.cli.story import closing, entry_lines
from godwit.cli.terminal import TerminalScreen
from godwit.cli.text import (
    at,
    between,
    columns,
    duration,
    mib,
    ordinal,
    pairs,
    plain,
    size,
    table,
    version,
)
from godwit.saga.log import What

MOVE = Migration(id=12, uuid="u", server_name="guest-1", source="host-a", status="running")


def sample(left: int, total: int = 100, **more: object) -> Progress:
    return Progress(
        phase="copying-memory",
        memory_total_bytes=total,
        memory_processed_bytes=1,
        memory_remaining_bytes=left,
        **more,  # type: ignore[arg-type]  # whatever a sample may have
    )


@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**13)), min_size=1))
def test_the_bar_never_runs_backwards_and_never_over_the_end(
    samples: list[tuple[int, int]],
) -> None:
    furthest = Furthest()
    for left, total in samples:
        after = furthest.after(sample(left, total))
        assert furthest.fraction <= after.fraction <= 1
        furthest = after


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    assert all(letter.isprintable() for letter in plain(text))
    assert len(plain(text)) == len(text)


@given(st.integers(0, 2**62))
def test_every_size_is_a_short_figure_with_a_unit(count: int) -> None:
    figure, unit = size(count).split()
    assert len(figure) <= 6
    assert unit in {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}


def test_nothing_is_done_before_anything_was_sent() -> None:
    assert fraction_of(Progress(memory_total_bytes=10)) == 0
    assert fraction_of(Progress()) == 0


def test_from_the_second_round_on_rounds_stand_in_the_place_of_the_bar() -> None:
    first = progress_line(sample(50, iteration=1, eta_s=0.2), Furthest(0.5))
    assert "[========        ]   50%" in first
    assert first.endswith("1 s left")
    second = progress_line(sample(50, iteration=2, eta_s=130), Furthest(0.5))
    assert "[" not in second
    assert "round 2  " in second
    assert second.endswith("2 min 10 s left")


def test_a_transfer_that_does_not_converge_says_so_and_why() -> None:
    busy = sample(50, iteration=4, converging=False, dirty_rate_bytes_per_s=800 * 2**20, eta_s=9)
    shown = progress_line(busy, Furthest(0.9))
    assert "round 4, not converging" in shown
    assert shown.endswith("dirties 800 MiB/s")
    paused = replace(busy, expected_downtime_ms=781, allowed_downtime_ms=500, throttle_percent=30)
    assert progress_line(paused, Furthest(0.9)).endswith(
        "dirties 800 MiB/s  pause 781 ms > 500 ms  slowed 30 %"
    )


def test_disks_that_do_not_converge_say_what_is_left() -> None:
    shown = progress_line(
        Progress(
            phase="copying-disks",
            disk_remaining_bytes=50 * 2**20,
            rate_bytes_per_s=10 * 2**20,
            converging=False,
        ),
        Furthest(0.9),
    )
    assert shown == "    disks, not converging  10.0 MiB/s  50.0 MiB left"


@pytest.mark.parametrize("iteration", [1, 2, 12])
@pytest.mark.parametrize("converging", [True, False])
def test_the_line_fits_a_terminal_of_100_columns(iteration: int, *, converging: bool) -> None:
    big = Progress(
        phase="copying-memory",
        memory_total_bytes=2**50,
        memory_processed_bytes=2**50,
        memory_remaining_bytes=2**49,
        rate_bytes_per_s=1000 * 2**20,
        dirty_rate_bytes_per_s=1000 * 2**20,
        iteration=iteration,
        converging=converging,
        eta_s=7199,
        expected_downtime_ms=100_000,
        allowed_downtime_ms=900,
        throttle_percent=99,
    )
    assert len(progress_line(big, Furthest(1.0))) <= 100


LINE = (
    Place(host="host-a", outgoing=True, place=3, waiting=5),
    Place(host="host-b", place=1, waiting=1),
)


def test_a_place_in_the_queue_is_told_for_both_hosts_wherever_it_is_told() -> None:
    waits = replace(MOVE, status="queued", resting="queued", outcome="under-way", queue=LINE)
    place = "3rd of 5 at host-a out, 1st at host-b in"
    assert live_line(waits, Furthest()) == f"    queued: {place} ..."
    assert closing(waits)[0].startswith(f"queued: {place}; watch: godwit migration show 12")
    row = row_of(Move("guest-1", migration=waits), waits, Furthest())
    assert row.doing == f"waits for its turn: {place}"


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd"), (112, "112th")],
)
def test_a_place_is_written_as_people_say_it(number: int, word: str) -> None:
    assert ordinal(number) == word


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"phase": "find_destination"}, "    find_destination ..."),
        ({"phase": "wait_for_turn", "resting": "queued"}, "    queued ..."),
        (
            {"phase": "live_migration", "direction": "resolving"},
            "    looking where the guest is ...",
        ),
        (
            {"phase": "find_destination", "direction": "backward"},
            "    undoing find_destination ...",
        ),
        ({"phase": "x", "abort_requested": True}, "    x  stopping, as asked"),
        ({}, "    running ..."),
    ],
)
def test_the_live_line_says_what_happens_now(changes: dict[str, str | bool], shown: str) -> None:
    migration = Migration(id=1, uuid="u", status="running", **changes)  # type: ignore[arg-type]
    assert live_line(migration, Furthest()) == shown


@pytest.mark.parametrize("what", [what for what in What if what not in {What.BEGAN, What.ENDED}])
@pytest.mark.parametrize("kind", ["step", "pivot", "forward", "undo"])
def test_everything_that_can_happen_to_a_step_has_a_sign_or_goes_without_saying(
    what: What, kind: str
) -> None:
    lines = entry_lines(Entry(step="find_destination", what=what, kind=kind, words="w"), MOVE)
    if what is What.DONE and kind in {"pivot", "undo"}:
        assert lines == []
    else:
        assert len(lines) == 1
        assert lines[0][2] in "+*>-!.~"


@pytest.mark.parametrize("what", [What.BEGAN, What.ENDED])
def test_beginnings_and_the_end_are_not_told(what: What) -> None:
    assert entry_lines(Entry(step="finish", what=what, kind="step"), MOVE) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.038, "38 ms"),
        (1, "1 s"),
        (4.24, "4.2 s"),
        (16.2, "16 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_is_as_exact_as_anybody_cares(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_figures_that_are_not_known_are_a_dash_or_none() -> None:
    assert (version(0), at(""), mib(0), between("", "x")) == ("-", "-", "0", None)
    assert version(11003000) == "11.3.0"
    assert pairs([("a", "1"), ("b", "")]) == ["a  1"]


def test_columns_are_aligned_and_end_with_a_word() -> None:
    assert columns([("a", "bb", ""), ("aaa", "b", "c")]) == ["a    bb", "aaa  b   c"]
    assert table(("x",), [], empty="none") == ["none"]
    assert columns([("a\x1b[31m", "b")]) == ["a?[31m  b"]


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = PlainScreen()
    moves = [sample(100 - done, elapsed_s=done / 10, iteration=1) for done in range(0, 101, 5)] + [
        sample(10, elapsed_s=10.2, iteration=n) for n in (2, 2, 3)
    ]
    with screen:
        for progress in moves:
            migration = Migration(id=1, uuid="u", status="running", progress=progress)
            screen.now(migration)
    lines = capsys.readouterr().out.splitlines()
    assert [row.split("]")[1].split()[0] for row in lines if "]" in row] == [
        *("0%", "25%", "50%", "75%", "100%"),
    ]
    assert [row.split()[2] for row in lines if "round" in row] == ["2", "3"]


def test_on_a_terminal_the_live_line_is_gone_at_the_end() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, highlight=False, markup=False)
    with TerminalScreen(console) as screen:
        screen.line("migration 12  guest-1  host-a → ?")
        screen.now(Migration(id=1, uuid="u", status="running", phase="find_destination"))
        screen.line("  + find_destination  host-b [x]")
    shown = written.getvalue()
    assert "find_destination ..." in shown
    assert "host-b [x]" in shown
    assert shown.index("find_destination ...") < shown.index("host-b [x]")
    assert "find_destination ..." not in shown[shown.index("host-b [x]") :]
    assert shown.endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("post-copy", "it runs on host-b, the rest of its memory follows from host-a"),
        ("post-copy-broken", "host-b runs it with the memory that has arrived, host-a holds"),
    ],
)
def test_of_a_post_copy_one_is_told_which_host_holds_what_and_offered_no_stop(
    phase: str, words: str
) -> None:
    sample = Progress(phase=phase)
    move = replace(MOVE, outcome="under-way", destination="host-b", progress=sample)
    (told,) = closing(move, [])
    assert words in told
    assert "abort" not in told
