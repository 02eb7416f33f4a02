"""The OpenStack-shaped part: Nova's paths, fields and statuses."""

from typing import Any

import pytest
from tests.unit.api.fake_house import GUEST, HOST_B, MOVE, FakeHouse, a_migration, a_server, asked

from godwit.model.instance import PowerState, TaskState, VmState
from godwit.model.migration import BlockMigration, MigrationStatus
from godwit.model.progress import Progress
from godwit.model.steering import SteeringWish
from godwit.rpc.conductor import (
    AbortMigration,
    CreateServer,
    ForceComplete,
    ForServer,
    LiveMigrate,
)

ACTION = f"/v2.1/servers/{GUEST}/action"
BASE = "http://localhost:8774"


def test_the_version_documents_claim_2_1_and_nothing_above_it() -> None:
    [version] = asked(FakeHouse(), "GET", "/").body["versions"]
    assert (version["version"], version["min_version"]) == ("2.1", "2.1")
    for path in ("/v2.1", "/v2.1/"):
        assert asked(FakeHouse(), "GET", path).body["version"]["id"] == "v2.1"


def test_a_server_is_shown_in_novas_fields() -> None:
    shown = asked(FakeHouse(), "GET", f"/v2.1/servers/{GUEST}").body["server"]
    assert shown["id"] == GUEST
    assert shown["status"] == "ACTIVE"
    assert shown["OS-EXT-SRV-ATTR:host"] == "host-a"
    assert shown["OS-EXT-STS:task_state"] is None
    assert shown["OS-EXT-STS:power_state"] == 1
    assert (shown["flavor"]["vcpus"], shown["flavor"]["ram"], shown["flavor"]["disk"]) == (
        2,
        1024,
        1,
    )
    assert shown["links"][0] == {"rel": "self", "href": f"{BASE}/v2.1/servers/{GUEST}"}
    assert shown["created"] == "2026-01-02T03:04:05Z"
    assert shown["godwit"]["disks"][0]["path"] == "/d/1.qcow2"


@pytest.mark.parametrize(
    ("state", "task", "status"),
    [
        (VmState.BUILDING, TaskState.SPAWNING, "BUILD"),
        (VmState.ACTIVE, None, "ACTIVE"),
        (VmState.ACTIVE, TaskState.MIGRATING, "MIGRATING"),
        (VmState.ACTIVE, TaskState.DELETING, "ACTIVE"),
        (VmState.PAUSED, None, "PAUSED"),
        (VmState.PAUSED, TaskState.MIGRATING, "MIGRATING"),
        (VmState.STOPPED, None, "SHUTOFF"),
        (VmState.STOPPED, TaskState.MIGRATING, "SHUTOFF"),
        (VmState.SUSPENDED, None, "SUSPENDED"),
        (VmState.MISSING, None, "UNKNOWN"),
    ],
)
def test_status_follows_from_state_and_task(
    state: VmState, task: TaskState | None, status: str
) -> None:
    house = FakeHouse()
    house.put(a_server(vm_state=state, task_state=task))
    assert asked(house, "GET", f"/v2.1/servers/{GUEST}").body["server"]["status"] == status


@pytest.mark.parametrize("power", PowerState)
def test_every_power_state_has_novas_number(power: PowerState) -> None:
    house = FakeHouse()
    house.put(a_server(power_state=power))
    shown = asked(house, "GET", f"/v2.1/servers/{GUEST}").body["server"]
    assert shown["OS-EXT-STS:power_state"] in {0, 1, 3, 4, 6, 7}


def three_servers() -> FakeHouse:
    house = FakeHouse()
    house.put(a_server(uuid="b" * 36, name="web-b", host=HOST_B))
    house.put(a_server(uuid="c" * 36, name="web-c", vm_state=VmState.STOPPED))
    return house


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["guest-1", "web-b", "web-c"]),
        ("?name=web", ["web-b", "web-c"]),
        ("?host=host-b", ["web-b"]),
        ("?status=shutoff", ["web-c"]),
        (f"?uuid={GUEST}", ["guest-1"]),
        ("?limit=0", []),
        ("?limit=2", ["guest-1", "web-b"]),
        ("?all_tenants=True&deleted=False", ["guest-1", "web-b", "web-c"]),
        (f"?marker={'b' * 36}", ["web-c"]),
    ],
)
@pytest.mark.parametrize("path", ["/v2.1/servers", "/v2.1/servers/detail"])
def test_servers_are_listed_by_name_and_filtered(path: str, query: str, names: list[str]) -> None:
    body = asked(three_servers(), "GET", path + query).body
    assert [server["name"] for server in body["servers"]] == names
    assert ("servers_links" in body) == (query == "?limit=2")


