"""The transport within one process: what `serve` uses between conductor and compute managers.

It behaves as a wire would: both sides see only what was encoded, a caller stops waiting after the
call's time-out, and the answerer goes on all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec

from godwit.rpc import codec
from godwit.rpc.answering import Answering, no_answer
from godwit.rpc.contract import Call, calls_of

P = TypeVar("P")


def connect(protocol: Callable[..., P], answerer: P, *, tasks: asyncio.TaskGroup, who: str) -> P:
    """An object with every remote method of `protocol`, answered by `answerer`.

    Each call runs as a task in `tasks`, the answerer's own group, which must outlive the callers'
    need of it. A call raises `Unreachable` (no-answer) after its time-out or once `tasks` has
    ended; the work goes on meanwhile, as at a remote host. The answerer's `GodwitError` comes out
    as the same kind; any other exception is logged and comes out as `HypervisorError`.
    (For mypy, hand the answerer over as a variable of the protocol's type.)
    """
    if not isinstance(protocol, type):
        raise TypeError(f"{protocol!r} is no protocol")
    calls = calls_of(protocol)
    client = SimpleNamespace(
        **{name: _Caller(call, getattr(answerer, name), tasks, who) for name, call in calls.items()}
    )
    return cast("P", client)  # it has every method of the protocol, made from the protocol itself


class _Caller:
    """One remote method of one answerer."""

    def __init__(
        self,
        call: Call,
        answer: Callable[[Any], Awaitable[object]],
        tasks: asyncio.TaskGroup,
        who: str,
    ) -> None:
        self._call = call
        self._answering = Answering(call, answer, who)
        self._tasks = tasks
        self._who = who
        self._answers = msgspec.msgpack.Decoder(call.answer)

    async def __call__(self, message: object) -> object:
        task = self._sent(codec.encode(message))
        await asyncio.wait((task,), timeout=self._call.remote.timeout_s)
        if not task.done() or task.cancelled():
            raise no_answer(self._call, self._who)
        return codec.decode_reply(task.result(), self._answers)

    def _sent(self, letter: bytes) -> asyncio.Task[bytes]:
        answering = self._answering.reply(letter)
        try:
            return self._tasks.create_task(answering, name=f"{self._who} {self._call.name}")
        except RuntimeError as error:  # the answerer's group has ended
            answering.close()
            raise no_answer(self._call, self._who) from error
