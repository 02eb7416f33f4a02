"""Where record and truth disagree: what is recorded and what every host shows in, disagreements
with their evidence and the action they ask for out. Pure.

Only what a host shows that answered counts; what a silent one may have is not judged. Servers in a
task are their story's: of those only what alarms is said. One look is never enough, for hosts do
not answer all at the same moment: `lasting` keeps what two looks agree on.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from godwit.conductor.bookkeeping import wrong_records
from godwit.model.audit import (
    RECORD,
    Action,
    Disagreement,
    Evidence,
    Ledger,
    Mismatch,
    Stock,
)
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest, Instance, VmState
from godwit.model.whereis import HostShows, Place, Shows, conclude, holders, shown

M = Mismatch
WORST_FIRST: Final = tuple(Mismatch)

LOOK_YOURSELF: Final = (
    "see which one is right (godwit server whereis), and end the other by hand; Godwit touches "
    "neither"
)
LOST: Final = (
    "start it where its newest disk is: discovery finds it; Godwit starts nothing from a disk. If "
    "it was removed on purpose: godwit server forget"
)
LEFT_OVER: Final = "see what the others hold, and undefine it there by hand"
SILENT: Final = (
    "bring that host back, or, if its power is off for certain, say so: godwit host confirm-down"
)
HALF: Final = "see that nothing sends to it any more, then end it by hand: it has never run"
DISK: Final = (
    "see that it is not the very file that the guest uses (on storage that both hosts see), "
    "compare the two, then remove it by hand"
)
TRANSFER: Final = "godwit migration show says how it ended; end the process when the guest is safe"


@dataclass(frozen=True)
class Seen:
    """What all hosts show, ready to be asked for one guest."""

    stocks: Mapping[HostName, Stock]
    having: Mapping[InstanceUuid, Sequence[tuple[HostName, Guest]]]
    silent: tuple[HostShows, ...]

    def of(self, uuid: InstanceUuid, *, but: frozenset[HostName]) -> tuple[HostShows, ...]:
        """What those show that have something of the guest, and who does not answer."""
        here = (
            HostShows(host=host, shows=shown(guest))
            for host, guest in self.having.get(uuid, ())
            if host not in but
        )
        return (*here, *self.silent)

    def evidence(self, shows: Sequence[HostShows]) -> tuple[Evidence, ...]:
        """Who has seen what, when."""
        return tuple(
            Evidence(by=each.host, said=each.shows, at=self.stocks[each.host].seen_at)
            for each in sorted(shows, key=lambda each: each.host)
        )


def disagreements(ledger: Ledger, stocks: Sequence[Stock]) -> tuple[Disagreement, ...]:
    """Every one, the worst first. `stocks`: of every known host, those that are silent, too."""
    seen = _seen(stocks)
    found = [each for server in ledger.servers for each in _of_server(server, ledger, seen)]
    found += _strangers(ledger, seen)
    found += _halves(ledger, seen)
    found += _files(ledger, seen)
    found += _transfers(ledger, seen)
    found += wrong_records(ledger)
    return tuple(sorted(found, key=lambda each: (WORST_FIRST.index(each.kind), each.key)))


def lasting(
    before: Sequence[Disagreement], after: Sequence[Disagreement]
) -> tuple[Disagreement, ...]:
    """Those that two looks agree on, as the second saw them."""
    known = {each.key for each in before}
    return tuple(each for each in after if each.key in known)


def _seen(stocks: Sequence[Stock]) -> Seen:
    having: defaultdict[InstanceUuid, list[tuple[HostName, Guest]]] = defaultdict(list)
    for stock in stocks:
        for guest in stock.guests if stock.answered else ():
            having[guest.uuid].append((stock.host, guest))
    silent = tuple(
        HostShows(
            host=stock.host, shows=Shows.NO_POWER if stock.without_power else Shows.UNREACHABLE
        )
        for stock in stocks
        if not stock.answered
    )
    return Seen({stock.host: stock for stock in stocks}, having, silent)


# --- guests --------------------------------------------------------------------------------------


def _of_server(server: Instance, ledger: Ledger, seen: Seen) -> list[Disagreement]:
    """What is owed accounts for what is left at a host, but never for a guest that runs there."""
    owing = frozenset(
        owed.host
        for owed in ledger.owed
        if owed.instance_uuid == server.uuid and owed.host != server.host
    )
    idle = frozenset(
        host
        for host, guest in seen.having.get(server.uuid, ())
        if host in owing and shown(guest) is not Shows.RUNS
    )
    shows = seen.of(server.uuid, but=idle)
    place = conclude(shows, recorded=server.host, task_state=server.task_state)
    judge = _BY_PLACE.get(place)
    found = judge(server, seen, shows) if judge is not None else None
    return [] if found is None else [found]


def _twice(server: Instance, seen: Seen, shows: tuple[HostShows, ...]) -> Disagreement:
    return _about(server, M.RUNS_TWICE, seen, holders(shows), remedy=LOOK_YOURSELF)


def _nowhere(server: Instance, seen: Seen, _shows: tuple[HostShows, ...]) -> Disagreement:
    asked = [HostShows(host=host, shows=Shows.NOTHING) for host in sorted(seen.stocks)]
    return _about(server, M.NOWHERE, seen, asked, remedy=LOST)


def _left_over(server: Instance, seen: Seen, shows: tuple[HostShows, ...]) -> Disagreement:
    return _about(server, M.HELD_TWICE, seen, holders(shows), remedy=LEFT_OVER)


def _elsewhere(server: Instance, seen: Seen, shows: tuple[HostShows, ...]) -> Disagreement:
    off = [each for each in seen.silent if each.host == server.host]
    own = off[0] if off else HostShows(host=server.host, shows=Shows.NOTHING)
    there = holders(shows)
    asked = [*there, own] if server.host in seen.stocks else there
    found = _about(server, M.ELSEWHERE, seen, asked, action=Action.FOLLOW_THE_GUEST)
    return replace(found, host=there[0].host)


def _unknown(server: Instance, seen: Seen, shows: tuple[HostShows, ...]) -> Disagreement | None:
    """A guest that nobody shows may be at a silent host: that is not judged."""
    having = holders(shows)
    if not having:
        return None
    silent = [
        each for each in seen.silent if each.host == server.host and each.shows is Shows.UNREACHABLE
    ]
    if silent:
        asked = [*having, *silent]
        return _about(server, M.RECORDED_HOST_SILENT, seen, asked, remedy=SILENT)
    return _about(server, M.HELD_TWICE, seen, having, remedy=LEFT_OVER)


def _as_recorded(server: Instance, seen: Seen, shows: tuple[HostShows, ...]) -> Disagreement | None:
    guest = dict(seen.having[server.uuid])[server.host]
    if server.vm_state is not VmState.MISSING and guest.power_state is server.power_state:
        return None
    here = [HostShows(host=server.host, shows=shown(guest))]
    return _about(server, M.STATE_DIFFERS, seen, here, action=Action.FOLLOW_THE_GUEST)


_Judge = Callable[[Instance, Seen, tuple[HostShows, ...]], Disagreement | None]
_BY_PLACE: Final[Mapping[Place, _Judge]] = {
    Place.TWICE: _twice,
    Place.NOWHERE: _nowhere,
    Place.LEFT_OVER: _left_over,
    Place.ELSEWHERE: _elsewhere,
    Place.UNKNOWN: _unknown,
    Place.AS_RECORDED: _as_recorded,
}
"""A guest that is under way is its story's."""


