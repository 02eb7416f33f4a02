"""`godwit server ...`: the servers that were found or made."""

from urllib.parse import quote, unquote

import click
import msgspec

from godwit.cli.answers import OneServer, Servers, converted
from godwit.cli.asking import Asking, verb
from godwit.cli.client import CREATE_S, DELETE_S, WHEREIS_S
from godwit.cli.completion import complete_flavors, complete_hosts, complete_servers
from godwit.cli.exits import Exit, exit_of_place
from godwit.cli.options import NAME, REASON
from godwit.cli.show import server_lines, server_table
from godwit.cli.text import plain
from godwit.cli.whereis import WhereisAnswer, whereis_lines

_SERVER = click.argument("named", type=NAME, metavar="SERVER", shell_complete=complete_servers)


@click.group()
def server() -> None:
    """Servers: the guests that were found on the hosts, or made by Godwit."""


@server.command("list")
@click.option("--host", metavar="HOST", shell_complete=complete_hosts, help="Those on this host.")
@click.option("--name", metavar="TEXT", help="Part of the name.")
@click.option("--status", metavar="WORD", help="Such as active, migrating, shutoff.")
@verb
def list_servers(asking: Asking, host: str | None, name: str | None, status: str | None) -> None:
    """All servers, or those that fit, one line each."""
    found = {"servers": asking.client.servers(host=host, name=name, status=status)}
    asking.put(
        msgspec.json.encode(found),
        lambda: server_table(converted(found, Servers).servers),
    )


@server.command()
@_SERVER
@verb
def show(asking: Asking, named: str) -> None:
    """Everything about one server."""
    found = asking.client.server(named)
    raw = asking.client.get(f"/v2.1/servers/{found.id}")
    asking.put(raw, lambda: server_lines(asking.client.read(raw, OneServer).server))


@server.command()
@_SERVER
@verb
def whereis(asking: Asking, named: str) -> Exit:
    """Ask every host now whether it has the server's guest; changes nothing.

    Exit code 5 where that does not say for sure that it is at one host alone.
    """
    found = asking.client.server(named)
    path = f"/godwit/v1/servers/{quote(found.id)}/whereis"
    raw = asking.client.get(path, timeout_s=WHEREIS_S)
    where = asking.client.read(raw, WhereisAnswer).whereis
    asking.put(raw, lambda: whereis_lines(where))
    return exit_of_place(where.place)


@server.command()
@click.argument("name", type=NAME, metavar="NAME")
@click.option(
    "--flavor",
    required=True,
    metavar="FLAVOR",
    shell_complete=complete_flavors,
    help="Its sizes, as the settings file names them.",
)
@click.option("--image", required=True, metavar="IMAGE", help="As the settings file names it.")
@click.option(
    "--host",
    metavar="HOST",
    shell_complete=complete_hosts,
    help="This host. Without: the best one.",
)
@verb
def create(asking: Asking, name: str, flavor: str, image: str, host: str | None) -> None:
    """Make a server of a flavor from a registered image, and start it."""
    wish = {"name": name, "flavorRef": flavor, "imageRef": image}
    if host is not None:
        wish["host"] = host
    answer = asking.client.change("POST", "/v2.1/servers", {"server": wish}, timeout_s=CREATE_S)
    made = asking.client.read(answer.body, OneServer).server
    asking.put(answer.body, lambda: [f"{name} created: {made.id}"])


@server.command()
@_SERVER
@verb
def delete(asking: Asking, named: str) -> None:
    """Stop and remove a server that Godwit made, and the disk made for it, without asking again.

    Disks that were attached to it since are left, and named.
    """
    found = asking.client.server(named)
    path = f"/v2.1/servers/{quote(found.id)}"
    answer = asking.client.change("DELETE", path, timeout_s=DELETE_S)
    raw = answer.headers.get("x-godwit-left-disks", "")
    left = [plain(unquote(each)) for each in raw.split(",") if each]
    words = f"; left alone: {', '.join(left)}" if left else ""
    asking.done(f"{found.name} deleted{words}", deleted=found.id, left_disks=left)


@server.command()
@_SERVER
@click.option("--reason", type=REASON, default="", metavar="TEXT", help="Why; kept in the log.")
@verb
def forget(asking: Asking, named: str, reason: str) -> None:
    """Remove the record of a server that was found; its guest is left alone."""
    found = asking.client.server(named)
    body = {"reason": reason}
    asking.client.change("POST", f"/godwit/v1/servers/{quote(found.id)}/forget", body)
    asking.done(f"{found.name} forgotten; its guest was left alone", forgotten=found.id)
