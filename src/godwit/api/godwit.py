"""`/godwit/v1`: what Nova's API has no words for: dry runs, whole stories, people's decisions."""

from collections import Counter, defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer, empty
from godwit.api.errors import names_in_the_body
from godwit.api.lookups import (
    account_or_404,
    host_or_404,
    instance_or_404,
    migration_named,
    migration_or_404,
)
from godwit.api.migrations import page_of_migrations
from godwit.api.schemas import (
    CheckBody,
    ResolveBody,
    SteeringBody,
    WithReason,
    block_migration_of,
    disk_over_commit_of,
    host_name,
)
from godwit.api.story import brief_view, full_view
from godwit.api.validation import Query, asked_by, read_body
from godwit.api.waiting import WAIT_MAX_S, until_ended
from godwit.api.world import World, world_of
from godwit.model.audit import Mismatch, of_power
from godwit.model.host import Host, Usage
from godwit.model.ids import HostName
from godwit.model.migration import MigrationStatus
from godwit.rpc.conductor import (
    AbortMigration,
    AskAudit,
    CheckLiveMigration,
    ConfirmPower,
    FindServer,
    ForceComplete,
    ForServer,
    ResolveMigration,
    SteerMigration,
)
from godwit.runtime.clock import iso
from godwit.saga.log import Debt


async def check(request: Request) -> Response:
    """`POST /servers/{id}/check`: the verdict of every host; nothing changes anywhere. With
    `rehearse`, hosts that agree have a twin of the guest sent to them.
    """
    body = await read_body(request, CheckBody)
    server = await instance_or_404(world_of(request).queries, request.path_params["server_id"])
    ask = CheckLiveMigration(
        instance_uuid=server.uuid,
        host=host_name(body.host),
        block_migration=block_migration_of(body.block_migration),
        steering=body.steering.wish(),
        disk_over_commit=disk_over_commit_of(body.disk_over_commit),
    )
    with names_in_the_body():
        conductor = world_of(request).conductor
        verdicts = await (
            conductor.rehearse_live_migration(ask)
            if body.rehearse
            else conductor.check_live_migration(ask)
        )
    return answer({"server_uuid": server.uuid, "source": server.host, "verdicts": verdicts})


async def whereis(request: Request) -> Response:
    """`GET /servers/{id}/whereis`: what every host shows of it now, beside the record."""
    Query(request).nothing_else()
    server = await instance_or_404(world_of(request).queries, request.path_params["server_id"])
    found = await world_of(request).conductor.whereis(FindServer(instance_uuid=server.uuid))
    return answer({"whereis": found})


async def look_for_disagreements(request: Request) -> Response:
    """`GET /audit`: where record and hosts disagree; changes nothing."""
    Query(request).nothing_else()
    found = await world_of(request).conductor.audit(AskAudit(asked=asked_by(request)))
    return answer({"audit": found})


async def repair(request: Request) -> Response:
    """`POST /audit`: the same, and what is safe to mend is mended."""
    body = await read_body(request, WithReason)
    ask = AskAudit(asked=asked_by(request, body.reason), repair=True)
    return answer({"audit": await world_of(request).conductor.audit(ask)})


async def forget(request: Request) -> Response:
    """`POST /servers/{id}/forget`: the record goes, the guest is left alone."""
    body = await read_body(request, WithReason)
    server = await instance_or_404(world_of(request).queries, request.path_params["server_id"])
    ask = ForServer(asked=asked_by(request, body.reason), instance_uuid=server.uuid)
    await world_of(request).conductor.forget_server(ask)
    return empty(status=204)


async def list_migrations(request: Request) -> Response:
    """`GET /migrations`: as `/os-migrations`, with all that is kept."""
    query = Query(request)
    queries = world_of(request).queries
    page, _more = await page_of_migrations(queries, query)
    query.nothing_else()
    names = {server.uuid: server.name for server in await queries.instances()}
    queued = {each.uuid for each in page if each.status is MigrationStatus.QUEUED}
    line = await queries.queue() if queued else {}
    queue = {uuid: line[uuid] for uuid in queued & line.keys()}
    shown = [
        brief_view(m, server_name=names.get(m.instance_uuid, ""), queue=queue.get(m.uuid, ()))
        for m in page
    ]
    return answer({"migrations": shown})


async def show_migration(request: Request) -> Response:
    """`GET /migrations/{id}`: by number or uuid; with `wait_s` once it has ended."""
    query = Query(request)
    wait_s = query.seconds("wait_s", 0.0, at_most=WAIT_MAX_S)
    query.nothing_else()
    here = world_of(request)
    uuid = await migration_named(here.queries, request.path_params["migration_id"])
    if wait_s:
        await until_ended(here, uuid, wait_s=wait_s)
    return answer({"migration": full_view(await account_or_404(here.queries, uuid))})


async def abort(request: Request) -> Response:
    """`POST /migrations/{id}/abort`: as Nova's DELETE, but with a reason."""
    body = await read_body(request, WithReason)
    here = world_of(request)
    migration = await migration_or_404(here.queries, request.path_params["migration_id"])
    ask = AbortMigration(asked=asked_by(request, body.reason), migration_uuid=migration.uuid)
    await here.conductor.abort_live_migration(ask)
    return empty(status=202)