def test_the_link_to_the_next_page_leads_there() -> None:
    house = three_servers()
    first = asked(house, "GET", "/v2.1/servers?limit=1").body
    [link] = first["servers_links"]
    second = asked(house, "GET", link["href"].removeprefix(BASE)).body
    assert [server["name"] for server in second["servers"]] == ["web-b"]


def test_migrating_is_accepted_with_an_empty_body_and_says_where_to_look() -> None:
    house = FakeHouse()
    said = asked(
        house,
        "POST",
        ACTION,
        body={"os-migrateLive": {"host": "host-b", "block_migration": False}},
        headers={"X-Godwit-Initiator": "local:ana", "X-Godwit-Reason": "fan%20broken%20%E2%9A%A0"},
    )
    assert (said.status, said.raw) == (202, b"")
    assert said.headers["location"] == f"{BASE}/v2.1/servers/{GUEST}/migrations/12"
    assert said.headers["x-godwit-migration"] == MOVE
    [wish] = house.asked
    assert isinstance(wish, LiveMigrate)
    assert (wish.instance_uuid, wish.host) == (GUEST, "host-b")
    assert wish.block_migration is BlockMigration.SHARED
    assert (wish.asked.initiator, wish.asked.reason) == ("local:ana", "fan broken ⚠")
    assert wish.asked.request_id == said.headers["x-openstack-request-id"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, BlockMigration.AUTO),
        ({"block_migration": "auto"}, BlockMigration.AUTO),
        ({"block_migration": True}, BlockMigration.BLOCK),
        ({"block_migration": "True"}, BlockMigration.BLOCK),
        ({"block_migration": False}, BlockMigration.SHARED),
        ({"block_migration": "no", "disk_over_commit": False}, BlockMigration.SHARED),
        ({"host": None, "disk_over_commit": "False"}, BlockMigration.AUTO),
    ],
)
def test_block_migration_is_understood_in_novas_many_words(
    given: dict[str, Any], meant: BlockMigration
) -> None:
    house = FakeHouse()
    assert asked(house, "POST", ACTION, body={"os-migrateLive": given}).status == 202
    assert house.asked[0].block_migration is meant


@pytest.mark.parametrize(
    ("given", "meant"), [(None, False), (False, False), ("no", False), (True, True), ("1", True)]
)
def test_disks_are_over_committed_only_where_that_is_asked_for(given: object, meant: bool) -> None:
    house = FakeHouse()
    wish = {"block_migration": True, "disk_over_commit": given}
    assert asked(house, "POST", ACTION, body={"os-migrateLive": wish}).status == 202
    path = ACTION.replace("/v2.1", "/godwit/v1").replace("/action", "/check")
    assert asked(house, "POST", path, body=wish).status == 200
    assert [ask.disk_over_commit for ask in house.asked] == [meant, meant]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", "local:unknown"), ("ana", "local:ana"), ("local:a\x1b[31mb c", "local:a31mbc")],
)
def test_the_initiator_is_always_local_and_harmless(given: str, kept: str) -> None:
    house = FakeHouse()
    headers = {"X-Godwit-Initiator": given}
    asked(house, "POST", ACTION, body={"os-migrateLive": {}}, headers=headers)
    assert house.asked[0].asked.initiator == kept


def test_a_reason_with_control_characters_becomes_one_line() -> None:
    house = FakeHouse()
    headers = {"X-Godwit-Reason": "a%0Ab%1B[0m"}
    asked(house, "POST", ACTION, body={"os-migrateLive": {}}, headers=headers)
    assert house.asked[0].asked.reason == "a b [0m"


@pytest.mark.parametrize("letters", [500, 501])
def test_a_reason_is_kept_whole_or_refused(letters: int) -> None:
    house, why = FakeHouse(), "r" * letters
    said = asked(
        house, "POST", ACTION, body={"os-migrateLive": {}}, headers={"X-Godwit-Reason": why}
    )
    kept = [wish.asked.reason for wish in house.asked]
    assert (said.status, kept) == ((202, [why]) if letters == 500 else (400, []))


