"""`godwit migration ...`: what was and is being moved; stopping it; a person's decision."""

from functools import partial
from typing import Any
from urllib.parse import quote

import click

from godwit.cli.asking import Asking, verb
from godwit.cli.completion import complete_hosts, complete_migrations, complete_servers
from godwit.cli.events import event_table
from godwit.cli.exits import Exit
from godwit.cli.migrate import watched
from godwit.cli.migration_answers import ForcedAnswer, Migrations, Timeline
from godwit.cli.options import NAME, REASON
from godwit.cli.show import migration_table
from godwit.cli.steering import forced_line, limit_options, steering_in
from godwit.cli.story import how_to_watch, migration_lines

_MIGRATION = click.argument(
    "named", type=NAME, metavar="MIGRATION", shell_complete=complete_migrations
)


@click.group()
def migration() -> None:
    """Migrations: under way and past, how to stop one, and a person's decision."""


@migration.command("list")
@click.option("--server", metavar="SERVER", shell_complete=complete_servers, help="Of this server.")
@click.option("--host", metavar="HOST", shell_complete=complete_hosts, help="From or to this host.")
@click.option("--status", metavar="WORD", help="Such as running, failed.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many."
)
@verb
def list_migrations(
    asking: Asking, server: str | None, host: str | None, status: str | None, limit: int
) -> None:
    """The newest migrations, one line each."""
    uuid = asking.client.server(server).id if server is not None else None
    query = {"instance_uuid": uuid, "host": host, "status": status, "limit": limit}
    raw = asking.client.get("/godwit/v1/migrations", query)
    asking.put(raw, lambda: migration_table(asking.client.read(raw, Migrations).migrations))


@migration.command()
@_MIGRATION
@click.option("--watch", is_flag=True, help="Go on showing the story until it ends.")
@click.option("--all", "all_hosts", is_flag=True, help="Each host that refused by itself.")
@click.option(
    "--timeline", "every_event", is_flag=True, help="Every event: when, where, who, which attempt."
)
@verb
def show(
    asking: Asking, named: str, watch: bool, all_hosts: bool, every_event: bool
) -> Exit | None:
    """The whole story of one migration; what to type where a person is needed.

    With --watch the exit code is that of godwit migrate.
    """
    if every_event and (watch or all_hosts):
        raise click.UsageError("--timeline stands alone")
    found, raw = asking.client.migration(named)
    if watch:
        return watched(asking, found)
    if every_event:
        events = asking.client.get(f"/godwit/v1/migrations/{quote(found.uuid)}/timeline")
        asking.put(events, lambda: event_table(asking.client.read(events, Timeline).entries))
        return None
    timeline = asking.client.timeline(found.uuid)
    story = partial(migration_lines, timeline.migration, timeline.entries, all_hosts=all_hosts)
    asking.put(raw, story)
    return None


@migration.command()
@_MIGRATION
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept in the log.")
@verb
def abort(asking: Asking, named: str, reason: str) -> None:
    """Ask a migration to stop. The guest stays at the source.

    After the switch it is too late: then the answer says so (exit code 3).
    """
    found, _ = asking.client.migration(named)
    asking.client.abort(found.uuid, why=reason)
    line = f"migration {found.id} was asked to stop; {how_to_watch(found)}"
    asking.done(line, abort_requested=found.uuid)


@migration.command("set")
@_MIGRATION
@limit_options
@verb
def set_limits(asking: Asking, /, named: str, **limits: Any) -> None:
    """Change the limits of a migration, also while it runs.

    A new bandwidth holds for memory; the copy of a disk that runs keeps its pace.
    """
    body = steering_in(limits)
    if not body:
        raise click.UsageError("say what to change: --bandwidth, --max-downtime, --timeout")
    found, _ = asking.client.migration(named)
    asking.client.change("PATCH", f"/godwit/v1/migrations/{quote(found.uuid)}", body)
    asking.done(f"recorded; {how_to_watch(found)}", steered=found.uuid, **body)


@migration.command("force-complete")
@_MIGRATION
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept in the log.")
@verb
def force_complete(asking: Asking, named: str, reason: str) -> None:
    """Bring a migration that copies memory to its end now.

    By post-copy where that is permitted, otherwise by a longer pause at the switch, within what the
    settings allow; the answer says which. A pause that would be too long is refused (exit code 3).
    """
    found, _ = asking.client.migration(named)
    path = f"/godwit/v1/migrations/{quote(found.uuid)}/force-complete"
    raw = asking.client.change("POST", path, {"reason": reason}).body
    forced = asking.client.read(raw, ForcedAnswer).forced
    asking.put(raw, lambda: [forced_line(found.id, forced)])


@migration.command()
@_MIGRATION
@click.option("--at", "at_host", metavar="HOST", help="The guest is at this host.")
@click.option("--lost", is_flag=True, help="The guest is lost; nothing is touched.")
@click.option(
    "--reason", type=REASON, required=True, metavar="TEXT", help="How you know; kept for ever."
)
@verb
def resolve(asking: Asking, named: str, at_host: str | None, lost: bool, reason: str) -> None:
    """Say where the guest of a migration is that waits for a person, or that it is lost."""
    if lost == (at_host is not None):
        raise click.UsageError("say either --at HOST or --lost")
    found, _ = asking.client.migration(named)
    body = {"at_host": at_host, "reason": reason}
    asking.client.change("POST", f"/godwit/v1/migrations/{quote(found.uuid)}/resolve", body)
    where = "lost" if at_host is None else f"at {at_host}"
    line = f"recorded: the guest is {where}; {how_to_watch(found)}"
    asking.done(line, resolved=found.uuid, at_host=at_host)
