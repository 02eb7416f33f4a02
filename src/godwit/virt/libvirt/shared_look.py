"""One look for all who ask at the same time: to read a host costs its libvirtd and this process as
much as all else that a check asks of it. Used by `driver` and `handshake`, for one event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from godwit.model.errors import GodwitError

T = TypeVar("T")


class SharedLook(Generic[T]):
    """Looks one after another. Nobody is answered with a look that was begun before the question:
    who asks while one goes on shares the next. Only its failure counts for them, too: a host that
    hangs costs nobody two limits.
    """

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        """`look` is bounded by itself."""
        self._look = look
        self._turn = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        """The number of the last look that came to its end."""
        self._seen: T | GodwitError | None = None
        """What came of it."""

    async def now(self) -> T:
        """What is seen by a look that was begun after this call. Raises what a look does."""
        begun_before, goes_on = self._begun, self._begun > self._ended
        async with self._turn:
            seen = self._seen
            if self._ended == begun_before and goes_on and isinstance(seen, GodwitError):
                raise seen
            if self._ended <= begun_before or seen is None:
                self._begun += 1
                seen = await self._outcome()
                self._ended, self._seen = self._begun, seen
        if isinstance(seen, GodwitError):
            raise seen
        return seen

    async def _outcome(self) -> T | GodwitError:
        try:
            return await self._look()
        except GodwitError as error:
            return error
