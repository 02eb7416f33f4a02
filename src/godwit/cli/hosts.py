"""`godwit host ...`: the hosts, and whether they may take guests."""

from urllib.parse import quote

import click

from godwit.cli.answers import Hosts, OneHost
from godwit.cli.asking import Asking, verb
from godwit.cli.client import CONFIRM_S
from godwit.cli.completion import complete_hosts
from godwit.cli.options import NAME, REASON
from godwit.cli.show import host_lines, host_table

_HOST = click.argument("name", type=NAME, metavar="HOST", shell_complete=complete_hosts)


@click.group()
def host() -> None:
    """Hosts, what they say of themselves, and whether they take guests."""


@host.command("list")
@verb
def list_hosts(asking: Asking) -> None:
    """All hosts, one line each."""
    raw = asking.client.get("/godwit/v1/hosts")
    asking.put(raw, lambda: host_table(asking.client.read(raw, Hosts).hosts))


@host.command()
@_HOST
@verb
def show(asking: Asking, name: str) -> None:
    """Everything about one host: facts, claims, trouble, and what it still owes."""
    raw = asking.client.get(f"/godwit/v1/hosts/{quote(name, safe='')}")
    asking.put(raw, lambda: host_lines(asking.client.read(raw, OneHost).host))


@host.command()
@_HOST
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept in the log.")
@verb
def enable(asking: Asking, name: str, reason: str) -> None:
    """Let a host take guests again."""
    body = {"host": name, "disabled_reason": reason}
    asking.client.change("PUT", "/v2.1/os-services/enable", body)
    asking.done(f"{name} may take guests", host=name, enabled=True)


@host.command()
@_HOST
@click.option(
    "--reason", type=REASON, default="", metavar="TEXT", help="Why; shown to whoever is refused."
)
@verb
def disable(asking: Asking, name: str, reason: str) -> None:
    """Let no more guests come to a host. Those that are there stay."""
    body = {"host": name, "disabled_reason": reason}
    asking.client.change("PUT", "/v2.1/os-services/disable-log-reason", body)
    asking.done(f"{name} takes no more guests; those there stay", host=name, enabled=False)


@host.command("confirm-down")
@_HOST
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept and shown.")
@verb
def confirm_down(asking: Asking, name: str, reason: str) -> None:
    """State that the power of a host is off, for certain.

    From then on what it does not answer counts as: nothing runs there. Migrations that wait for it
    are decided, and it takes no part until it is confirmed up. Refused while it still answers.
    """
    _confirm(asking, name, "confirm-down", reason)


@host.command("confirm-up")
@_HOST
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept and shown.")
@verb
def confirm_up(asking: Asking, name: str, reason: str) -> None:
    """Let a host that was confirmed down take part again."""
    _confirm(asking, name, "confirm-up", reason)


def _confirm(asking: Asking, name: str, what: str, reason: str) -> None:
    path = f"/godwit/v1/hosts/{quote(name, safe='')}/{what}"
    raw = asking.client.change("POST", path, {"reason": reason}, timeout_s=CONFIRM_S).body
    asking.put(raw, lambda: host_table([asking.client.read(raw, OneHost).host]))
