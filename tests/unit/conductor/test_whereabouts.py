from itertools import product

import pytest

from godwit.conductor.tasks.whereabouts import PERSON, WHEREABOUTS, Verdict, WithoutPower, decide
from godwit.model.migrate_data import Guard
from godwit.model.sighting import DestinationWord as D
from godwit.model.sighting import SourceWord as S

V = Verdict

TABLE = """
| source ↓ destination → | receiving | ready | runs | off | gone | unreachable |
| **copying** | watch | ask again | ask again; still so: operator, two guests | ask again | watch | watch |
| **kept** | undo | undo | operator: two guests | operator | undo | undo; the far half is a debt |
| **took_back** | undo | undo | operator: two guests | undo ¹ | undo | ask again; then undo, the far half is a debt ¹ |
| **in_window** | ask again | ask again | ask again | ask again | ask again | ask again |
| **handed_over** | ask again; still so: discard it, then as `gone` ¹ | end the source, see it gone, resume there, forward | end the source, forward | as `gone` ¹ | resume the source, undo ¹ | ask again |
| **gone** | ask again; still so: operator, lost? | resume there, forward | forward | forward, shut off | operator: lost | ask again |
| **ended** | failed: guest ended | operator | forward | operator | failed: guest ended | ask again |
| **unreachable** | ask again | ask again | forward | ask again | ask again | ask again |
"""  # noqa: E501 - the table as the design has it

WORDS = {
    "watch": (V.WATCH, V.WATCH),
    "ask again": (V.ASK_AGAIN, V.UNKNOWN),
    "ask again; still so: operator, two guests": (V.ASK_AGAIN, V.TWO_GUESTS),
    "ask again; still so: operator, lost?": (V.ASK_AGAIN, V.LOST),
    "ask again; still so: discard it, then as `gone`": (V.ASK_AGAIN, V.DISCARD_DESTINATION),
    "ask again; then undo, the far half is a debt": (V.ASK_AGAIN, V.UNDO_FAR_HALF_OWED),
    "undo": (V.UNDO, V.UNDO),
    "undo; the far half is a debt": (V.UNDO_FAR_HALF_OWED, V.UNDO_FAR_HALF_OWED),
    "operator: two guests": (V.TWO_GUESTS, V.TWO_GUESTS),
    "operator: lost": (V.LOST, V.LOST),
    "operator": (V.UNKNOWN, V.UNKNOWN),
    "end the source, see it gone, resume there, forward": (
        V.END_SOURCE_RESUME_DESTINATION,
        V.END_SOURCE_RESUME_DESTINATION,
    ),
    "end the source, forward": (V.END_SOURCE, V.END_SOURCE),
    "as `gone`": (V.RESUME_SOURCE, V.RESUME_SOURCE),
    "resume the source, undo": (V.RESUME_SOURCE, V.RESUME_SOURCE),
    "resume there, forward": (V.RESUME_DESTINATION, V.RESUME_DESTINATION),
    "forward": (V.FORWARD, V.FORWARD),
    "forward, shut off": (V.FORWARD_SHUT_OFF, V.FORWARD_SHUT_OFF),
    "failed: guest ended": (V.GUEST_ENDED, V.GUEST_ENDED),
}

POST_COPY = {
    (S.POSTCOPY, D.POSTCOPY): V.WATCH,
    (S.POSTCOPY, D.UNREACHABLE): V.WATCH,
    (S.UNREACHABLE, D.POSTCOPY): V.WATCH,
    (S.POSTCOPY_BROKEN, D.POSTCOPY_BROKEN): V.RESUME_STREAM,
    (S.POSTCOPY_BROKEN, D.POSTCOPY): V.RESUME_STREAM,
    (S.POSTCOPY, D.GONE): V.LOST,
    (S.POSTCOPY, D.OFF): V.LOST,
    (S.POSTCOPY_BROKEN, D.GONE): V.LOST,
    (S.POSTCOPY_BROKEN, D.OFF): V.LOST,
    (S.GONE, D.POSTCOPY_BROKEN): V.LOST,
    (S.ENDED, D.POSTCOPY_BROKEN): V.LOST,
}
BROKEN_IN_THE_END = {
    (S.POSTCOPY_BROKEN, D.POSTCOPY_BROKEN),
    (S.POSTCOPY_BROKEN, D.POSTCOPY),
    (S.POSTCOPY_BROKEN, D.UNREACHABLE),
    (S.POSTCOPY, D.POSTCOPY_BROKEN),
    (S.UNREACHABLE, D.POSTCOPY_BROKEN),
}
"""The pairs of which a person is told that the stream is broken, once the bound is over."""
POST_COPY_WORDS = {"postcopy", "postcopy_broken"}

PAIRS = [(source, destination) for source in S for destination in D]
SITUATIONS = [
    (source, destination, guard, over)
    for source, destination in PAIRS
    for guard in Guard
    for over in (False, True)
]


def rows_of_the_design() -> list[tuple[S, D, str, bool]]:
    head, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.split("\n") if line
    )
    return [
        (S(row[0].strip("*")), D(column), cell.removesuffix(" ¹"), cell.endswith("¹"))
        for row in rows
        for column, cell in zip(head[1:], row[1:], strict=True)
    ]


def say(source: S, destination: D, guard: Guard = Guard.PAUSED, *, over: bool = False) -> Verdict:
    return decide(source, destination, guard=guard, bound_is_over=over)


