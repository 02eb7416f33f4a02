"""A line in memory, on which a test may hold up, double and forge letters."""

import asyncio
from collections.abc import Callable

from godwit.rpc.line import Delivery, Take


class MemoryLine:
    """A bus with one connection."""

    inbox = "_INBOX.1"

    def __init__(self) -> None:
        self.up_since_s = -60.0
        self.takes: dict[tuple[str, str], Take] = {}
        self.sent: list[Delivery] = []
        self.trouble: Exception | None = None
        self.held_s = 0.0
        self.copies = 1

    def on_return(self, told: Callable[[], None]) -> None:
        self.returned = told

    async def send(
        self, subject: str, data: bytes, *, reply_to: str = "", patience_s: float
    ) -> None:
        if self.trouble is not None:
            raise self.trouble
        delivery = Delivery(subject, data, reply_to)
        self.sent.append(delivery)
        takes = [take for (at, _), take in self.takes.items() if matches(at, subject)]
        if not takes and reply_to:
            await self.takes[f"{self.inbox}.*", ""](Delivery(reply_to, b"", nobody_there=True))
        for take in takes * self.copies:
            asyncio.get_running_loop().call_later(self.held_s, _deliver, take, delivery)

    async def listen(self, subject: str, take: Take, *, group: str = "") -> None:
        self.takes[subject, group] = take

    async def ignore(self, subject: str, *, group: str = "") -> None:
        self.takes.pop((subject, group), None)


def _deliver(take: Take, delivery: Delivery) -> None:
    asyncio.ensure_future(take(delivery))  # noqa: RUF006 - a bus waits for nobody


def matches(pattern: str, subject: str) -> bool:
    """As a bus does: `*` is one word, `>` is all that follow."""
    wanted, words = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return words[: len(wanted) - 1] == wanted[:-1]
    same = (want in ("*", word) for want, word in zip(wanted, words, strict=False))
    return len(wanted) == len(words) and all(same)
