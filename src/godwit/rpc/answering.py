"""The answerer's side of one remote method, whatever carries it: bytes come in, bytes go out."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from godwit.model.errors import GodwitError, HypervisorError, Refused, Unreachable
from godwit.model.reasons import Code, reason
from godwit.rpc import codec
from godwit.rpc.contract import Call

log = structlog.get_logger()


class Answering:
    """One remote method of one answerer."""

    def __init__(self, call: Call, answer: Callable[[Any], Awaitable[object]], who: str) -> None:
        self.call = call
        self._answer = answer
        self._who = who
        self._messages = msgspec.msgpack.Decoder(call.message)

    def read(self, letter: bytes, *, sender: str | None = None) -> Any:
        """The message. `sender`: who sent it ("": nobody of name), where the transport knows.

        Raises `Unreachable` (message-not-understood) for one of another shape, and `Refused` for
        one that somebody sent in another's name.
        """
        try:
            message = self._messages.decode(letter)
        except codec.UNREADABLE as error:
            raise not_understood(self.call.name, self._who, str(error)) from error
        said = getattr(message, self.call.remote.by) if self.call.remote.by else ""
        if sender is not None and said != sender:
            raise Refused(
                reason(
                    Code.SENDER_NOT_BELIEVED,
                    call=self.call.name,
                    said=said or "nobody",
                    sender=sender or "nobody",
                )
            )
        return message

    async def reply(self, letter: bytes, *, sender: str | None = None) -> bytes:
        """The reply to a message as it came. Never raises: a defect here must not end the
        answerer's process.
        """
        try:
            return codec.encode_answer(await self._answer(self.read(letter, sender=sender)))
        except GodwitError as error:
            return codec.encode_trouble(error)
        except Exception as defect:
            log.exception("call failed by a defect", who=self._who, call=self.call.name)
            return codec.encode_trouble(failed(self.call.name, self._who, defect))


def failed(call: str, who: str, defect: Exception) -> HypervisorError:
    """What a caller is told whose message has met a defect."""
    problem = f"{call} at {who}: {type(defect).__name__}: {defect}"
    return HypervisorError(reason(Code.INTERNAL_ERROR, problem=problem))


def no_answer(call: Call, who: str) -> Unreachable:
    """What a caller is told that has waited in vain."""
    return Unreachable(
        reason(Code.NO_ANSWER, who=who, call=call.name, timeout_s=call.remote.timeout_s)
    )


def not_understood(call: str, reader: str, problem: str) -> Unreachable:
    """What is said of a message or answer that another release has written: nothing was begun, or
    nothing is known of it.
    """
    return Unreachable(
        reason(Code.MESSAGE_NOT_UNDERSTOOD, call=call, reader=reader, problem=problem)
    )
