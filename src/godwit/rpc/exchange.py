"""Calls over a bus: a letter goes to whom it is for, and their reply comes back to this process.

The same seam as `rpc/local.py`; what carries the letters is a `Line` (`rpc/nats.py`). Nothing here
is queued or sent again: a letter is delivered now or is lost, and the story's log is what lasts.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

import msgspec
import structlog

from godwit.model.errors import Refused, Unreachable
from godwit.model.reasons import Code, reason
from godwit.rpc import codec
from godwit.rpc.address import ANYBODY, GROUP, INBOXES, Address
from godwit.rpc.answering import Answering, failed, no_answer, not_understood
from godwit.rpc.contract import Call, calls_of
from godwit.rpc.envelope import LETTERS, PAGES, Letter, Misread, Pile, opened, pages, seal
from godwit.rpc.line import Delivery, Down, Line, TooLarge
from godwit.runtime.clock import Clock
from godwit.runtime.ids import new_request_id, new_uuid

P = TypeVar("P")

AT_ONCE_MAX: Final = 256
"""So many messages are answered at the same time; the next wait on the line."""
PATIENCE_S: Final = 2.0
"""So long a letter waits for a connection that has just broken."""
SETTLING_S: Final = 1.0
"""So soon after a connection was made, that nobody listens may mean: not again yet."""
SETTLING_PAUSE_S: Final = 0.1

log = structlog.get_logger()


class _Lost(Exception):
    """The connection broke and came back, and the reply did not."""


class _NobodyThere(Exception):
    """The bus says that nobody listens at the subject: the letter was certainly not read."""


@dataclass
class _Waiting:
    """A call whose reply has not come yet."""

    reply: asyncio.Future[bytes]
    pile: Pile = field(default_factory=Pile)


class Exchange:
    """The calls of one process, out and in."""

    def __init__(self, line: Line, *, clock: Clock, tasks: asyncio.TaskGroup) -> None:
        """`tasks` runs what is answered here."""
        self._line = line
        self._clock = clock
        self._tasks = tasks
        self._waiting: dict[str, _Waiting] = {}
        self._gate = asyncio.Semaphore(AT_ONCE_MAX)
        self._answering_at: list[str] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Be ready for replies. Once, before the first call."""
        self._line.on_return(self._on_return)
        await self._line.listen(f"{self._line.inbox}.*", self._take_reply)

    # --- asking -----------------------------------------------------------------------------------

    def reach(self, protocol: Callable[..., P], address: Address) -> P:
        """An object with every remote method of `protocol`, answered by whoever is at `address`.

        A call raises what the answerer raised, or `Unreachable`: nobody listens there, or there is
        no bus (both at once, and it certainly did not happen), or no answer in time.
        """
        if not isinstance(protocol, type):
            raise TypeError(f"{protocol!r} is no protocol")
        calls = calls_of(protocol)
        client = SimpleNamespace(
            **{name: _Caller(call, address, self) for name, call in calls.items()}
        )
        return cast("P", client)  # it has every method of the protocol, made from the protocol

    async def ask(self, call: Call, address: Address, message: object) -> bytes:
        """The reply to one call. Raises `Unreachable`, or `Refused` for one that is too large."""
        timeout_s = call.remote.timeout_s
        ends_at_s = asyncio.get_running_loop().time() + timeout_s
        letter = self._letter(codec.encode(message), within_s=timeout_s)
        sealed, subject = seal(letter), address.subject_of(call, message)
        try:
            async with asyncio.timeout_at(ends_at_s):
                return await self._answered(subject, sealed)
        except TimeoutError as error:
            raise no_answer(call, address.who) from error
        except _NobodyThere as error:
            raise Unreachable(address.unheard()) from error
        except _Lost as error:
            lost = reason(Code.ANSWER_LOST, call=call.name, who=address.who)
            raise Unreachable(lost) from error
        except Down as error:
            problem = str(error)
            raise Unreachable(
                reason(Code.BUS_UNAVAILABLE, call=call.name, who=address.who, problem=problem)
            ) from error
        except TooLarge as error:
            size = len(sealed)
            raise Refused(
                reason(Code.MESSAGE_TOO_LARGE, call=call.name, who=address.who, size_bytes=size)
            ) from error
        except Misread as error:
            raise not_understood(f"the answer to {call.name}", "the caller", str(error)) from error

    async def is_answered(self, address: Address, *, within_s: float) -> bool:
        """Does anybody answer there? Nothing is asked of him. No: nobody said so in that time."""
        letter = self._letter(b"", within_s=within_s)
        try:
            async with asyncio.timeout(within_s):
                await self._sent(f"{address.subject}.{ANYBODY}", seal(letter))
        except (TimeoutError, _NobodyThere, _Lost, Down):
            return False
        return True

    def _letter(self, body: bytes, *, within_s: float) -> Letter:
        """With the marks of what is being told or answered here, as the log lines have them."""
        marks = structlog.contextvars.get_contextvars()
        return Letter(
            deadline_s=self._clock.now_s() + within_s,
            request_id=str(marks.get("request_id") or marks.get("story") or new_request_id()),
            generation=int(marks.get("generation", 0)),
            body=body,
        )

    async def _answered(self, subject: str, sealed: bytes) -> bytes:
        """The reply. Asks again while the bus has only just come back: others may be on their way.
        The time-out of the call is the bound.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._sent(subject, sealed)
            except _NobodyThere:
                if loop.time() - self._line.up_since_s > SETTLING_S:
                    raise
            await asyncio.sleep(SETTLING_PAUSE_S)

    async def _sent(self, subject: str, sealed: bytes) -> bytes:
        token = new_uuid()  # nobody can guess it, and answer in another's place
        waiting = _Waiting(asyncio.get_running_loop().create_future())
        self._waiting[token] = waiting
        try:
            reply_to = f"{self._line.inbox}.{token}"
            await self._line.send(subject, sealed, reply_to=reply_to, patience_s=PATIENCE_S)
            return await waiting.reply
        finally:
            del self._waiting[token]

    def _on_return(self) -> None:
        """Whoever answers a call is as patient as we are with a connection that has broken: what
        has not come by then is lost, and there is no use in waiting for it.
        """
        asked_before = list(self._waiting)
        asyncio.get_running_loop().call_later(PATIENCE_S + SETTLING_S, self._lose, asked_before)

    def _lose(self, tokens: list[str]) -> None:
        for token in tokens:
            waiting = self._waiting.get(token)
            if waiting is not None and not waiting.reply.done():
                waiting.reply.set_exception(_Lost())

    async def _take_reply(self, delivery: Delivery) -> None:
        """One that nobody waits for any more, or comes a second time, is dropped."""
        waiting = self._waiting.get(delivery.subject.rpartition(".")[2])
        if waiting is None or waiting.reply.done():
            return
        if delivery.nobody_there:
            waiting.reply.set_exception(_NobodyThere())
            return
        try:
            whole = waiting.pile.add(opened(delivery.data, PAGES))
        except Misread as error:
            waiting.reply.set_exception(error)
            return
        if whole is not None:
            waiting.reply.set_result(whole)

    # --- answering --------------------------------------------------------------------------------

    async def answer(self, protocol: Callable[..., P], answerer: P, address: Address) -> None:
        """Answer every call of `protocol` that comes to `address`, one task for each message.

        Where others answer at the same address, each message comes to one of them.
        """
        if not isinstance(protocol, type):
            raise TypeError(f"{protocol!r} is no protocol")
        desk = {
            name: Answering(call, getattr(answerer, name), address.who)
            for name, call in calls_of(protocol).items()
        }

        async def take(delivery: Delivery) -> None:
            await self._gate.acquire()
            task = self._tasks.create_task(
                self._reply(desk, address, delivery), name=f"answer {delivery.subject}"
            )
            self._under_way.add(task)
            task.add_done_callback(self._over)

        for subject in address.subjects(protocol):
            self._answering_at.append(subject)
            await self._line.listen(subject, take, group=GROUP)

    async def stop_answering(self, *, within_s: float) -> None:
        """Take no message any more, and wait a while for what is under way."""
        for subject in self._answering_at:
            await self._line.ignore(subject, group=GROUP)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within_s)

    async def overhear(self, call: Call, address: Address, hear: Callable[[Any], object]) -> None:
        """Have `hear` called with every message of one call that anybody answers at `address`.
        What cannot be read, or is read too late to be news, is left to who answers it.
        """
        reading = Answering(call, _never, address.who)

        async def take(delivery: Delivery) -> None:
            _, sender = address.call_and_sender(delivery.subject)
            try:
                letter = opened(delivery.data, LETTERS)
                message = reading.read(letter.body, sender=sender)
            except (Misread, Refused, Unreachable):
                return
            if self._late_s(letter) <= 0:
                hear(message)

        await self._line.listen(f"{address.subject}.{call.name}.*", take)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._gate.release()

    async def _reply(
        self, desk: Mapping[str, Answering], address: Address, delivery: Delivery
    ) -> None:
        reply = await self._replied(desk, address, delivery)
        if not delivery.reply_to.startswith(INBOXES):
            # Whoever asks names where the reply goes, and we may say more there than he may.
            log.warning("answer not wanted at an inbox", subject=delivery.subject)
            return
        try:
            for page in pages(reply):
                await self._line.send(delivery.reply_to, seal(page), patience_s=PATIENCE_S)
        except Down as error:
            log.warning("answer not delivered", subject=delivery.subject, problem=str(error))
        except TooLarge:
            log.warning("answer too large for the bus", subject=delivery.subject)

    async def _replied(
        self, desk: Mapping[str, Answering], address: Address, delivery: Delivery
    ) -> bytes:
        """What is said to a letter. Never raises: no letter may end whoever reads it."""
        name, sender = address.call_and_sender(delivery.subject)
        try:
            letter = opened(delivery.data, LETTERS)
            return await self._said_to(letter, desk, address, name=name, sender=sender)
        except Misread as error:
            return codec.encode_trouble(not_understood(name, address.who, str(error)))
        except Exception as defect:
            log.exception("letter met a defect", who=address.who, call=name)
            return codec.encode_trouble(failed(name, address.who, defect))

    async def _said_to(
        self,
        letter: Letter,
        desk: Mapping[str, Answering],
        address: Address,
        *,
        name: str,
        sender: str,
    ) -> bytes:
        if name not in desk:
            problem = "there is no such call here"
            return codec.encode_trouble(not_understood(name, address.who, problem))
        late_s = self._late_s(letter)
        if late_s > 0:
            late = reason(Code.MESSAGE_TOO_LATE, call=name, who=address.who, late_s=late_s)
            log.warning("message came too late", words=late.words, request_id=letter.request_id)
            return codec.encode_trouble(Unreachable(late))
        structlog.contextvars.bind_contextvars(
            request_id=letter.request_id,
            **({"generation": letter.generation} if letter.generation else {}),
        )
        return await desk[name].reply(letter.body, sender=sender)

    def _late_s(self, letter: Letter) -> float:
        """A process that stood still finds old letters in its socket, and must not believe them."""
        return self._clock.now_s() - letter.deadline_s


class _Caller:
    """One remote method of whoever is at an address."""

    def __init__(self, call: Call, address: Address, exchange: Exchange) -> None:
        self._call = call
        self._address = address
        self._exchange = exchange
        self._answers = _answers_to(call)

    async def __call__(self, message: object) -> object:
        reply = await self._exchange.ask(self._call, self._address, message)
        try:
            return codec.decode_reply(reply, self._answers)
        except codec.UNREADABLE as error:
            said = f"the answer to {self._call.name}"
            raise not_understood(said, "the caller", str(error)) from error


@cache
def _answers_to(call: Call) -> msgspec.msgpack.Decoder[Any]:
    """One for all addresses: there are a thousand."""
    return msgspec.msgpack.Decoder(call.answer)


async def _never(_message: object) -> object:
    raise AssertionError("who overhears does not answer")
