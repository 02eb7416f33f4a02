"""`godwit migrate` of many: who can go, the moves as they go on, the summary, the exit code."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console
from tests.unit.api.fake_house import HOST_A, HOST_B, HOST_C, FakeHouse, a_host, a_migration
from tests.unit.api.fake_house import a_server as a_plain_server
from tests.unit.cli.wire import Frame, interrupted, lost, typed

from godwit.cli.asking import each_at_once
from godwit.cli.exits import WORST_FIRST, Exit, worst_of
from godwit.cli.many_lines import Row, board_lines
from godwit.cli.terminal import TerminalBoard
from godwit.model.errors import Conflict
from godwit.model.ids import InstanceUuid, MigrationUuid
from godwit.model.instance import Instance, VmState
from godwit.model.migrate_data import Guard
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.progress import Statistics
from godwit.model.reasons import Code, Reason, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.rpc.conductor import (
    AbortMigration,
    CheckLiveMigration,
    LiveMigrate,
    Verdicts,
    Willing,
)
from godwit.sim.loop import START_S

S = MigrationStatus
TOO_OLD = reason(Code.DESTINATION_HYPERVISOR_TOO_OLD, host=HOST_B, there="9.0.0", here="11.3.0")
STOPPED = reason(Code.INSTANCE_INVALID_STATE, server="guest-2", state="stopped")
BROKE = reason(Code.TRANSFER_FAILED, problem="connection reset")
CANCELLED = reason(Code.CANCELLED_BY_REQUEST, initiator="local:ana")
WILLING = Verdicts(
    willing=tuple(Willing(host=host, guard=Guard.PAUSED) for host in (HOST_B, HOST_C))
)


def uuid_of(number: int) -> InstanceUuid:
    return InstanceUuid(f"{number:08d}-1111-4111-8111-111111111111")


def a_server(number: int, **changes: Any) -> Instance:
    return a_plain_server(uuid=uuid_of(number), name=f"guest-{number}", **changes)


class Fleet(FakeHouse):
    """guest-1 to guest-3 on host-a; each is moved, and answers a check, by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count(1)
        self.moves: dict[int, MigrationUuid] = {}
        self.unwilling: dict[InstanceUuid, Verdicts] = {}
        self.busy: set[InstanceUuid] = set()
        for number in (2, 3):
            self.put(a_server(number))

    async def check_live_migration(self, ask: CheckLiveMigration) -> Verdicts:
        self.asked.append(ask)
        return self.unwilling.get(ask.instance_uuid, WILLING)

    async def live_migrate_instance(self, ask: LiveMigrate) -> Migration:
        self.asked.append(ask)
        if ask.instance_uuid in self.busy:
            raise Conflict(reason(Code.INSTANCE_BUSY, server="guest-2", task="migrating"))
        number = next(self.numbers)
        uuid = MigrationUuid(f"{number:08d}-7777-4777-8777-777777777777")
        self.moves[number] = uuid
        move = a_migration(
            uuid=uuid, id=number, instance_uuid=ask.instance_uuid, requested_host=ask.host
        )
        self.put(move)
        return move

    def becomes(self, number: int, status: MigrationStatus, **changes: Any) -> Frame:
        """A frame in which a migration reaches this status."""

        def played() -> None:
            server = self.wishes()[number - 1].instance_uuid
            record = a_migration(
                uuid=self.moves[number],
                id=number,
                instance_uuid=server,
                status=status,
                dest_compute=HOST_B,
                updated_at=f"2026-01-02T03:04:{9 + number:02d}.000006",
            )
            self.put(replace(record, **changes))

        return played

    def wishes(self) -> list[LiveMigrate]:
        return [wish for wish in self.asked if isinstance(wish, LiveMigrate)]


def together(*frames: Frame) -> Frame:
    def played() -> None:
        for frame in frames:
            frame()

    return played


def cost(downtime_ms: int) -> Statistics:
    return Statistics(total_ms=1000, downtime_ms=downtime_ms, memory_bytes=2**20)


