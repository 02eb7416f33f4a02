"""What stands around a message on a bus: the format, until when it is wanted, and for whom.

A bus may hold a message up, and a machine may stand still with the message in its socket: so each
says until when its answer is waited for, and is not begun after that. An answer that is larger than
a bus carries at once comes in pages. Used by `rpc/nats.py`.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from godwit.rpc.codec import UNREADABLE

FORMAT: Final = 1
"""Raised only when an older Godwit would misread a message; a new field with a default is none."""
PAGE_BYTES_MAX: Final = 512 * 1024
PAGES_MAX: Final = 64
"""Of one answer. A bus must let so many be sent for one message (`rpc/bus_users.py`)."""

S = TypeVar("S", bound="Stamped")


class Stamped(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever travels, as far as every release can read it."""

    format: int = FORMAT


class Letter(Stamped, frozen=True, kw_only=True):
    """A message on its way."""

    deadline_s: float
    """Wall clock. Nothing may be begun for it any more after that."""
    request_id: str
    """The request of a person or program in whose course it was sent; for the logs."""
    generation: int = 0
    """Of the story that sends it; 0: none does. For the logs: what acts at a host is refused by the
    generation in its own body, which no transport changes."""
    body: bytes


class Page(Stamped, frozen=True, kw_only=True):
    """A part of a reply: the `number`th of `count`, from 0."""

    number: int = 0
    count: int = 1
    part: bytes


class Misread(Exception):
    """Not a message of a format that is known here."""


_encoder = msgspec.msgpack.Encoder()
_stamps = msgspec.msgpack.Decoder(Stamped)
LETTERS: Final = msgspec.msgpack.Decoder(Letter)
PAGES: Final = msgspec.msgpack.Decoder(Page)


def seal(letter: Stamped) -> bytes:
    """As it travels."""
    return _encoder.encode(letter)


def opened(sealed: bytes, kind: msgspec.msgpack.Decoder[S]) -> S:
    """What has come. Raises `Misread`, with words, if it is newer than this release, or nothing."""
    try:
        stamp = _stamps.decode(sealed)
    except UNREADABLE as error:
        raise Misread(f"it is no message: {error}") from error
    if stamp.format > FORMAT:
        raise Misread(f"it has format {stamp.format}, up to {FORMAT} is known")
    try:
        return kind.decode(sealed)
    except UNREADABLE as error:
        raise Misread(str(error)) from error


def pages(reply: bytes) -> Iterator[Page]:
    """The reply in parts that a bus carries, at least one."""
    count = max(1, -(-len(reply) // PAGE_BYTES_MAX))
    for number in range(count):
        at = number * PAGE_BYTES_MAX
        yield Page(number=number, count=count, part=reply[at : at + PAGE_BYTES_MAX])


class Pile:
    """The pages of one reply as they come: in any order, perhaps twice."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._parts: dict[int, bytes] = {}

    def add(self, page: Page) -> bytes | None:
        """The whole reply once every page is there. Raises `Misread` for more than is sent."""
        if page.count > PAGES_MAX:
            raise Misread(f"it has {page.count} pages, up to {PAGES_MAX} are read")
        self._parts[page.number] = page.part
        if len(self._parts) < page.count:
            return None
        return b"".join(self._parts[number] for number in sorted(self._parts))
