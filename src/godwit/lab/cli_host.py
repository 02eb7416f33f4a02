"""The verbs of `godwit lab` that act on one host: faults, power, versions, and their undoing."""

from __future__ import annotations

from typing import Final

import click

from godwit.lab.cli_here import here, plainly, which_lab
from godwit.lab.layout import Network, Software

_network = click.option("--network", type=click.Choice([n.value for n in Network]), required=True)
_qemu = click.option("--qemu", metavar="GUEST", help="The guest's QEMU instead of libvirtd.")


@click.command()
@which_lab
@click.argument("host")
@_network
@click.option("--silent", is_flag=True, help="A black hole: the link still looks connected.")
@plainly
def cut(name: str | None, host: str, network: str, silent: bool) -> None:
    """Cut one network of a host."""
    here(name).host(host).cut(network, silent=silent)


@click.command()
@which_lab
@click.argument("host")
@_network
@plainly
def uncut(name: str | None, host: str, network: str) -> None:
    """Mend one network of a host."""
    here(name).host(host).uncut(network)


@click.command()
@which_lab
@click.argument("host")
@_network
@click.option("--rate", required=True, help="Such as 50mbit; off takes the limit away.")
@plainly
def slow(name: str | None, host: str, network: str, rate: str) -> None:
    """Limit one network of a host, in both directions."""
    here(name).host(host).slow(network, None if rate == "off" else rate)


@click.command()
@which_lab
@click.argument("host")
@click.option("--network", type=click.Choice(["management", "migration"]), required=True)
@click.option("--delay-ms", type=click.FloatRange(0, 10_000), default=0, show_default=True)
@click.option("--loss-percent", type=click.FloatRange(0, 100), default=0, show_default=True)
@plainly
def delay(name: str | None, host: str, network: str, delay_ms: float, loss_percent: float) -> None:
    """Hold packets of one network of a host back, both ways, and lose some; 0 and 0: no longer."""
    here(name).host(host).delay(network, delay_ms=delay_ms, loss_percent=loss_percent)


@click.command()
@which_lab
@click.argument("host")
@_qemu
@plainly
def freeze(name: str | None, host: str, qemu: str | None) -> None:
    """Make libvirtd, or a guest's QEMU, stand still (SIGSTOP)."""
    chosen = here(name).host(host)
    if qemu:
        chosen.freeze_qemu(qemu)
    else:
        chosen.freeze_libvirtd()


@click.command()
@which_lab
@click.argument("host")
@_qemu
@plainly
def thaw(name: str | None, host: str, qemu: str | None) -> None:
    """Let what was frozen go on."""
    chosen = here(name).host(host)
    if qemu:
        chosen.thaw_qemu(qemu)
    else:
        chosen.thaw_libvirtd()


@click.command()
@which_lab
@click.argument("host")
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--announced", is_flag=True, help="Off: connections are closed, so peers notice.")
@plainly
def power(name: str | None, host: str, state: str, announced: bool) -> None:
    """Switch a host on, or cut its power."""
    chosen = here(name).host(host)
    if state == "on":
        chosen.power_on()
    else:
        chosen.power_off(silent=not announced)


@click.command()
@which_lab
@click.argument("host")
@click.argument("act", type=click.Choice(["start", "stop", "kill"]))
@plainly
def libvirtd(name: str | None, host: str, act: str) -> None:
    """Start libvirtd of a host, stop it in order, or kill it. Guests go on running."""
    chosen = here(name).host(host)
    acts = {
        "start": chosen.start_libvirtd,
        "stop": chosen.stop_libvirtd,
        "kill": chosen.kill_libvirtd,
    }
    acts[act]()


@click.command()
@which_lab
@click.argument("host")
@plainly
def upgrade(name: str | None, host: str) -> None:
    """Restart a host with newer libvirt and QEMU (see fetch). Its guests end."""
    here(name).host(host).change_software(Software.NEWER)


@click.command()
@which_lab
@click.argument("host")
@plainly
def downgrade(name: str | None, host: str) -> None:
    """Restart a host with the box's own libvirt and QEMU. Its guests end."""
    here(name).host(host).change_software(Software.STOCK)


HOST_VERBS: Final = (cut, uncut, slow, delay, freeze, thaw, power, libvirtd, upgrade, downgrade)
