"""An event loop whose time jumps: where every task waits for a timer, the clock moves to that
timer.

Only for programs that wait for nothing outside the process (no thread, socket or subprocess): those
would be skipped. Where nobody could ever wake again, it raises instead of hanging.
"""

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_S = 1_700_000_000.0
"""The wall clock of `VirtualClock` when a loop begins."""


class Stuck(AssertionError):
    """Every task waits for something that can never come."""


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: moves the loop's time by what it should have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise Stuck("no task can go on and no timer is set")
        if timeout > 0:
            self.time_s = max(self.time_s + timeout, math.nextafter(self.time_s, math.inf))
        return ()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.time_s


class VirtualClock:
    """A wall clock that runs with the running `VirtualLoop`."""

    def now_s(self) -> float:
        """The present moment in virtual time."""
        return START_S + asyncio.get_running_loop().time()


class OwnClock(VirtualClock):
    """One machine's wall clock, which somebody sets. The store's own is the world's."""

    def __init__(self) -> None:
        self.set_by_s = 0.0

    def now_s(self) -> float:
        """See `VirtualClock`."""
        return super().now_s() + self.set_by_s


def run(main: Coroutine[Any, Any, T], *, at_most_s: float = 86_400.0) -> T:
    """Run `main` in a loop of its own in virtual time, at most a virtual day, and return its
    result.
    """

    async def bounded() -> T:
        async with asyncio.timeout(at_most_s):
            return await main

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(bounded())
