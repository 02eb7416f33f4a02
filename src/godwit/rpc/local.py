"""The transport within one process: what `serve` uses between conductor and compute managers.

It behaves as a wire would: both sides see only what was encoded, a caller stops waiting after the
call's time-out, and the answerer goes on all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec
import structlog

from godwit.model.errors import GodwitError, HypervisorError, Unreachable
from godwit.model.reasons import Code, reason
from godwit.rpc import codec
from godwit.rpc.contract import Call, calls_of

P = TypeVar("P")

log = structlog.get_logger()


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
        self._answer = answer
        self._tasks = tasks
        self._who = who
        self._messages = msgspec.msgpack.Decoder(call.message)
        self._answers = msgspec.msgpack.Decoder(call.answer)

    async def __call__(self, message: object) -> object:
        task = self._sent(codec.encode(message))
        await asyncio.wait((task,), timeout=self._call.remote.timeout_s)
        if not task.done() or task.cancelled():
            raise self._no_answer()
        return codec.decode_reply(task.result(), self._answers)

    def _sent(self, letter: bytes) -> asyncio.Task[bytes]:
        answering = self._answered(letter)
        try:
            return self._tasks.create_task(answering, name=f"{self._who} {self._call.name}")
        except RuntimeError as error:  # the answerer's group has ended
            answering.close()
            raise self._no_answer() from error

    async def _answered(self, letter: bytes) -> bytes:
        """The answerer's side. Never raises: a defect here must not end the answerer's process."""
        try:
            return codec.encode_answer(await self._answer(self._messages.decode(letter)))
        except GodwitError as error:
            return codec.encode_trouble(error)
        except Exception as defect:
            log.exception("call failed by a defect", who=self._who, call=self._call.name)
            problem = f"{self._call.name} at {self._who}: {type(defect).__name__}: {defect}"
            return codec.encode_trouble(
                HypervisorError(reason(Code.INTERNAL_ERROR, problem=problem))
            )

    def _no_answer(self) -> Unreachable:
        call = self._call
        return Unreachable(
            reason(Code.NO_ANSWER, who=self._who, call=call.name, timeout_s=call.remote.timeout_s)
        )
