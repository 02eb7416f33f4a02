"""`godwit audit`: where the record and the hosts disagree, as text."""

from collections.abc import Mapping, Sequence
from typing import Final

import click

from godwit.cli.answers import Answer, Evidence
from godwit.cli.asking import Asking, verb
from godwit.cli.client import AUDIT_S
from godwit.cli.exits import Exit
from godwit.cli.options import REASON
from godwit.cli.text import ARROW, at, columns, plain


class Disagreement(Answer, frozen=True, kw_only=True):
    """One place where record and hosts disagree."""

    kind: str = ""
    subject: str = ""
    name: str = ""
    host: str | None = None
    evidence: tuple[Evidence, ...] = ()
    action: str = "nothing"
    remedy: str = ""
    repaired: bool = False

    @property
    def needs_a_person(self) -> bool:
        """Will nothing be done about it?"""
        return self.action == "nothing"


class Repaired(Answer, frozen=True, kw_only=True):
    """One thing that was mended."""

    at: str = ""
    by: str = ""
    kind: str = ""
    action: str = ""
    subject: str = ""
    name: str = ""
    host: str | None = None
    evidence: tuple[Evidence, ...] = ()


class Audit(Answer, frozen=True, kw_only=True):
    """All that was found."""

    disagreements: tuple[Disagreement, ...] = ()
    silent: tuple[Evidence, ...] = ()
    without_power: tuple[Evidence, ...] = ()
    repairs: tuple[Repaired, ...] = ()
    servers: int = 0
    hosts: int = 0


class AuditAnswer(Answer, frozen=True, kw_only=True):
    """`{"audit": ...}`."""

    audit: Audit


ALARMS: Final = frozenset({"runs-twice", "nowhere", "host-heard-again"})
WOULD_DO: Final[Mapping[str, str]] = {
    "follow-the-guest": "record what the hosts show",
    "leave-task": "let the server be in no task",
    "lock-again": "lock the server for its migration",
    "drop-claim": "drop the claim",
    "put-claim": "claim what the server takes, at its host",
    "give-slot-back": "give it back",
}


@click.command()
@click.option("--repair", is_flag=True, help="Mend what is safe to mend. No guest is touched.")
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept in the log.")
@verb
def audit(asking: Asking, repair: bool, reason: str) -> Exit:
    """Compare what is recorded with what every host shows now, and say where they disagree.

    Changes nothing without --repair. Exit code 3 where something could be repaired, 5 where a
    person must see to something, 1 where nothing is wrong but a host does not answer.
    """
    path = "/godwit/v1/audit"
    raw = (
        asking.client.change("POST", path, {"reason": reason}, timeout_s=AUDIT_S).body
        if repair
        else asking.client.get(path, timeout_s=AUDIT_S)
    )
    found = asking.client.read(raw, AuditAnswer).audit
    asking.put(raw, lambda: audit_lines(found))
    return exit_of_audit(found)


def exit_of_audit(found: Audit) -> Exit:
    """0 only if every host was heard and nothing is left."""
    left = [each for each in found.disagreements if not each.repaired]
    if any(each.needs_a_person for each in left):
        return Exit.PERSON_NEEDED
    if left:
        return Exit.REFUSED
    return Exit.CANNOT_ASK if found.silent else Exit.MOVED


def audit_lines(found: Audit) -> list[str]:
    """Each with its evidence and what is done about it; then who was not heard; then the sum."""
    lines = [line for each in found.disagreements for line in _lines_of(each)]
    lines += [
        plain(f"{each.by} does not answer, what it has is not judged: {each.said}")
        for each in found.silent
    ]
    lines += [plain(each.said) for each in found.without_power]
    lines += _repair_lines(found.repairs)
    left = sum(not each.repaired for each in found.disagreements)
    mended = len(found.disagreements) - left
    said = f"{left} disagreements" if left != 1 else "1 disagreement"
    repaired = f", {mended} repaired" if mended else ""
    heard = found.hosts - len(found.silent) - len(found.without_power)
    looked = f"{found.servers} servers at {heard} of {found.hosts} hosts"
    return [*lines, f"{said if left else 'no disagreement'}{repaired}; {looked}"]


def _repair_lines(repairs: Sequence[Repaired]) -> list[str]:
    if not repairs:
        return []
    rows = [
        (at(each.at), each.kind, each.name or each.subject, each.host or "", f"by {each.by}")
        for each in repairs
    ]
    return ["repaired lately (--json says on which evidence)", *columns(rows, indent="  ")]


def _lines_of(found: Disagreement) -> list[str]:
    alarm = "ALARM: " if found.kind in ALARMS else ""
    host = f" at {found.host}" if found.host and found.host != found.subject else ""
    head = plain(f"{alarm}{found.kind}: {found.name or found.subject}{host}")
    rows = [(seen.by, seen.said, at(seen.at) if seen.at else "") for seen in found.evidence]
    return [head, *columns(rows, indent="  "), f"  {ARROW} {_done(found)}"]


def _done(found: Disagreement) -> str:
    if found.needs_a_person:
        return plain(found.remedy or "see to it by hand")
    what = WOULD_DO.get(found.action, found.action)
    if found.repaired:
        return f"repaired: {what}"
    return f"godwit audit --repair would {what}"