async def steer(request: Request) -> Response:
    """`PATCH /migrations/{id}`: other limits, now or once the transfer runs."""
    body = await read_body(request, SteeringBody)
    here = world_of(request)
    migration = await migration_or_404(here.queries, request.path_params["migration_id"])
    ask = SteerMigration(asked=asked_by(request), migration_uuid=migration.uuid, wish=body.limits())
    steered = await here.conductor.steer_live_migration(ask)
    return answer({"steering": steered.steering}, status=202)


async def force_complete(request: Request) -> Response:
    """`POST /migrations/{id}/force-complete`: the answer says how."""
    body = await read_body(request, WithReason)
    here = world_of(request)
    migration = await migration_or_404(here.queries, request.path_params["migration_id"])
    ask = ForceComplete(asked=asked_by(request, body.reason), migration_uuid=migration.uuid)
    forced = await here.conductor.force_complete_live_migration(ask)
    return answer({"forced": forced}, status=202)


async def resolve(request: Request) -> Response:
    """`POST /migrations/{id}/resolve`: a person says where the guest is, or that it is lost."""
    body = await read_body(request, ResolveBody)
    here = world_of(request)
    migration = await migration_or_404(here.queries, request.path_params["migration_id"])
    ask = ResolveMigration(
        asked=asked_by(request, body.reason),
        migration_uuid=migration.uuid,
        at_host=host_name(body.at_host),
    )
    with names_in_the_body():
        await here.conductor.resolve_live_migration(ask)
    return empty(status=202)


async def list_alarms(request: Request) -> Response:
    """`GET /alarms`: guests that run twice or nowhere, and hosts that are heard although they are
    confirmed down; empty, if all is well.
    """
    Query(request).nothing_else()
    queries = world_of(request).queries
    down = await queries.confirmed_down()
    hosts = [
        {
            "host": host,
            "kind": Mismatch.HEARD_AGAIN,
            "evidence": of_power(host, word),
            "seen_at": word.heard_at,
        }
        for host, word in sorted(down.items())
        if word.heard_at
    ]
    return answer({"alarms": [*await queries.alarms(), *hosts]})


async def list_debts(request: Request) -> Response:
    """`GET /debts`: what every host owes, the oldest first."""
    Query(request).nothing_else()
    queries = world_of(request).queries
    names = {server.uuid: server.name for server in await queries.instances()}
    shown = []
    for debt in await queries.debts():
        migration = await queries.migration(debt.story_uuid)
        guest = migration.instance_uuid if migration else None
        name = names.get(guest, "") if guest else ""
        shown.append({"host": debt.where, "server_uuid": guest, "server": name, **debt_view(debt)})
    return answer({"debts": shown})


async def list_hosts(request: Request) -> Response:
    """`GET /hosts`."""
    Query(request).nothing_else()
    here = world_of(request)
    hosts = sorted(await here.queries.hosts(), key=lambda host: host.name)
    return answer({"hosts": await _host_views(here, hosts)})


async def show_host(request: Request) -> Response:
    """`GET /hosts/{name}`."""
    Query(request).nothing_else()
    here = world_of(request)
    host = await host_or_404(here.queries, request.path_params["host_name"])
    return answer({"host": (await _host_views(here, [host]))[0]})


async def confirm_down(request: Request) -> Response:
    """`POST /hosts/{name}/confirm-down`: a person states that its power is off."""
    return await _confirm(request, is_down=True)


async def confirm_up(request: Request) -> Response:
    """`POST /hosts/{name}/confirm-up`: it may take part again."""
    return await _confirm(request, is_down=False)


async def _confirm(request: Request, *, is_down: bool) -> Response:
    body = await read_body(request, WithReason)
    here = world_of(request)
    host = await host_or_404(here.queries, request.path_params["host_name"])
    ask = ConfirmPower(asked=asked_by(request, body.reason), host=host.name, is_down=is_down)
    stated = await here.conductor.confirm_power(ask)
    return answer({"host": (await _host_views(here, [stated]))[0]})


async def _host_views(here: World, hosts: list[Host]) -> list[dict[str, Any]]:
    usage = await here.queries.usage()
    servers = Counter(server.host for server in await here.queries.instances())
    debts: defaultdict[HostName, list[Debt]] = defaultdict(list)
    for debt in await here.queries.debts():
        debts[HostName(debt.where)].append(debt)
    return [
        {
            "name": host.name,
            "up": here.is_up(host),
            "enabled": not host.disabled,
            "disabled_reason": host.disabled_reason,
            "confirmed_down": host.confirmed_down,
            "confirmed_up": host.confirmed_up,
            "trouble": host.trouble,
            "heard_at": iso(host.heard_at_s) if host.heard_at_s else None,
            "silent_s": here.silent_s(host),
            "servers": servers[host.name],
            "usage": usage.get(host.name, Usage()),
            "facts": host.facts,
            "debts": [debt_view(debt) for debt in debts[host.name]],
        }
        for host in hosts
    ]


def debt_view(debt: Debt) -> dict[str, Any]:
    """An act that a host still owes to a migration."""
    return {
        "migration_uuid": debt.story_uuid,
        "step": debt.step,
        "undo": debt.undo,
        "words": debt.words,
        "attempts": debt.attempts,
        "due_at": iso(debt.due_at_s),
    }
