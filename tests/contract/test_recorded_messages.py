"""Messages as a release has put them on the bus, in `tests/upgrade`: this release reads and answers
them, and reads what the next one may write.
"""

import asyncio
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tools import messages

from godwit.model.errors import GodwitError
from godwit.model.refusals import Refusal
from godwit.rpc import codec
from godwit.rpc.answering import Answering
from godwit.rpc.contract import Call, calls_of
from godwit.rpc.envelope import FORMAT, LETTERS, PAGES, opened

FILES = messages.files()
RELEASES = [path.stem for path in FILES]
CALLS = {
    f"{protocol.__name__}.{name}": call
    for protocol in messages.PROTOCOLS
    for name, call in calls_of(protocol).items()
}


def test_the_contract_of_this_release_is_recorded() -> None:
    how = "the contract has changed: record it with `python -m tools.messages`"
    path = messages.file_of(messages.release())
    assert path in FILES, how
    assert messages.read(path) == (messages.contract(), messages.recording()), how


@pytest.mark.parametrize("path", FILES, ids=RELEASES)
def test_every_call_of_that_release_is_understood_and_answered(path: Path) -> None:
    for call, said, answers in recorded_calls(path):
        for message, answer in [(each, answers[-1]) for each in said]:
            reply = asyncio.run(replied(call, message, answer))
            assert_same(codec.decode_reply(reply, decoder(call.answer)), answer, call.answer)


@pytest.mark.parametrize("path", FILES, ids=RELEASES)
def test_every_answer_of_that_release_is_understood(path: Path) -> None:
    for call, _, answers in recorded_calls(path):
        for answer in answers:
            reply = msgspec.msgpack.encode({"answer": answer})
            assert_same(codec.decode_reply(reply, decoder(call.answer)), answer, call.answer)


@pytest.mark.parametrize("path", FILES, ids=RELEASES)
def test_what_stands_around_its_messages_is_understood(path: Path) -> None:
    _, recorded = messages.read(path)
    for letter in recorded["Letter"]:
        assert opened(stamped(letter), LETTERS).body
    for page in recorded["Page"]:
        assert opened(stamped(page), PAGES).part
    for trouble in recorded["Reply"][1:]:
        with pytest.raises(GodwitError) as raised:
            codec.decode_reply(trouble, decoder(Refusal))
        assert raised.value.reason.code


@pytest.mark.parametrize("kind", messages.kinds(), ids=messages.name_of)
def test_fields_that_only_a_later_release_knows_are_passed_over(kind: Any) -> None:
    for message in messages.encoded(kind):
        later = msgspec.msgpack.encode(grown(msgspec.msgpack.decode(message), kind))
        assert len(later) > len(message)
        assert decoder(kind).decode(later) == decoder(kind).decode(message)


@pytest.mark.parametrize("kind", messages.kinds(), ids=messages.name_of)
def test_fields_that_an_earlier_release_does_not_know_have_their_defaults(kind: Any) -> None:
    bare = decoder(kind).decode(next(messages.encoded(kind)))
    for field in msgspec.structs.fields(kind):
        if not field.required:
            default = field.default
            if default is msgspec.NODEFAULT:
                default = field.default_factory()
            assert getattr(bare, field.name) == default


def recorded_calls(path: Path) -> Iterator[tuple[Call, tuple[bytes, ...], tuple[bytes, ...]]]:
    """Each call of a release as this one has it, what was said and what was answered."""
    contract, recorded = messages.read(path)
    assert contract
    for name, (said, answered) in contract.items():
        assert name in CALLS, f"{name} was taken away"
        yield CALLS[name], recorded[said], recorded[answered]


async def replied(call: Call, message: bytes, answer: bytes) -> bytes:
    """What somebody says to a recorded message whose answer is this one."""

    async def answering(_message: object) -> object:
        return decoder(call.answer).decode(answer)

    return await Answering(call, answering, "somebody").reply(message)


def assert_same(read: object, recorded: bytes, kind: Any) -> None:
    """Nothing that was said is lost in reading it."""
    assert read == decoder(kind).decode(recorded)


def decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def stamped(message: bytes) -> bytes:
    """With a format that there is: an example's is any number."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(message) | {"format": FORMAT})


def grown(value: Any, kind: Any) -> Any:
    """The same message with a new field in every struct of it."""
    for choice in choices(kind):
        if isinstance(value, dict) and is_struct(choice, value):
            known = {field.encode_name: field.type for field in msgspec.structs.fields(choice)}
            inner = {name: grown(each, known.get(name, str)) for name, each in value.items()}
            return {"of_a_later_release": {"any": ["thing"]}} | inner
        origin, arguments = typing.get_origin(choice), typing.get_args(choice)
        if isinstance(value, dict) and origin is not None and issubclass(origin, Mapping):
            return {key: grown(each, arguments[1]) for key, each in value.items()}
        if isinstance(value, list) and arguments:
            endless = arguments[-1] is Ellipsis or len(arguments) == 1
            members = [arguments[0]] * len(value) if endless else arguments
            return [grown(each, member) for each, member in zip(value, members, strict=True)]
    return value


def choices(kind: Any) -> tuple[Any, ...]:
    """What a type leaves to choose from."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def is_struct(kind: Any, value: dict[str, Any]) -> bool:
    """Is it this struct, by its tag if it has one?"""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return False
    config = kind.__struct_config__
    return config.tag is None or value.get(config.tag_field or "") == config.tag
