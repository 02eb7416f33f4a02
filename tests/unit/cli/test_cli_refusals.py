"""Refusals of a large fleet on a screen: a line for each code, and every host where it is asked."""

import json

import pytest
from tests.unit.api.fake_house import FakeHouse, a_migration
from tests.unit.cli.wire import typed

from godwit.cli.exits import Exit
from godwit.model.errors import Refused
from godwit.model.ids import HostName
from godwit.model.migrate_data import Guard
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code, Reason, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.rpc.conductor import Verdicts, Willing

FLEET = [HostName(f"h{number:03}") for number in range(1, 1000)]
NO_HOST = reason(Code.NO_VALID_HOST, refused=999, hosts=999)


def too_full(host: HostName) -> Reason:
    return reason(Code.NOT_ENOUGH_MEMORY, host=host, free_mib=int(host[1:]) % 400, needed_mib=512)


def disabled(host: HostName, why: str = "new disks") -> Reason:
    return reason(Code.COMPUTE_SERVICE_DISABLED, host=host, why=why)


REFUSALS = grouped(by_themselves([*map(too_full, FLEET[:700]), *map(disabled, FLEET[700:998])]))

TOO_FULL = "HOST has 0 to 399 MiB of memory left for guests, 512 MiB are needed"
CHECKED = f"""\
guest-1 on host-a: 1 of 999 hosts would take it
  h999                              yes, guard paused
  700 hosts: h001, h002, h003, ...  no   not-enough-memory: {TOO_FULL}
                                         → move another guest off HOST first, or choose another host
  298 hosts: h701, h702, h703, ...  no   compute-service-disabled: HOST is disabled: new disks
                                         → godwit host enable HOST, when it may take guests again
every host by itself: --all
"""


def a_house() -> FakeHouse:
    house = FakeHouse()
    willing = Willing(host=FLEET[998], guard=Guard.PAUSED)
    house.verdicts = Verdicts(willing=(willing,), refusals=REFUSALS)
    return house


def test_a_dry_run_of_a_thousand_hosts_is_a_line_for_each_code() -> None:
    said = typed(a_house(), "migrate", "guest-1", "--check")
    assert said.stdout == CHECKED


def test_a_dry_run_tells_every_host_when_all_are_asked_for() -> None:
    lines = typed(a_house(), "migrate", "guest-1", "--check", "--all").stdout.splitlines()
    assert sum("not-enough-memory" in row for row in lines) == 700
    assert "  h007  no   not-enough-memory: h007 has 7 MiB of" in "\n".join(lines)
    assert sum("→" in row for row in lines) == 2
    assert len(lines) == 1 + 999 + 2


def test_a_dry_run_of_many_servers_says_each_reason_once_for_all_hosts() -> None:
    house = a_house()
    house.verdicts = Verdicts(refusals=REFUSALS)
    short = typed(house, "migrate", "--from", "host-a", "--check").stdout
    assert "not-enough-memory; compute-service-disabled" in short
    assert short.count("HOST has 0 to 399 MiB") == 1
    assert "h007" not in short
    every = typed(house, "migrate", "--from", "host-a", "--check", "--all").stdout
    assert every.count("not-enough-memory  h007 has 7 MiB") == 1


def test_all_without_a_dry_run_is_wrong_usage() -> None:
    house = FakeHouse()
    assert typed(house, "migrate", "guest-1", "--all").exit_code == Exit.WRONG_USAGE
    assert house.asked == []


def test_a_migration_that_no_host_took_says_how_to_see_every_host() -> None:
    house = FakeHouse()
    house.put(a_migration(status=MigrationStatus.FAILED, reason=NO_HOST, refusals=REFUSALS))
    short = typed(house, "migration", "show", "12").stdout
    assert "  700 hosts: h001, h002, h003, ...  not-enough-memory" in short
    assert "  every host by itself: godwit migration show 12 --all\n" in short
    every = typed(house, "migration", "show", "12", "--all").stdout
    assert all(f"  {host}  " in every for host in FLEET[:998])
    assert "every host by itself" not in every


def test_as_json_every_host_is_named() -> None:
    house = FakeHouse()
    house.put(a_migration(status=MigrationStatus.FAILED, reason=NO_HOST, refusals=REFUSALS))
    shown = json.loads(typed(house, "migration", "show", "12", "--json").stdout)["migration"]
    assert [host for each in shown["refusals"] for host in each["hosts"]] == FLEET[:998]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_server_for_which_there_is_no_host_is_refused_with_every_code(*, as_json: bool) -> None:
    house = FakeHouse()
    house.trouble = Refused(NO_HOST, refusals=REFUSALS)
    words = ("server", "create", "web", "--flavor", "small", "--image", "tick")
    said = typed(house, *words, *(["--json"] if as_json else []))
    assert said.exit_code == Exit.REFUSED
    if as_json:
        assert [each["code"] for each in json.loads(said.stdout)["error"]["refusals"]] == [
            each.code for each in REFUSALS
        ]
    else:
        assert "298 hosts: h701, h702, h703, ...  compute-service-disabled" in said.stderr


def shown(*reasons: Reason) -> list[str]:
    house = FakeHouse()
    house.verdicts = Verdicts(refusals=grouped(by_themselves(reasons)))
    return typed(house, "migrate", "guest-1", "--check").stdout.splitlines()[1:]


def test_a_few_hosts_of_which_the_same_is_true_stand_in_one_line() -> None:
    assert shown(*map(disabled, FLEET[:2])) == [
        "  h001, h002  no   compute-service-disabled: HOST is disabled: new disks",
        "                   → godwit host enable HOST, when it may take guests again",
    ]


def test_a_few_hosts_with_different_figures_are_told_one_by_one() -> None:
    left = "MiB of memory left for guests, 512 MiB are needed"
    assert shown(*map(too_full, FLEET[:2])) == [
        f"  h001  no   not-enough-memory: h001 has 1 {left}",
        f"  h002  no   not-enough-memory: h002 has 2 {left}",
        "             → move another guest off HOST first, or choose another host",
    ]


def test_of_many_different_texts_the_first_are_shown() -> None:
    lines = shown(*(disabled(host, f"fault {host}") for host in FLEET[:9]))
    assert lines[0].endswith("HOST is disabled: fault h001 | fault h002 | ...")
