"""How messages, answers and errors look on the wire: msgpack, written and read by msgspec.

Every transport uses this, also the one within a process, so that nothing ever crosses that a wire
would not carry.
"""

from typing import Final, TypeVar

import msgspec

from godwit.model.errors import (
    BadRequest,
    Conflict,
    GodwitError,
    HypervisorError,
    NotFound,
    Refused,
    Superseded,
    Unreachable,
)
from godwit.model.reasons import Reason
from godwit.model.refusals import Refusal

T = TypeVar("T")

KINDS: dict[str, type[GodwitError]] = {
    kind.__name__: kind
    for kind in (
        BadRequest,
        NotFound,
        Conflict,
        Refused,
        Unreachable,
        HypervisorError,
        Superseded,
        GodwitError,
    )
}


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """An error on its way to who asked."""

    kind: str
    reason: Reason
    refusals: tuple[Refusal, ...] = ()


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back: the answer, encoded by itself, or the trouble."""

    answer: bytes = b""
    trouble: Trouble | None = None


UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What a decoder raises for bytes that are no message, whoever has sent them: noise and other
shapes, a list in a list in a list, and words that are no text.
"""

_encoder = msgspec.msgpack.Encoder()
_reply_decoder = msgspec.msgpack.Decoder(Reply)


def encode(message: object) -> bytes:
    """The message as bytes."""
    return _encoder.encode(message)


def encode_answer(answer: object) -> bytes:
    """A reply that brings an answer."""
    return _encoder.encode(Reply(answer=_encoder.encode(answer)))


def encode_trouble(error: GodwitError) -> bytes:
    """A reply that brings an error; of an unknown kind, the nearest known one above it."""
    kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in KINDS)
    return _encoder.encode(
        Reply(trouble=Trouble(kind=kind, reason=error.reason, refusals=error.refusals))
    )


def decode_reply(reply: bytes, answers: msgspec.msgpack.Decoder[T]) -> T:
    """The answer that `reply` brings. Raises the error that it brings, or one of `UNREADABLE`."""
    opened = _reply_decoder.decode(reply)
    if opened.trouble is not None:
        trouble = opened.trouble
        raise KINDS.get(trouble.kind, GodwitError)(trouble.reason, refusals=trouble.refusals)
    return answers.decode(opened.answer)
