"""The transfer's watch: samples it, carries out what `convergence` decides, stops it when asked.

Part of the transfer process (`compute/transfer.py`). Decides nothing but when to ask again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from godwit.compute.convergence import (
    Abort,
    Action,
    KeepGoing,
    Limit,
    Policy,
    SwitchToPostCopy,
    begun,
    done,
    followed,
    next_action,
)
from godwit.compute.post_copy import switch_at_once
from godwit.compute.transfer_folder import Mark, TransferFolder
from godwit.model.errors import GodwitError
from godwit.model.progress import Progress
from godwit.model.reasons import Reason
from godwit.virt.driver import TransferDriver, TransferOutcome

SAMPLE_S = 0.25
"""How often progress, the abort mark and the limits are looked at."""
ABORT_AGAIN_S = 5.0
"""An abort that has not ended the call is asked for again after so long."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Stopped:
    """Why the call was asked to end; nothing set: it was not."""

    aborted: bool = False
    why: Reason | None = None
    asked_s: float | None = None
    """When the hypervisor was asked last."""

    @property
    def at_all(self) -> bool:
        """It was asked to end."""
        return self.aborted or self.why is not None


class Helm:
    """Steers one transfer. `tell` hears every sample."""

    def __init__(
        self,
        folder: TransferFolder,
        driver: TransferDriver,
        policy: Policy,
        tell: Callable[[Progress], None],
    ) -> None:
        self._folder = folder
        self._driver = driver
        self._policy = policy
        self._tell = tell

    async def steer(self, call: asyncio.Task[TransferOutcome]) -> Stopped:
        """Watch the call until it is back; say why it was stopped, if it was."""
        loop = asyncio.get_running_loop()
        course, stopped = begun(loop.time()), Stopped()
        if self._policy.hold_back:
            stopped = Stopped(why=await self._switch_at_once(call))
        while not await _is_back(call):
            progress = await self._sample()
            if call.done():
                break
            course = followed(course, progress, loop.time())
            action = next_action(course, loop.time(), self._policy)
            stopped = self._why_stop(stopped, action, in_post_copy=course.in_post_copy)
            if stopped.at_all and not course.in_post_copy:
                stopped = await self._ask_to_stop(stopped)
            elif await self._carry_out(action):
                course = done(course, action)
        return stopped

    async def _switch_at_once(self, call: asyncio.Task[TransferOutcome]) -> Reason | None:
        return await switch_at_once(
            self._driver,
            call,
            within_s=self._policy.stall_timeout_s,
            is_unwanted=lambda: self._folder.has(Mark.ABORT),
            tell=self._tell,
        )

    def _why_stop(self, stopped: Stopped, action: Action, *, in_post_copy: bool) -> Stopped:
        if stopped.at_all or in_post_copy:
            return stopped
        if self._folder.has(Mark.ABORT):
            return Stopped(aborted=True)
        return Stopped(why=action.why) if isinstance(action, Abort) else stopped

    async def _sample(self) -> Progress | None:
        try:
            progress = await self._driver.progress()
        except GodwitError as error:
            log.debug("no progress to be had", words=error.reason.words)
            return None
        if progress is not None:
            self._tell(progress)
        return progress

    async def _carry_out(self, action: Action) -> bool:
        """True: the hypervisor has done it. What fails is decided anew at the next sample."""
        match action:
            case KeepGoing() | Abort():
                return False
            case Limit(limits):
                return await self._done("limits", self._driver.limit(limits))
            case SwitchToPostCopy():
                return await self._done("post-copy", self._driver.start_post_copy())
            case _:
                assert_never(action)

    async def _done(self, what: str, asking: Awaitable[None]) -> bool:
        try:
            await asking
        except GodwitError as error:
            log.warning("the transfer was not steered", what=what, words=error.reason.words)
            return False
        log.info("steered the transfer", what=what)
        return True

    async def _ask_to_stop(self, stopped: Stopped) -> Stopped:
        """Ask now and then: an abort may be lost, and a hypervisor may take long."""
        now_s = asyncio.get_running_loop().time()
        if stopped.asked_s is not None and now_s - stopped.asked_s < ABORT_AGAIN_S:
            return stopped
        why = stopped.why.words if stopped.why else ""
        log.info("asked to stop the job", aborted=stopped.aborted, why=why)
        try:
            await self._driver.abort()
        except GodwitError as error:
            log.warning("could not ask to stop the job", words=error.reason.words)
        return replace(stopped, asked_s=now_s)


async def _is_back(call: asyncio.Task[TransferOutcome]) -> bool:
    """True as soon as the call is back, False after `SAMPLE_S` without it."""
    finished, _ = await asyncio.wait({call}, timeout=SAMPLE_S)
    return bool(finished)
