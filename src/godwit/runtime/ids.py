"""The door to chance, for names that must be new."""

import os
import platform
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_uuid: ContextVar[Callable[[], uuid.UUID]] = ContextVar("uuid", default=uuid.uuid4)


def new_uuid() -> str:
    """A uuid that nobody has."""
    return str(_uuid.get()())


def new_life() -> str:
    """A name for this life of this process that says where it is: `MACHINE:PID:EIGHT-DIGITS`."""
    return f"{platform.node()}:{os.getpid()}:{new_uuid()[:8]}"


def new_request_id() -> str:
    """`req-<uuid>`, as OpenStack names a request."""
    return f"req-{new_uuid()}"


@contextmanager
def drawn_from(chance: Callable[[], int]) -> Iterator[None]:
    """Within, for this task and those it starts, every uuid is made of 128 bits that `chance`
    gives: what is simulated under a seed is named by it.
    """
    token = _uuid.set(lambda: uuid.UUID(int=chance(), version=4))
    try:
        yield
    finally:
        _uuid.reset(token)
