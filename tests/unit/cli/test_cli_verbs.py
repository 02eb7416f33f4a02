"""Each verb against the real API: what it asks, what it prints, with which code it ends."""

import json

import pytest
from msgspec.structs import replace
from tests.unit.api.fake_house import (
    AT,
    GUEST,
    HOST_A,
    HOST_B,
    HOST_C,
    MOVE,
    FakeHouse,
    a_host,
    a_migration,
    a_server,
    line,
)
from tests.unit.cli.wire import SilentTransport, typed

from godwit.cli.exits import Exit
from godwit.model.errors import Conflict, NotFound, Refused, Unreachable
from godwit.model.host import Manage
from godwit.model.ids import HostName
from godwit.model.instance import Platform, TaskState
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code, reason
from godwit.model.steering import SteeringWish
from godwit.model.whereis import ALARMING, HostShows, LastHeard, Place, Shows
from godwit.rpc.conductor import (
    AbortMigration,
    CreateServer,
    ForServer,
    ResolveMigration,
    SetHostEnabled,
    SteerMigration,
)
from godwit.saga.log import Debt, Entry, What

OTHER = "22222222-2222-4222-8222-222222222222"

EVERY_LOOK = [
    ("host", "list"),
    ("host", "show", "host-a"),
    ("server", "list"),
    ("server", "show", "guest-1"),
    ("server", "whereis", "guest-1"),
    ("migration", "list"),
    ("migration", "show", "12"),
    ("migration", "show", "12", "--timeline"),
    ("audit",),
    ("debt", "list"),
]
EVERY_VERB = [
    *EVERY_LOOK,
    ("host", "enable", "host-a"),
    ("host", "disable", "host-a"),
    ("audit", "--repair"),
    ("host", "confirm-down", "host-a"),
    ("host", "confirm-up", "host-a"),
    ("server", "create", "web", "--flavor", "small", "--image", "tick"),
    ("server", "delete", "guest-1"),
    ("server", "forget", "guest-1"),
    ("migrate", "guest-1"),
    ("migrate", "guest-1", "--check"),
    ("migration", "abort", "12"),
    ("migration", "set", "12", "--max-downtime", "800"),
    ("migration", "force-complete", "12"),
    ("migration", "resolve", "12", "--lost", "--reason", "x"),
]


def a_house() -> FakeHouse:
    house = FakeHouse()
    house.put(a_migration(status=MigrationStatus.RUNNING, dest_compute=HOST_B))
    return house


@pytest.mark.parametrize("words", EVERY_VERB, ids=" ".join)
def test_a_server_that_does_not_answer_is_one_line_with_the_remedy(words: tuple[str, ...]) -> None:
    said = typed(None, *words)
    assert said.exit_code == Exit.CANNOT_ASK
    [told] = said.stderr.splitlines()
    assert told.startswith("godwit: http://127.0.0.1:8774 does not answer: connection refused; ")
    assert "godwit serve" in told
    assert said.stdout == ""


@pytest.mark.parametrize("words", EVERY_LOOK, ids=" ".join)
def test_json_is_one_document_on_stdout(words: tuple[str, ...]) -> None:
    said = typed(a_house(), *words, "--json")
    assert said.exit_code == 0
    assert isinstance(json.loads(said.stdout), dict)


@pytest.mark.parametrize("words", EVERY_VERB, ids=" ".join)
def test_json_is_one_document_also_when_it_fails(words: tuple[str, ...]) -> None:
    said = typed(None, *words, "--json")
    assert json.loads(said.stdout)["error"]["exit_code"] == said.exit_code == Exit.CANNOT_ASK


@pytest.mark.parametrize("words", [(), ("host",), ("server",), ("migration",)], ids=" ".join)
def test_a_group_alone_shows_its_verbs(words: tuple[str, ...]) -> None:
    assert "Commands:" in typed(None, *words).output


def test_an_unanswered_change_says_that_it_may_have_happened() -> None:
    transport = SilentTransport(arrived=True)
    said = typed(None, "host", "disable", "host-a", transport=transport)
    assert "may have been carried out" in said.stderr


