"""What a thousand hosts have said, in a few entries: nothing is lost, and it is small."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from godwit.cli.answers import Refusal as Answered
from godwit.cli.refusals import remedy_of, rows_of
from godwit.model.ids import HostName
from godwit.model.reasons import CATALOGUE, Code, Reason, reason, sentences_of
from godwit.model.refusals import Refusal, by_themselves
from godwit.model.refusals import grouped as grouped_against

FLEET = [HostName(f"host-{number:04}") for number in range(1000)]
WORDS_OF_HOSTS = [code for code in CATALOGUE if "{host}" in CATALOGUE[code].words]


def full(host: HostName, free_mib: int) -> Reason:
    return reason(Code.NOT_ENOUGH_MEMORY, host=host, free_mib=free_mib, needed_mib=4096)


def grouped(reasons: list[Reason]) -> tuple[Refusal, ...]:
    """Of hosts that speak for themselves."""
    return grouped_against(by_themselves(reasons))


def as_answered(refusals: tuple[Refusal, ...]) -> tuple[Answered, ...]:
    """As a client reads them."""
    return msgspec.json.decode(msgspec.json.encode(refusals), type=tuple[Answered, ...])


def told(refusals: tuple[Refusal, ...]) -> list[tuple[str, str, str]]:
    """Host, code and words, as the client tells them one by one."""
    return sorted(
        (host, refusal.code, words)
        for refusal in as_answered(refusals)
        for host, words in rows_of(refusal, all_hosts=True)
    )


@st.composite
def a_reason(draw: st.DrawFn) -> Reason:
    code = draw(st.sampled_from(WORDS_OF_HOSTS))
    texts = st.sampled_from(["x", "7", "{host}", "{free_mib}", "}{", "", "ü"])
    fields: dict[str, object] = {
        name: draw(st.integers(0, 3)) if form else draw(texts | st.integers(-2, 2))
        for name, form in sentences_of(code).forms.items()
    }
    made = reason(code, host=draw(st.sampled_from(FLEET[:4])), **fields)
    of_another_version = draw(st.booleans())
    return replace(made, words=f"{made.words}!", details={"y": 1}) if of_another_version else made


@settings(max_examples=30)
@given(st.lists(a_reason(), min_size=1, max_size=6))
def test_every_host_keeps_every_sentence_it_said(reasons: list[Reason]) -> None:
    assert told(grouped(reasons)) == sorted((str(r.host), r.code, r.words) for r in reasons)
    (alone,) = as_answered(grouped(reasons[:1]))
    assert rows_of(alone, all_hosts=False) == [(reasons[0].host, reasons[0].words)]
    assert remedy_of(alone) == reasons[0].remedy


def test_what_is_the_same_for_all_is_said_once_and_what_differs_is_data() -> None:
    (refusal,) = grouped([full(FLEET[1], 20), full(FLEET[0], 10)])
    assert refusal == Refusal(
        code=Code.NOT_ENOUGH_MEMORY,
        words="{host} has {free_mib} MiB of memory left for guests, 4096 MiB are needed",
        remedy="move another guest off {host} first, or choose another host",
        hosts=(FLEET[0], FLEET[1]),
        details={"free_mib": (10, 20)},
    )


def test_what_the_source_says_against_a_host_is_that_hosts_refusal_in_the_sources_words() -> None:
    source, *others = FLEET[:3]
    why = reason(Code.REHEARSAL_FAILED, host=source, doing="sending", problem="expired")
    (refusal,) = grouped_against((host, why) for host in others)
    assert refusal.hosts == tuple(others)
    assert (refusal.words, refusal.remedy) == (why.words, why.remedy)
    assert refusal.details == {}


def test_what_most_hosts_say_comes_first_whatever_the_order_they_said_it_in() -> None:
    two = [full(host, 1) for host in FLEET[:2]]
    one = [reason(Code.BRIDGE_MISSING, host=FLEET[2], bridge="br0")]
    assert grouped(two + one) == grouped(one + two[::-1])
    assert [len(each.hosts) for each in grouped(one + two)] == [2, 1]


def test_a_thousand_refusals_take_a_tenth_of_the_room() -> None:
    reasons = [full(host, number) for number, host in enumerate(FLEET)]
    alone = len(msgspec.json.encode(reasons))
    together = len(msgspec.json.encode(grouped(reasons)))
    assert together < alone / 10
    assert together < 20 * len(FLEET)


def test_a_reason_that_is_of_no_host_is_no_refusal() -> None:
    with pytest.raises(AssertionError, match="no refusal of a host"):
        grouped([reason(Code.GUEST_ENDED, how="shut down")])