def test_a_server_is_created_with_202_and_its_place() -> None:
    house = FakeHouse()
    body = {"server": {"name": "web", "flavorRef": "small", "imageRef": "tick", "networks": "auto"}}
    said = asked(house, "POST", "/v2.1/servers", body=body)
    assert said.status == 202
    assert said.headers["location"] == f"{BASE}/v2.1/servers/{said.body['server']['id']}"
    [wish] = house.asked
    assert isinstance(wish, CreateServer)
    assert (wish.name, wish.flavor, wish.image, wish.host) == ("web", "small", "tick", None)


def test_deleting_a_server_asks_the_conductor_for_just_that() -> None:
    house = FakeHouse()
    assert asked(house, "DELETE", f"/v2.1/servers/{GUEST}").status == 204
    [wish] = house.asked
    assert isinstance(wish, ForServer)
    assert wish.instance_uuid == GUEST


def test_bytes_are_null_until_the_first_sample() -> None:
    house = FakeHouse()
    house.put(a_migration())
    path = f"/v2.1/servers/{GUEST}/migrations/12"
    assert asked(house, "GET", path).body["migration"]["memory_total_bytes"] is None
    house.put(a_migration(progress=Progress(memory_total_bytes=5)))
    assert asked(house, "GET", path).body["migration"]["memory_total_bytes"] == 5


@pytest.mark.parametrize("named", ["12", MOVE])
def test_a_migration_is_shown_by_number_and_by_uuid(named: str) -> None:
    house = FakeHouse()
    house.put(a_migration(status=MigrationStatus.RUNNING, dest_compute=HOST_B))
    shown = asked(house, "GET", f"/v2.1/servers/{GUEST}/migrations/{named}").body["migration"]
    assert (shown["id"], shown["uuid"], shown["dest_compute"]) == (12, MOVE, "host-b")


@pytest.mark.parametrize("status", MigrationStatus)
def test_a_servers_list_has_only_the_migrations_under_way(status: MigrationStatus) -> None:
    house = FakeHouse()
    house.put(a_migration(status=status))
    shown = asked(house, "GET", f"/v2.1/servers/{GUEST}/migrations").body["migrations"]
    over = status in {"completed", "failed", "cancelled", "error"}
    assert len(shown) == (0 if over else 1)


def test_another_servers_migration_is_not_found_under_this_one() -> None:
    house = FakeHouse()
    house.put(a_server(uuid="b" * 36, name="web"))
    house.put(a_migration())
    assert asked(house, "GET", f"/v2.1/servers/{'b' * 36}/migrations/12").status == 404


def test_deleting_a_migration_asks_to_abort_it() -> None:
    house = FakeHouse()
    house.put(a_migration())
    said = asked(house, "DELETE", f"/v2.1/servers/{GUEST}/migrations/12")
    assert (said.status, said.raw) == (202, b"")
    [wish] = house.asked
    assert isinstance(wish, AbortMigration)
    assert wish.migration_uuid == MOVE


def test_novas_action_forces_a_migration_of_that_server() -> None:
    house = FakeHouse()
    house.put(a_migration())
    path = f"/v2.1/servers/{GUEST}/migrations/12/action"
    said = asked(house, "POST", path, body={"force_complete": None})
    assert (said.status, said.raw) == (202, b"")
    [wish] = house.asked
    assert isinstance(wish, ForceComplete)
    assert wish.migration_uuid == MOVE
    assert asked(house, "POST", path, body={"finish": None}).status == 400


def test_a_move_may_say_how_it_is_to_be_steered() -> None:
    house = FakeHouse()
    steering = {"bandwidth_mib_per_s": 8, "auto_converge": True}
    inside = {"host": None, "block_migration": "auto", "godwit:steering": steering}
    body = {"os-migrateLive": inside}
    assert asked(house, "POST", f"/v2.1/servers/{GUEST}/action", body=body).status == 202
    [wish] = house.asked
    assert isinstance(wish, LiveMigrate)
    assert wish.steering == SteeringWish(bandwidth_mib_per_s=8, auto_converge=True)


