"""`godwit audit`: what it says, what it asks for, and with which code it ends."""

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.unit.api.fake_house import AT, GUEST, HOST_A, HOST_B, FakeHouse
from tests.unit.cli.wire import typed

from godwit.cli.audit import ALARMS as TOLD_AS_ALARMS
from godwit.cli.audit import WOULD_DO
from godwit.cli.exits import Exit
from godwit.model.audit import (
    ALARMS,
    RECORD,
    Action,
    Audit,
    Disagreement,
    Evidence,
    Mismatch,
    Repaired,
)
from godwit.rpc.conductor import AskAudit

STRAY = Disagreement(
    kind=Mismatch.CLAIM_LEFT,
    subject=GUEST,
    host=HOST_B,
    evidence=(Evidence(by=RECORD, said="1 vCPUs, 512 MiB at host-b", at=""),),
    action=Action.DROP_CLAIM,
)
TWICE = Disagreement(
    kind=Mismatch.RUNS_TWICE,
    subject=GUEST,
    name="guest-1",
    host=HOST_A,
    evidence=(
        Evidence(by=RECORD, said="active at host-a", at=AT),
        Evidence(by=HOST_A, said="runs", at=AT),
        Evidence(by=HOST_B, said="runs", at=AT),
    ),
    remedy="see which one is right",
)
MENDED = replace(STRAY, repaired=True)
SILENT = Evidence(by=HOST_B, said="no route to host", at=AT)


def a_house(*found: Disagreement, silent: tuple[Evidence, ...] = ()) -> FakeHouse:
    house = FakeHouse()
    house.found = Audit(disagreements=found, silent=silent, servers=1, hosts=3, looked_at=AT)
    return house


@pytest.mark.parametrize(
    ("house", "code", "last"),
    [
        (a_house, Exit.MOVED, "no disagreement; 1 servers at 3 of 3 hosts"),
        (
            lambda: a_house(silent=(SILENT,)),
            Exit.CANNOT_ASK,
            "no disagreement; 1 servers at 2 of 3 hosts",
        ),
        (
            lambda: a_house(MENDED),
            Exit.MOVED,
            "no disagreement, 1 repaired; 1 servers at 3 of 3 hosts",
        ),
        (lambda: a_house(STRAY), Exit.REFUSED, "1 disagreement; 1 servers at 3 of 3 hosts"),
        (
            lambda: a_house(STRAY, TWICE),
            Exit.PERSON_NEEDED,
            "2 disagreements; 1 servers at 3 of 3 hosts",
        ),
    ],
)
def test_the_exit_code_says_whether_anything_is_left_and_for_whom(
    house: Callable[[], FakeHouse], code: Exit, last: str
) -> None:
    said = typed(house(), "audit")
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (code, last)


def test_each_disagreement_is_told_with_its_evidence_and_what_is_done() -> None:
    assert typed(a_house(TWICE, STRAY, MENDED, silent=(SILENT,)), "audit").stdout.splitlines() == [
        "ALARM: runs-twice: guest-1 at host-a",
        "  the record  active at host-a  2026-01-02 03:04:05 UTC",
        "  host-a      runs              2026-01-02 03:04:05 UTC",
        "  host-b      runs              2026-01-02 03:04:05 UTC",
        "  → see which one is right",
        f"claim-left: {GUEST} at host-b",
        "  the record  1 vCPUs, 512 MiB at host-b",
        "  → godwit audit --repair would drop the claim",
        f"claim-left: {GUEST} at host-b",
        "  the record  1 vCPUs, 512 MiB at host-b",
        "  → repaired: drop the claim",
        "host-b does not answer, what it has is not judged: no route to host",
        "2 disagreements, 1 repaired; 1 servers at 2 of 3 hosts",
    ]


def test_nothing_is_repaired_unless_that_is_asked_for_and_then_it_is_kept_who_and_why() -> None:
    house = a_house()
    typed(house, "audit")
    typed(house, "audit", "--repair", "--reason", "after the outage")
    looked, repaired = house.asked
    assert isinstance(looked, AskAudit)
    assert not looked.repair
    assert repaired.repair
    assert (repaired.asked.initiator, repaired.asked.reason) == ("local:ana", "after the outage")


def test_what_was_repaired_lately_is_told_with_who_had_asked_for_it() -> None:
    house = a_house()
    mended = Repaired(
        at="2026-01-02T03:04:05.000006",
        by="godwit (box-1)",
        kind=Mismatch.CLAIM_LEFT,
        action=Action.DROP_CLAIM,
        subject=GUEST,
        name="guest-1",
        host=HOST_A,
    )
    house.found = replace(house.found, repairs=(mended,))
    assert typed(house, "audit").stdout.splitlines() == [
        "repaired lately (--json says on which evidence)",
        "  2026-01-02 03:04:05 UTC  claim-left  guest-1  host-a  by godwit (box-1)",
        "no disagreement; 1 servers at 3 of 3 hosts",
    ]


def test_json_is_the_answer_as_it_came() -> None:
    said = typed(a_house(TWICE), "audit", "--json")
    [found] = json.loads(said.stdout)["audit"]["disagreements"]
    assert (said.exit_code, found["kind"], found["action"]) == (5, "runs-twice", "nothing")
    assert [each["by"] for each in found["evidence"]] == [RECORD, HOST_A, HOST_B]


def test_the_client_knows_the_alarms_and_what_every_repair_does() -> None:
    assert set(TOLD_AS_ALARMS) == set(ALARMS)
    assert set(WOULD_DO) == set(Action) - {Action.NOTHING}