WENT_WELL = """\
SERVER   ON      CAN GO  TO, OR WHY NOT
guest-1  host-a  yes     host-b, host-c
guest-3  host-a  yes     host-b, host-c
moving 2 of 2
  guest-1  host-a → host-b  being moved
  guest-3  host-a → ?  waits for its turn
  guest-1  host-a → host-b  moved, downtime 38 ms
  guest-3  host-a → host-b  being moved
  guest-3  host-a → host-b  moved, downtime 71 ms
2 moved of 2  in 6 s  2.0 MiB  longest downtime 71 ms
"""


def test_many_are_checked_moved_watched_and_summed_up() -> None:
    house = Fleet()
    frames = [
        together(house.becomes(1, S.RUNNING), house.becomes(2, S.QUEUED, dest_compute=None)),
        together(house.becomes(1, S.COMPLETED, statistics=cost(38)), house.becomes(2, S.RUNNING)),
        house.becomes(2, S.COMPLETED, statistics=cost(71)),
    ]
    said = typed(house, "migrate", "guest-1", "guest-3", "--reason", "fan", frames=frames)
    assert said.stdout == WENT_WELL
    assert said.exit_code == Exit.MOVED
    assert [wish.asked.reason for wish in house.wishes()] == ["fan", "fan"]


def test_one_that_cannot_go_is_said_before_and_hinders_nobody() -> None:
    house = Fleet()
    house.unwilling[uuid_of(2)] = Verdicts(reasons=(STOPPED,))
    frames = [together(house.becomes(1, S.COMPLETED), house.becomes(2, S.COMPLETED))]
    said = typed(house, "migrate", "--from", "host-a", "--to", "host-b", frames=frames)
    lines = said.stdout.splitlines()
    assert lines[2] == "guest-2  host-a  no      instance-invalid-state"
    assert f"    → {STOPPED.remedy}" in lines
    assert "moving 2 of 3; left where they are: guest-2" in lines
    assert lines[-2].startswith("2 moved, 1 refused of 3")
    assert said.exit_code == Exit.REFUSED
    assert [wish.host for wish in house.wishes()] == [HOST_B, HOST_B]


def test_names_that_repeat_or_overlap_are_taken_once() -> None:
    house = Fleet()
    words = ["guest-2", "guest-2", uuid_of(2), uuid_of(2).upper()]
    said = typed(house, "migrate", *words, "--from", "host-a", "--no-wait")
    asked_for = [wish.instance_uuid for wish in house.wishes()]
    assert asked_for[0] == uuid_of(2)
    assert len(asked_for) == len(set(asked_for)) == 3
    assert said.stdout.splitlines()[-1] == "migration 3 of guest-3 accepted"
    assert said.exit_code == Exit.MOVED


def test_a_name_that_nobody_knows_hinders_nobody_and_is_exit_code_1() -> None:
    house = Fleet()
    said = typed(house, "migrate", "gust-1", "guest-1", frames=[house.becomes(1, S.COMPLETED)])
    assert said.exit_code == Exit.CANNOT_ASK
    assert "gust-1   -       no      server-unknown" in said.stdout
    assert "no server is known as gust-1" in said.stdout
    assert len(house.wishes()) == 1


def test_one_that_became_busy_since_its_check_is_refused_by_itself() -> None:
    house = Fleet()
    house.busy.add(uuid_of(2))
    frames = [house.becomes(1, S.COMPLETED)]
    said = typed(house, "migrate", "guest-2", "guest-3", frames=frames)
    assert said.exit_code == Exit.REFUSED
    assert "1 moved, 1 refused of 2" in said.stdout
    assert "guest-2: godwit: " in said.stdout


def test_where_nobody_can_go_nothing_is_asked_for() -> None:
    house = Fleet()
    for number in (2, 3):
        house.unwilling[uuid_of(number)] = Verdicts(refusals=grouped(by_themselves((TOO_OLD,))))
    said = typed(house, "migrate", "guest-2", "guest-3")
    assert said.exit_code == Exit.REFUSED
    assert "none of them can go: nothing is moved" in said.stdout
    assert said.stdout.count(TOO_OLD.words) == 1
    assert house.wishes() == []


