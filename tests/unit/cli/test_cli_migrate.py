"""`godwit migrate`: the story as it happens, its end, its exit code."""

import json
from typing import Any

import pytest
from tests.unit.api.fake_house import HOST_A, HOST_B, HOST_C, FakeHouse, a_migration, a_story, line
from tests.unit.cli.wire import Frame, interrupted, lost, typed

from godwit.api.story import Outcome
from godwit.cli.exits import BY_OUTCOME, Exit, exit_of_outcome
from godwit.cli.watch import RETRIES_MAX
from godwit.model.errors import BadRequest, Conflict
from godwit.model.ids import HostName
from godwit.model.migrate_data import Guard
from godwit.model.migration import MigrationStatus
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.model.reasons import Code, Reason, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.model.steering import Steering
from godwit.rpc.conductor import LiveMigrate, Verdicts, Willing
from godwit.saga.log import Direction, What

TOO_OLD = reason(Code.DESTINATION_HYPERVISOR_TOO_OLD, host=HOST_C, there="9.0.0", here="11.3.0")
ITSELF = reason(Code.UNABLE_TO_MIGRATE_TO_SELF, host=HOST_A)
COPYING = Progress(
    phase=TransferPhase.COPYING_MEMORY,
    elapsed_s=1,
    memory_total_bytes=2**31,
    memory_processed_bytes=2**30,
    memory_remaining_bytes=2**30,
    rate_bytes_per_s=300 * 2**20,
    iteration=1,
    eta_s=3.4,
)


def frames_of(house: FakeHouse) -> list[Frame]:
    """What happens from poll to poll in a move that goes well."""

    def first_steps() -> None:
        house.tell(line("check_instance", What.BEGAN), line("check_instance", What.DONE))
        house.tell(line("hold_source_allocation", What.DONE))

    def destination() -> None:
        house.change(dest_compute=HOST_B, refusals=grouped(by_themselves((ITSELF, TOO_OLD))))
        house.tell(line("find_destination", What.DONE), line("wait_for_turn", What.RESTS, "queued"))

    def copying() -> None:
        house.change(status=MigrationStatus.RUNNING, progress=COPYING)
        house.put(a_story(step="live_migration"))
        house.tell(line("wait_for_turn", What.DONE), line("pre_live_migration", What.DONE))

    def switched() -> None:
        house.change(status=MigrationStatus.POST_MIGRATING)
        house.tell(line("live_migration", What.DONE), line("live_migration", What.RESOLVED))

    def recorded() -> None:
        cost = Statistics(total_ms=14000, downtime_ms=38, memory_bytes=2254857830, iterations=3)
        house.change(statistics=cost)
        house.tell(line("record_new_host", What.DONE))

    def completed() -> None:
        updated_at = "2026-01-02T03:04:21.200006"
        house.change(status=MigrationStatus.COMPLETED, updated_at=updated_at)

    def ended() -> None:
        house.put(a_story(step="finish", direction=Direction.ENDED))
        house.tell(line("finish", What.DONE), line("finish", What.ENDED))

    return [first_steps, destination, copying, switched, recorded, completed, ended]


STORY = """\
migration 12  guest-1  host-a → ?
  + check_instance
  + hold_source_allocation
  + find_destination          host-b   (host-c refused: destination-hypervisor-too-old)
  . wait_for_turn             waits for its turn
  + wait_for_turn
  + pre_live_migration
    memory  [========        ]   50%  1.0 GiB sent  300 MiB/s  4 s left
  * live_migration            2.1 GiB in 14 s, 3 rounds, paused 38 ms
  > record_new_host           guest-1 is on host-b
  > finish
completed  guest-1  host-a → host-b  in 16 s  downtime 38 ms  2.1 GiB  at 154 MiB/s
"""


def test_the_story_is_told_line_by_line_as_it_happens() -> None:
    house = FakeHouse()
    said = typed(house, "migrate", "guest-1", "--reason", "fan ⚠ 100%", frames=frames_of(house))
    assert said.stdout == STORY
    assert said.exit_code == Exit.MOVED
    [wish] = house.asked
    assert isinstance(wish, LiveMigrate)
    assert (wish.asked.initiator, wish.asked.reason) == ("local:ana", "fan ⚠ 100%")


def test_the_same_story_can_be_read_afterwards() -> None:
    house = FakeHouse()
    typed(house, "migrate", "guest-1", frames=frames_of(house))
    told = [row for row in STORY.splitlines() if "GiB sent" not in row]
    shown = typed(house, "migration", "show", "12").stdout.splitlines()
    assert shown[0] == "migration 12  guest-1  host-a → host-b"
    assert shown[1] == "  asked for by local:ana, 2026-01-02 03:04:05 UTC"
    assert shown[2] == "  steered: pause at most 500 ms"
    assert shown[3:] == told[1:]