@pytest.mark.parametrize(
    "url", ["ftp://x", "localhost:8774", "http://", "http://x:y", "http://x/v2"]
)
def test_a_wrong_address_is_wrong_usage(url: str) -> None:
    from click.testing import CliRunner

    from godwit.__main__ import main

    said = CliRunner().invoke(main, ["host", "list", "--url", url])
    assert said.exit_code == Exit.WRONG_USAGE
    assert said.stderr.startswith("godwit: --url: ")


def test_an_argument_that_is_no_text_is_wrong_usage() -> None:
    for words in (
        ("server", "show", "\udcff"),
        ("host", "disable", "host-a", "--reason", "\udcff"),
    ):
        said = typed(a_house(), *words)
        assert said.exit_code == Exit.WRONG_USAGE
        assert len(said.stderr.splitlines()) == 1


# --- hosts ----------------------------------------------------------------------------------------


def test_hosts_are_a_table_with_what_one_should_know() -> None:
    house = a_house()
    house.put(a_host(HOST_B, disabled=True, disabled_reason="fan broken"))
    house.put(a_host(HOST_C, heard_at_s=a_host().heard_at_s - 90))
    lines = typed(house, "host", "list").stdout.splitlines()
    assert lines[0].split() == [
        *("HOST", "STATE", "SERVERS", "VCPUS", "MEMORY", "MOVING", "HYPERVISOR", "NOTE"),
    ]
    assert lines[1].split()[:3] == ["host-a", "up", "1"]
    assert "up, disabled" in lines[2]
    assert lines[2].endswith("fan broken")
    assert "down" in lines[3]
    assert lines[3].endswith("has not reported for 90 s")


def test_a_host_is_shown_with_what_it_owes() -> None:
    house = a_house()
    debt = Debt(
        story_uuid=MOVE,
        step="pre_live_migration",
        undo=True,
        where=HOST_A,
        words="no answer",
        attempts=3,
    )
    house.owe(debt)
    shown = typed(house, "host", "show", "host-a").stdout
    assert "QEMU 7.2.22" in shown
    assert f"undo pre_live_migration  migration {MOVE}  tried 3 times  no answer" in shown


def test_disabling_a_host_hands_on_the_reason_and_who_asked() -> None:
    house = a_house()
    said = typed(house, "host", "disable", "host-b", "--reason", "fan kaputt ⚠")
    assert said.stdout == "host-b takes no more guests; those there stay\n"
    [wish] = house.asked
    assert isinstance(wish, SetHostEnabled)
    assert (wish.host, wish.enabled) == ("host-b", False)
    assert (wish.asked.reason, wish.asked.initiator) == ("fan kaputt ⚠", "local:ana")
    assert typed(house, "host", "enable", "host-b").exit_code == 0


@pytest.mark.parametrize("verb", ["show", "enable", "disable"])
def test_an_unknown_host_cannot_be_asked_for(verb: str) -> None:
    said = typed(a_house(), "host", verb, "nowhere")
    assert said.exit_code == Exit.CANNOT_ASK
    assert said.stderr == (
        "godwit: no host is known as nowhere;"
        " godwit host list shows the hosts of the settings file\n"
    )


# --- servers --------------------------------------------------------------------------------------


def test_servers_are_a_table() -> None:
    house = a_house()
    house.put(a_server(uuid=OTHER, name="web", host=HOST_B, task_state=TaskState.MIGRATING))
    lines = typed(house, "server", "list").stdout.splitlines()
    assert lines[1].split() == ["guest-1", "host-a", "active", "2", "1.0", "GiB", GUEST]
    assert lines[2].split()[:4] == ["web", "host-b", "migrating", "migrating"]
    only = typed(house, "server", "list", "--host", "host-b", "--name", "we").stdout.splitlines()
    assert [row.split()[0] for row in only] == ["SERVER", "web"]


