"""A promise for the tests of transports: whoever keeps it says what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from godwit.rpc.contract import remote

PATIENCE_S = 1.0
"""So long a caller waits: real time, where the transport is real."""


class Ask(msgspec.Struct, frozen=True):
    """A question. `speaker` is whoever asks."""

    words: tuple[str, ...] = ()
    speaker: str = "somebody"


class Answer(msgspec.Struct, frozen=True):
    """An answer."""

    words: tuple[str, ...] = ()


class Parrot(Protocol):
    """Says what it is told."""

    @remote(timeout_s=PATIENCE_S, repeat="says it again")
    async def say(self, ask: Ask) -> Answer: ...

    @remote(timeout_s=5, repeat="says it again")
    async def take_its_time(self, ask: Ask) -> Answer: ...

    @remote(timeout_s=5, repeat="says it again", by="speaker")
    async def say_as(self, ask: Ask) -> Answer: ...


Saying = Callable[[Ask], Awaitable[Answer]]


class ScriptedParrot:
    """Answers as the test says."""

    def __init__(self, saying: Saying) -> None:
        self._saying = saying

    async def say(self, ask: Ask) -> Answer:
        return await self._saying(ask)

    async def take_its_time(self, ask: Ask) -> Answer:
        return await self._saying(ask)

    async def say_as(self, ask: Ask) -> Answer:
        return await self._saying(ask)


def scripted(saying: Saying) -> Parrot:
    """A parrot that answers so."""
    return ScriptedParrot(saying)


async def repeat(ask: Ask) -> Answer:
    """What a parrot does."""
    return Answer(ask.words)


def raises(error: Exception) -> Saying:
    """A parrot that fails so."""

    async def saying(_ask: Ask) -> Answer:
        raise error

    return saying
