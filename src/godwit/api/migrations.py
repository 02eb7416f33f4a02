"""`/v2.1/os-migrations`: every migration there was, newest first."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer, link
from godwit.api.errors import bad_input
from godwit.api.pages import next_link
from godwit.api.validation import PAGE_MAX, Query
from godwit.api.views import os_migration
from godwit.api.world import world_of
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.migration import Migration, MigrationStatus
from godwit.store.queries import Queries

_ONLY_TYPE = "live-migration"


async def list_all(request: Request) -> Response:
    """`GET /os-migrations`."""
    query = Query(request)
    page, more = await page_of_migrations(world_of(request).queries, query)
    query.nothing_else("hidden", "project_id", "user_id")
    base = link(request, "")
    body: dict[str, Any] = {"migrations": [os_migration(migration, base) for migration in page]}
    if more:
        body["migrations_links"] = next_link(request, page[-1].uuid)
    return answer(body)


async def page_of_migrations(queries: Queries, query: Query) -> tuple[Sequence[Migration], bool]:
    """The migrations that the filters leave, newest first, after `marker` and at most `limit`; and
    whether more follow. `host` is either end. Raises `BadRequest` naming the parameter.
    """
    limit = query.number("limit", PAGE_MAX, at_most=PAGE_MAX)
    host, server = query.text("host"), query.text("instance_uuid")
    status, kind = _status(query.text("status")), query.text("migration_type")
    marker = await _number_of(queries, query.text("marker"))
    if kind not in (None, _ONLY_TYPE):
        return [], False
    found = await queries.migrations(
        host=None if host is None else HostName(host),
        instance_uuid=None if server is None else InstanceUuid(server),
        status=status,
        marker=marker,
        limit=limit + 1,
    )
    return found[:limit], 0 < limit < len(found)


async def _number_of(queries: Queries, marker: str | None) -> int | None:
    if marker is None:
        return None
    migration = None if marker.isdecimal() else await queries.migration(marker)
    if migration is None:
        raise bad_input("marker", f"no migration {marker!r}", "the uuid of a page's last migration")
    return migration.id


def _status(given: str | None) -> MigrationStatus | None:
    if given is None:
        return None
    try:
        return MigrationStatus(given)
    except ValueError as error:
        known = ", ".join(MigrationStatus)
        raise bad_input("status", f"{given!r} is no status", f"one of {known}") from error