def test_an_empty_list_says_so() -> None:
    assert typed(FakeHouse(), "migration", "list").stdout == "no migrations\n"


@pytest.mark.parametrize(
    ("platform", "made", "told"),
    [
        (None, False, ""),
        (None, True, "godwit"),
        (Platform(tagged=True), False, "godwit"),
        (Platform(managers=("nova", "ovirt")), False, "nova, ovirt"),
        (Platform(managers=("nova",), tagged=True), True, "nova, godwit"),
    ],
)
def test_whose_a_server_is_stands_in_the_list_and_beside_it(
    platform: Platform | None, made: bool, told: str
) -> None:
    house = FakeHouse()
    house.put(a_server(platform=platform, discovered=not made))
    head, row = typed(house, "server", "list").stdout.splitlines()
    at = head.index("MANAGED BY")
    assert row[at : head.index("UUID")].strip() == told
    shown = typed(house, "server", "show", "guest-1").stdout
    assert (f"managed by  {told}" in shown) is bool(told)


@pytest.mark.parametrize(
    ("manage", "managers", "told"),
    [
        (Manage.ALL, (), ""),
        (Manage.TAGGED, (), "tagged guests alone"),
        (Manage.ALL, ("nova", "ovirt"), "also those of nova, ovirt"),
        (Manage.TAGGED, ("nova",), "tagged guests alone, also those of nova"),
    ],
)
def test_a_host_says_whose_guests_move_there_where_it_is_set_otherwise(
    manage: Manage, managers: tuple[str, ...], told: str
) -> None:
    house, host = FakeHouse(), a_host()
    assert host.facts is not None
    house.put(replace(host, facts=replace(host.facts, manage=manage, managers=managers)))
    lines = typed(house, "host", "show", "host-a").stdout.splitlines()
    said = [line.split(maxsplit=1)[1] for line in lines if line.startswith("moves ")]
    assert said == ([told] if told else [])


@pytest.mark.parametrize("named", ["guest-1", GUEST, GUEST.upper()])
def test_a_server_is_named_by_name_or_uuid(named: str) -> None:
    assert GUEST in typed(a_house(), "server", "show", named).stdout


@pytest.mark.parametrize("named", ["guest", "guest-11", OTHER, "../hosts"])
def test_an_unknown_server_is_not_guessed(named: str) -> None:
    said = typed(a_house(), "server", "show", named)
    assert said.exit_code == Exit.CANNOT_ASK
    assert "godwit server list" in said.stderr


def test_a_name_that_fits_several_servers_lists_their_uuids() -> None:
    house = a_house()
    house.put(a_server(uuid=OTHER, host=HOST_B))
    said = typed(house, "migrate", "guest-1")
    assert said.exit_code == Exit.CANNOT_ASK
    assert "guest-1 names 2 servers; name the server by its uuid" in said.stderr
    assert f"{GUEST} on host-a" in said.stderr
    assert f"{OTHER} on host-b" in said.stderr
    assert house.asked == []


def test_where_a_server_is_names_each_host_and_what_a_silent_one_said_last() -> None:
    house = FakeHouse()
    last = LastHeard(at=AT, shows=Shows.RUNS)
    silent = HostShows(host=HOST_A, shows=Shows.UNREACHABLE, words="no answer", last=last)
    house.place = Place.UNKNOWN
    house.sightings = (silent, HostShows(host=HOST_B, shows=Shows.NOTHING))
    said = typed(house, "server", "whereis", "guest-1")
    assert said.stdout.splitlines() == [
        "guest-1: it cannot be told where it is; what is recorded is host-a",
        "  host-a  does not answer  recorded  no answer; at 2026-01-02 03:04:05 UTC: runs",
        "  host-b  not there",
    ]