@pytest.mark.parametrize(("source", "destination", "cell", "footnote"), rows_of_the_design())
def test_every_cell_is_the_one_of_the_design(
    source: S, destination: D, cell: str, footnote: bool
) -> None:
    now, still_so = WORDS[cell]
    assert say(source, destination) is now
    assert say(source, destination, over=True) is still_so
    assert WHEREABOUTS[source, destination].paused_only is footnote


@pytest.mark.parametrize(
    ("source", "destination"),
    [pair for pair in PAIRS if POST_COPY_WORDS & set(pair)],
)
def test_every_post_copy_pair_is_the_one_of_the_design(source: S, destination: D) -> None:
    expected = POST_COPY.get((source, destination), V.ASK_AGAIN)
    assert say(source, destination, Guard.POSTCOPY) is expected
    later = say(source, destination, Guard.POSTCOPY, over=True)
    if expected in {V.WATCH, V.LOST}:
        assert later is expected
    else:
        broken = (source, destination) in BROKEN_IN_THE_END
        assert later is (V.STREAM_BROKEN if broken else V.UNKNOWN)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if POST_COPY_WORDS & set(pair)])
@pytest.mark.parametrize("over", [False, True])
def test_in_post_copy_neither_half_is_ever_ended_or_let_run(pair: tuple[S, D], over: bool) -> None:
    may = {V.WATCH, V.ASK_AGAIN, V.RESUME_STREAM, V.STREAM_BROKEN, V.LOST, V.UNKNOWN}
    assert say(*pair, Guard.POSTCOPY, over=over) in may


def test_every_pair_of_words_has_a_cell() -> None:
    assert set(WHEREABOUTS) == set(PAIRS)


@pytest.mark.parametrize("guard", [Guard.LOCKS, Guard.POSTCOPY])
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if WHEREABOUTS[pair].paused_only])
def test_without_the_guard_paused_a_person_decides_where_the_footnote_stands(
    pair: tuple[S, D], guard: Guard
) -> None:
    assert say(*pair, guard, over=True) is V.UNKNOWN
    assert say(*pair, guard) in {V.UNKNOWN, V.ASK_AGAIN}


@pytest.mark.parametrize(("source", "destination", "guard", "over"), SITUATIONS)
def test_a_half_is_resumed_only_where_the_other_can_no_longer_run(
    source: S, destination: D, guard: Guard, over: bool
) -> None:
    match say(source, destination, guard, over=over):
        case V.RESUME_DESTINATION:
            assert source is S.GONE
            assert destination is D.READY
        case V.END_SOURCE_RESUME_DESTINATION:
            assert source is S.HANDED_OVER
            assert destination is D.READY
        case V.RESUME_SOURCE:
            assert source is S.HANDED_OVER
            assert destination in {D.OFF, D.GONE}
            assert guard is Guard.PAUSED
        case _:
            pass


@pytest.mark.parametrize(("source", "destination", "guard", "over"), SITUATIONS)
def test_nothing_is_destroyed_that_may_be_the_only_guest(
    source: S, destination: D, guard: Guard, over: bool
) -> None:
    match say(source, destination, guard, over=over):
        case V.END_SOURCE | V.END_SOURCE_RESUME_DESTINATION:
            assert destination in {D.RUNS, D.READY}
        case V.DISCARD_DESTINATION:
            assert source is S.HANDED_OVER
            assert destination is D.RECEIVING
            assert guard is Guard.PAUSED
        case V.UNDO | V.UNDO_FAR_HALF_OWED:
            assert source in {S.KEPT, S.TOOK_BACK}
            assert destination is not D.RUNS
        case V.GUEST_ENDED:
            assert source is S.ENDED
            assert destination in {D.RECEIVING, D.GONE}
        case V.FORWARD | V.FORWARD_SHUT_OFF:
            assert destination in {D.RUNS, D.OFF}
            assert source not in {S.COPYING, S.KEPT, S.TOOK_BACK, S.IN_WINDOW, S.HANDED_OVER}
        case _:
            pass


@pytest.mark.parametrize("destination", D)
def test_a_source_in_the_window_is_never_touched(destination: D) -> None:
    for over in (False, True):
        assert say(S.IN_WINDOW, destination, over=over) in {V.ASK_AGAIN, *PERSON}


@pytest.mark.parametrize("pair", PAIRS)
def test_asking_again_has_an_end(pair: tuple[S, D]) -> None:
    assert say(*pair, over=True) not in {V.ASK_AGAIN, V.RESUME_STREAM}


@pytest.mark.parametrize("pair", [p for p in PAIRS if "unreachable" in p])
def test_with_one_end_unreachable_nothing_is_ever_resumed_or_ended(pair: tuple[S, D]) -> None:
    acting = {
        V.RESUME_DESTINATION,
        V.RESUME_SOURCE,
        V.END_SOURCE,
        V.END_SOURCE_RESUME_DESTINATION,
        V.DISCARD_DESTINATION,
    }
    assert not {say(*pair, over=over) for over in (False, True)} & acting


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_without_power_an_end_that_does_not_answer_is_one_where_the_guest_ended_or_never_was(
    source: S, destination: D
) -> None:
    for off_here, off_there, guard, over in product(
        (True, False), (True, False), Guard, (True, False)
    ):
        said = decide(
            source,
            destination,
            guard=guard,
            bound_is_over=over,
            without_power=WithoutPower(source=off_here, destination=off_there),
        )
        as_source = S.ENDED if off_here and source is S.UNREACHABLE else source
        gone = off_there and destination is D.UNREACHABLE
        as_destination = D.GONE if gone else destination
        assert said is decide(as_source, as_destination, guard=guard, bound_is_over=over)
