"""What carries letters between processes: subjects that one side sends to and another listens at.

`exchange` makes calls of it. `nats` is the line of a real bus; the tests have one in memory.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Delivery:
    """What has come at a subject."""

    subject: str
    data: bytes
    reply_to: str = ""
    nobody_there: bool = False
    """Not a letter: nobody listens where the one that was to be replied to was sent."""


Take = Callable[[Delivery], Awaitable[None]]
"""Called with one delivery after another; the next waits until it returns."""


class Down(Exception):
    """There is no connection, so nothing was sent."""


class TooLarge(Exception):
    """The line does not carry so much, so nothing was sent."""


class Line(Protocol):
    """A connection to a bus, which may break and come back."""

    inbox: str
    """Subjects below it are delivered to this connection alone."""

    @property
    def up_since_s(self) -> float:
        """Loop time at which the connection was made, or made again, the last time."""
        ...

    def on_return(self, told: Callable[[], None]) -> None:
        """Have `told` called whenever the connection has broken and is there again."""
        ...

    async def send(
        self, subject: str, data: bytes, *, reply_to: str = "", patience_s: float
    ) -> None:
        """Hand it to the bus, now or never: if there is no connection, wait for one so long.

        Raises `Down` or `TooLarge`. Returning says nothing about whether it arrives.
        """
        ...

    async def listen(self, subject: str, take: Take, *, group: str = "") -> None:
        """Deliver what is sent to `subject`; of all that listen in a group, to one."""
        ...

    async def ignore(self, subject: str, *, group: str = "") -> None:
        """Deliver nothing more of what is sent there to this group."""
        ...
