"""The two things that only a post-copy needs: to begin before pre-copy can end, and to be mended
when its stream breaks. Part of the transfer process; called by `helm` and `transfer`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from godwit.model.errors import GodwitError
from godwit.model.progress import NO_WAY_BACK, Progress
from godwit.model.reasons import Code, Reason, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.virt.driver import TransferDriver, TransferOutcome

ASK_PAUSE_S: Final = 0.02
"""An idle guest's memory is sent within a second, even held back: the post-copy is asked for again
and again from the first moment."""
SWITCH_S: Final = 3.0
"""So long after the first byte of memory was sent the guest may run at the source; no longer."""
LOOK_PAUSE_S: Final = 2.0
RESUME_ATTEMPTS_MAX: Final = 60
"""Two minutes, and more where an attempt takes its time; then whoever sights both ends goes on."""
SILENT_S: Final = 10.0
"""So long the source may leave every question about its half unanswered. Then whoever sights both
ends goes on: the guest may long run at the other."""
DESTINATION_S: Final = 2.0
"""So long the destination is waited for before a resumption; one that hangs is tried all the same.
"""
NOBODY_THERE: Final = frozenset({DestinationWord.GONE, DestinationWord.OFF})
"""Words of a destination to which nothing can be sent any more."""
STANDS_S: Final = 60.0
"""So long an attempt may run while the source shows its stream as broken. Then whoever sights both
ends goes on: the destination's QEMU may be one that answers nobody (docs/decisions/0007)."""

W = TypeVar("W", SourceWord, DestinationWord)

log = structlog.get_logger()


async def switch_at_once(
    driver: TransferDriver,
    call: asyncio.Task[TransferOutcome],
    *,
    within_s: float,
    is_unwanted: Callable[[], bool],
    tell: Callable[[Progress], None],
) -> Reason | None:
    """Returns when the guest runs at the destination, the call is back, or somebody asked to stop.

    A reason: the job must be stopped, because the guest does not run there `within_s` after the
    beginning, or `SWITCH_S` after its memory began to be sent.
    """
    loop = asyncio.get_running_loop()
    give_up_at_s = loop.time() + within_s
    problem = "it was never asked for"
    is_sent = False
    while not call.done() and not is_unwanted():
        if problem:
            problem = await _asked(driver)
        sample = await _sample(driver)
        if sample is not None:
            tell(sample)
            if sample.phase in NO_WAY_BACK:
                return None
            if sample.memory_processed_bytes and not is_sent:
                is_sent, give_up_at_s = True, min(give_up_at_s, loop.time() + SWITCH_S)
        if loop.time() >= give_up_at_s:
            problem = problem or "the source still shows the guest as its own"
            return reason(Code.POST_COPY_NOT_STARTED, problem=problem)
        await asyncio.wait({call}, timeout=ASK_PAUSE_S)
    return None


async def _asked(driver: TransferDriver) -> str:
    """Ask for the post-copy; what is against it, or nothing."""
    try:
        await driver.start_post_copy()
    except GodwitError as error:
        return error.reason.words
    return ""


async def _sample(driver: TransferDriver) -> Progress | None:
    try:
        return await driver.progress()
    except GodwitError:
        return None


async def see_through(driver: TransferDriver, outcome: TransferOutcome) -> TransferOutcome:
    """The outcome once no post-copy is under way any more; one that broke is resumed.

    Bounded in what fails, not in what flows: a stream that flows comes to its end or breaks.
    Nothing is stopped where it gives up. Where the destination answers that it has no guest to
    send to, it gives up at once: that is for a person.
    """
    loop, attempts = asyncio.get_running_loop(), 0
    heard_s = loop.time()
    while outcome.error and attempts < RESUME_ATTEMPTS_MAX:
        word = await _source_word(driver, until_s=heard_s + SILENT_S)
        if word is not SourceWord.UNREACHABLE:
            heard_s = loop.time()
        match word:
            case SourceWord.POSTCOPY:
                pass
            case SourceWord.POSTCOPY_BROKEN:
                attempts += 1
                log.warning("post-copy is broken, resuming", attempt=attempts, was=outcome.error)
                resumed = await _resumed(driver)
                if resumed is None:
                    return outcome
                outcome, heard_s = resumed, loop.time()
            case SourceWord.UNREACHABLE if loop.time() < heard_s + SILENT_S:
                pass
            case _:
                log.info("nothing more can be done here for the post-copy", source=word)
                return outcome
        if outcome.error:
            await asyncio.sleep(LOOK_PAUSE_S)
    return outcome


async def _source_word(driver: TransferDriver, *, until_s: float) -> SourceWord:
    """A source that hangs on its guest is as good as one that is silent."""
    return await _answer(driver.source_word(), until_s, SourceWord.UNREACHABLE)


async def _destination_word(driver: TransferDriver) -> DestinationWord:
    """Only what was answered counts: the cut that broke the stream may hide it, too."""
    until_s = asyncio.get_running_loop().time() + DESTINATION_S
    return await _answer(driver.destination_word(), until_s, DestinationWord.UNREACHABLE)


async def _answer(asked: Awaitable[W], until_s: float, silence: W) -> W:
    """The word of one end; `silence` if it gives none in time."""
    try:
        async with asyncio.timeout_at(until_s):
            return await asked
    except GodwitError as error:
        log.debug("one end does not answer", taken_as=silence, words=error.reason.words)
    except TimeoutError:
        log.debug("one end does not answer in time", taken_as=silence)
    return silence


async def _resumed(driver: TransferDriver) -> TransferOutcome | None:
    """None: there is nobody to resume it with; or the attempt hangs, and is left to itself, for
    libvirt cannot take such a call back.
    """
    there = await _destination_word(driver)
    if there in NOBODY_THERE:
        log.warning("nobody is left to resume the post-copy with", destination=there)
        return None
    loop = asyncio.get_running_loop()
    call = asyncio.ensure_future(driver.resume_post_copy())
    flowed_s = loop.time()
    try:
        while not (await asyncio.wait({call}, timeout=SILENT_S))[0]:
            word = await _source_word(driver, until_s=loop.time() + SILENT_S)
            if word is not SourceWord.POSTCOPY_BROKEN:
                flowed_s = loop.time()
            elif loop.time() >= flowed_s + STANDS_S:
                log.warning("the attempt to resume the post-copy hangs", destination=there)
                return None
        return call.result()
    except GodwitError as error:
        return TransferOutcome(error=str(error), reason=error.reason)
    finally:
        call.cancel()