def _about(
    server: Instance,
    kind: Mismatch,
    seen: Seen,
    shows: Sequence[HostShows],
    *,
    action: Action = Action.NOTHING,
    remedy: str = "",
) -> Disagreement:
    task = f", {server.task_state}" if server.task_state else ""
    said = f"{server.vm_state} at {server.host}{task}"
    record = Evidence(by=RECORD, said=said, at=server.updated_at or server.created_at)
    return Disagreement(
        kind=kind,
        subject=server.uuid,
        name=server.name,
        host=server.host,
        evidence=(record, *seen.evidence(shows)),
        action=action,
        remedy=remedy,
    )


def _strangers(ledger: Ledger, seen: Seen) -> list[Disagreement]:
    """Guests that have no record."""
    known = {server.uuid for server in ledger.servers}
    found = []
    for uuid in sorted(seen.having.keys() - known):
        there = [(host, guest) for host, guest in seen.having[uuid] if not guest.arriving]
        if not there:
            continue
        shows = [HostShows(host=host, shows=shown(guest)) for host, guest in there]
        twice = sum(each.shows is Shows.RUNS for each in shows) > 1
        kind = M.RUNS_TWICE if twice else M.HELD_TWICE if len(there) > 1 else M.NOT_ON_RECORD
        remedy = {M.RUNS_TWICE: LOOK_YOURSELF, M.HELD_TWICE: LEFT_OVER}.get(kind, "")
        found.append(
            Disagreement(
                kind=kind,
                subject=uuid,
                name=there[0][1].name,
                host=there[0][0],
                evidence=seen.evidence(shows),
                action=Action.NOTHING if remedy else Action.FOLLOW_THE_GUEST,
                remedy=remedy,
            )
        )
    return found


# --- what is left at hosts ------------------------------------------------------------------------


def _halves(ledger: Ledger, seen: Seen) -> list[Disagreement]:
    accounted = {(move.instance_uuid, move.destination) for move in ledger.moves}
    accounted |= {(owed.instance_uuid, owed.host) for owed in ledger.owed}
    return [
        _left(M.HALF_LEFT, uuid, guest.name, stock, "half a guest, arriving", HALF)
        for uuid, having in sorted(seen.having.items())
        for host, guest in having
        if guest.arriving and (uuid, host) not in accounted
        for stock in (seen.stocks[host],)
    ]


def _files(ledger: Ledger, seen: Seen) -> list[Disagreement]:
    """Disks of guests that are for sure at another host. What is owed, or may be going on, accounts
    for a file.
    """
    busy = {(owed.instance_uuid, owed.host) for owed in ledger.owed}
    owner = {
        disk.path: server
        for server in ledger.servers
        if server.task_state is None and server.vm_state is not VmState.MISSING
        for disk in server.disks
        if not disk.network and not disk.read_only
    }
    return [
        _left(M.DISK_LEFT, server.uuid, server.name, stock, path, DISK)
        for _, stock in sorted(seen.stocks.items())
        for path in stock.spare_files
        if (server := owner.get(path)) is not None
        and server.host != stock.host
        and (server.uuid, stock.host) not in busy
    ]


def _transfers(ledger: Ledger, seen: Seen) -> list[Disagreement]:
    under_way = {move.uuid for move in ledger.moves}
    return [
        _left(M.TRANSFER_LEFT, uuid, "", stock, "a transfer that lives", TRANSFER)
        for _, stock in sorted(seen.stocks.items())
        for uuid in stock.transfers
        if uuid not in under_way
    ]


def _left(
    kind: Mismatch, subject: str, name: str, stock: Stock, said: str, remedy: str
) -> Disagreement:
    evidence = (Evidence(by=stock.host, said=said, at=stock.seen_at),)
    return Disagreement(
        kind=kind, subject=subject, name=name, host=stock.host, evidence=evidence, remedy=remedy
    )
