"""The sweeper: takes up every story that is due, whoever began it, and pays what is owed.

One runs in every conductor for life. At its start it finds the stories of the process that died;
afterwards those whose rest or lease is over. The manager tells it of new ones by `notice`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Generic

import structlog

from godwit.model.errors import GodwitError
from godwit.saga.executor import Executor
from godwit.saga.log import Debt
from godwit.saga.step import F, W

logger = structlog.get_logger(__name__)

Telling = Callable[[], Coroutine[None, None, None]]


@dataclass
class Sweeper(Generic[W, F]):
    """Has each story told in a task of its own, never one story twice at a time."""

    executor: Executor[W, F]
    alone: bool = False
    """No other process can be alive: leases of other owners count as run out."""
    interval_s: float = 1.0
    at_once_max: int = 256
    grace_s: float = 5.0
    """How long `stop` waits for acts that are under way."""
    _busy: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _noticed: dict[str, None] = field(default_factory=dict, init=False)
    _called: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.executor.notice = self.notice

    async def run(self) -> None:
        """Work until `stop`. Acts that outlast the grace are abandoned, as by a crash: whoever
        comes next does them again.
        """
        async with asyncio.TaskGroup() as group:
            loop = asyncio.get_running_loop()
            sweep_at_s = loop.time()
            while not self._stopping:
                self._start_noticed(group)
                if loop.time() >= sweep_at_s:
                    await self._sweep(group)
                    sweep_at_s = loop.time() + self.interval_s
                await self._pause_until(sweep_at_s)
            if self._busy:
                await asyncio.wait(self._busy.values(), timeout=self.grace_s)
            for task in self._busy.values():
                task.cancel()

    def notice(self, uuid: str) -> None:
        """Have this story told now, without waiting for a sweep; if it is being told, once more
        after that.
        """
        self._noticed[uuid] = None
        self._called.set()

    def stop(self) -> None:
        """Let `run` end: nothing new is begun, leases are given back at the next record."""
        self._stopping = True
        self.executor.stop()
        self._called.set()

    def _start_noticed(self, group: asyncio.TaskGroup) -> None:
        for uuid in [uuid for uuid in self._noticed if uuid not in self._busy]:
            if not self._start(group, uuid, self._telling(uuid)):
                return
            del self._noticed[uuid]

    async def _sweep(self, group: asyncio.TaskGroup) -> None:
        now_s = self.executor.clock.now_s()
        keeper = self.executor.log
        try:
            due = await keeper.due(now_s=now_s, owner=self.executor.owner, alone=self.alone)
            owed = await keeper.debts_due(now_s=now_s)
        except GodwitError as error:
            logger.warning("sweep_failed", code=error.reason.code, words=error.reason.words)
            return
        for uuid in due:
            self._start(group, uuid, self._telling(uuid))
        by_story: dict[str, list[Debt]] = {}
        for debt in owed:
            by_story.setdefault(debt.story_uuid, []).append(debt)
        for uuid, debts in by_story.items():
            self._start(group, uuid, self._paying(debts))

    def _start(self, group: asyncio.TaskGroup, uuid: str, telling: Telling) -> bool:
        """Begin, unless it is under way. False if too much is: the next sweep finds it again."""
        if uuid not in self._busy:
            if len(self._busy) >= self.at_once_max or self._stopping:
                return False
            task = group.create_task(telling(), name=f"story {uuid}")
            self._busy[uuid] = task
            task.add_done_callback(lambda _: self._ended(uuid))
        return True

    def _ended(self, uuid: str) -> None:
        del self._busy[uuid]
        if self._noticed:
            self._called.set()

    def _telling(self, uuid: str) -> Telling:
        return lambda: self.executor.tell(uuid, alone=self.alone)

    def _paying(self, debts: list[Debt]) -> Telling:
        async def pay_all() -> None:
            for debt in debts:
                await self.executor.pay(debt, alone=self.alone)

        return pay_all

    async def _pause_until(self, at_s: float) -> None:
        try:
            async with asyncio.timeout_at(at_s):
                await self._called.wait()
        except TimeoutError:
            return
        self._called.clear()
