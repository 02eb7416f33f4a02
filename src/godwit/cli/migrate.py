"""`godwit migrate`: move guests, or ask which hosts would take them."""

from functools import partial
from typing import Any

import click

from godwit.cli.asking import Asking, verb
from godwit.cli.completion import complete_hosts, complete_servers
from godwit.cli.exits import Exit, exit_of_outcome
from godwit.cli.many import Order, migrate_many
from godwit.cli.migration_answers import Migration
from godwit.cli.options import NAME, REASON
from godwit.cli.show import verdict_lines, would_do
from godwit.cli.steering import steering_in, steering_options
from godwit.cli.story import how_to_stop, how_to_watch
from godwit.cli.watch import follow

Wish = dict[str, Any]
"""The inside of a request to move or to check."""


@click.command(
    epilog="Exit codes: 0 moved (--check: some host would do; --no-wait: accepted), "
    "1 cannot ask, 2 wrong usage, 3 refused by a check, 4 failed and the guest is safe at the "
    "source or was ended there on purpose, 5 a person must see to the guest, 6 cancelled, "
    "130 interrupted by Ctrl-C: the migration goes on. "
    "Of many, the worst: 5, 4, 1, 3, 6, 0."
)
@click.argument(
    "named", type=NAME, metavar="[SERVER]...", nargs=-1, shell_complete=complete_servers
)
@click.option(
    "--from",
    "source",
    metavar="HOST",
    shell_complete=complete_hosts,
    help="All servers of this host.",
)
@click.option(
    "--to",
    "host",
    metavar="HOST",
    shell_complete=complete_hosts,
    help="This host, if its checks agree. Without: the best one, for each.",
)
@click.option("--check", is_flag=True, help="Only say which hosts would take it; change nothing.")
@click.option(
    "--rehearse",
    is_flag=True,
    help="With --check, of one server: send a tiny twin of the guest to each of these hosts, start "
    "one of its size there, paused and without its disks, and end both.",
)
@click.option("--all", "all_hosts", is_flag=True, help="With --check: each host by itself.")
@click.option("--auto", is_flag=True, help="Copy the disks the hosts do not share (the default).")
@click.option("--block", is_flag=True, help="Copy all disks: refuse if the hosts share one.")
@click.option("--shared", is_flag=True, help="Copy no disk: refuse if the hosts do not share all.")
@click.option(
    "--disk-over-commit",
    is_flag=True,
    help="A copied disk needs room for what it holds now, not for what it may grow to.",
)
@steering_options
@click.option(
    "--reason", type=REASON, default="", metavar="TEXT", help="Why; kept with the migration."
)
@click.option("--no-wait", is_flag=True, help="Return as soon as the migration is accepted.")
@verb
def migrate(
    asking: Asking,
    /,
    named: tuple[str, ...],
    source: str | None,
    host: str | None,
    reason: str,
    **flags: Any,
) -> Exit:
    """Move running guests to other hosts, without stopping them.

    Many are checked first; then those that can go are moved, a few at a time.
    """
    if not named and source is None:
        raise click.UsageError("name the servers to move, or a host to empty with --from")
    if source is not None and source == host:
        raise click.UsageError(f"--from and --to both say {host}")
    order = Order(
        named=tuple(dict.fromkeys(named)),
        source=source,
        wish=_wish(host, flags),
        why=reason,
        only_check=flags["check"],
        wait=not flags["no_wait"],
        all_hosts=flags["all_hosts"],
    )
    if order.all_hosts and not order.only_check:
        raise click.UsageError("--all goes with --check")
    many = source is not None or len(order.named) > 1
    if flags["rehearse"] and (many or not order.only_check):
        raise click.UsageError("--rehearse goes with --check of one server")
    if many:
        return migrate_many(asking, order)
    return _migrate_one(asking, order)


def _migrate_one(asking: Asking, order: Order) -> Exit:
    """The one server that was named; its story is shown step by step."""
    [named] = order.named
    server = asking.client.server(named)
    if order.only_check:
        checked, raw = asking.client.check(server, order.wish)
        said = partial(verdict_lines, server.name, checked, order.host, all_hosts=order.all_hosts)
        asking.put(raw, said)
        return Exit.MOVED if would_do(checked) else Exit.REFUSED
    uuid = asking.client.migrate(server, order.wish, why=order.why)
    found, raw = asking.client.migration(uuid)
    if not order.wait:
        asking.put(raw, lambda: [f"migration {found.id} accepted; {_what_next(found)}"])
        return Exit.MOVED
    return watched(asking, found)


def _wish(host: str | None, flags: dict[str, Any]) -> Wish:
    wish: Wish = {"host": host, "block_migration": _disks(flags)}
    wish |= {name: True for name in ("disk_over_commit", "rehearse") if flags[name]}
    if steering := steering_in(flags):
        wish["godwit:steering"] = steering
    return wish


def _disks(flags: dict[str, Any]) -> bool | str:
    """What `block_migration` is to be."""
    given = [name for name in ("auto", "block", "shared") if flags[name]]
    if len(given) > 1:
        raise click.UsageError(f"--{given[0]} and --{given[1]} exclude each other")
    wish: dict[str, bool | str] = {"auto": "auto", "block": True, "shared": False}
    return wish[given[0] if given else "auto"]


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