# --- every end ------------------------------------------------------------------------------------


def test_the_worst_end_is_the_exit_code() -> None:
    order = [Exit.PERSON_NEEDED, Exit.FAILED, Exit.CANNOT_ASK, Exit.REFUSED, Exit.CANCELLED]
    order.append(Exit.MOVED)
    for number, worse in enumerate(order):
        for better in order[number:]:
            assert worst_of([better, worse, better]) is worse
    assert set(WORST_FIRST) == set(Exit) - {Exit.INTERRUPTED}


@pytest.mark.parametrize(
    ("status", "why", "code", "counted"),
    [
        (S.FAILED, BROKE, Exit.FAILED, "1 moved, 1 failed of 2"),
        (S.CANCELLED, CANCELLED, Exit.CANCELLED, "1 moved, 1 cancelled of 2"),
        (S.ERROR, BROKE, Exit.PERSON_NEEDED, "1 moved, 1 needing a person of 2"),
    ],
)
def test_whoever_did_not_move_is_named_with_the_reason(
    status: MigrationStatus, why: Reason, code: Exit, counted: str
) -> None:
    house = Fleet()
    frames = [together(house.becomes(1, S.COMPLETED), house.becomes(2, status, reason=why))]
    said = typed(house, "migrate", "guest-1", "guest-2", frames=frames)
    assert said.exit_code == code
    assert counted in said.stdout
    assert f"guest-2: {status}  {why.code}: {why.words}" in said.stdout


def test_one_that_needs_a_person_does_not_keep_the_others_waiting() -> None:
    house = Fleet()
    stuck = house.becomes(2, S.RUNNING, person_needed=True, reason=BROKE)
    said = typed(
        house,
        "migrate",
        "guest-1",
        "guest-2",
        frames=[together(stuck, house.becomes(1, S.COMPLETED))],
    )
    assert said.exit_code == Exit.PERSON_NEEDED
    assert "A person is needed: where is guest-2?" in said.stdout


# --- the host that is to be emptied ---------------------------------------------------------------


def test_an_empty_host_is_no_error() -> None:
    said = typed(Fleet(), "migrate", "--from", "host-c")
    assert (said.exit_code, said.stdout) == (0, "host-c has no servers: nothing is moved\n")


def test_a_server_that_no_host_has_any_more_is_not_one_to_be_moved_off_its_last_host() -> None:
    house = Fleet()
    house.put(a_server(2, vm_state=VmState.MISSING))
    said = typed(house, "migrate", "--from", "host-a", "--check")
    assert said.exit_code == Exit.MOVED
    assert "guest-2" not in said.stdout
    named = typed(house, "migrate", "guest-2", "guest-3", "--check")
    assert "guest-2" in named.stdout, "who names it is told of it"


def test_a_host_that_nobody_knows_is_exit_code_1() -> None:
    for words in (("--from", "host-z"), ("guest-1", "guest-2", "--to", "host-z")):
        said = typed(Fleet(), "migrate", *words)
        assert said.exit_code == Exit.CANNOT_ASK
        assert "host-z" in said.stderr


def test_a_host_that_is_down_is_exit_code_3() -> None:
    house = Fleet()
    house.put(a_host(HOST_A, heard_at_s=START_S - 3600))
    said = typed(house, "migrate", "--from", "host-a")
    assert said.exit_code == Exit.REFUSED
    assert "host-a does not answer: no guest can leave it now" in said.stderr


@pytest.mark.parametrize("words", [(), ("--from", "host-a", "--to", "host-a")])
def test_nothing_named_and_a_host_emptied_into_itself_are_wrong_usage(
    words: tuple[str, ...],
) -> None:
    assert typed(Fleet(), "migrate", *words).exit_code == Exit.WRONG_USAGE


# --- check, JSON, no waiting ----------------------------------------------------------------------