def test_a_migration_is_shown_with_its_guard_and_why_it_is_not_by_post_copy() -> None:
    house = FakeHouse()
    house.put(a_migration(steering=Steering(permit_post_copy=True)))
    house.put(a_story(facts=b'{"migrate_data": {"guard": "paused", "block_migration": true}}'))
    shown = typed(house, "migration", "show", "12").stdout.splitlines()
    assert shown[2] == "  guard: paused, no post-copy: disks are copied"


def test_a_server_that_goes_away_and_comes_back_does_not_end_the_watching() -> None:
    house = FakeHouse()
    frames = frames_of(house)
    frames[3:3] = [lost, lost, lost]
    said = typed(house, "migrate", "guest-1", frames=frames)
    assert said.exit_code == Exit.MOVED
    silence = [row for row in said.stdout.splitlines() if "does not answer; asking again" in row]
    assert len(silence) == 1
    assert said.stdout.splitlines()[-1].startswith("completed  guest-1")


def test_a_server_that_stays_away_is_given_up_with_exit_code_1() -> None:
    house = FakeHouse()
    said = typed(house, "migrate", "guest-1", frames=[lost] * (RETRIES_MAX + 1))
    assert said.exit_code == Exit.CANNOT_ASK
    assert "the migration does not need it to go on" in said.stderr


def test_ctrl_c_ends_the_watching_and_says_how_to_go_on() -> None:
    house = FakeHouse()
    said = typed(house, "migrate", "guest-1", frames=[*frames_of(house)[:2], interrupted])
    assert said.exit_code == Exit.INTERRUPTED
    assert "migration 12 goes on; watch: godwit migration show 12 --watch" in said.stderr
    assert "stop: godwit migration abort 12" in said.stderr
    assert len(house.asked) == 1


def test_watching_again_tells_the_story_from_its_beginning() -> None:
    house = FakeHouse()
    frames = frames_of(house)
    typed(house, "migrate", "guest-1", frames=[*frames[:2], interrupted])
    said = typed(house, "migration", "show", "12", "--watch", frames=frames[2:])
    assert said.exit_code == Exit.MOVED
    assert said.stdout.splitlines()[1:] == STORY.splitlines()[1:]


def test_without_waiting_it_returns_as_soon_as_it_is_accepted() -> None:
    house = FakeHouse()
    said = typed(house, "migrate", "guest-1", "--no-wait")
    assert said.exit_code == 0
    assert said.stdout.startswith("migration 12 accepted; watch: ")


def test_with_json_there_is_one_document_at_the_end() -> None:
    house = FakeHouse()
    said = typed(house, "migrate", "guest-1", "--json", frames=frames_of(house))
    shown = json.loads(said.stdout)["migration"]
    assert (said.exit_code, shown["outcome"], shown["destination"]) == (0, "moved", "host-b")


@pytest.mark.parametrize(
    ("flags", "sent"),
    [((), "auto"), (("--auto",), "auto"), (("--block",), "block"), (("--shared",), "shared")],
)
def test_how_disks_travel_is_handed_on(flags: tuple[str, ...], sent: str) -> None:
    house = FakeHouse()
    typed(house, "migrate", "guest-1", "--to", "host-b", "--no-wait", *flags)
    assert (house.asked[0].block_migration, house.asked[0].host) == (sent, "host-b")


@pytest.mark.parametrize("verb", [("--no-wait",), ("--check",)])
def test_the_wish_to_over_commit_disks_is_handed_on(verb: tuple[str, ...]) -> None:
    house = FakeHouse()
    typed(house, "migrate", "guest-1", *verb)
    typed(house, "migrate", "guest-1", "--disk-over-commit", *verb)
    assert [ask.disk_over_commit for ask in house.asked] == [False, True]


def test_two_ways_for_the_disks_are_wrong_usage() -> None:
    house = FakeHouse()
    assert typed(house, "migrate", "guest-1", "--block", "--shared").exit_code == Exit.WRONG_USAGE
    assert house.asked == []


# --- every end ------------------------------------------------------------------------------------


def ends_with(
    house: FakeHouse, status: MigrationStatus, why: Reason | None, *steps: str, **changes: Any
) -> Frame:
    def ended() -> None:
        house.change(status=status, reason=why, **changes)
        house.put(a_story(direction=Direction.ENDED))
        house.tell(*(line(step, What.DONE) for step in steps))

    return ended


