"""Where a guest is, as text: the record, what each host shows now, and what that means."""

from collections.abc import Mapping
from typing import Final

from godwit.cli.answers import Answer
from godwit.cli.text import at, columns, plain


class LastHeard(Answer, frozen=True, kw_only=True):
    """A silent host's last report."""

    at: str = ""
    shows: str = ""


class HostShows(Answer, frozen=True, kw_only=True):
    """What one host shows of the guest now."""

    host: str = ""
    shows: str = ""
    words: str = ""
    heard_at: str = ""
    last: LastHeard | None = None


class Whereis(Answer, frozen=True, kw_only=True):
    """The record, every host, and what follows."""

    server: str = ""
    recorded_host: str = ""
    task_state: str | None = None
    place: str = ""
    at_hosts: tuple[str, ...] = ()
    sightings: tuple[HostShows, ...] = ()


class WhereisAnswer(Answer, frozen=True, kw_only=True):
    """`{"whereis": ...}`."""

    whereis: Whereis


_MEANS: Final[Mapping[str, str]] = {
    "as-recorded": "it is at {hosts}, as recorded",
    "under-way": "it is {task}; seen at {hosts}",
    "elsewhere": "it is at {hosts}; the record still says {recorded}",
    "left-over": "it is in use at the first of {hosts}; the others have it shut off: see to them",
    "unknown": "it cannot be told where it is; what is recorded is {recorded}",
    "twice": "ALARM: it runs at {hosts}: see which one is right, and end the other by hand",
    "nowhere": "ALARM: every host has answered, and none has it; what is recorded is {recorded}",
}
_OF_HOST: Final[Mapping[str, str]] = {
    "off": "there, shut off",
    "arriving": "half of it, arriving",
    "nothing": "not there",
    "unreachable": "does not answer",
    "no-power": "has no power",
}
NOT_THERE: Final = "nothing"
ALONE_MAX: Final = 8
"""More hosts that have nothing of it share a line."""


def whereis_lines(found: Whereis) -> list[str]:
    """What it means first, then host by host; hosts without it last."""
    hosts = ", ".join(found.at_hosts) or "no host"
    task = found.task_state or "in a task"
    words = _MEANS.get(found.place, found.place)
    said = words.format(hosts=hosts, task=task, recorded=found.recorded_host)
    without = [each.host for each in found.sightings if each.shows == NOT_THERE]
    together = len(without) > ALONE_MAX and found.recorded_host not in without
    rows = [
        _row(each, found.recorded_host)
        for each in found.sightings
        if not (together and each.shows == NOT_THERE)
    ]
    if together:
        rows.append((f"{len(without)} other hosts", "not there", "", ""))
    return [plain(f"{found.server}: {said}"), *columns(rows, indent="  ")]


def _row(seen: HostShows, recorded: str) -> tuple[str, ...]:
    return (
        seen.host,
        _OF_HOST.get(seen.shows, seen.shows),
        "recorded" if seen.host == recorded else "",
        _last_of(seen) if seen.shows == "unreachable" else seen.words,
    )


def _last_of(seen: HostShows) -> str:
    """Why a host is silent, and what it said before."""
    last = seen.last
    if last is None:
        before = f"last heard {at(seen.heard_at)}" if seen.heard_at else "never heard"
    elif last.shows == "unreachable":
        before = f"its hypervisor did not answer at {at(last.at)} either"
    else:
        before = f"at {at(last.at)}: {_OF_HOST.get(last.shows, last.shows)}"
    return f"{seen.words}; {before}" if seen.words else before
