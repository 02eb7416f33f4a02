"""What is written down of one transfer, by whom, and how it reads to others.

`run_transfer` writes through `TransferFolder`; the compute manager reads news and evidence from
the same folder. On disk it is a folder named after the migration:

    lock                  held (flock) by the transfer process for life; free: it does nothing more
    order.json            all the process needs; there once, never changed
    process.json          the process's pid and start time, by the process itself
    progress.json         the newest sample; its `beat` is the sign of life
    result.json           how it ended; the last thing the process writes
    bell                  a pipe, rung when there is news
    trial                 a block, written by who is about to end a silent process
    stopped.json          why the job was stopped by who watched in the process's place
    steering.json         the newest steering, by the compute manager; a higher revision replaces it
    log                   what the process said
    abort, closed, began, stopped-as-migrated, seen-to-end, seen-to-crash, ended-by-us,
    over                  marks: empty files, set once

A disk that is full or fails takes no part in a move that has begun: see `SteadyFolder`.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from godwit.compute import bell
from godwit.compute.disk import sync_folder, write_whole
from godwit.model.progress import Progress
from godwit.model.steering import Steering
from godwit.rpc.compute import TransferNews, TransferResult
from godwit.virt.driver import SeenEnd, TransferEvidence

R = TypeVar("R")

log = structlog.get_logger()


class Mark(StrEnum):
    """A fact about a transfer that is never taken back."""

    ABORT = "abort"
    """Somebody asked to stop it. Found before the call begins, it prevents the call."""
    CLOSED = "closed"
    """Nothing begins here any more."""
    BEGAN = "began"
    """Written before the hypervisor is asked to begin."""
    STOPPED_AS_MIGRATED = "stopped-as-migrated"
    """The source was seen stopped because its guest had migrated."""
    SEEN_TO_END = "seen-to-end"
    """The guest was seen to end at the source, by anything but the move."""
    SEEN_TO_CRASH = "seen-to-crash"
    """As `seen-to-end`, and nobody had wanted it."""
    ENDED_BY_US = "ended-by-us"
    """Written before we end the source's half."""
    OVER = "over"
    """The story has done its last act at the source: the folder is evidence of nothing any more."""


MARK_OF_END: Final = {SeenEnd.WANTED: Mark.SEEN_TO_END, SeenEnd.CRASHED: Mark.SEEN_TO_CRASH}


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """The newest sign of life. `beat` counts signs, `sequence` counts samples that brought news."""

    beat: int = 0
    sequence: int = 0
    progress: Progress | None = None


_signs: Final = msgspec.json.Decoder(Sign)
_results: Final = msgspec.json.Decoder(TransferResult)
_steerings: Final = msgspec.json.Decoder(Steering)
"""Made here, by one thread: msgspec crashes where two learn a kind at the same time."""


class TransferFolder(Protocol):
    """What the transfer itself writes and looks up. Quick; nothing here waits."""

    def has(self, mark: Mark) -> bool:
        """Is that mark set?"""
        ...

    def set(self, mark: Mark) -> None:
        """Set the mark. It survives a crash from the moment this returns."""
        ...

    def note(self, mark: Mark) -> None:
        """Set the mark without waiting for the disk: it survives this process, not a power cut."""
        ...

    def steering(self) -> Steering | None:
        """The newest steering that was asked for since the start, if any was."""
        ...

    def show(self, sign: Sign) -> None:
        """Replace the sign of life."""
        ...

    def end(self, result: TransferResult) -> None:
        """Write the result: the last thing a transfer does."""
        ...


class WatchedFolder(TransferFolder, Protocol):
    """What who watches in the process's place reads and leaves, too."""

    def sign(self) -> Sign:
        """The newest sign of life; an empty one before the first."""
        ...

    def began_at_s(self) -> float | None:
        """The wall clock's time at which the hypervisor was about to be asked; None: never."""
        ...

    def leave_why(self, result: TransferResult) -> None:
        """Why a job that has lost its process is being stopped. The first reason stays."""
        ...