NO_HOST = reason(Code.NO_VALID_HOST, refused=1, hosts=1)
BROKE = reason(Code.TRANSFER_FAILED, problem="connection reset")
LOST = reason(Code.RESOLVED_BY_A_PERSON, initiator="ana", choice="lost", why="burnt")
CANCELLED = reason(Code.CANCELLED_BY_REQUEST, initiator="local:ana")
STOPPED = reason(Code.GUEST_STOPPED, how="it has shut itself down")
ENDED_THERE = reason(Code.GUEST_ENDED_THERE, host=HOST_B, how="it has crashed")
GUEST_ENDED = reason(Code.GUEST_ENDED, how="shut down")


@pytest.mark.parametrize(
    ("status", "why", "steps", "code", "first"),
    [
        (MigrationStatus.COMPLETED, None, ("live_migration",), Exit.MOVED, "completed  guest-1"),
        (MigrationStatus.FAILED, NO_HOST, ("check_instance",), Exit.REFUSED, "refused  no-valid"),
        (MigrationStatus.FAILED, BROKE, ("live_migration",), Exit.FAILED, "failed  transfer-f"),
        (MigrationStatus.CANCELLED, CANCELLED, (), Exit.CANCELLED, "cancelled  cancelled-by"),
        (MigrationStatus.ERROR, LOST, (), Exit.PERSON_NEEDED, "error  resolved-by-a-person"),
        (MigrationStatus.FAILED, GUEST_ENDED, (), Exit.PERSON_NEEDED, "failed  guest-ended"),
        (MigrationStatus.FAILED, STOPPED, ("live_migration",), Exit.FAILED, "failed  guest-stop"),
        (MigrationStatus.COMPLETED, ENDED_THERE, (), Exit.PERSON_NEEDED, "guest-ended-there: "),
    ],
    ids=lambda value: str(value) if isinstance(value, MigrationStatus) else "",
)
def test_every_final_status_has_its_exit_code_and_closing_line(
    status: MigrationStatus, why: Reason | None, steps: tuple[str, ...], code: Exit, first: str
) -> None:
    house = FakeHouse()
    said = typed(house, "migrate", "guest-1", frames=[ends_with(house, status, why, *steps)])
    assert said.exit_code == code
    closing = [row for row in said.stdout.splitlines() if row.startswith(first)]
    assert len(closing) == 1
    if why is not None:
        assert why.words in said.stdout
        assert why.remedy in said.stdout
    safe = code in {Exit.REFUSED, Exit.FAILED, Exit.CANCELLED} and why is not STOPPED
    assert ("guest-1 was not moved: it is on host-a" in said.stdout) == safe


def test_where_a_person_is_needed_the_watching_ends_with_exit_code_5() -> None:
    house = FakeHouse()

    def undecided() -> None:
        why = reason(
            Code.TWO_GUESTS,
            source=HOST_A,
            source_word="kept (RUNNING)",
            destination=HOST_B,
            destination_word="runs (RUNNING)",
        )
        house.change(
            status=MigrationStatus.RUNNING, person_needed=True, reason=why, dest_compute=HOST_B
        )
        house.tell(line("live_migration", What.RESTS, why.words))

    said = typed(house, "migrate", "guest-1", frames=[undecided])
    assert said.exit_code == Exit.PERSON_NEEDED
    assert "godwit migration resolve 12 --at host-b --reason TEXT" in said.stdout


def test_every_outcome_the_server_knows_has_an_exit_code() -> None:
    assert set(BY_OUTCOME) == set(Outcome) - {Outcome.UNDER_WAY}
    assert exit_of_outcome("a word of a newer server") is Exit.PERSON_NEEDED


def test_a_refused_migration_prints_each_hosts_own_reason_and_remedy() -> None:
    house = FakeHouse()
    ended = ends_with(
        house, MigrationStatus.FAILED, NO_HOST, refusals=grouped(by_themselves((ITSELF, TOO_OLD)))
    )
    said = typed(house, "migrate", "guest-1", frames=[ended])
    assert TOO_OLD.words in said.stdout
    assert TOO_OLD.remedy in said.stdout
    assert ITSELF.words not in said.stdout


