"""A bounded set of threads for blocking calls: each call has a limit, and a stuck one keeps its
slot.

Used by `connection`, one set per host, so that a hypervisor that hangs holds up nobody but its own
callers. Threads are daemons and belong to no executor: a process with a stuck call can still end.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class AllThreadsStuck(Exception):
    """Every thread is held by a call that has outlived its limit."""


class StillBusy(Exception):
    """An earlier call under the same key has outlived its limit and is still not back."""


@dataclass(frozen=True)
class _Done(Generic[T]):
    value: T


class BoundedThreads:
    """At most `threads_max` blocking calls at a time. For one event loop."""

    def __init__(self, name: str, threads_max: int, expected: tuple[type[Exception], ...]) -> None:
        """`expected` are the errors a call may raise; any other is a defect and is not carried."""
        self._name = name
        self._threads_max = threads_max
        self._expected = expected
        self._slots = asyncio.Semaphore(threads_max)
        self._stuck = 0
        self._stuck_keys: dict[str, int] = {}

    async def run(
        self,
        work: Callable[[], T],
        *,
        key: str = "",
        when_back: Callable[[], None] = lambda: None,
    ) -> T:
        """What `work` returns or raises. Cancelled (by the caller's limit), it leaves the thread to
        itself, which keeps its slot until the call is back.

        Raises `AllThreadsStuck` or `StillBusy` at once where waiting would be in vain. `when_back`
        is called in the event loop when the call has really ended, however late, or was not made.
        """
        if self._stuck >= self._threads_max or key in self._stuck_keys:
            when_back()
            raise StillBusy if key in self._stuck_keys else AllThreadsStuck
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            when_back()
            raise
        return await self._in_thread(work, key, when_back)

    async def _in_thread(
        self,
        work: Callable[[], T],
        key: str,
        when_back: Callable[[], None],
    ) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        stuck = False

        def back(outcome: _Done[T] | Exception) -> None:
            self._slots.release()
            if stuck:
                self._unstick(key)
            when_back()
            if answer.done():
                return
            if isinstance(outcome, _Done):
                answer.set_result(outcome.value)
            else:
                answer.set_exception(outcome)

        def body() -> None:
            # A defect in `work` is not caught: Python reports the thread's traceback, and the
            # caller is told that there will be no answer.
            outcome: _Done[T] | Exception = AssertionError(f"a call of {self._name} broke down")
            try:
                outcome = _Done(work())
            except self._expected as error:
                outcome = error
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(back, outcome)

        threading.Thread(target=body, name=self._name, daemon=True).start()
        try:
            return await answer
        finally:
            if not answer.done() or answer.cancelled():
                stuck = True
                self._stick(key)

    def _stick(self, key: str) -> None:
        self._stuck += 1
        if key:
            self._stuck_keys[key] = self._stuck_keys.get(key, 0) + 1

    def _unstick(self, key: str) -> None:
        self._stuck -= 1
        if key:
            self._stuck_keys[key] -= 1
            if not self._stuck_keys[key]:
                del self._stuck_keys[key]
