"""`godwit compute`: the agent of one host. Dials out to the bus, holds no database credential, and
makes itself known by its reports.
"""

from pathlib import Path

import click
import structlog

from godwit.model.ids import HostName
from godwit.rpc.address import CONDUCTORS, agent_of
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime.clock import SystemClock
from godwit.runtime.settings import Settings
from godwit.runtime.settings_table import bad
from godwit.service.hosts import HostsHere, held
from godwit.service.on_bus import exchange_on, joined, refuse_second
from godwit.service.process import (
    DRAIN_S,
    life,
    run,
    settings_file,
    spare_the_collector,
    stop_asked,
)

log = structlog.get_logger(__name__)


@click.command()
@settings_file
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="The host of the settings file that this agent acts on; not needed if there is one. Given "
    "several times: all of these, by one process.",
)
def compute(config: Path, hosts: tuple[str, ...]) -> None:
    """Act on one host for the conductors on the bus."""
    wanted = tuple(HostName(host) for host in hosts)
    run("compute", config, lambda settings: _act(settings, _chosen(settings, wanted)))


async def _act(settings: Settings, hosts: tuple[HostName, ...]) -> None:
    """Act until a signal asks to stop; then end what is under way, and leave transfers running."""
    stop, clock = stop_asked(), SystemClock()
    name = f"agent of {hosts[0]}" + (f" and {len(hosts) - 1} more" if len(hosts) > 1 else "")
    with held(settings, hosts):
        async with joined(settings, name, hears_itself=False) as line, life() as tasks:
            exchange = await exchange_on(line, clock, tasks)
            await refuse_second(exchange, hosts)
            here = HostsHere(settings, hosts, tasks=tasks, clock=clock)
            for host, manager in here.managers.items():
                answerer: ComputeRpc = manager
                await exchange.answer(ComputeRpc, answerer, agent_of(host))
                log.info("acting on", host=host)
            await refuse_second(exchange, hosts)
            here.report_to(exchange.reach(ComputeTaskApi, CONDUCTORS))
            spare_the_collector()
            await stop.wait()
            await exchange.stop_answering(within_s=DRAIN_S)
            await here.close()
    log.info("stopped")


def _chosen(settings: Settings, wanted: tuple[HostName, ...]) -> tuple[HostName, ...]:
    """Raises `BadRequest` for a host that the settings do not describe, or if it is not clear."""
    known = f"hosts of the settings file: {', '.join(sorted(settings.hosts)) or 'none'}"
    for host in wanted:
        if host not in settings.hosts:
            raise bad("--host", f"there is no host {host!r}", known)
    if not wanted and len(settings.hosts) != 1:
        raise bad("--host", "it is not clear which host this agent acts on", known)
    return wanted or tuple(settings.hosts)
