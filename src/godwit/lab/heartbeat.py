"""Where each guest ran, when, and whether it was well: read from the heartbeats the guests print,
from outside.

`Heartbeats` follows the serial file of each guest on each host; what can be said about the beats it
has collected is said by the pure functions of `beats`. Used by the tests and the demo.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Final, Self

from godwit.lab.beats import (
    Beat,
    Gap,
    Piece,
    Transcript,
    longest_gap,
    longest_own_gap_s,
    violations_of_running_once,
)
from godwit.lab.errors import LabError
from godwit.lab.lab import Lab

POLL_S: Final = 0.004
READ_BYTES_MAX: Final = 1 << 20
LINE_BYTES_MAX: Final = 4096


@dataclass
class _Tail:
    """One serial file being followed; opened when it appears."""

    host: str
    guest: str
    file: BinaryIO | None = None


class Heartbeats:
    """Collects the heartbeats of some guests on all hosts of a lab from the moment it is entered.

    Beats printed before that are left out, but for one that is just being printed. A thread
    reads every 4 ms: times are as exact as that, by `time.monotonic`. Leaving ends the thread; what
    was collected can still be asked for.
    """

    def __init__(self, lab: Lab, guests: Sequence[str]) -> None:
        self._lab = lab
        self._guests = tuple(guests)
        self._transcript = Transcript()
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="heartbeats", daemon=True)
        self._tails = [_Tail(host.name, guest) for host in lab.hosts for guest in guests]

    def __enter__(self) -> Self:
        for tail in self._tails:
            self._open(tail, at_end=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._thread.join()
        for tail in self._tails:
            if tail.file is not None:
                tail.file.close()

    def wait(self, guest: str, host: str | None = None, *, timeout_s: float = 60.0) -> Beat:
        """Wait for a beat after this call (on that host); LabError if none comes in time."""
        self._require_followed(guest)
        with self._changed:
            seen = len(self._transcript.beats)

            def found() -> Beat | None:
                new = self._transcript.beats[seen:]
                return next(
                    (beat for beat in new if beat.guest == guest and host in (None, beat.host)),
                    None,
                )

            beat = self._changed.wait_for(found, timeout_s)
        if beat is None:
            place = f" on {host}" if host else ""
            raise LabError(f"no heartbeat of {guest}{place} within {timeout_s:g} s")
        return beat

    def beats(self, guest: str, since_s: float = 0.0) -> list[Beat]:
        """All beats of a guest that were seen since that moment, in the order they were seen."""
        self._require_followed(guest)
        with self._changed:
            return [b for b in self._transcript.beats if b.guest == guest and b.seen_s >= since_s]

    def last(self, guest: str) -> Beat | None:
        """The latest beat of a guest."""
        return next(reversed(self.beats(guest)), None)

    def longest_gap(self, guest: str, since_s: float = 0.0) -> Gap | None:
        """The longest silence between two beats since that moment; None with fewer than two."""
        return longest_gap(self.beats(guest, since_s))

    def longest_gap_s(self, guest: str, since_s: float = 0.0) -> float:
        """The length of `longest_gap`; LabError if there were fewer than two beats."""
        gap = self.longest_gap(guest, since_s)
        if gap is None:
            raise LabError(f"{guest} has fewer than two heartbeats to measure between")
        return gap.length_s

    def longest_own_gap_s(self, guest: str, since_s: float = 0.0) -> float:
        """The length of `longest_gap`, less what guests that stayed where they are were silent for
        at the same time; 0 with fewer than two beats.
        """
        stayed = [
            other
            for other in self._guests
            if other != guest and len(self.hosts_of(other, since_s)) == 1
        ]
        return longest_own_gap_s(
            self.beats(guest, since_s), [self.beats(other, since_s) for other in stayed]
        )

    def hosts_of(self, guest: str, since_s: float = 0.0) -> list[str]:
        """The hosts the guest beat on, in the order it came to them, each time it came."""
        hosts: list[str] = []
        for beat in self.beats(guest, since_s):
            if not hosts or hosts[-1] != beat.host:
                hosts.append(beat.host)
        return hosts

    def check_ran_once(self, guest: str, since_s: float = 0.0) -> list[str]:
        """What speaks against "it ran on exactly one host throughout, and is well"; or nothing."""
        with self._changed:
            strange = [line for line in self._transcript.strange if line.guest == guest]
        found = violations_of_running_once(self.beats(guest, since_s))
        return found + [line.complaint for line in strange if line.seen_s >= since_s]

    def _require_followed(self, guest: str) -> None:
        if guest not in self._guests:
            raise LabError(f"the heartbeat of {guest!r} is not being followed")

    def _open(self, tail: _Tail, *, at_end: bool) -> None:
        path = self._lab.host(tail.host).log_folder / f"{tail.guest}.serial"
        try:
            tail.file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return
        if at_end:
            tail.file.seek(_start_of_last_line(tail.file))

    def _follow(self) -> None:
        while not self._leaving.wait(POLL_S):
            self._read_all(time.monotonic())

    def _read_all(self, now_s: float) -> None:
        pieces: list[Piece] = []
        for tail in self._tails:
            if tail.file is None:
                self._open(tail, at_end=False)
            data = tail.file.read(READ_BYTES_MAX) if tail.file is not None else b""
            if data:
                pieces.append(Piece(tail.host, tail.guest, data))
        if pieces:
            with self._changed:
                self._transcript.take_look(pieces, now_s)
                self._changed.notify_all()


def _start_of_last_line(file: BinaryIO) -> int:
    """Where the unfinished line at the end of a file begins; its end if there is none."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LINE_BYTES_MAX))
    ending = file.read(LINE_BYTES_MAX)
    return size - len(ending) + ending.rfind(b"\n") + 1
