"""`godwit lab guest ...`: start the lab's tiny guests, remove them, watch where they run."""

from __future__ import annotations

import time
from typing import Final

import click

from godwit.lab.cli_here import here, plainly, which_lab
from godwit.lab.guest import (
    DiskPlace,
    GuestDisk,
    GuestSpec,
    create_disk,
    known_guests,
    remove_guest,
    set_dirty_rate,
    start_guest,
)
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.linux_guest import start_linux_guest

WATCH_EVERY_S: Final = 1.0

_guest = click.argument("guest_name", metavar="GUEST")
_on = click.option("--on", "host", metavar="HOST", required=True, help="The host it is about.")


@click.group()
def guest() -> None:
    """Tiny guests with a heartbeat, to have something to migrate."""


@guest.command()
@which_lab
@_guest
@_on
@click.option(
    "--memory-mib",
    type=click.IntRange(8, 2048),
    default=64,
    show_default=True,
    help="A quarter of it is kept busy.",
)
@click.option(
    "--dirty-pages-per-s",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="How fast the guest writes it.",
)
@click.option(
    "--disk",
    type=click.Choice([place.value for place in DiskPlace]),
    help="A disk that all hosts see, or this one alone. Default: none.",
)
@plainly
def start(
    name: str | None,
    guest_name: str,
    host: str,
    memory_mib: int,
    dirty_pages_per_s: int,
    disk: str | None,
) -> None:
    """Make a guest on a host and start it."""
    chosen = here(name).host(host)
    disks = (GuestDisk(f"{guest_name}.qcow2", DiskPlace(disk)),) if disk else ()
    for each in disks:
        create_disk(chosen, each)
    spec = GuestSpec(
        guest_name,
        memory_mib=memory_mib,
        working_set_mib=memory_mib // 4,
        dirty_pages_per_s=dirty_pages_per_s,
        disks=disks,
    )
    start_guest(chosen, spec)
    click.echo(f"{guest_name} runs on {host} ({spec.uuid})")


@guest.command()
@which_lab
@_guest
@_on
@click.option("--address", default="10.98.2.10/24", show_default=True, help="On bridge brvm.")
@plainly
def linux(name: str | None, guest_name: str, host: str, address: str) -> None:
    """Start a Linux guest with a network address on a host that was upgraded."""
    spec = GuestSpec(guest_name)
    start_linux_guest(here(name).host(host), spec, address=address)
    click.echo(f"{guest_name} runs on {host} ({spec.uuid})")


@guest.command()
@which_lab
@_guest
@_on
@click.option("--dirty-pages-per-s", type=click.IntRange(0), required=True)
@plainly
def busy(name: str | None, guest_name: str, host: str, dirty_pages_per_s: int) -> None:
    """Change how fast a running guest writes its memory."""
    set_dirty_rate(here(name).host(host), guest_name, dirty_pages_per_s)


@guest.command()
@which_lab
@_guest
@_on
@plainly
def remove(name: str | None, guest_name: str, host: str) -> None:
    """End a guest on a host and forget it there; its disks stay."""
    remove_guest(here(name).host(host), guest_name)


@guest.command()
@which_lab
@click.option("--seconds", type=click.IntRange(1), help="Default: until Ctrl-C.")
@plainly
def watch(name: str | None, seconds: int | None) -> None:
    """Say every second where each guest beats, its longest silence, and whether it is well."""
    lab = here(name)
    names = sorted({known for host in lab.hosts if host.is_on for known in known_guests(host)})
    if not names:
        click.echo("no host knows a guest")
        return
    with Heartbeats(lab, names) as heartbeats:
        end = time.monotonic() + seconds if seconds else None
        while end is None or time.monotonic() < end:
            time.sleep(WATCH_EVERY_S)
            for each in names:
                click.echo(watched_line(heartbeats, each))


def watched_line(heartbeats: Heartbeats, name: str) -> str:
    """One line about one guest."""
    beat = heartbeats.last(name)
    if beat is None:
        return f"{name}  no heartbeat"
    silent_ms = 1000 * (time.monotonic() - beat.seen_s)
    gap = heartbeats.longest_gap(name)
    longest_ms = 1000 * gap.length_s if gap else 0.0
    words = [
        f"{name}  {beat.host}  beat {beat.sequence}, {silent_ms:.0f} ms ago",
        f"longest silence {longest_ms:.0f} ms",
        "; ".join(heartbeats.check_ran_once(name)) or "well, on one host at a time",
    ]
    return ", ".join(words)
