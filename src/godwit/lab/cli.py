"""`godwit lab ...`: the verbs of the lab, for people, for `make demo` and for `make test`.

A verb about a lab that is up in the background is typed outside it: it finds the lab and runs
itself again inside, where `Lab.here()` works. The same verbs typed inside a lab (`godwit lab exec
-- bash`, a test) act at once. Those about guests are in `cli_guest`, those about one host in
`cli_host`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
import msgspec

from godwit.lab import debian_packages, linux_guest, sandbox, software
from godwit.lab.cli_guest import guest
from godwit.lab.cli_here import COMMAND_FOLLOWS, here, plainly, which_lab
from godwit.lab.cli_host import HOST_VERBS
from godwit.lab.control_plane import settings_file_for
from godwit.lab.errors import LabUsageError
from godwit.lab.keeper import EXIT_NOT_FOUND, say
from godwit.lab.layout import HOST_NAMES, HOSTS_DEFAULT
from godwit.lab.processes import CLEAN_ENVIRONMENT
from godwit.lab.requirements import check_this_box
from godwit.lab.restore import restore as restore_lab
from godwit.lab.settings import LabSettings
from godwit.lab.status import read_status, status_lines


@click.group()
def lab() -> None:
    """Real libvirt hosts on this one box, in a sandbox that leaves nothing behind."""


lab.add_command(guest)
for _verb in HOST_VERBS:
    lab.add_command(_verb)

_hosts = click.option("--hosts", type=int, default=HOSTS_DEFAULT, show_default=True, help="1 to 8.")
_name = click.option(
    "--name", default=LabSettings.name, show_default=True, help="To tell labs apart."
)
_keepalive_s = click.option(
    "--keepalive-s",
    type=click.IntRange(1, 60),
    default=LabSettings.keepalive_interval_s,
    show_default=True,
    help="libvirtd asks its peers this often whether they live.",
)
_keepalive_count = click.option(
    "--keepalive-count",
    type=click.IntRange(1, 60),
    default=LabSettings.keepalive_count,
    show_default=True,
    help="It gives up after so many questions without an answer.",
)


@lab.command(context_settings=COMMAND_FOLLOWS)
@_hosts
@_name
@_keepalive_s
@_keepalive_count
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@plainly
def run(
    hosts: int, name: str, keepalive_s: int, keepalive_count: int, command: tuple[str, ...]
) -> None:
    """Make a lab, run CMD in it, remove the lab.

    CMD stands where a control plane would. The exit code is that of CMD. However this ends, Ctrl-C
    and kill -9 too, nothing is left.
    """
    made_with = _checked(LabSettings(name, hosts, keepalive_s, keepalive_count))
    click.get_current_context().exit(sandbox.run_in_lab(made_with, command))


@lab.command()
@_hosts
@_name
@_keepalive_s
@_keepalive_count
@plainly
def up(hosts: int, name: str, keepalive_s: int, keepalive_count: int) -> None:
    """Make a lab in the background and say what to type next."""
    made_with = _checked(LabSettings(name, hosts, keepalive_s, keepalive_count))
    sandbox.start(made_with, say)
    click.echo("\n".join(next_lines(made_with)))


@lab.command()
@which_lab
@click.option("--if-up", is_flag=True, help="It is no error if there is no such lab.")
@plainly
def down(name: str | None, if_up: bool) -> None:
    """Remove a lab and everything in it."""
    wanted = name or LabSettings.name
    if if_up and wanted not in sandbox.names():
        return
    background = sandbox.find(wanted)
    sandbox.end(background)
    say(f"lab {background.settings.name!r} is gone")


@lab.command()
@which_lab
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plainly
def status(name: str | None, as_json: bool) -> None:
    """Show the hosts of a lab and what runs on them."""
    found = read_status(here(name))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        click.echo("\n".join(status_lines(found)))


@lab.command(name="exec", context_settings=COMMAND_FOLLOWS)
@which_lab
@click.argument(
    "words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[HOST] -- CMD..."
)
@plainly
def execute(name: str | None, words: tuple[str, ...]) -> None:
    """Run CMD on a host, or where a control plane would stand."""
    inside = here(name)
    host, command = split_host(words)
    argv, environment = command, dict(os.environ)
    if host is not None:
        argv = inside.host(host).inside(*command)
        environment = {**CLEAN_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb")}
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        click.echo(f"error: cannot run {argv[0]}: {error.strerror}", err=True)
        click.get_current_context().exit(EXIT_NOT_FOUND)


@lab.command()
@plainly
def fetch() -> None:
    """Fetch what upgrade and Linux guests need. Once, 50 MB, outside a lab."""
    for what, packages in (
        ("newer libvirt and QEMU", software.NEWER),
        ("a Linux kernel for guests", linux_guest.PACKAGES),
    ):
        say(f"fetching {what}, unless that was done before")
        debian_packages.fetch(packages)


@lab.command()
@which_lab
@plainly
def restore(name: str | None) -> None:
    """Put a lab back as it came up. Hosts on, connected, thawed, without guests and disks."""
    restore_lab(here(name))


@lab.command()
@which_lab
@plainly
def settings(name: str | None) -> None:
    """Print the settings file for a `godwit serve` that drives the lab."""
    click.echo(settings_file_for(here(name)), nl=False)


def split_host(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The host, if one is named, and the command. Pure; LabUsageError if there is no command."""
    names_host = words[0] in HOST_NAMES or words[1:2] == ("--",)
    host, rest = (words[0], list(words[1:])) if names_host else (None, list(words))
    command = rest[1:] if rest[:1] == ["--"] else rest
    if not command:
        raise LabUsageError("no command to run", remedy="godwit lab exec [HOST] -- CMD...")
    return host, command


def next_lines(made_with: LabSettings) -> list[str]:
    """What a person may type once the lab is up. Pure."""
    name = "" if made_with.name == LabSettings.name else f" --name {made_with.name}"
    lines = [
        (f"godwit lab status{name}", "what runs where"),
        (f"godwit lab guest start vm1 --on host-a{name}", "a guest with a heartbeat"),
        (f"godwit lab guest watch{name}", "where all guests are, live"),
        (f"godwit lab exec{name} -- bash", "a shell where a control plane stands"),
        (f"godwit lab exec{name} host-a -- virsh list --all", "a command on a host"),
        (f"godwit lab settings{name}", "save this as godwit.toml, for the next line"),
        (f"godwit lab exec{name} -- godwit serve --config godwit.toml", "a control plane"),
        (f"godwit lab exec{name} -- godwit migrate vm1", "in another terminal"),
        (f"godwit lab cut host-a --network migration{name}", "uncut, slow, freeze, thaw, power"),
        (f"godwit lab down{name}", "remove all of it"),
    ]
    width = max(len(command) for command, _ in lines)
    return ["Next:", *(f"  {command.ljust(width)}  # {what}" for command, what in lines)]


def _checked(chosen: LabSettings) -> LabSettings:
    chosen.check()
    check_this_box()
    return chosen
