"""Whatever goes wrong, a client gets an OpenStack fault, never a traceback."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.requests import Request
from tests.unit.api.fake_house import GUEST, FakeHouse, asked

from godwit.api.errors import FAULT_NAMES, STATUS, status_of
from godwit.api.validation import read_body
from godwit.model.errors import (
    BadRequest,
    Conflict,
    GodwitError,
    HypervisorError,
    NotFound,
    Refused,
    Superseded,
    Unreachable,
)
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.runtime.settings import ServerSettings
from godwit.sim.loop import run

ACTION = f"/v2.1/servers/{GUEST}/action"
MIGRATE = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
EXPECTED = {
    BadRequest: (400, "badRequest"),
    Refused: (400, "badRequest"),
    NotFound: (404, "itemNotFound"),
    Conflict: (409, "conflictingRequest"),
    HypervisorError: (500, "computeFault"),
    Superseded: (500, "computeFault"),
    Unreachable: (503, "serviceUnavailable"),
}
DEEP = b"[" * 100_000 + b"]" * 100_000
WHY = reason(Code.INSTANCE_BUSY, server="guest-1", task="migrating")


def test_every_class_of_error_has_a_status_of_its_own() -> None:
    rooms = {
        kind for kind in GodwitError.__subclasses__() if kind.__module__ == BadRequest.__module__
    }
    assert rooms == set(STATUS) == set(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_an_error_of_the_conductor_becomes_its_fault_with_code_and_remedy(
    kind: type[GodwitError],
) -> None:
    house = FakeHouse()
    refusal = reason(Code.BRIDGE_MISSING, host=HostName("host-b"), bridge="brvm")
    house.trouble = kind(WHY, refusals=grouped(by_themselves([refusal])))
    status, name = EXPECTED[kind]
    said = asked(house, "POST", ACTION, body=MIGRATE)
    assert said.status == status
    assert list(said.body) == [name]
    assert said.body[name]["code"] == status
    assert said.body[name]["message"] == WHY.words
    assert said.body[name]["reason"] == "instance-busy"
    assert said.body[name]["remedy"] == WHY.remedy
    assert [each["hosts"] for each in said.body[name]["refusals"]] == [["host-b"]]


def test_a_class_made_elsewhere_has_the_status_of_its_nearest_kin() -> None:
    class StoreBusy(Unreachable):
        """Made in some other room."""

    class Strange(GodwitError):
        """Of no kind."""

    assert status_of(StoreBusy(WHY)) == 503
    assert status_of(Strange(WHY)) == 500


def test_a_defect_is_a_500_that_tells_nothing_of_the_inside(
    logged: list[MutableMapping[str, Any]],
) -> None:
    house = FakeHouse()
    house.trouble = KeyError("secret")
    said = asked(house, "POST", ACTION, body=MIGRATE)
    assert said.status == 500
    assert said.body["computeFault"]["reason"] == "internal-error"
    assert b"secret" not in said.raw
    assert b"Traceback" not in said.raw
    assert said.headers["x-openstack-request-id"].startswith("req-")
    [told] = [entry for entry in logged if entry["event"] == "defect"]
    assert told["exc_info"] is house.trouble


def test_a_change_is_logged_once_with_its_request_id_and_a_look_is_not(
    logged: list[MutableMapping[str, Any]],
) -> None:
    house = FakeHouse()
    asked(house, "GET", "/v2.1/servers")
    said = asked(house, "POST", ACTION, body=MIGRATE)
    [told] = logged
    assert (told["event"], told["status"]) == ("request_answered", 202)
    assert told["request_id"] == said.headers["x-openstack-request-id"]


@pytest.mark.parametrize("code", [Code.HOST_UNKNOWN, Code.FLAVOR_UNKNOWN, Code.IMAGE_UNKNOWN])
def test_a_name_that_only_the_body_gives_and_nobody_knows_is_a_400(code: Code) -> None:
    house = FakeHouse()
    house.trouble = NotFound(reason(code, name="x", flavor="x", image="x"))
    body = {"server": {"name": "web", "flavorRef": "x", "imageRef": "x"}}
    assert asked(house, "POST", "/v2.1/servers", body=body).status == 400
    assert asked(house, "POST", ACTION, body=MIGRATE).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v2.1/nowhere", 404),
        ("PATCH", "/v2.1/servers", 405),
        ("POST", "/", 405),
        ("GET", "/v2.1/servers/unknown", 404),
        ("DELETE", "/v2.1/servers/unknown", 404),
        ("GET", "/v2.1/servers/unknown/migrations", 404),
        ("GET", f"/v2.1/servers/{GUEST}/migrations/7", 404),
        ("GET", f"/v2.1/servers/{GUEST}/migrations/99999999999999999999999", 404),
        ("DELETE", f"/v2.1/servers/{GUEST}/migrations/x", 404),
        ("GET", "/v2.1/os-hypervisors/unknown", 404),
        ("GET", "/v2.1/flavors/unknown", 404),
        ("GET", "/godwit/v1/hosts/unknown", 404),
        ("GET", "/godwit/v1/migrations/unknown", 404),
        ("GET", "/godwit/v1/migrations/unknown/timeline", 404),
    ],
)
def test_what_is_not_there_is_a_fault_too(method: str, path: str, status: int) -> None:
    said = asked(FakeHouse(), method, path)
    assert said.status == status
    assert said.body[FAULT_NAMES[status]]["code"] == status


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        (b"{", "the body", "not JSON"),
        (b"\xff\xfe", "the body", "not JSON"),
        (DEEP, "the body", "expected `object`"),
        ([], "the body", "expected `object`"),
        ({}, "os-migrateLive", "is missing"),
        ({"pause": None}, "pause", "no such key"),
        ({"os-migrateLive": None}, "os-migrateLive", "expected `object`"),
        ({"os-migrateLive": {"hsot": "b"}}, "os-migrateLive.hsot", "no such key"),
        ({"os-migrateLive": {"force": True}}, "os-migrateLive.force", "no such key"),
        ({"os-migrateLive": {"host": 5}}, "os-migrateLive.host", "expected `str | null`"),
        ({"os-migrateLive": {"host": ""}}, "os-migrateLive.host", "length >= 1"),
        ({"os-migrateLive": {"host": "a b"}}, "os-migrateLive.host", "matching regex"),
        ({"os-migrateLive": {"host": "x" * 256}}, "os-migrateLive.host", "length <= 255"),
        ({"os-migrateLive": {"block_migration": "perhaps"}}, "block_migration", "not known"),
        ({"os-migrateLive": {"disk_over_commit": "maybe"}}, "disk_over_commit", "maybe"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(body: object, field: str, told: str) -> None:
    house = FakeHouse()
    said = asked(house, "POST", ACTION, body=body)
    assert said.status == 400
    fault = said.body["badRequest"]
    assert fault["message"].startswith(f"{field}: ")
    assert told in fault["message"]
    assert fault["reason"] == "invalid-input"
    assert fault["remedy"]
    assert house.asked == []


@pytest.mark.parametrize("body", [DEEP, b'{"a": ' + DEEP + b"}"])
def test_a_body_nested_beyond_reason_is_a_400_also_where_anything_is_taken(body: bytes) -> None:
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    with pytest.raises(BadRequest, match="nested too deeply"):
        run(read_body(Request(scope, receive), Any))


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    said = asked(FakeHouse(), "POST", ACTION, body={"os-migrateLive": {"force": True}})
    assert said.body["badRequest"]["remedy"] == (
        "known here: host, block_migration, disk_over_commit, godwit:steering"
    )


@pytest.mark.parametrize(
    "target",
    [
        "/v2.1/servers?nmae=x",
        "/v2.1/os-migrations?limit=many",
        "/v2.1/os-migrations?limit=-1",
        "/v2.1/os-migrations?status=runing",
        "/v2.1/os-migrations?marker=nobody",
        "/v2.1/os-migrations?marker=12",
        "/v2.1/servers?marker=nobody",
        "/v2.1/os-services?hsot=x",
        "/godwit/v1/hosts?x=1",
    ],
)
def test_a_wrong_query_parameter_is_a_400_that_names_it(target: str) -> None:
    said = asked(FakeHouse(), "GET", target)
    assert said.status == 400
    assert said.body["badRequest"]["message"].startswith(target.partition("?")[2].split("=")[0])


def test_a_body_over_the_limit_is_a_413() -> None:
    said = asked(FakeHouse(), "POST", ACTION, body=b" " * (1024 * 1024 + 1))
    assert said.status == 413
    assert "overLimit" in said.body


def test_a_body_that_is_not_json_by_its_own_word_is_a_415() -> None:
    said = asked(FakeHouse(), "POST", ACTION, body=b"{}", headers={"content-type": "text/plain"})
    assert said.status == 415
    assert "badMediaType" in said.body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"OpenStack-API-Version": "compute 2.1"}, 200),
        ({"X-OpenStack-Nova-API-Version": "2.1"}, 200),
        ({"OpenStack-API-Version": "compute latest"}, 200),
        ({"OpenStack-API-Version": "compute 2.80"}, 406),
        ({"X-OpenStack-Nova-API-Version": "2.2"}, 406),
        ({"OpenStack-API-Version": "compute two"}, 400),
    ],
)
def test_only_the_one_version_that_is_spoken_is_let_in(
    headers: Mapping[str, str], status: int
) -> None:
    said = asked(FakeHouse(), "GET", "/v2.1/servers", headers=headers)
    assert said.status == status
    assert said.headers["openstack-api-version"] == "compute 2.1"
    assert said.headers["x-openstack-nova-api-version"] == "2.1"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/v2.1/servers", {"host": "evil.example"}, None, 400),
        ("GET", "/v2.1/servers", {"OpenStack-API-Version": "compute two"}, None, 400),
        ("POST", ACTION, {"origin": "http://evil.example"}, MIGRATE, 403),
        ("GET", "/nowhere", {}, None, 404),
        ("PUT", "/v2.1/servers", {}, b"{}", 405),
        ("GET", "/v2.1/servers", {"OpenStack-API-Version": "compute 2.80"}, None, 406),
        ("POST", ACTION, {}, b" " * (1024 * 1024 + 1), 413),
        ("POST", ACTION, {"content-type": "text/plain"}, b"{}", 415),
    ],
)
def test_an_error_before_any_resource_has_a_reason_and_a_remedy_too(
    method: str, path: str, headers: Mapping[str, str], body: Any, status: int
) -> None:
    said = asked(FakeHouse(), method, path, headers=headers, body=body)
    assert said.status == status
    [error] = said.body.values()
    assert error["reason"] == Code.INVALID_INPUT
    assert error["remedy"]


def test_a_page_in_somebodys_browser_cannot_change_anything() -> None:
    house = FakeHouse()
    headers = {"origin": "http://evil.example"}
    said = asked(house, "POST", ACTION, body=MIGRATE, headers=headers)
    assert said.status == 403
    assert "forbidden" in said.body
    assert house.asked == []


@pytest.mark.parametrize(
    "host",
    ["evil.example:8774", "127.0.0.1.evil.example", "10.0.0.1:8774", "[fd00::1]:8774", "", "local"],
)
def test_a_page_whose_name_was_led_to_loopback_cannot_read_anything(host: str) -> None:
    said = asked(FakeHouse(), "GET", "/v2.1/servers", headers={"host": host})
    assert said.status == 400
    assert "is not let in" in said.body["badRequest"]["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8774", "127.9.9.9", "[::1]:8774", "[::1]"]
)
def test_this_machine_may_call_itself_by_any_of_its_names(host: str) -> None:
    assert asked(FakeHouse(), "GET", "/v2.1/servers", headers={"host": host}).status == 200


def test_behind_a_unix_socket_no_name_is_asked_for() -> None:
    house = FakeHouse()
    house.settings = replace(house.settings, server=ServerSettings(listen="unix:/run/godwit.sock"))
    assert asked(house, "GET", "/v2.1/servers", headers={"host": "anything"}).status == 200


@pytest.mark.parametrize("path", ["/", "/v2.1/servers", "/v2.1/servers/unknown", "/nowhere"])
def test_every_response_carries_its_request_id_under_both_names(path: str) -> None:
    first, second = (asked(FakeHouse(), "GET", path) for _ in range(2))
    assert first.headers["x-openstack-request-id"].startswith("req-")
    assert first.headers["x-openstack-request-id"] == first.headers["x-compute-request-id"]
    assert first.headers["x-openstack-request-id"] != second.headers["x-openstack-request-id"]