def test_undone_and_owed_steps_are_told() -> None:
    house = FakeHouse()

    def undone() -> None:
        house.tell(line("live_migration", What.FAILED, "connection reset"))
        house.tell(line("live_migration", What.RESOLVED, "connection reset"))
        house.tell(line("live_migration", What.UNDONE))
        house.tell(line("pre_live_migration", What.OWED, "host-b does not answer"))

    frames = [undone, ends_with(house, MigrationStatus.FAILED, BROKE)]
    lines = typed(house, "migrate", "guest-1", frames=frames).stdout.splitlines()
    assert lines[1:4] == [
        "  ! live_migration            connection reset",
        "  - live_migration",
        "  ! pre_live_migration        owed: host-b does not answer; tried again until it is done",
    ]
    assert lines[-1].startswith("  still owed: pre_live_migration; ")


def test_a_story_taken_over_by_another_process_says_so_without_its_name() -> None:
    house = FakeHouse()

    def taken_over() -> None:
        house.tell(line("live_migration", What.TAKEN_OVER, "7f3a goes on where 9b1c stopped"))

    frames = [taken_over, ends_with(house, MigrationStatus.COMPLETED, None)]
    shown = typed(house, "migrate", "guest-1", frames=frames).stdout
    assert "  ~ live_migration            another process goes on with the story\n" in shown


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (BadRequest(reason(Code.HOST_UNKNOWN, name="host-z")), Exit.CANNOT_ASK),
        (BadRequest(ITSELF), Exit.REFUSED),
        (Conflict(reason(Code.INSTANCE_BUSY, server="guest-1", task="migrating")), Exit.REFUSED),
    ],
)
def test_what_is_refused_at_once_is_one_line(trouble: Exception, code: Exit) -> None:
    house = FakeHouse()
    house.trouble = trouble
    said = typed(house, "migrate", "guest-1")
    assert said.exit_code == code
    assert len(said.stderr.splitlines()) == 1
    assert said.stdout == ""


# --- the dry run ----------------------------------------------------------------------------------


def verdicts(*willing: HostName) -> Verdicts:
    return Verdicts(
        willing=tuple(Willing(host=host, guard=Guard.PAUSED) for host in willing),
        refusals=grouped(by_themselves((ITSELF, TOO_OLD))),
    )


def checked(given: Verdicts, *words: str) -> tuple[int, str]:
    house = FakeHouse()
    house.verdicts = given
    said = typed(house, "migrate", "guest-1", "--check", *words)
    assert not any(isinstance(wish, LiveMigrate) for wish in house.asked)
    return said.exit_code, said.stdout


def test_a_dry_run_prints_a_verdict_per_host_with_code_words_and_remedy() -> None:
    code, shown = checked(verdicts(HOST_B))
    assert code == 0
    assert shown == (
        "guest-1 on host-a: 1 of 2 hosts would take it\n"
        "  host-b  yes, guard paused\n"
        f"  host-c  no   destination-hypervisor-too-old: {TOO_OLD.words}\n"
        f"               → {TOO_OLD.remedy}\n"
    )


def test_a_dry_run_in_which_no_host_would_do_is_exit_code_3() -> None:
    code, shown = checked(verdicts())
    assert code == Exit.REFUSED
    assert "0 of 1 host would take it" in shown


def test_a_dry_run_for_the_guests_own_host_says_why_not() -> None:
    only = Verdicts(refusals=grouped(by_themselves((ITSELF,))))
    code, shown = checked(only, "--to", "host-a")
    assert code == Exit.REFUSED
    assert ITSELF.words in shown


def test_a_reason_that_no_host_can_change_comes_first_and_is_exit_code_3() -> None:
    state = reason(Code.INSTANCE_INVALID_STATE, server="guest-1", state="stopped")
    code, shown = checked(Verdicts(reasons=(state,)))
    assert code == Exit.REFUSED
    assert shown.splitlines()[0] == "guest-1 on host-a cannot be migrated now"
    assert state.words in shown
    assert state.remedy in shown


def test_a_dry_run_with_a_rehearsal_says_which_hosts_have_rehearsed() -> None:
    code, shown = checked(verdicts(HOST_B), "--rehearse")
    assert code == 0
    assert "  host-b  yes, and rehearsed, guard paused\n" in shown


def test_a_rehearsal_without_a_dry_run_is_wrong_usage() -> None:
    house = FakeHouse()
    assert typed(house, "migrate", "guest-1", "--rehearse").exit_code == Exit.WRONG_USAGE
    assert house.asked == []


def test_a_dry_run_as_json_is_the_servers_answer() -> None:
    code, shown = checked(verdicts(HOST_B), "--json")
    assert code == 0
    said = json.loads(shown)["verdicts"]
    assert [each["host"] for each in said["willing"]] == [HOST_B]
    assert [each["hosts"] for each in said["refusals"]] == [[HOST_A], [HOST_C]]
