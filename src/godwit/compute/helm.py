"""The transfer's watch: samples it, carries out what `convergence` decides, stops it when asked.

Part of the transfer process (`compute/transfer.py`); once that has died, the compute manager
watches with it in its place (`compute/orphans.py`). Decides nothing but when to ask again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

import structlog

from godwit.compute.convergence import (
    Abort,
    Action,
    KeepGoing,
    Limit,
    Policy,
    SwitchToPostCopy,
    first_limits,
    next_action,
)
from godwit.compute.course import begun, followed, limited, told
from godwit.compute.post_copy import switch_at_once
from godwit.compute.transfer_folder import Mark, TransferFolder
from godwit.model.errors import GodwitError
from godwit.model.progress import NO_WAY_BACK, Progress
from godwit.model.reasons import Code, Reason, reason
from godwit.virt.driver import TransferDriver, TransferOutcome

SAMPLE_S: Final = 0.25
"""How often progress, the abort mark and the limits are looked at."""
ABORT_AGAIN_S: Final = 5.0
"""An abort that has not ended the call is asked for again after so long."""
PROCESS_DIED: Final = "its transfer process has died"

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
        self._course = begun(_now_s())
        self._stopped = Stopped()

    @property
    def stopped(self) -> Stopped:
        """Why the job was asked to end, if it was."""
        return self._stopped

    async def set_first_limits(self) -> None:
        """Before the call begins. Raises what the hypervisor does: then nothing has begun."""
        limits = first_limits(self._steered())
        await self._driver.limit(limits)
        self._course = begun(_now_s(), limits)

    async def steer(self, call: asyncio.Task[TransferOutcome]) -> Stopped:
        """Watch the call until it is back; say why it was stopped, if it was."""
        if self._policy.hold_back:
            self._stopped = Stopped(why=await self._switch_at_once(call))
        while not await _is_back(call):
            progress = await self._sample()
            if call.done():
                break
            await self.act_on(progress)
        return self._stopped

    async def _switch_at_once(self, call: asyncio.Task[TransferOutcome]) -> Reason | None:
        return await switch_at_once(
            self._driver,
            call,
            within_s=self._policy.stall_timeout_s,
            is_unwanted=lambda: self._folder.has(Mark.ABORT),
            tell=self._tell,
        )

    async def look(self, is_ours: Callable[[Progress], bool]) -> bool:
        """One look at a transfer that has lost its process: sample it, and do what is to be done.
        False: no job of ours is seen, and nothing was done.

        What is held back is stopped: nobody is left who would switch it before pre-copy ends.
        """
        progress = await self._sample()
        if progress is None or not is_ours(progress):
            return False
        self._course = replace(self._course, began_s=_now_s() - progress.elapsed_s)
        if (
            self._policy.hold_back
            and not self._stopped.at_all
            and progress.phase not in NO_WAY_BACK
        ):
            self._stopped = Stopped(why=reason(Code.POST_COPY_NOT_STARTED, problem=PROCESS_DIED))
        await self.act_on(progress)
        return True

    async def act_on(self, progress: Progress | None) -> None:
        """Do the one thing that is to be done after this sample."""
        self._course = followed(self._course, progress, _now_s())
        if progress is not None:
            self._tell(told(self._course, progress))
        action = next_action(self._course, _now_s(), self._steered())
        self._stopped = self._why_stop(action)
        if self._stopped.at_all and not self._course.in_post_copy:
            await self._ask_to_stop()
        else:
            await self._carry_out(action)

    def _steered(self) -> Policy:
        """The policy with the newest steering."""
        newest = self._folder.steering()
        if newest is None or newest.revision <= self._policy.steering.revision:
            return self._policy
        log.info("steered by request", steering=newest)
        self._policy = replace(self._policy, steering=newest)
        return self._policy

    def _why_stop(self, action: Action) -> Stopped:
        if self._stopped.at_all or self._course.in_post_copy:
            return self._stopped
        if self._folder.has(Mark.ABORT):
            return Stopped(aborted=True)
        return Stopped(why=action.why) if isinstance(action, Abort) else self._stopped

    async def _sample(self) -> Progress | None:
        try:
            return await self._driver.progress()
        except GodwitError as error:
            log.debug("no progress to be had", words=error.reason.words)
            return None

    async def _carry_out(self, action: Action) -> None:
        """What fails is decided anew at the next sample."""
        match action:
            case KeepGoing() | Abort():
                pass
            case Limit(limits):
                if await _is_done("limits", self._driver.limit(limits), limits=limits):
                    self._course = limited(self._course, limits, _now_s())
            case SwitchToPostCopy():
                await _is_done("post-copy", self._driver.start_post_copy())
            case _:
                assert_never(action)

    async def _ask_to_stop(self) -> None:
        """Ask now and then: an abort may be lost, and a hypervisor may take long. A job that has
        not begun yet is asked for at every sample: it must not run on for want of a question.
        """
        asked_s = self._stopped.asked_s
        if asked_s is not None and _now_s() - asked_s < ABORT_AGAIN_S:
            return
        why = self._stopped.why.words if self._stopped.why else "by request"
        self._stopped = replace(self._stopped, asked_s=_now_s())
        try:
            found = await self._driver.abort()
        except GodwitError as error:
            log.warning("the job was not stopped", why=why, words=error.reason.words)
            return
        if found:
            log.info("asked to stop the job", why=why)
        else:
            self._stopped = replace(self._stopped, asked_s=None)


async def _is_done(what: str, asking: Awaitable[None], **fields: object) -> bool:
    try:
        await asking
    except GodwitError as error:
        log.warning("the transfer was not steered", what=what, words=error.reason.words)
        return False
    log.info("the transfer was steered", what=what, **fields)
    return True


async def _is_back(call: asyncio.Task[TransferOutcome]) -> bool:
    """True as soon as the call is back, False after `SAMPLE_S` without it."""
    finished, _ = await asyncio.wait({call}, timeout=SAMPLE_S)
    return bool(finished)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
