"""Calls over a bus, on a line in memory: late, doubled, foreign and too new letters."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from structlog.contextvars import bound_contextvars, clear_contextvars, get_contextvars
from tests.contract.parrot import Answer, Ask, Parrot, repeat, scripted
from tests.unit.rpc.memory_line import MemoryLine

from godwit.model.errors import HypervisorError, Refused, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code
from godwit.rpc import codec, envelope
from godwit.rpc.address import CONDUCTORS, GROUP, Address, agent_of
from godwit.rpc.contract import calls_of
from godwit.rpc.exchange import AT_ONCE_MAX, SETTLING_S, Exchange
from godwit.rpc.line import Delivery, Down, TooLarge
from godwit.sim.loop import VirtualClock, run

PARROT = Address("parrot", "parrot")
SAY, TAKE_ITS_TIME, SAY_AS = (calls_of(Parrot)[n] for n in ("say", "take_its_time", "say_as"))


Doing = Callable[[MemoryLine, Exchange, Parrot], Awaitable[Any]]


def on_a_line(saying: Callable[[Ask], Awaitable[Answer]], doing: Doing) -> Any:
    """Do something with a parrot at the other end of a line; whatever that returns."""

    async def main() -> Any:
        async with asyncio.TaskGroup() as tasks:
            line = MemoryLine()
            exchange = Exchange(line, clock=VirtualClock(), tasks=tasks)
            await exchange.open()
            await exchange.answer(Parrot, scripted(saying), PARROT)
            return await doing(line, exchange, exchange.reach(Parrot, PARROT))

    return run(main())


def refusal(saying: Callable[[Ask], Awaitable[Answer]], doing: Doing) -> Code:
    """The code with which it was not done."""

    async def caught(line: MemoryLine, exchange: Exchange, parrot: Parrot) -> Code:
        with pytest.raises((Unreachable, Refused)) as error:
            await doing(line, exchange, parrot)
        return error.value.reason.code

    code = on_a_line(saying, caught)
    assert isinstance(code, Code)
    return code


async def never(_ask: Ask) -> Answer:
    raise AssertionError("this was not to be begun")


def test_a_message_that_comes_after_its_deadline_is_not_begun() -> None:
    said: list[str] = []

    async def keep(ask: Ask) -> Answer:
        said.extend(ask.words)
        return Answer()

    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> None:
        line.held_s = 6.0  # a machine that stood still with the letter in its socket
        with pytest.raises(Unreachable):
            await parrot.take_its_time(Ask(("destroy it",)))
        await asyncio.sleep(30)

    on_a_line(keep, doing)
    assert said == []


def test_whoever_sends_with_a_clock_that_is_behind_is_told_so() -> None:
    class Behind:
        """Ten minutes slow."""

        def now_s(self) -> float:
            return VirtualClock().now_s() - 600

    async def main() -> Code:
        async with asyncio.TaskGroup() as tasks:
            line = MemoryLine()
            exchange = Exchange(line, clock=VirtualClock(), tasks=tasks)
            await exchange.answer(Parrot, scripted(never), PARROT)
            slow = Exchange(line, clock=Behind(), tasks=tasks)
            await slow.open()
            with pytest.raises(Unreachable, match="after it was given up") as caught:
                await slow.reach(Parrot, PARROT).take_its_time(Ask())
            return caught.value.reason.code

    assert run(main()) is Code.MESSAGE_TOO_LATE


def test_a_message_and_its_answer_that_come_twice_are_answered_once_to_the_caller() -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> Answer:
        line.copies = 2
        answer = await parrot.say(Ask(("hello",)))
        await asyncio.sleep(1)
        return answer

    assert on_a_line(repeat, doing) == Answer(("hello",))


def test_nobody_at_the_address_is_said_at_once_and_is_no_word_about_the_hypervisor() -> None:
    async def doing(_line: MemoryLine, exchange: Exchange, _parrot: Parrot) -> None:
        began_s = asyncio.get_running_loop().time()
        try:
            await exchange.reach(Parrot, agent_of(HostName("host-a"))).take_its_time(Ask())
        finally:
            assert asyncio.get_running_loop().time() == began_s

    assert refusal(repeat, doing) is Code.AGENT_UNREACHABLE


def test_no_conductor_is_said_by_another_name() -> None:
    async def doing(_line: MemoryLine, exchange: Exchange, _parrot: Parrot) -> None:
        await exchange.reach(Parrot, CONDUCTORS).say(Ask())

    assert refusal(repeat, doing) is Code.CONDUCTOR_UNREACHABLE


def test_right_after_the_bus_came_back_others_are_given_a_moment_to_do_so_too() -> None:
    async def doing(line: MemoryLine, exchange: Exchange, _parrot: Parrot) -> Answer:
        loop = asyncio.get_running_loop()
        line.up_since_s = loop.time()
        late = Address("late", "late")
        loop.call_later(
            SETTLING_S / 2,
            lambda: asyncio.ensure_future(exchange.answer(Parrot, scripted(repeat), late)),
        )
        return await exchange.reach(Parrot, late).take_its_time(Ask(("back",)))

    assert on_a_line(repeat, doing) == Answer(("back",))


def test_a_reply_that_was_lost_with_the_connection_is_not_waited_for_much_longer() -> None:
    async def slow(_ask: Ask) -> Answer:
        await asyncio.sleep(60)
        return Answer()

    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        loop.call_later(0.5, line.returned)
        try:
            await parrot.take_its_time(Ask())
        finally:
            assert began_s + 1 < loop.time() < began_s + 4

    assert refusal(slow, doing) is Code.ANSWER_LOST


def test_a_reply_that_comes_after_the_connection_is_back_is_taken() -> None:
    async def slow(ask: Ask) -> Answer:
        await asyncio.sleep(2)
        return Answer(ask.words)

    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> Answer:
        asyncio.get_running_loop().call_later(0.5, line.returned)
        return await parrot.take_its_time(Ask(("late",)))

    assert on_a_line(slow, doing) == Answer(("late",))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {"story": "s-1", "generation": 7, "request_id": "req-1"},
            {"generation": 7, "request_id": "req-1"},
        ),
        ({"story": "s-1", "generation": 7}, {"generation": 7, "request_id": "s-1"}),
        ({"request_id": "req-1"}, {"request_id": "req-1"}),
    ],
    ids=["in a story", "in a story of nobody's", "for an API"],
)
def test_whoever_answers_knows_the_request_and_the_lease_in_whose_course_he_is_asked(
    told: dict[str, Any], expected: dict[str, Any]
) -> None:
    marks: list[dict[str, Any]] = []

    async def remember(_ask: Ask) -> Answer:
        marks.append(get_contextvars())
        return Answer()

    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> None:
        with bound_contextvars(**told):
            await parrot.say(Ask())
        # Nothing of the asker's own context has come by any other way than in the letter.
        clear_contextvars()
        asked = line.sent[0]
        await line.send(asked.subject, asked.data, reply_to=asked.reply_to, patience_s=1)
        await asyncio.sleep(1)

    on_a_line(remember, doing)
    assert marks[-1] == expected


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(Down("it was lost"), Code.BUS_UNAVAILABLE), (TooLarge(), Code.MESSAGE_TOO_LARGE)],
)
def test_what_was_certainly_not_sent_is_said_at_once(trouble: Exception, code: Code) -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> None:
        line.trouble = trouble
        await parrot.take_its_time(Ask())

    assert refusal(never, doing) is code


def forged(**changes: Any) -> bytes:
    """A letter as it travels, with other fields than ours."""
    letter = {
        "format": envelope.FORMAT,
        "deadline_s": 9e9,
        "request_id": "req-1",
        "body": codec.encode(Ask(("hello",))),
    }
    return msgspec.msgpack.encode(letter | changes)


DEEP = b"\x81\xa1x" + b"\x91" * 5_000 + b"\xc0"
"""A field that nobody knows, with a list in a list in a list."""
NO_TEXT = forged().replace(b"req-1", b"\xff" * 5)


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        ("parrot.say", forged(format=envelope.FORMAT + 1)),
        ("parrot.say", forged(body=codec.encode({"words": 7}))),
        ("parrot.say", forged(deadline_s="soon")),
        ("parrot.say", b"\xc1"),
        ("parrot.sing", forged()),
        ("parrot.say", forged(body=codec.encode({"words": ["hello"]})[:-5] + b"\xff" * 5)),
        ("parrot.say", DEEP),
        ("parrot.say", NO_TEXT),
        ("parrot.say", forged(body=DEEP)),
    ],
    ids=[
        "newer",
        "other shape",
        "other envelope",
        "noise",
        "unknown call",
        "no text within",
        "too deep",
        "no text",
        "too deep within",
    ],
)
def test_a_message_of_another_release_is_refused_clearly(subject: str, data: bytes) -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, _parrot: Parrot) -> None:
        await line.send(subject, data, reply_to="_INBOX.2.1", patience_s=1)
        await asyncio.sleep(1)
        [answer] = [each for each in line.sent if each.subject == "_INBOX.2.1"]
        page = envelope.opened(answer.data, envelope.PAGES)
        codec.decode_reply(page.part, msgspec.msgpack.Decoder(Answer))

    assert refusal(never, doing) is Code.MESSAGE_NOT_UNDERSTOOD


def test_a_letter_that_meets_a_defect_ends_nobody() -> None:
    class Broken:
        """No clock."""

        def now_s(self) -> float:
            raise OverflowError("a defect")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            line = MemoryLine()
            broken = Exchange(line, clock=Broken(), tasks=tasks)
            await broken.answer(Parrot, scripted(never), PARROT)
            asking = Exchange(line, clock=VirtualClock(), tasks=tasks)
            await asking.open()
            with pytest.raises(HypervisorError, match="OverflowError: a defect") as caught:
                await asking.reach(Parrot, PARROT).take_its_time(Ask())
            assert caught.value.reason.code is Code.INTERNAL_ERROR

    run(main())


def test_an_answer_that_a_bus_does_not_carry_ends_nobody() -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, _parrot: Parrot) -> None:
        await line.send("parrot.say", forged(), reply_to="_INBOX.2.1", patience_s=1)
        line.trouble = TooLarge()
        await asyncio.sleep(1)
        assert [each.subject for each in line.sent] == ["parrot.say"]

    on_a_line(repeat, doing)


def test_a_field_that_only_a_later_release_knows_harms_nobody() -> None:
    heard: list[Ask] = []

    async def keep(ask: Ask) -> Answer:
        heard.append(ask)
        return Answer()

    async def doing(line: MemoryLine, _exchange: Exchange, _parrot: Parrot) -> None:
        body = codec.encode({"words": ["hello"], "louder": True})
        await line.send("parrot.say", forged(body=body, colour="red"), patience_s=1)
        await asyncio.sleep(1)

    on_a_line(keep, doing)
    assert heard == [Ask(("hello",))]


def paged(reply: bytes) -> bytes:
    [page] = envelope.pages(reply)
    return envelope.seal(page)


@pytest.mark.parametrize(
    "data",
    [forged(format=envelope.FORMAT + 1), b"\xc1", DEEP, paged(b"\xc1"), paged(DEEP)],
    ids=["newer", "noise", "too deep", "noise within", "too deep within"],
)
def test_an_answer_of_another_release_is_said_to_be_one(data: bytes) -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> None:
        await line.ignore("parrot.*", group=GROUP)

        async def foreign(delivery: Delivery) -> None:
            await line.send(delivery.reply_to, data, patience_s=1)

        await line.listen("parrot.*", foreign)
        await parrot.take_its_time(Ask())

    assert refusal(never, doing) is Code.MESSAGE_NOT_UNDERSTOOD


def test_what_one_says_in_anothers_name_is_not_believed() -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, _parrot: Parrot) -> None:
        body = codec.encode(Ask(("I am gone",), speaker="host-b"))
        await line.send(
            "parrot.say_as.host-a", forged(body=body), reply_to="_INBOX.2.1", patience_s=1
        )
        await asyncio.sleep(1)
        [answer] = [each for each in line.sent if each.subject == "_INBOX.2.1"]
        page = envelope.opened(answer.data, envelope.PAGES)
        codec.decode_reply(page.part, msgspec.msgpack.Decoder(Answer))

    assert refusal(never, doing) is Code.SENDER_NOT_BELIEVED


def test_whoever_overhears_hears_each_message_and_none_in_anothers_name() -> None:
    heard: list[Ask] = []

    async def doing(line: MemoryLine, exchange: Exchange, parrot: Parrot) -> None:
        await exchange.overhear(SAY_AS, PARROT, heard.append)
        await parrot.say_as(Ask(("mine",), speaker="host-a"))
        body = codec.encode(Ask(("forged",), speaker="host-b"))
        strange = (forged(format=2), b"\xc1", DEEP, NO_TEXT, forged(body=DEEP))
        for data in (forged(body=body), *strange):
            await line.send("parrot.say_as.host-a", data, patience_s=1)
        await asyncio.sleep(1)

    on_a_line(repeat, doing)
    assert heard == [Ask(("mine",), speaker="host-a")]


def test_whoever_stood_still_does_not_take_what_was_said_meanwhile_for_news() -> None:
    heard: list[Ask] = []

    async def doing(line: MemoryLine, exchange: Exchange, parrot: Parrot) -> None:
        await exchange.overhear(SAY_AS, PARROT, heard.append)
        line.held_s = 60.0
        with pytest.raises(Unreachable):
            await parrot.say_as(Ask(("old",), speaker="host-a"))
        await asyncio.sleep(61)
        line.held_s = 0.0
        await parrot.say_as(Ask(("new",), speaker="host-a"))
        await asyncio.sleep(1)

    on_a_line(repeat, doing)
    assert heard == [Ask(("new",), speaker="host-a")]


def test_no_answer_goes_where_somebody_could_take_it_for_a_call() -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, _parrot: Parrot) -> list[str]:
        await line.send("parrot.say", forged(), reply_to="compute.host-b.x", patience_s=1)
        await asyncio.sleep(1)
        return [each.subject for each in line.sent]

    assert on_a_line(repeat, doing) == ["parrot.say"]


def test_where_a_reply_is_awaited_cannot_be_guessed_from_another_call() -> None:
    async def doing(line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> list[str]:
        for _ in range(2):
            await parrot.say(Ask())
        return [each.reply_to for each in line.sent if each.reply_to]

    tokens = [UUID(reply_to.rpartition(".")[2]) for reply_to in on_a_line(repeat, doing)]
    assert [token.version for token in tokens] == [4, 4]
    assert tokens[0] != tokens[1]


def test_only_so_many_messages_are_answered_at_once() -> None:
    under_way, most = 0, 0

    async def slow(_ask: Ask) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.5)
        under_way -= 1
        return Answer()

    async def doing(_line: MemoryLine, _exchange: Exchange, parrot: Parrot) -> None:
        await asyncio.gather(*[parrot.take_its_time(Ask()) for _ in range(3 * AT_ONCE_MAX)])

    on_a_line(slow, doing)
    assert most == AT_ONCE_MAX


def test_an_agent_that_stops_answers_what_it_has_begun_and_takes_nothing_new() -> None:
    async def slow(ask: Ask) -> Answer:
        await asyncio.sleep(1)
        return Answer(ask.words)

    async def doing(_line: MemoryLine, exchange: Exchange, parrot: Parrot) -> Answer:
        async with asyncio.TaskGroup() as tasks:
            begun = tasks.create_task(parrot.take_its_time(Ask(("begun",))))
            await asyncio.sleep(0.1)
            await exchange.stop_answering(within_s=5)
            with pytest.raises(Unreachable):
                await parrot.take_its_time(Ask(("new",)))
        return begun.result()

    assert on_a_line(slow, doing) == Answer(("begun",))


@pytest.mark.parametrize("size", [0, 1, envelope.PAGE_BYTES_MAX, 3 * envelope.PAGE_BYTES_MAX + 7])
def test_a_reply_is_whole_whatever_order_its_pages_come_in(size: int) -> None:
    reply = bytes(number % 251 for number in range(size))
    parts = list(envelope.pages(reply))
    assert all(len(envelope.seal(part)) < 2**20 for part in parts)
    pile = envelope.Pile()
    *early, last = [parts[-1], *parts[::-1]]
    assert len(parts) == 1 or all(pile.add(part) is None for part in early)
    assert pile.add(last) == reply
