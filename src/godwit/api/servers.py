"""`/v2.1/servers`: list, show, create, delete, and the one action, `os-migrateLive`."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer, empty, link
from godwit.api.errors import names_in_the_body
from godwit.api.lookups import instance_or_404
from godwit.api.pages import next_link, page_of
from godwit.api.schemas import (
    CreateServerBody,
    MigrateLive,
    ServerAction,
    block_migration_of,
    disk_over_commit_of,
    host_name,
)
from godwit.api.validation import Query, asked_by, read_body
from godwit.api.views import server_brief, server_detail, server_status
from godwit.api.world import world_of
from godwit.model.ids import InstanceUuid
from godwit.model.instance import Instance
from godwit.rpc.conductor import CreateServer, ForServer, LiveMigrate

LEFT_DISKS: Final = "X-Godwit-Left-Disks"
"""Paths, percent-encoded, of the disks that a deleted server had and Godwit has not made."""

# What OpenStack's clients send along and what has no meaning without projects and deleted rows.
_MEANINGLESS = ("all_tenants", "deleted", "project_id", "tenant_id", "user_id")


async def list_brief(request: Request) -> Response:
    """`GET /servers`."""
    return await _listed(request, detail=False)


async def list_detail(request: Request) -> Response:
    """`GET /servers/detail`."""
    return await _listed(request, detail=True)


async def _listed(request: Request, *, detail: bool) -> Response:
    query = Query(request)
    found = wanted(await world_of(request).queries.instances(), query)
    page, more = page_of(found, [server.uuid for server in found], query)
    query.nothing_else(*_MEANINGLESS)
    base = link(request, "")
    if detail:
        alarms = {each.instance_uuid: each for each in await world_of(request).queries.alarms()}
        shown = [server_detail(each, base, alarm=alarms.get(each.uuid)) for each in page]
    else:
        shown = [server_brief(each, base) for each in page]
    body: dict[str, Any] = {"servers": shown}
    if more:
        body["servers_links"] = next_link(request, page[-1].uuid)
    return answer(body)


def wanted(servers: Sequence[Instance], query: Query) -> list[Instance]:
    """The servers that the filters leave, by name. `name` matches any part of a name."""
    name, host, status = query.text("name"), query.text("host"), query.text("status")
    identity = query.text("uuid")
    left = [
        server
        for server in servers
        if (name is None or name in server.name)
        and (host is None or host == server.host)
        and (status is None or status.upper() == server_status(server))
        and (identity is None or identity == server.uuid)
    ]
    return sorted(left, key=lambda server: (server.name, server.uuid))


async def show(request: Request) -> Response:
    """`GET /servers/{id}`."""
    queries = world_of(request).queries
    server = await instance_or_404(queries, request.path_params["server_id"])
    alarm = await queries.alarm(server.uuid)
    return answer({"server": server_detail(server, link(request, ""), alarm=alarm)})


async def create(request: Request) -> Response:
    """`POST /servers`: 202 with the new server's id; it is there when its status is ACTIVE."""
    new = (await read_body(request, CreateServerBody)).server
    ask = CreateServer(
        asked=asked_by(request),
        name=new.name,
        flavor=new.flavor,
        image=new.image,
        host=host_name(new.host),
    )
    with names_in_the_body():
        server = await world_of(request).conductor.create_server(ask)
    brief = server_brief(server, link(request, ""))
    headers = {"Location": link(request, f"/v2.1/servers/{server.uuid}")}
    return answer({"server": {**brief, "OS-DCF:diskConfig": "MANUAL"}}, status=202, headers=headers)


async def delete(request: Request) -> Response:
    """`DELETE /servers/{id}`. A server that was found on its host is refused: forget it."""
    server = await instance_or_404(world_of(request).queries, request.path_params["server_id"])
    ask = ForServer(asked=asked_by(request), instance_uuid=server.uuid)
    destroyed = await world_of(request).conductor.delete_server(ask)
    left = {LEFT_DISKS: ",".join(map(quote, destroyed.left))} if destroyed.left else None
    return empty(status=204, headers=left)


async def act(request: Request) -> Response:
    """`POST /servers/{id}/action`."""
    action = await read_body(request, ServerAction)
    return await _migrate_live(request, action.migrate_live)


async def _migrate_live(request: Request, wish: MigrateLive) -> Response:
    """202 and no body, as Nova; where to look next stands in two headers."""
    ask = LiveMigrate(
        asked=asked_by(request),
        instance_uuid=InstanceUuid(request.path_params["server_id"]),
        host=host_name(wish.host),
        block_migration=block_migration_of(wish.block_migration),
        disk_over_commit=disk_over_commit_of(wish.disk_over_commit),
        steering=wish.steering.wish(),
    )
    with names_in_the_body():
        migration = await world_of(request).conductor.live_migrate_instance(ask)
    place = f"/v2.1/servers/{migration.instance_uuid}/migrations/{migration.id}"
    headers = {"Location": link(request, place), "X-Godwit-Migration": migration.uuid}
    return empty(status=202, headers=headers)