@pytest.mark.parametrize("place", Place)
def test_a_guest_that_is_not_for_sure_at_one_host_needs_a_person(place: Place) -> None:
    house = FakeHouse()
    house.place = place
    said = typed(house, "server", "whereis", "guest-1")
    unsure = {Place.UNKNOWN, Place.TWICE, Place.NOWHERE}
    assert said.exit_code == (Exit.PERSON_NEEDED if place in unsure else 0)
    assert said.stdout.startswith("guest-1: ")
    assert place not in said.stdout.splitlines()[0]
    assert ("ALARM" in said.stdout) == (place in ALARMING)


def test_hosts_that_have_nothing_of_a_server_share_a_line_where_they_are_many() -> None:
    house = FakeHouse()
    without = [HostShows(host=HostName(f"host-{n:03}"), shows=Shows.NOTHING) for n in range(40)]
    house.sightings = (*house.sightings, *without)
    lines = typed(house, "server", "whereis", "guest-1").stdout.splitlines()
    assert lines[1:] == ["  host-a          runs       recorded", "  40 other hosts  not there"]


def test_a_server_is_made_from_flavor_and_image() -> None:
    house = a_house()
    said = typed(house, "server", "create", "web", "--flavor", "small", "--image", "tick")
    assert said.stdout.startswith("web created: ")
    [wish] = house.asked
    assert isinstance(wish, CreateServer)
    assert (wish.name, wish.flavor, wish.image, wish.host) == ("web", "small", "tick", None)


@pytest.mark.parametrize("verb", ["delete", "forget"])
def test_deleting_and_forgetting_name_what_was_done(verb: str) -> None:
    house = a_house()
    said = typed(house, "server", verb, "guest-1")
    assert said.exit_code == 0
    assert said.stdout.startswith("guest-1 ")
    [wish] = house.asked
    assert isinstance(wish, ForServer)
    assert wish.instance_uuid == GUEST


def test_deleting_names_the_disks_that_were_left() -> None:
    house = a_house()
    house.left = ("/d/own, by hand.qcow2", "/d/\xfc.raw")
    said = typed(house, "server", "delete", "guest-1")
    assert said.stdout == "guest-1 deleted; left alone: /d/own, by hand.qcow2, /d/\xfc.raw\n"


def test_a_refusal_is_one_line_and_exit_code_3() -> None:
    house = a_house()
    house.trouble = Conflict(reason(Code.SERVER_DISCOVERED, server="guest-1"))
    said = typed(house, "server", "delete", "guest-1")
    assert said.exit_code == Exit.REFUSED
    [told] = said.stderr.splitlines()
    assert "godwit server forget" in told


# --- migrations -----------------------------------------------------------------------------------


def test_migrations_are_a_table_that_shows_where_a_person_is_needed() -> None:
    house = a_house()
    house.put(a_migration(status=MigrationStatus.RUNNING, dest_compute=HOST_B, person_needed=True))
    row = typed(house, "migration", "list").stdout.splitlines()[1]
    assert row.startswith("12  guest-1  host-a  host-b  person needed  ")
    assert row.endswith("local:ana")


def test_the_list_of_migrations_can_be_narrowed() -> None:
    house = a_house()
    words = ("--server", "guest-1", "--host", "host-b", "--status", "running", "--limit", "5")
    assert "guest-1" in typed(house, "migration", "list", *words).stdout
    assert typed(house, "migration", "list", "--host", "host-c").stdout == "no migrations\n"
    said = typed(house, "migration", "list", "--status", "runing")
    assert said.exit_code == Exit.WRONG_USAGE
    assert "status: 'runing' is no status; one of accepted, " in said.stderr


@pytest.mark.parametrize("verb", ["show", "abort"])
def test_an_unknown_migration_cannot_be_asked_for(verb: str) -> None:
    said = typed(a_house(), "migration", verb, "99")
    assert said.exit_code == Exit.CANNOT_ASK
    assert "no migration is known as 99; godwit migration list" in said.stderr