def three_migrations() -> FakeHouse:
    house = FakeHouse()
    house.put(a_migration(uuid="u1", id=1, status=MigrationStatus.COMPLETED, dest_compute=HOST_B))
    house.put(a_migration(uuid="u2", id=2, instance_uuid="other", source_compute=HOST_B))
    house.put(a_migration(uuid="u3", id=3))
    return house


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [3, 2, 1]),
        ("?status=completed", [1]),
        ("?host=host-b", [2, 1]),
        ("?instance_uuid=other", [2]),
        ("?migration_type=live-migration&hidden=False", [3, 2, 1]),
        ("?migration_type=evacuation", []),
        ("?limit=2", [3, 2]),
        ("?limit=0", []),
        ("?limit=2&marker=u2", [1]),
        ("?marker=u3&status=accepted", [2]),
    ],
)
@pytest.mark.parametrize("path", ["/v2.1/os-migrations", "/godwit/v1/migrations"])
def test_migrations_are_listed_newest_first_and_filtered(
    path: str, query: str, numbers: list[int]
) -> None:
    if "hidden" in query and "godwit/v1" in path:
        query = query.removesuffix("&hidden=False")
    body = asked(three_migrations(), "GET", path + query).body
    assert [migration["id"] for migration in body["migrations"]] == numbers


def test_only_migrations_under_way_have_links_and_only_a_full_page_a_next() -> None:
    body = asked(three_migrations(), "GET", "/v2.1/os-migrations").body
    assert [("links" in migration) for migration in body["migrations"]] == [True, True, False]
    assert "migrations_links" not in body
    body = asked(three_migrations(), "GET", "/v2.1/os-migrations?limit=1").body
    [link] = body["migrations_links"]
    assert "marker=u3" in link["href"]


def test_hypervisors_have_sizes_claims_and_numbers_that_do_not_change() -> None:
    house = FakeHouse()
    first, *_ = asked(house, "GET", "/v2.1/os-hypervisors/detail").body["hypervisors"]
    assert (first["hypervisor_hostname"], first["state"], first["status"]) == (
        "host-a.example",
        "up",
        "enabled",
    )
    assert (first["vcpus"], first["memory_mb"], first["running_vms"]) == (8, 16384, 1)
    assert first["service"]["host"] == "host-a"
    brief, *_ = asked(house, "GET", "/v2.1/os-hypervisors").body["hypervisors"]
    assert set(brief) == {"id", "hypervisor_hostname", "state", "status"}
    for named in (brief["id"], "host-a"):
        shown = asked(house, "GET", f"/v2.1/os-hypervisors/{named}").body["hypervisor"]
        assert shown == first


def test_a_host_that_never_reported_is_down_and_has_no_sizes() -> None:
    house = FakeHouse()
    from godwit.model.host import Host
    from godwit.model.ids import HostName

    house.put(Host(name=HostName("host-z")))
    shown = asked(house, "GET", "/v2.1/os-hypervisors/host-z").body["hypervisor"]
    assert (shown["state"], shown["memory_mb"], shown["hypervisor_type"]) == ("down", 0, "")


@pytest.mark.parametrize("verb", ["disable", "disable-log-reason"])
def test_a_service_is_disabled_with_its_reason_and_enabled_again(verb: str) -> None:
    house = FakeHouse()
    body = {"host": "host-b", "binary": "nova-compute", "disabled_reason": "fan"}
    said = asked(house, "PUT", f"/v2.1/os-services/{verb}", body=body)
    assert (said.body["service"]["status"], said.body["service"]["disabled_reason"]) == (
        "disabled",
        "fan",
    )
    said = asked(house, "PUT", "/v2.1/os-services/enable", body={"host": "host-b"})
    assert said.body["service"]["status"] == "enabled"
    assert house.asked[0].asked.reason == "fan"


def test_disabling_an_unknown_host_is_a_404() -> None:
    assert asked(FakeHouse(), "PUT", "/v2.1/os-services/disable", body={"host": "x"}).status == 404


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 3), ("?host=host-a", 1), ("?binary=nova-compute", 3), ("?binary=nova-scheduler", 0)],
)
def test_services_are_listed_by_host_and_binary(query: str, count: int) -> None:
    assert len(asked(FakeHouse(), "GET", f"/v2.1/os-services{query}").body["services"]) == count


def test_flavors_come_from_the_settings_with_disks_in_whole_gib() -> None:
    house = FakeHouse()
    [brief] = asked(house, "GET", "/v2.1/flavors").body["flavors"]
    assert (brief["id"], brief["name"]) == ("small", "small")
    [detail] = asked(house, "GET", "/v2.1/flavors/detail").body["flavors"]
    assert (detail["ram"], detail["vcpus"], detail["disk"]) == (512, 1, 2)
    assert asked(house, "GET", "/v2.1/flavors/small").body["flavor"] == detail