def test_a_dry_run_of_many_changes_nothing() -> None:
    house = Fleet()
    house.unwilling[uuid_of(3)] = Verdicts(reasons=(STOPPED,))
    said = typed(house, "migrate", "--from", "host-a", "--check")
    assert said.exit_code == Exit.REFUSED
    assert "guest-2  host-a  yes     host-b, host-c" in said.stdout
    assert "moving" not in said.stdout
    assert house.wishes() == []


def test_with_json_there_is_one_document_for_all() -> None:
    house = Fleet()
    frames = [together(house.becomes(1, S.COMPLETED), house.becomes(2, S.FAILED, reason=BROKE))]
    said = typed(house, "migrate", "guest-1", "guest-2", "nobody", "--json", frames=frames)
    shown = json.loads(said.stdout)
    assert shown["exit_code"] == said.exit_code == Exit.FAILED
    first, second, third = shown["servers"]
    assert (first["server_name"], first["migration"]["outcome"]) == ("guest-1", "moved")
    assert (second["exit_code"], second["migration"]["reason"]["code"]) == (4, "transfer-failed")
    assert third["error"]["code"] == "server-unknown"


# --- Ctrl-C, and a server that goes away ----------------------------------------------------------


def test_ctrl_c_leaves_them_running_unless_somebody_says_otherwise() -> None:
    house = Fleet()
    frames = [house.becomes(1, S.RUNNING), interrupted]
    said = typed(house, "migrate", "guest-1", "guest-2", frames=frames)
    assert said.exit_code == Exit.INTERRUPTED
    assert "they go on: 1, 2" in said.stderr
    assert not any(isinstance(wish, AbortMigration) for wish in house.asked)


def test_ctrl_c_can_cancel_all_that_are_under_way_and_sees_their_ends() -> None:
    house = Fleet()
    stopped = together(house.becomes(1, S.CANCELLED), house.becomes(2, S.COMPLETED))
    frames = [house.becomes(1, S.RUNNING), interrupted, stopped]
    said = typed(house, "migrate", "guest-1", "guest-2", frames=frames, cancel=True)
    stops = [wish.migration_uuid for wish in house.asked if isinstance(wish, AbortMigration)]
    assert stops == [house.moves[1], house.moves[2]]
    assert said.exit_code == Exit.CANCELLED
    assert "1 moved, 1 cancelled of 2" in said.stdout


def test_a_second_ctrl_c_leaves_them() -> None:
    house = Fleet()
    frames = [interrupted, interrupted]
    said = typed(house, "migrate", "guest-1", "guest-2", frames=frames, cancel=True)
    assert said.exit_code == Exit.INTERRUPTED


def test_a_server_that_goes_away_and_comes_back_does_not_end_the_watching_of_many() -> None:
    house = Fleet()
    over = together(house.becomes(1, S.COMPLETED), house.becomes(2, S.COMPLETED))
    said = typed(house, "migrate", "guest-1", "guest-2", frames=[lost, lost, over])
    assert said.exit_code == Exit.MOVED
    assert said.stdout.count("does not answer; asking again") == 1


# --- the board ------------------------------------------------------------------------------------


def row(number: int, status: str) -> Row:
    return Row(f"guest-{number}", "host-a → host-b", status, status)


def test_what_does_not_fit_is_counted_and_what_moves_comes_first() -> None:
    rows = [row(n, "ended" if n < 3 else "queued") for n in range(8)] + [row(8, "running")]
    lines = board_lines(rows, 4)
    assert lines[0].split()[0] == "guest-8"
    assert len(lines) == 4
    assert lines[-1] == "  and 6 more: 3 queued, 3 ended"


def test_on_a_terminal_the_rows_are_redrawn_and_vanish() -> None:
    console = Console(force_terminal=True, width=80, height=10, record=True, highlight=False)
    with TerminalBoard(console) as board:
        board.show([row(1, "queued"), row(2, "running")])
        board.line("  ~ no answer")
    shown = console.export_text()
    assert "guest-2" in shown
    assert "~ no answer" in shown


def test_many_are_asked_at_the_same_time_and_answer_in_order() -> None:
    work: Callable[[int], int] = lambda n: n * n  # noqa: E731
    assert each_at_once(work, list(range(100))) == [n * n for n in range(100)]
