"""`/v2.1/servers/{id}/migrations`: the migrations of one server; deleting one aborts it."""

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer, empty
from godwit.api.lookups import instance_or_404, migration_or_404
from godwit.api.schemas import MigrationAction
from godwit.api.validation import Query, asked_by, read_body
from godwit.api.views import server_migration
from godwit.api.world import world_of
from godwit.model.migration import Migration
from godwit.rpc.conductor import AbortMigration, ForceComplete


async def list_all(request: Request) -> Response:
    """`GET`: those under way, as in Nova."""
    Query(request).nothing_else()
    queries = world_of(request).queries
    server = await instance_or_404(queries, request.path_params["server_id"])
    found = await queries.migrations(instance_uuid=server.uuid, unfinished=True)
    return answer({"migrations": [server_migration(migration) for migration in found]})


async def show(request: Request) -> Response:
    """`GET .../{id}`: by number or uuid, also one that has ended."""
    return answer({"migration": server_migration(await _named(request))})


async def abort(request: Request) -> Response:
    """`DELETE .../{id}`: 202 once the request is on record; 409 when it comes too late."""
    migration = await _named(request)
    ask = AbortMigration(asked=asked_by(request), migration_uuid=migration.uuid)
    await world_of(request).conductor.abort_live_migration(ask)
    return empty(status=202)


async def act(request: Request) -> Response:
    """`POST .../{id}/action`: `force_complete` is the only one. 202 and no body, as Nova; how it is
    brought to its end stands in `/godwit/v1/migrations/{id}`.
    """
    migration = await _named(request)
    await read_body(request, MigrationAction)
    ask = ForceComplete(asked=asked_by(request), migration_uuid=migration.uuid)
    await world_of(request).conductor.force_complete_live_migration(ask)
    return empty(status=202)


async def _named(request: Request) -> Migration:
    queries = world_of(request).queries
    server = await instance_or_404(queries, request.path_params["server_id"])
    named = request.path_params["migration_id"]
    return await migration_or_404(queries, named, instance_uuid=server.uuid)
