"""How a promise between processes is written down: a protocol whose methods are marked `@remote`.

Every remote method takes one message and returns one. The mark says how long a caller waits and
what happens if the call is repeated; transports (`local`, `exchange`) read it, house rules check
that it is there.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

MARK = "__remote__"


@dataclass(frozen=True)
class Remote:
    """The small print of one remote method."""

    timeout_s: float
    repeat: str
    """What a second call with the same message does."""
    by: str = ""
    """The message's field that names the host that sends it. Nobody may send it for another."""


@dataclass(frozen=True)
class Call:
    """One remote method, as a transport needs it."""

    name: str
    message: Any
    answer: Any
    remote: Remote


def remote(*, timeout_s: float, repeat: str, by: str = "") -> Callable[[F], F]:
    """Mark a protocol's method as callable from another process."""

    def mark(method: F) -> F:
        setattr(method, MARK, Remote(timeout_s, repeat, by))
        return method

    return mark


@cache
def calls_of(protocol: type) -> Mapping[str, Call]:
    """All remote methods of a protocol by name. A method without mark or message is a defect."""
    calls = {}
    for name, method in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        hints = typing.get_type_hints(method)
        answer = hints.pop("return")
        [message] = hints.values()
        calls[name] = Call(name, message, answer, getattr(method, MARK))
    return calls