def test_every_event_is_shown_with_where_who_attempt_and_reason() -> None:
    house = a_house()
    house.tell(
        Entry(step="check_instance", what=What.BEGAN),
        Entry(
            step="post_live_migration_at_source",
            what=What.OWED,
            words="host-a does not answer",
            attempt=1,
            by="box:7:1a2b3c4d",
            where="host-a",
            code="no-answer",
        ),
    )
    said = typed(house, "migration", "show", "12", "--timeline")
    assert [" ".join(line.split()) for line in said.stdout.splitlines()] == [
        "WHEN (UTC) STEP WHAT ATTEMPT WHERE WHO REASON EVIDENCE",
        "2026-01-02 03:04:05.000006 check_instance began",
        "2026-01-02 03:04:05.000006 post_live_migration_at_source owed 1 host-a box:7:1a2b3c4d "
        "no-answer host-a does not answer",
    ]
    said = typed(house, "migration", "show", "12", "--timeline", "--json")
    told = json.loads(said.stdout)["entries"][1]
    assert (told["attempt"], told["by"], told["where"]) == (1, "box:7:1a2b3c4d", "host-a")
    assert (told["code"], told["words"]) == ("no-answer", "host-a does not answer")


def test_every_event_is_not_shown_while_one_watches() -> None:
    said = typed(a_house(), "migration", "show", "12", "--timeline", "--watch")
    assert said.exit_code == Exit.WRONG_USAGE


def test_aborting_says_how_to_watch() -> None:
    house = a_house()
    said = typed(house, "migration", "abort", "12", "--reason", "wrong one")
    assert said.stdout == (
        "migration 12 was asked to stop; watch: godwit migration show 12 --watch\n"
    )
    [wish] = house.asked
    assert isinstance(wish, AbortMigration)
    assert wish.asked.reason == "wrong one"


def test_new_limits_are_asked_for_by_their_units() -> None:
    house = a_house()
    said = typed(house, "migration", "set", "12", "--bandwidth", "0", "--timeout", "60")
    assert said.stdout == "recorded; watch: godwit migration show 12 --watch\n"
    [wish] = house.asked
    assert isinstance(wish, SteerMigration)
    assert wish.wish == SteeringWish(bandwidth_mib_per_s=0, completion_timeout_s=60.0)
    assert typed(house, "migration", "set", "12").exit_code == Exit.WRONG_USAGE


@pytest.mark.parametrize(
    "words",
    [
        ("migrate", "guest-1", "--timeout", "nan"),
        ("migrate", "guest-1", "--timeout", "inf"),
        ("migration", "set", "12", "--timeout", "-1"),
        ("migrate", "guest-1", "--reason", "r" * 501),
        ("migration", "abort", "12", "--reason", "r" * 501),
        ("migrate", ""),
        ("migrate", "guest-1", " "),
        ("server", "delete", ""),
        ("host", "show", ""),
        ("migration", "show", ""),
    ],
)
def test_what_means_nothing_is_wrong_usage_and_asks_nothing(words: tuple[str, ...]) -> None:
    house = a_house()
    assert typed(house, *words).exit_code == Exit.WRONG_USAGE
    assert house.asked == []


def test_a_long_reason_is_begun_in_the_list_and_whole_beside_its_migration() -> None:
    house, why = a_house(), "because of " + "r" * 489
    house.put(a_migration(status=MigrationStatus.RUNNING, initiator_reason=why))
    row = typed(house, "migration", "list").stdout.splitlines()[1]
    assert row.endswith("rrr...")
    assert len(row) < 200
    assert why in typed(house, "migration", "show", "12").stdout


def test_forcing_says_which_way() -> None:
    said = typed(a_house(), "migration", "force-complete", "12")
    assert said.stdout == (
        "migration 12 is brought to its end by a pause of about 800 ms, at most 1.6 s\n"
    )


def test_an_abort_that_comes_too_late_is_refused() -> None:
    house = a_house()
    why = reason(Code.MIGRATION_NOT_ABORTABLE, migration="12", status="post-migrating")
    house.trouble = Conflict(why)
    said = typed(house, "migration", "abort", "12")
    assert said.exit_code == Exit.REFUSED
    assert "after the switch a migration only goes forward" in said.stderr


