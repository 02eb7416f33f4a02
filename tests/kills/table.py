"""The table of kills: every process at every moment by every fault, and what must be so then.

`MATRIX` is made of the rules below, the first that fits deciding; `NAMED` are runs by themselves,
most of them rows of the evidence that was taken of libvirt by hand (f: in the copy, w: in the
window of the switch, d: with a local disk, p: in a post-copy). Data; nothing here acts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Final

from tests.kills.cells import (
    Act,
    Cell,
    Expected,
    Fault,
    Kind,
    Moment,
    Place,
    Target,
    Verb,
    acts_of,
)

T, M, F, K, V, P = Target, Moment, Fault, Kind, Verb, Place

THERE: Final = frozenset({P.THERE})
HERE: Final = frozenset({P.HERE})
EITHER: Final = THERE | HERE
"""Both are right: whether the move goes on depends on who notices first."""

UNFELT: Final = None
"""The guest is silent for no longer than in an undisturbed move, and half a second."""
KEEPALIVE_S: Final = 15.0
"""libvirt gives a silent peer up, and the guest is let run again at one end."""
AWAY_S: Final = 45.0
"""The guest stands still until whoever knows where it may run is back, 20 s later."""
AWAY_60_S: Final = 90.0
"""The same after 60 s."""

ROWS: Final = (
    T.API,
    T.CONDUCTOR,
    T.AGENT_SOURCE,
    T.AGENT_DESTINATION,
    T.TRANSFER,
    T.LIBVIRTD_SOURCE,
    T.LIBVIRTD_DESTINATION,
    T.QEMU_DESTINATION,
    T.NATS,
    T.POSTGRES,
)
MOMENTS: Final = (M.CHECKING, M.PREPARING, M.COPYING, M.SWITCHING, M.SWITCHED, M.CLEANING)
BEFORE: Final = frozenset({M.CHECKING, M.PREPARING})
AFTER: Final = frozenset({M.SWITCHED, M.CLEANING})
CUTS: Final = frozenset({F.CUT_5, F.CUT_60})


@dataclass(frozen=True)
class Rule:
    """What is expected of all cells that it fits; an empty set fits everything."""

    places: frozenset[Place]
    gap_max_s: float | None = UNFELT
    of: frozenset[Target] = frozenset()
    at: frozenset[Moment] = frozenset()
    by: frozenset[Fault] = frozenset()

    def fits(self, target: Target, moment: Moment, fault: Fault) -> bool:
        """Is this rule about that cell?"""
        pairs = ((target, self.of), (moment, self.at), (fault, self.by))
        return all(one in many for one, many in pairs if many)


def these(*words: Target) -> frozenset[Target]:
    """Some targets."""
    return frozenset(words)


AGENTS: Final = these(T.AGENT_SOURCE, T.AGENT_DESTINATION)
BRAINS: Final = these(T.API, T.CONDUCTOR)
WAYS: Final = these(T.NATS, T.POSTGRES)
LIBVIRTDS: Final = these(T.LIBVIRTD_SOURCE, T.LIBVIRTD_DESTINATION)

RULES: Final = (
    # Once the guest runs at the destination, nothing stops its story, and it feels nothing.
    Rule(THERE, at=AFTER),
    # Of the API and the conductors a move needs none by name.
    Rule(THERE, KEEPALIVE_S, of=BRAINS, at=frozenset({M.SWITCHING})),
    Rule(THERE, of=BRAINS),
    # Nobody can be asked: the move is refused or undone, unless all are back in time.
    Rule(EITHER, of=WAYS | AGENTS | LIBVIRTDS, at=BEFORE),
    # A transfer needs neither bus nor database nor agents ...
    Rule(THERE, of=WAYS, at=frozenset({M.COPYING})),
    Rule(THERE, KEEPALIVE_S, of=WAYS, at=frozenset({M.SWITCHING})),
    Rule(THERE, of=AGENTS, at=frozenset({M.COPYING}), by=frozenset({F.KILL_0, F.KILL_20})),
    Rule(THERE, of=AGENTS, at=frozenset({M.COPYING}), by=frozenset({F.FREEZE_20})),
    # ... but a cut cable is libvirt's, too: it gives its peer up (f07, f08, f09, w12). The copy may
    # be complete by then: the guest stands still until it does.
    Rule(EITHER, KEEPALIVE_S, of=AGENTS, at=frozenset({M.COPYING}), by=frozenset({F.CUT_5})),
    Rule(HERE, KEEPALIVE_S, of=AGENTS, at=frozenset({M.COPYING}), by=frozenset({F.CUT_60})),
    Rule(EITHER, AWAY_S, of=AGENTS, at=frozenset({M.SWITCHING}), by=CUTS),
    Rule(THERE, KEEPALIVE_S, of=AGENTS, at=frozenset({M.SWITCHING})),
    # Dies the transfer process, the agent watches in its place.
    Rule(EITHER, KEEPALIVE_S, of=these(T.TRANSFER), at=frozenset({M.COPYING})),
    Rule(THERE, AWAY_S, of=these(T.TRANSFER), at=frozenset({M.SWITCHING})),
    # f01, f02: the copy is given up. w04: the guest runs there. w03, w11: it runs on here.
    Rule(HERE, of=LIBVIRTDS, at=frozenset({M.COPYING}), by=frozenset({F.KILL_0, F.KILL_20})),
    Rule(EITHER, KEEPALIVE_S, of=LIBVIRTDS, at=frozenset({M.COPYING})),
    Rule(
        THERE,
        AWAY_S,
        of=these(T.LIBVIRTD_SOURCE),
        at=frozenset({M.SWITCHING}),
        by=frozenset({F.KILL_0, F.KILL_20}),
    ),
    Rule(EITHER, AWAY_S, of=these(T.LIBVIRTD_SOURCE), at=frozenset({M.SWITCHING})),
    Rule(HERE, KEEPALIVE_S, of=these(T.LIBVIRTD_DESTINATION), at=frozenset({M.SWITCHING})),
    # What has arrived there dies: the guest was never anywhere but here.
    Rule(HERE, KEEPALIVE_S, of=these(T.QEMU_DESTINATION), by=frozenset({F.KILL_0})),
    Rule(HERE, of=these(T.QEMU_DESTINATION), at=frozenset({M.COPYING}), by=frozenset({F.CUT_60})),
    # A lab's host gives a silent connection up some 6 to 13 s after its last word.
    Rule(EITHER, of=these(T.QEMU_DESTINATION), at=frozenset({M.COPYING}), by=frozenset({F.CUT_5})),
    Rule(THERE, KEEPALIVE_S, of=these(T.QEMU_DESTINATION), at=frozenset({M.SWITCHING}), by=CUTS),
    Rule(EITHER, AWAY_S, of=these(T.QEMU_DESTINATION)),
)


def why_not(target: Target, moment: Moment, fault: Fault) -> str:  # noqa: C901, PLR0911 - a list
    """Why there is no such cell; empty if there is."""
    if fault in CUTS:
        if target in BRAINS:
            return "its way to the bus is cut in the rows of nats"
        if target is T.POSTGRES:
            return "it is asked through a Unix socket here, which has no cable"
        if target in LIBVIRTDS or target is T.TRANSFER:
            return "its cable is that of the agent beside it"
    if target is T.TRANSFER and moment in AFTER:
        return "it has ended by then"
    if target is T.TRANSFER and moment in BEFORE:
        return "it does nothing yet"
    if target is T.QEMU_DESTINATION and moment in BEFORE:
        return "there is none yet"
    if target is T.QEMU_DESTINATION and moment in AFTER:
        return "it is the guest itself by then (row q01)"
    if target in {T.QEMU_DESTINATION, T.TRANSFER} and fault is F.KILL_20:
        return "nobody starts it again: as kill-0"
    return ""


def expected(target: Target, moment: Moment, fault: Fault) -> Expected:
    """What the first rule that fits says; LookupError if none does."""
    for rule in RULES:
        if rule.fits(target, moment, fault):
            return Expected(rule.places, rule.gap_max_s)
    raise LookupError(f"no rule for {target}/{moment}/{fault}")


def _matrix() -> Iterable[Cell]:
    for target, moment, fault in product(ROWS, MOMENTS, Fault):
        if not why_not(target, moment, fault):
            name = f"{target}/{moment}/{fault}"
            acts = acts_of(target, fault)
            yield Cell(name, moment, acts, expected(target, moment, fault))


MATRIX: Final = tuple(_matrix())
LET_GO: Final = Act(V.RELEASE)
BOTH_LIBVIRTDS_KILLED: Final = (
    Act(V.KILL, T.LIBVIRTD_SOURCE),
    Act(V.KILL, T.LIBVIRTD_DESTINATION),
    Act(V.START, T.LIBVIRTD_SOURCE, 1.0),
    Act(V.START, T.LIBVIRTD_DESTINATION),
    LET_GO,
)
ANSWER_LOST: Final = (
    Act(V.CUT, T.MANAGEMENT_DESTINATION),
    LET_GO,
    Act(V.UNCUT, T.MANAGEMENT_DESTINATION, 15.0),
)
EVERYTHING_GONE: Final = (
    *(Act(V.KILL, each) for each in (T.API, T.CONDUCTORS, T.NATS, T.POSTGRES)),
    LET_GO,
    Act(V.START, T.POSTGRES, 60.0),
    *(Act(V.START, each) for each in (T.NATS, T.API, T.CONDUCTORS)),
)


def away(verb: Verb, back: Verb, on: Target, for_s: float) -> tuple[Act, ...]:
    """Something is away for so long."""
    return (Act(verb, on), LET_GO, Act(back, on, for_s))


def row(name: str, moment: Moment, *acts: Act, ends: Expected, kind: Kind = K.PLAIN) -> Cell:
    """A row of the evidence."""
    return Cell(name, moment, acts, ends, kind, facts=(name,))


HERE_UNFELT: Final = Expected(HERE)
THERE_UNFELT: Final = Expected(THERE)
HERE_LATE: Final = Expected(HERE, KEEPALIVE_S)
THERE_LATE: Final = Expected(THERE, KEEPALIVE_S)
EITHER_LATE: Final = Expected(EITHER, AWAY_S)
KILLED_1_S: Final = (V.KILL, V.START)

NAMED: Final = (
    Cell("everything-gone", M.COPYING, EVERYTHING_GONE, THERE_UNFELT),
    # In the copy.
    row("f01", M.COPYING, *away(*KILLED_1_S, T.LIBVIRTD_SOURCE, 1.0), ends=HERE_UNFELT),
    row("f02", M.COPYING, *away(*KILLED_1_S, T.LIBVIRTD_DESTINATION, 1.0), ends=HERE_UNFELT),
    row("f03", M.COPYING, Act(V.KILL, T.QEMU_DESTINATION), LET_GO, ends=HERE_UNFELT),
    row(
        "f04",
        M.COPYING,
        Act(V.KILL, T.QEMU_SOURCE),
        LET_GO,
        ends=Expected(frozenset({P.ENDED})),
    ),
    row("f05", M.COPYING, *away(V.CUT, V.UNCUT, T.MIGRATION_SOURCE, 5.0), ends=Expected(EITHER)),
    row("f06", M.COPYING, *away(V.CUT, V.UNCUT, T.MIGRATION_SOURCE, 90.0), ends=HERE_UNFELT),
    row("f07", M.COPYING, *away(V.CUT, V.UNCUT, T.MANAGEMENT_SOURCE, 20.0), ends=HERE_LATE),
    row("f08", M.COPYING, *away(V.CUT, V.UNCUT, T.MANAGEMENT_DESTINATION, 20.0), ends=HERE_LATE),
    row(
        "f09",
        M.COPYING,
        Act(V.CUT, T.MANAGEMENT_SOURCE),
        Act(V.CUT, T.MANAGEMENT_DESTINATION),
        LET_GO,
        Act(V.UNCUT, T.MANAGEMENT_SOURCE, 20.0),
        Act(V.UNCUT, T.MANAGEMENT_DESTINATION),
        ends=HERE_LATE,
    ),
    row("f10", M.COPYING, *away(*KILLED_1_S, T.AGENT_SOURCE, 5.0), ends=THERE_UNFELT),
    row("f12", M.COPYING, *away(V.END, V.START, T.LIBVIRTD_SOURCE, 20.0), ends=EITHER_LATE),
    row("f13", M.COPYING, *away(V.END, V.START, T.LIBVIRTD_DESTINATION, 2.0), ends=HERE_UNFELT),
    row(
        "f14",
        M.COPYING,
        *away(*KILLED_1_S, T.HOST_SOURCE, 5.0),
        ends=Expected(frozenset({P.ENDED})),
    ),
    row("f15", M.COPYING, *away(*KILLED_1_S, T.HOST_DESTINATION, 20.0), ends=HERE_UNFELT),
    # The same with a disk that is copied, too.
    row(
        "d01",
        M.COPYING,
        *away(*KILLED_1_S, T.LIBVIRTD_SOURCE, 1.0),
        ends=HERE_UNFELT,
        kind=K.LOCAL,
    ),
    row(
        "d02",
        M.COPYING,
        *away(*KILLED_1_S, T.LIBVIRTD_DESTINATION, 1.0),
        ends=HERE_UNFELT,
        kind=K.LOCAL,
    ),
    row(
        "d03",
        M.COPYING,
        Act(V.KILL, T.QEMU_DESTINATION),
        LET_GO,
        ends=HERE_UNFELT,
        kind=K.LOCAL,
    ),
    row(
        "d04",
        M.COPYING,
        Act(V.CUT, T.MIGRATION_SOURCE),
        Act(V.ABORT),
        LET_GO,
        Act(V.UNCUT, T.MIGRATION_SOURCE, 15.0),
        ends=HERE_LATE,
        kind=K.LOCAL,
    ),
    row("d05", M.SWITCHING, *ANSWER_LOST, ends=HERE_LATE, kind=K.LOCAL),
    # In the window of the switch.
    row("w00", M.SWITCHING, Act(V.RELEASE, after_s=2.0), ends=THERE_LATE),
    row("w01", M.SWITCHING, *ANSWER_LOST, ends=HERE_LATE),
    row("w02", M.SWITCHING, *ANSWER_LOST, ends=HERE_LATE, kind=K.SHARED),
    row("w03", M.SWITCHING, *away(*KILLED_1_S, T.LIBVIRTD_DESTINATION, 1.5), ends=HERE_LATE),
    row(
        "w04",
        M.SWITCHING,
        Act(V.KILL, T.LIBVIRTD_SOURCE),
        Act(V.RELEASE, after_s=0.5),
        Act(V.START, T.LIBVIRTD_SOURCE, 1.5),
        ends=THERE_LATE,
    ),
    row("w05", M.SWITCHING, *BOTH_LIBVIRTDS_KILLED, ends=HERE_LATE),
    row("w06", M.SWITCHED, *away(*KILLED_1_S, T.LIBVIRTD_SOURCE, 1.0), ends=THERE_UNFELT),
    row("w07", M.SWITCHED, *away(*KILLED_1_S, T.HOST_SOURCE, 2.0), ends=THERE_UNFELT),
    # Whether the source had taken it back before its power went, nobody can tell any more.
    row(
        "w08",
        M.SWITCHING,
        *away(*KILLED_1_S, T.HOST_SOURCE, 2.0),
        ends=Expected(frozenset({P.PERSON})),
    ),
    row("w09", M.SWITCHING, *away(*KILLED_1_S, T.HOST_DESTINATION, 20.0), ends=HERE_LATE),
    row("w11", M.SWITCHING, Act(V.RELEASE, after_s=14.0), ends=HERE_LATE),
    row("w12", M.SWITCHING, *ANSWER_LOST, ends=HERE_LATE),
    row("w15", M.SWITCHING, *ANSWER_LOST, ends=HERE_LATE, kind=K.SHARED),
    # The guest runs there, and its memory follows.
    row(
        "p01",
        M.POST_COPY,
        *away(*KILLED_1_S, T.LIBVIRTD_SOURCE, 1.0),
        ends=THERE_LATE,
        kind=K.POST_COPY,
    ),
    row(
        "p02",
        M.POST_COPY,
        *away(*KILLED_1_S, T.LIBVIRTD_DESTINATION, 1.0),
        ends=THERE_LATE,
        kind=K.POST_COPY,
    ),
    row("p03", M.POST_COPY, Act(V.ABORT), LET_GO, ends=THERE_LATE, kind=K.POST_COPY),
    row(
        "p04",
        M.POST_COPY,
        *away(V.CUT, V.UNCUT, T.MIGRATION_SOURCE, 3.0),
        ends=EITHER_LATE,
        kind=K.POST_COPY,
    ),
    row(
        "p05",
        M.POST_COPY,
        Act(V.CUT, T.MIGRATION_SOURCE),
        Act(V.UNCUT, T.MIGRATION_SOURCE, 20.0),
        LET_GO,
        ends=Expected(THERE, AWAY_60_S),
        kind=K.POST_COPY,
    ),
    row(
        "p06",
        M.POST_COPY,
        Act(V.KILL, T.QEMU_DESTINATION),
        LET_GO,
        ends=Expected(frozenset({P.PERSON})),
        kind=K.POST_COPY,
    ),
    row(
        "p07",
        M.POST_COPY,
        Act(V.KILL, T.QEMU_SOURCE),
        LET_GO,
        ends=Expected(frozenset({P.PERSON})),
        kind=K.POST_COPY,
    ),
    row("p08", M.POST_COPY, *BOTH_LIBVIRTDS_KILLED, ends=THERE_LATE, kind=K.POST_COPY),
    # What no row says: the guest itself ends at the destination, unseen by its story.
    row(
        "q01",
        M.SWITCHED,
        Act(V.KILL, T.QEMU_DESTINATION),
        LET_GO,
        ends=Expected(frozenset({P.ENDED})),
    ),
)

NOT_OURS: Final = {
    "f11": "a client's death in a migration that the client manages: Godwit's are peer to peer",
    "w10": "the same in the window",
    "w13": "the same, and the answer is lost",
    "e03": "as d03, with newer programs",
    "e06": "as f06, with another limit of the kernel",
}
"""Rows of the evidence that are no cells, and why."""

CELLS: Final = (*MATRIX, *NAMED)

SHORT: Final = ("conductor/copying/kill-0", "w04", "w05")
"""What `make test` runs of it."""
