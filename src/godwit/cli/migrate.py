"""`godwit migrate`: move a guest, or ask which hosts would take it."""

import click

from godwit.cli.answers import Server
from godwit.cli.asking import Asking, verb
from godwit.cli.client import CHECK_S
from godwit.cli.completion import complete_hosts, complete_servers
from godwit.cli.exits import Exit, exit_of_outcome
from godwit.cli.migration_answers import Checked, Migration
from godwit.cli.show import verdict_lines, would_do
from godwit.cli.story import how_to_stop, how_to_watch
from godwit.cli.watch import follow

Wish = dict[str, bool | str | None]
"""The inside of a request to move or to check."""


@click.command(
    epilog="Exit codes: 0 moved (--check: some host would do; --no-wait: accepted), "
    "1 cannot ask, 2 wrong usage, 3 refused by a check, 4 failed and the guest is safe at the "
    "source, 5 a person is needed, 6 cancelled, 130 interrupted by Ctrl-C: the migration goes on."
)
@click.argument("named", metavar="SERVER", shell_complete=complete_servers)
@click.option(
    "--to",
    "host",
    metavar="HOST",
    shell_complete=complete_hosts,
    help="This host, if its checks agree. Without: the best one.",
)
@click.option("--check", is_flag=True, help="Only say which hosts would take it; change nothing.")
@click.option("--auto", is_flag=True, help="Copy the disks the hosts do not share (the default).")
@click.option("--block", is_flag=True, help="Copy all disks: refuse if the hosts share one.")
@click.option("--shared", is_flag=True, help="Copy no disk: refuse if the hosts do not share all.")
@click.option(
    "--disk-over-commit",
    is_flag=True,
    help="A copied disk needs room for what it holds now, not for what it may grow to.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the migration.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the migration is accepted.")
@verb
def migrate(asking: Asking, /, named: str, host: str | None, reason: str, **flags: bool) -> Exit:
    """Move a running guest to another host, without stopping it."""
    wish: Wish = {"host": host, "block_migration": _disks(flags)}
    if flags["disk_over_commit"]:
        wish["disk_over_commit"] = True
    server = asking.client.server(named)
    if flags["check"]:
        return _checked(asking, server, wish)
    found, raw = asking.client.migration(asking.client.migrate(server, wish, why=reason))
    if flags["no_wait"]:
        asking.put(raw, lambda: [f"migration {found.id} accepted; {_what_next(found)}"])
        return Exit.MOVED
    return watched(asking, found)


def _disks(flags: dict[str, bool]) -> bool | str:
    """What `block_migration` is to be."""
    given = [name for name in ("auto", "block", "shared") if flags[name]]
    if len(given) > 1:
        raise click.UsageError(f"--{given[0]} and --{given[1]} exclude each other")
    wish: dict[str, bool | str] = {"auto": "auto", "block": True, "shared": False}
    return wish[given[0] if given else "auto"]


def _checked(asking: Asking, server: Server, wish: Wish) -> Exit:
    path = f"/godwit/v1/servers/{server.id}/check"
    raw = asking.client.change("POST", path, wish, timeout_s=CHECK_S).body
    checked = asking.client.read(raw, Checked)
    host = wish["host"]
    asking.put(raw, lambda: verdict_lines(server.name, checked, str(host) if host else None))
    return Exit.MOVED if would_do(checked) else Exit.REFUSED


def watched(asking: Asking, migration: Migration) -> Exit:
    """Show the story until it ends. Ctrl-C ends the watching, not the migration."""
    try:
        with asking.screen() as screen:
            ended = follow(asking.client, migration.uuid, screen, asking.wiring.pause)
    except KeyboardInterrupt:
        click.echo(f"\nmigration {migration.id} goes on; {_what_next(migration)}", err=True)
        return Exit.INTERRUPTED
    if asking.as_json:
        _, raw = asking.client.migration(migration.uuid)
        asking.put(raw, list)
    return exit_of_outcome(ended.outcome)


def _what_next(migration: Migration) -> str:
    return f"{how_to_watch(migration)}; {how_to_stop(migration)}"
