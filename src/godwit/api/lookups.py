"""The lookups that end in a 404 where there is nothing. Resources read through `Queries` alone."""

from typing import Final

from godwit.model.errors import NotFound
from godwit.model.host import Host
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migration import Migration
from godwit.model.reasons import Code, reason
from godwit.store.queries import Account, Queries

NUMBER_DIGITS_MAX: Final = 15
"""A longer number is no migration's, and no database takes it."""


async def instance_or_404(queries: Queries, uuid: str) -> Instance:
    """The server with this uuid. Raises `NotFound`."""
    found = await queries.instance(InstanceUuid(uuid))
    if found is None:
        raise NotFound(reason(Code.SERVER_UNKNOWN, server=uuid))
    return found


async def host_or_404(queries: Queries, name: str) -> Host:
    """The host of this name. Raises `NotFound`."""
    found = await queries.host(HostName(name))
    if found is None:
        raise NotFound(reason(Code.HOST_UNKNOWN, name=name))
    return found


async def migration_or_404(
    queries: Queries, named: str, *, instance_uuid: str | None = None
) -> Migration:
    """The migration with this number or uuid, of that server if one is given. Raises `NotFound`."""
    too_long = named.isdecimal() and len(named) > NUMBER_DIGITS_MAX
    found = None if too_long else await queries.migration(named)
    if found is None or instance_uuid not in (None, found.instance_uuid):
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=named))
    return found


async def migration_named(queries: Queries, named: str) -> MigrationUuid:
    """What a path names: a uuid as it is, whether there is such a migration or not; a number is
    looked up. Raises `NotFound`.
    """
    if not named.isdecimal():
        return MigrationUuid(named)
    return (await migration_or_404(queries, named)).uuid


async def account_or_404(queries: Queries, uuid: MigrationUuid) -> Account:
    """All that is known of the migration. Raises `NotFound`."""
    found = await queries.account(uuid)
    if found is None:
        raise NotFound(reason(Code.MIGRATION_UNKNOWN, migration=uuid))
    return found
