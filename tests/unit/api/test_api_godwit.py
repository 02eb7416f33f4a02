"""Our own part: dry runs, whole stories, long polls, people's decisions, hosts."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.api.fake_house import (
    AT,
    GUEST,
    HOST_A,
    HOST_B,
    MOVE,
    FakeHouse,
    Said,
    a_host,
    a_migration,
    a_story,
    ask,
    asked,
    line,
)

from godwit.api.app import end_long_polls
from godwit.model.host import PersonsWord
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.migrate_data import (
    Guard,
    LibvirtLiveMigrateData,
    LiveMigrateData,
    SimulatedLiveMigrateData,
)
from godwit.model.migration import MigrationStatus
from godwit.model.progress import Progress
from godwit.model.reasons import Code, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.model.steering import Steering, SteeringWish
from godwit.rpc.conductor import (
    AbortMigration,
    CheckLiveMigration,
    ForceComplete,
    ForServer,
    ResolveMigration,
    SteerMigration,
    Verdicts,
    Willing,
)
from godwit.saga.log import Debt, Direction, What
from godwit.sim.loop import run
from godwit.store.database import FileConnection

ONE_MIGRATION = "/godwit/v1/migrations/12"
TIMELINE = f"{ONE_MIGRATION}/timeline"
UNKNOWN = reason(
    Code.WHEREABOUTS_UNKNOWN,
    source="host-a",
    source_word="gone",
    destination="host-b",
    destination_word="receiving",
)


def under_way(**changes: Any) -> FakeHouse:
    house = FakeHouse()
    house.put(a_migration(**changes))
    house.put(a_story())
    return house


def test_a_dry_run_answers_the_conductors_verdicts_and_changes_nothing() -> None:
    house = FakeHouse()
    refusal = reason(Code.BRIDGE_MISSING, host=HOST_B, bridge="brvm")
    house.verdicts = Verdicts(refusals=grouped(by_themselves([refusal])))
    body = {"host": "host-b", "godwit:steering": {"permit_post_copy": True}}
    said = asked(house, "POST", f"/godwit/v1/servers/{GUEST}/check", body=body)
    [refused] = said.body["verdicts"]["refusals"]
    assert (said.status, refused["hosts"]) == (200, ["host-b"])
    assert (refused["code"], refused["words"]) == ("bridge-missing", refusal.words)
    [wish] = house.asked
    assert isinstance(wish, CheckLiveMigration)
    assert (wish.instance_uuid, wish.host) == (GUEST, "host-b")
    assert wish.steering == SteeringWish(permit_post_copy=True)


def test_a_dry_run_rehearses_only_when_asked_to() -> None:
    house = FakeHouse()
    house.verdicts = Verdicts(willing=(Willing(host=HOST_B, guard=Guard.PAUSED),))
    path = f"/godwit/v1/servers/{GUEST}/check"
    answers = [asked(house, "POST", path, body=body) for body in ({}, {"rehearse": True})]
    rehearsed = [answer.body["verdicts"]["willing"][0]["rehearsed"] for answer in answers]
    assert rehearsed == [False, True]


def test_forgetting_asks_the_conductor_with_the_reason() -> None:
    house = FakeHouse()
    path = f"/godwit/v1/servers/{GUEST}/forget"
    assert asked(house, "POST", path, body={"reason": "moved away"}).status == 204
    [wish] = house.asked
    assert isinstance(wish, ForServer)
    assert wish.asked.reason == "moved away"


@pytest.mark.parametrize("named", ["12", MOVE])
def test_a_migration_is_shown_with_its_step_and_what_may_be_asked(named: str) -> None:
    house = under_way(initiator_reason="fan", status=MigrationStatus.RUNNING)
    house.put(a_story(step="live_migration"))
    shown = asked(house, "GET", f"/godwit/v1/migrations/{named}").body["migration"]
    assert shown["phase"] == "live_migration"
    assert shown["server_name"] == "guest-1"
    assert (shown["initiator"], shown["initiator_reason"]) == ("local:ana", "fan")
    assert (shown["outcome"], shown["allowed_actions"]) == ("under-way", ["abort", "set"])
    assert shown["choices"] == []
    assert shown["decision"] is None


QUEUE = [{"host": "host-a", "outgoing": True, "place": 2, "waiting": 2}]
EARLIER = MigrationUuid("66666666-6666-4666-8666-666666666666")


def in_line(status: MigrationStatus) -> FakeHouse:
    house = under_way(status=status)
    house.put(a_migration(uuid=EARLIER, id=11, instance_uuid="x"))
    house.wait((EARLIER, HOST_A, 7), (MOVE, HOST_A, 8))
    return house


def test_a_queued_migration_is_shown_with_its_place_wherever_it_is_shown() -> None:
    house = in_line(MigrationStatus.QUEUED)
    listed = asked(house, "GET", "/godwit/v1/migrations").body["migrations"]
    assert [each["queue"] for each in listed] == [QUEUE, []]
    assert asked(house, "GET", ONE_MIGRATION).body["migration"]["queue"] == QUEUE
    assert asked(house, "GET", TIMELINE).body["migration"]["queue"] == QUEUE


def test_a_place_further_ahead_is_news_to_who_watches() -> None:
    house = in_line(MigrationStatus.QUEUED)
    seen = asked(house, "GET", TIMELINE).body["seen"]
    assert asked(house, "GET", f"{TIMELINE}?seen={seen}").body["seen"] == seen
    house.wait((MOVE, HOST_A, 8))
    moved_up = asked(house, "GET", f"{TIMELINE}?seen={seen}").body
    assert moved_up["seen"] != seen
    assert moved_up["migration"]["queue"][0]["place"] == 1


@pytest.mark.parametrize("path", ["/godwit/v1/migrations", ONE_MIGRATION, TIMELINE])
@pytest.mark.parametrize("status", [MigrationStatus.QUEUED, MigrationStatus.RUNNING])
def test_the_line_is_looked_at_for_queued_migrations_alone(
    path: str, status: MigrationStatus
) -> None:
    house, ran = in_line(status), list[str]()
    assert isinstance(house.database, FileConnection)
    house.database.set_trace_callback(ran.append)
    asked(house, "GET", path)
    house.database.set_trace_callback(None)
    looks = [statement for statement in ran if "slots" in statement]
    assert len(looks) == (1 if status is MigrationStatus.QUEUED else 0)


@pytest.mark.parametrize(
    ("agreed", "permitted", "shown"),
    [
        (None, True, (None, None)),
        (LibvirtLiveMigrateData(), False, ("paused", None)),
        (LibvirtLiveMigrateData(guard=Guard.POSTCOPY), True, ("postcopy", None)),
        (LibvirtLiveMigrateData(was_paused=True), True, ("paused", "the guest is paused")),
        (SimulatedLiveMigrateData(block_migration=True), True, ("paused", "disks are copied")),
    ],
)
def test_a_migration_is_shown_with_its_guard_and_why_it_is_not_by_post_copy(
    agreed: LiveMigrateData | None, shown: tuple[str | None, str | None], *, permitted: bool
) -> None:
    house = under_way(steering=Steering(permit_post_copy=permitted))
    house.put(a_story(facts=msgspec.json.encode({"migrate_data": agreed})))
    view = asked(house, "GET", ONE_MIGRATION).body["migration"]
    assert (view["guard"], view["no_post_copy"]) == shown


def test_where_a_person_is_needed_the_choices_and_the_last_look_are_shown() -> None:
    house = under_way(person_needed=True, dest_compute=HOST_B, reason=UNKNOWN)
    house.tell(line("live_migration", What.RESTS, UNKNOWN.words))
    house.decide(HOST_B, reason(Code.RESOLVED_BY_A_PERSON, initiator="ana", choice="b", why="saw"))
    shown = asked(house, "GET", "/godwit/v1/migrations/12").body["migration"]
    assert shown["outcome"] == "person-needed"
    assert "host-a shows the guest as gone" in shown["reason"]["words"]
    assert (shown["seen_since"], shown["seen_at"]) == (AT, AT)
    assert [choice["at_host"] for choice in shown["choices"]] == ["host-a", "host-b", None]
    assert shown["decision"]["at_host"] == "host-b"


@pytest.mark.parametrize("at_host", ["host-b", None])
def test_a_decision_is_handed_on_with_its_reason(at_host: str | None) -> None:
    house = under_way(person_needed=True)
    body = {"at_host": at_host, "reason": "saw it"}
    assert asked(house, "POST", "/godwit/v1/migrations/12/resolve", body=body).status == 202
    [wish] = house.asked
    assert isinstance(wish, ResolveMigration)
    assert (wish.migration_uuid, wish.at_host, wish.asked.reason) == (MOVE, at_host, "saw it")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "at_host"),
        ({"at_host": None}, "reason"),
        ({"at_host": None, "reason": " "}, "reason"),
    ],
)
def test_a_decision_must_say_where_and_why(body: dict[str, Any], field: str) -> None:
    house = under_way(person_needed=True)
    said = asked(house, "POST", "/godwit/v1/migrations/12/resolve", body=body)
    assert said.status == 400
    assert said.body["badRequest"]["message"].startswith(f"{field}: ")
    assert house.asked == []


def test_aborting_by_number_hands_on_the_reason() -> None:
    house = under_way()
    body = {"reason": "wrong guest"}
    assert asked(house, "POST", "/godwit/v1/migrations/12/abort", body=body).status == 202
    [wish] = house.asked
    assert isinstance(wish, AbortMigration)
    assert (wish.migration_uuid, wish.asked.reason) == (MOVE, "wrong guest")


def test_new_limits_are_handed_on_and_what_is_not_named_stays() -> None:
    house = under_way()
    body = {"bandwidth_mib_per_s": 0, "max_downtime_ms": 900}
    said = asked(house, "PATCH", "/godwit/v1/migrations/12", body=body)
    assert said.status == 202
    assert said.body["steering"]["max_downtime_ms"] == 500  # the fake's record does not change
    [wish] = house.asked
    assert isinstance(wish, SteerMigration)
    assert wish.wish == SteeringWish(bandwidth_mib_per_s=0, max_downtime_ms=900)


@pytest.mark.parametrize(
    "body", [{"max_downtime_ms": 0}, {"bandwidth_mib_per_s": -1}, {"auto_converge": True}]
)
def test_what_cannot_be_a_limit_is_refused_by_its_name(body: dict[str, Any]) -> None:
    house = under_way()
    said = asked(house, "PATCH", "/godwit/v1/migrations/12", body=body)
    assert said.status == 400
    [field] = body
    assert field in said.body["badRequest"]["message"]
    assert house.asked == []


@pytest.mark.parametrize(
    "body", [{"auto_converge": False}, {"permit_post_copy": True}, {"parallel_connections": 2}]
)
def test_what_holds_from_before_the_start_is_refused_with_the_reason(body: dict[str, Any]) -> None:
    house = under_way()
    said = asked(house, "PATCH", "/godwit/v1/migrations/12", body=body | {"max_downtime_ms": 900})
    assert said.status == 400
    assert "only while no migration goes on" in said.body["badRequest"]["message"]
    assert house.asked == []


def test_forcing_says_how_it_is_brought_to_its_end() -> None:
    house = under_way()
    said = asked(house, "POST", "/godwit/v1/migrations/12/force-complete", body={"reason": "now"})
    assert said.status == 202
    assert said.body["forced"] == {
        "force": {"kind": "pause", "pause_ms": 1600, "longest_ms": 0},
        "expected_pause_ms": 800,
    }
    [wish] = house.asked
    assert isinstance(wish, ForceComplete)
    assert (wish.migration_uuid, wish.asked.reason) == (MOVE, "now")


def test_a_host_is_shown_with_facts_claims_and_debts() -> None:
    house = under_way()
    house.put(a_host(HOST_A, trouble="no route"))
    debt = Debt(story_uuid=MOVE, step="post_live_migration_at_source", undo=False, where=HOST_A)
    house.owe(debt)
    shown = asked(house, "GET", "/godwit/v1/hosts/host-a").body["host"]
    assert (shown["up"], shown["enabled"], shown["trouble"]) == (True, True, "no route")
    assert (shown["servers"], shown["usage"]["transfers"]) == (1, 0)
    assert shown["facts"]["memory_mib"] == 16384
    assert shown["debts"][0]["migration_uuid"] == MOVE
    names = [host["name"] for host in asked(house, "GET", "/godwit/v1/hosts").body["hosts"]]
    assert names == ["host-a", "host-b", "host-c"]


def test_a_host_that_has_been_silent_too_long_is_down_and_says_for_how_long() -> None:
    house = FakeHouse()
    host = a_host(HostName("host-a"))
    house.put(a_host(HostName("host-a"), heard_at_s=host.heard_at_s - 60))
    shown = asked(house, "GET", "/godwit/v1/hosts/host-a").body["host"]
    assert (shown["up"], shown["silent_s"]) == (False, 60.0)


def test_a_host_that_is_heard_though_confirmed_down_is_among_the_alarms() -> None:
    house = FakeHouse()
    assert asked(house, "GET", "/godwit/v1/alarms").body == {"alarms": []}
    down = PersonsWord(by="local:ana", at="2026-01-02T03:04:05", why="burnt")
    house.put(a_host(HOST_A, confirmed_down=down))
    assert asked(house, "GET", "/godwit/v1/alarms").body == {"alarms": []}
    heard_at = "2026-01-02T04:00:00"
    house.put(a_host(HOST_A, confirmed_down=replace(down, heard_at=heard_at)))
    assert asked(house, "GET", "/godwit/v1/alarms").body["alarms"] == [
        {
            "host": HOST_A,
            "kind": "host-heard-again",
            "evidence": [
                {"by": down.by, "said": "its power is off: burnt", "at": down.at},
                {"by": HOST_A, "said": "was heard all the same", "at": heard_at},
            ],
            "seen_at": heard_at,
        }
    ]


# --- the long poll --------------------------------------------------------------------------------


async def timed(house: FakeHouse, target: str, *meanwhile: Any) -> tuple[Said, float]:
    """The answer and how long it took, while `(after_s, act)` happen."""
    app = house.app()
    loop = asyncio.get_running_loop()
    for after_s, act in meanwhile:
        loop.call_later(after_s, act, app)
    began_s = loop.time()
    said = await ask(app, "GET", target)
    return said, loop.time() - began_s


def poll(house: FakeHouse, query: str, *meanwhile: Any) -> tuple[Any, float]:
    async def main() -> tuple[Said, float]:
        return await timed(house, f"{TIMELINE}?{query}", *meanwhile)

    said, elapsed_s = run(main())
    assert said.status == 200
    return said.body, elapsed_s


def test_lines_that_are_there_are_answered_at_once_after_those_seen() -> None:
    house = under_way()
    house.tell(line("check_instance", What.BEGAN), line("check_instance", What.DONE))
    body, elapsed_s = poll(house, "after=0&wait_s=20")
    assert elapsed_s == pytest.approx(0, abs=0.01)
    assert [entry["sequence"] for entry in body["entries"]] == [1, 2]
    assert [entry["sequence"] for entry in poll(house, "after=1")[0]["entries"]] == [2]


def test_a_new_line_ends_the_wait() -> None:
    house = under_way()
    news = (3.0, lambda _: house.tell(line("check_instance", What.DONE)))
    body, elapsed_s = poll(house, "after=0&wait_s=20", news)
    assert 3.0 <= elapsed_s < 3.5
    assert [entry["step"] for entry in body["entries"]] == ["check_instance"]


def test_progress_alone_ends_the_wait() -> None:
    house = under_way(status=MigrationStatus.RUNNING)
    news = (3.0, lambda _: house.change(progress=Progress(memory_processed_bytes=7)))
    body, elapsed_s = poll(house, "wait_s=20", news)
    assert 3.0 <= elapsed_s < 3.5
    assert body["migration"]["progress"]["memory_processed_bytes"] == 7


def test_what_happened_between_two_polls_is_not_missed() -> None:
    house = under_way()
    seen = poll(house, "")[0]["seen"]
    house.change(progress=Progress(memory_processed_bytes=7))
    body, elapsed_s = poll(house, f"seen={seen}&wait_s=20")
    assert elapsed_s < 0.1
    assert body["seen"] != seen


def test_without_news_the_wait_ends_when_asked_and_never_later_than_30_s() -> None:
    assert poll(under_way(), "wait_s=2.5")[1] == pytest.approx(2.5, abs=0.3)
    assert poll(under_way(), "wait_s=9999")[1] == pytest.approx(30, abs=0.3)


def test_a_stopping_server_answers_every_wait_at_once() -> None:
    body, elapsed_s = poll(under_way(), "wait_s=20", (1.0, end_long_polls))
    assert elapsed_s == pytest.approx(1.0, abs=0.01)
    assert body["entries"] == []


def test_a_story_that_has_ended_is_not_waited_for() -> None:
    house = under_way(status=MigrationStatus.COMPLETED)
    house.put(a_story(direction=Direction.ENDED))
    assert poll(house, "wait_s=20")[1] < 0.1


def test_the_last_line_is_waited_for_though_the_status_is_final() -> None:
    house = under_way(status=MigrationStatus.COMPLETED)
    news = (1.0, lambda _: house.tell(line("finish", What.ENDED)))
    body, _ = poll(house, "wait_s=20", news)
    assert [entry["what"] for entry in body["entries"]] == ["ended"]


# --- waiting for the end --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [MigrationStatus.COMPLETED, MigrationStatus.FAILED])
def test_a_migration_asked_for_with_a_wait_is_answered_once_it_has_ended(
    status: MigrationStatus,
) -> None:
    house = under_way(status=MigrationStatus.RUNNING)

    def end(_: object) -> None:
        house.change(status=status)
        house.queries.news.tell(a_migration().uuid, ended=True)

    said, elapsed_s = run(timed(house, f"{ONE_MIGRATION}?wait_s=20", (2.3, end)))
    assert elapsed_s == pytest.approx(2.3, abs=0.01)
    assert said.body["migration"]["status"] == status


def test_a_migration_that_goes_on_is_answered_after_the_wait_or_when_the_server_stops() -> None:
    house = under_way(status=MigrationStatus.RUNNING)
    said, elapsed_s = run(timed(house, f"{ONE_MIGRATION}?wait_s=2.5"))
    assert elapsed_s == pytest.approx(2.5, abs=0.01)
    assert said.status == 200
    assert run(timed(house, f"{ONE_MIGRATION}?wait_s=9", (1.0, end_long_polls)))[1] < 1.1