@pytest.mark.parametrize(
    ("words", "at_host"), [(("--at", "host-b"), "host-b"), (("--lost",), None)]
)
def test_a_decision_is_recorded_with_its_reason(
    words: tuple[str, ...], at_host: str | None
) -> None:
    house = a_house()
    said = typed(house, "migration", "resolve", "12", *words, "--reason", "saw it")
    assert said.exit_code == 0
    assert said.stdout.startswith("recorded: the guest is ")
    [wish] = house.asked
    assert isinstance(wish, ResolveMigration)
    assert (wish.at_host, wish.asked.reason) == (at_host, "saw it")


@pytest.mark.parametrize(
    "words",
    [
        ("--reason", "x"),
        ("--at", "host-b", "--lost", "--reason", "x"),
        ("--lost",),
        ("--lost", "--reason", " "),
    ],
    ids=" ".join,
)
def test_a_decision_that_is_no_decision_is_wrong_usage(words: tuple[str, ...]) -> None:
    house = a_house()
    said = typed(house, "migration", "resolve", "12", *words)
    assert said.exit_code == Exit.WRONG_USAGE
    assert house.asked == []


def test_the_lines_shown_where_a_person_is_needed_can_be_typed_as_they_are() -> None:
    house = a_house()
    why = reason(
        Code.WHEREABOUTS_UNKNOWN,
        source="host-a",
        source_word="gone (shut off)",
        destination="host-b",
        destination_word="receiving (paused)",
    )
    needed = {"person_needed": True, "reason": why, "dest_compute": HOST_B}
    house.put(a_migration(status=MigrationStatus.RUNNING, **needed))
    house.tell(line("live_migration", What.RESTS, why.words))
    shown = typed(house, "migration", "show", "12").stdout
    assert "host-a shows the guest as gone (shut off), host-b as receiving (paused)" in shown
    assert "so since 2026-01-02 03:04:05 UTC, last seen 2026-01-02 03:04:05 UTC" in shown
    lines = [row.split() for row in shown.splitlines() if "godwit migration resolve 12" in row]
    assert len(lines) == 3
    for words in lines:
        assert typed(house, *words[1:]).exit_code == 0
    assert [wish.at_host for wish in house.asked] == ["host-a", "host-b", None]


@pytest.mark.parametrize(
    ("at_host", "waits_while"),
    [
        (
            "host-b",
            "host-b has no whole guest and host-a does not answer or holds one; then it waits",
        ),
        ("host-a", "unless the guest runs on host-b, or is whole there alone; then it waits"),
        (None, "at the next look, within a minute or so."),
    ],
)
def test_a_decision_on_record_is_shown_with_what_it_may_wait_for(
    at_host: str | None, waits_while: str
) -> None:
    house = a_house()
    needed = {"person_needed": True, "dest_compute": HOST_B}
    house.put(a_migration(status=MigrationStatus.RUNNING, **needed))
    house.decide(HostName(at_host) if at_host else None, reason(Code.SERVER_UNKNOWN, server="x"))
    shown = typed(house, "migration", "show", "12").stdout
    assert waits_while in " ".join(shown.split())


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (NotFound(reason(Code.SERVER_UNKNOWN, server="x")), Exit.CANNOT_ASK),
        (Conflict(reason(Code.INSTANCE_BUSY, server="x", task="migrating")), Exit.REFUSED),
        (Refused(reason(Code.NOT_ENOUGH_VCPUS, host=HOST_B, free=1, needed=2)), Exit.REFUSED),
        (Unreachable(reason(Code.STORE_UNAVAILABLE, path="p", problem="q")), Exit.CANNOT_ASK),
        (KeyError("defect"), Exit.CANNOT_ASK),
    ],
    ids=lambda each: type(each).__name__,
)
def test_each_kind_of_error_has_its_exit_code(trouble: Exception, code: Exit) -> None:
    house = a_house()
    house.trouble = trouble
    said = typed(house, "host", "disable", "host-a")
    assert said.exit_code == code
    assert "Traceback" not in said.output
