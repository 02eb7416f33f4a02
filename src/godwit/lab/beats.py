"""Heartbeat lines turned into facts: parsing them, the longest silence, "did it run on one host
only?". Pure.

A guest prints `beat NAME SEQUENCE PAGES-DIRTIED DISK-WRITES OK` (or `BAD` and what is wrong) on its
serial port, which is a file on whichever host runs it. `heartbeat` collects the bytes; everything
that is said about them is said here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# Before either may stand the beginning of a line whose guest was killed while it printed it.
BEAT: Final = re.compile(r".*beat (\S+) (\d+) (\d+) (\d+) (OK|BAD .+)")
NOTICED_S: Final = 0.1
"""Five beats."""
BOOT: Final = re.compile(r".*boot (\S+) pages=\d+")


@dataclass(frozen=True)
class Beat:
    """One sign of life."""

    seen_s: float
    host: str
    guest: str
    sequence: int
    dirtied_pages: int
    disk_writes: int
    status: str

    @property
    def is_well(self) -> bool:
        """Did the guest find its memory and its disk as it had written them?"""
        return self.status == "OK"


@dataclass(frozen=True)
class Gap:
    """The silence between two beats."""

    length_s: float
    before: Beat
    after: Beat


@dataclass(frozen=True)
class Piece:
    """What one look at the serial file of a guest on a host brought."""

    host: str
    guest: str
    data: bytes


@dataclass(frozen=True)
class StrangeLine:
    """Something on a serial port that is neither a beat nor the announcement of a boot."""

    seen_s: float
    host: str
    guest: str
    text: str

    @property
    def complaint(self) -> str:
        """The line as a violation."""
        return f"strange line on {self.host}: {self.text!r}"


class Transcript:
    """All that came from the serial files so far, put together to beats.

    A guest that moves in the middle of a line leaves the beginning in one host's file and the rest
    in another's: such halves are joined, and the beat belongs to the host that printed its end.
    """

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.strange: list[StrangeLine] = []
        self._unfinished: dict[tuple[str, str], bytes] = {}
        self._last_host: dict[str, str] = {}

    def take_look(self, pieces: Sequence[Piece], now_s: float) -> None:
        """Take what one look at all files brought.

        The host a guest beat on last comes first: if it moved since the look before, that is the
        order in which the pieces were printed.
        """
        for piece in sorted(pieces, key=lambda p: p.host != self._last_host.get(p.guest)):
            self.take(piece.host, piece.guest, piece.data, now_s)

    def take(self, host: str, guest: str, data: bytes, now_s: float) -> None:
        """Take what was just read from the file of a guest on a host."""
        *lines, rest = (self._unfinished.pop((host, guest), b"") + data).split(b"\n")
        if rest:
            self._unfinished[host, guest] = rest
        for line in lines:
            self._take_line(host, guest, line, now_s)

    def _take_line(self, host: str, guest: str, line: bytes, now_s: float) -> None:
        text = line.decode("ascii", errors="replace").strip("\r")
        beat = parse_beat(text, host=host, seen_s=now_s) or self._join(host, guest, line, now_s)
        if beat is not None:
            self.beats.append(beat)
            self._last_host[guest] = host
        elif not BOOT.fullmatch(text):
            self.strange.append(StrangeLine(now_s, host, guest, text))

    def _join(self, host: str, guest: str, line: bytes, now_s: float) -> Beat | None:
        for (other, its_guest), beginning in self._unfinished.items():
            if its_guest == guest and other != host:
                text = (beginning + line).decode("ascii", errors="replace").strip("\r")
                beat = parse_beat(text, host=host, seen_s=now_s)
                if beat is not None:
                    del self._unfinished[other, guest]
                    return beat
        return None


def parse_beat(text: str, *, host: str, seen_s: float) -> Beat | None:
    """The beat a line says, or None if it is none."""
    match = BEAT.fullmatch(text)
    if match is None:
        return None
    guest, sequence, dirtied, writes, status = match.groups()
    return Beat(seen_s, host, guest, int(sequence), int(dirtied), int(writes), status)


def longest_gap(beats: Sequence[Beat]) -> Gap | None:
    """The longest time between two neighbours; None with fewer than two beats."""
    return max(_gaps(beats), key=lambda gap: gap.length_s, default=None)


def longest_own_gap_s(beats: Sequence[Beat], bystanders: Sequence[Sequence[Beat]]) -> float:
    """The longest silence of a guest, less the time for which a bystander was silent, too.

    The bystanders' beats, a sequence each, are of guests that nothing was done to. A box that is
    short of CPU lets its guests stand still, and whoever reads them: that is no part of a move.
    Silences of `NOTICED_S` and less are not shared: that is how long beats are apart anyway.
    """
    stalls = [list(_noticed(each)) for each in bystanders]
    own = (
        gap.length_s - max((_shared_s(gap, those) for those in stalls), default=0.0)
        for gap in _gaps(beats)
    )
    return max(own, default=0.0)


def _gaps(beats: Sequence[Beat]) -> Iterator[Gap]:
    return (Gap(after.seen_s - before.seen_s, before, after) for before, after in pairwise(beats))


def _noticed(beats: Sequence[Beat]) -> Iterator[Gap]:
    return (gap for gap in _gaps(beats) if gap.length_s > NOTICED_S)


def _shared_s(gap: Gap, stalls: Sequence[Gap]) -> float:
    return sum(
        max(
            0.0,
            min(gap.after.seen_s, stall.after.seen_s) - max(gap.before.seen_s, stall.before.seen_s),
        )
        for stall in stalls
    )


def violations_of_running_once(beats: Sequence[Beat]) -> list[str]:
    """What speaks against one guest, on one host at a time, that lost nothing.

    Told are a beat printed on two hosts, a beat missing, a guest that went back in time or began
    anew, and the first beat that says BAD. The order in which files were read within one look does
    not count.
    """
    found: list[str] = []
    ordered = sorted(beats, key=lambda beat: (beat.seen_s, beat.sequence))
    for before, after in pairwise(ordered):
        problem = _problem_between(before, after)
        if problem:
            found.append(problem)
    found += [f"{_where(beat)} says {beat.status}" for beat in ordered if not beat.is_well][:1]
    return found


def _problem_between(before: Beat, after: Beat) -> str:
    if after.sequence == before.sequence + 1:
        return ""
    if after.sequence == before.sequence:
        return f"the same beat twice: {_where(before)} and {_where(after)}"
    if after.sequence > before.sequence:
        return f"beats missing between {_where(before)} and {_where(after)}"
    return f"went back: {_where(after)} came after {_where(before)}"


def _where(beat: Beat) -> str:
    return f"beat {beat.sequence} of {beat.guest} on {beat.host} at {beat.seen_s:.3f} s"