class MemoryFolder:
    """The folder of a simulated transfer: no file is touched."""

    def __init__(self) -> None:
        self.started = False
        """A transfer was started here, once."""
        self.alive = False
        """It has not ended."""
        self._marks: set[Mark] = set()
        self._steering: Steering | None = None
        self._sign = Sign()
        self._result: TransferResult | None = None
        self._news = asyncio.Event()

    def has(self, mark: Mark) -> bool:
        """See `TransferFolder`."""
        return mark in self._marks

    def set(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        self._marks.add(mark)

    def note(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        self._marks.add(mark)

    def steering(self) -> Steering | None:
        """See `TransferFolder`."""
        return self._steering

    def steer(self, steering: Steering) -> None:
        """The newest steering; an older one changes nothing."""
        if self._steering is None or steering.revision > self._steering.revision:
            self._steering = steering

    def show(self, sign: Sign) -> None:
        """See `TransferFolder`."""
        if sign.sequence > self._sign.sequence:
            self._announce()
        self._sign = sign

    def end(self, result: TransferResult) -> None:
        """See `TransferFolder`."""
        self._result = result

    def begin_life(self) -> None:
        """A transfer is started here: once, and for good."""
        self.started = self.alive = True

    def end_life(self) -> None:
        """Whatever was started here does nothing any more."""
        self.alive = False
        self._announce()

    def news(self) -> TransferNews:
        """What is known now."""
        result = None if self.alive else self._result
        return news_of(self._sign, result, ended=not self.alive, started=self.started)

    def evidence(self) -> TransferEvidence:
        """What the marks say."""
        return evidence_of(self)

    async def wait_for_news(self) -> None:
        """Returns when `news` has changed."""
        await self._news.wait()

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class DiskFolder:
    """The folder of a transfer process. Every call touches the disk for a moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told = 0
        """Up to this sequence whoever follows has been woken."""

    def has(self, mark: Mark) -> bool:
        """See `TransferFolder`."""
        return (self.path / mark).exists()

    def set(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        (self.path / mark).touch()
        sync_folder(self.path)

    def note(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        (self.path / mark).touch()

    def steering(self) -> Steering | None:
        """See `TransferFolder`."""
        return self._read("steering.json", _steerings)

    def steer(self, steering: Steering) -> None:
        """The newest steering; an older one changes nothing."""
        known = self.steering()
        if known is None or steering.revision > known.revision:
            content = msgspec.json.encode(steering)
            write_whole(self.path / "steering.json", content, durable=True)

    def show(self, sign: Sign) -> None:
        """See `TransferFolder`. Not forced to disk: after a power cut nobody needs it."""
        write_whole(self.path / "progress.json", msgspec.json.encode(sign), durable=False)
        if sign.sequence > self._told:
            self._told = sign.sequence
            bell.ring(self.path)

    def end(self, result: TransferResult) -> None:
        """See `TransferFolder`."""
        write_whole(self.path / "result.json", msgspec.json.encode(result), durable=True)

    def leave_why(self, result: TransferResult) -> None:
        """Why a job that has lost its process is being stopped. The first reason stays."""
        if self.why_stopped() is None:
            content = msgspec.json.encode(result)
            write_whole(self.path / "stopped.json", content, durable=True)

    def why_stopped(self) -> TransferResult | None:
        """See `leave_why`."""
        return self._read("stopped.json", _results)

    def began_at_s(self) -> float | None:
        """The wall clock's time at which the hypervisor was about to be asked; None: never."""
        try:
            return (self.path / Mark.BEGAN).stat().st_mtime
        except FileNotFoundError:
            return None

    def sign(self) -> Sign:
        """The newest sign of life; an empty one before the first."""
        try:
            return self._read("progress.json", _signs) or Sign()
        except msgspec.DecodeError:
            return Sign()  # not forced to disk: a power cut may leave it empty

    def result(self) -> TransferResult | None:
        """The result, if one was left."""
        return self._read("result.json", _results)

    def evidence(self) -> TransferEvidence:
        """What the marks say."""
        return evidence_of(self)

    def _read(self, name: str, kind: msgspec.json.Decoder[R]) -> R | None:
        try:
            return kind.decode((self.path / name).read_bytes())
        except FileNotFoundError:
            return None


class SteadyFolder:
    """The folder of a move that has begun: trouble with the disk is logged and never raised.

    The guest may have left already, and only who goes on can let it run. What cannot be read is
    not there; what cannot be written is missing, and whoever sights both ends does without it.
    """

    def __init__(self, folder: TransferFolder) -> None:
        self._folder = folder
        self._in_trouble = False

    def has(self, mark: Mark) -> bool:
        """See `TransferFolder`."""
        return bool(self._tried("look for a mark", lambda: self._folder.has(mark)))

    def set(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        self._tried("set a mark", lambda: self._folder.set(mark))

    def note(self, mark: Mark) -> None:
        """See `TransferFolder`."""
        self._tried("note a mark", lambda: self._folder.note(mark))

    def steering(self) -> Steering | None:
        """See `TransferFolder`."""
        return self._tried("read the steering", self._folder.steering)

    def show(self, sign: Sign) -> None:
        """See `TransferFolder`."""
        self._tried("give a sign of life", lambda: self._folder.show(sign))

    def end(self, result: TransferResult) -> None:
        """See `TransferFolder`."""
        self._tried("leave the result", lambda: self._folder.end(result))

    def _tried(self, doing: str, work: Callable[[], R]) -> R | None:
        try:
            answer = work()
        except OSError as error:
            if not self._in_trouble:  # not with every sign of life
                log.warning("the transfer's folder fails", doing=doing, problem=str(error))
            self._in_trouble = True
            return None
        self._in_trouble = False
        return answer


def evidence_of(folder: TransferFolder) -> TransferEvidence:
    """What a folder's marks say, for the sighting."""
    return TransferEvidence(
        began=folder.has(Mark.BEGAN),
        stopped_as_migrated=folder.has(Mark.STOPPED_AS_MIGRATED),
        seen_to_end=next((end for end, mark in MARK_OF_END.items() if folder.has(mark)), None),
        ended_by_us=folder.has(Mark.ENDED_BY_US),
    )


def news_of(
    sign: Sign, result: TransferResult | None, *, ended: bool, started: bool
) -> TransferNews:
    """The news for a follower."""
    return TransferNews(
        sequence=sign.sequence,
        progress=sign.progress,
        ended=ended,
        result=result,
        started=started,
    )
