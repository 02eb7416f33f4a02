"""`--check --rehearse`: the dry run, and where its checks agree a rehearsal with a twin in the
guest's place. The guest itself is not touched and nothing is left behind.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from godwit.conductor.dry_run import Found, look, question
from godwit.conductor.requests import known_server
from godwit.conductor.tasks.checks import check_both_ends, of_host
from godwit.conductor.tasks.find_destination import described
from godwit.conductor.world import World
from godwit.model.errors import GodwitError
from godwit.model.host import HostFacts
from godwit.model.ids import HostName
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.reasons import Reason
from godwit.model.rehearsal import twin_name
from godwit.model.request_spec import RequestSpec
from godwit.rpc.compute import EndRehearsal, RehearseArrival, RehearseDeparture
from godwit.rpc.conductor import CheckLiveMigration, Verdicts
from godwit.runtime.ids import new_uuid

AT_ONCE_MAX: Final = 2
"""So many twins travel at the same time: each is a QEMU at either end."""


async def rehearse(world: World, ask: CheckLiveMigration) -> Verdicts:
    """The dry run's verdicts; the best of those that would take the guest, as many as a migration
    would try, have rehearsed it. Raises what `dry_run.look` raises.
    """
    found = await look(world, ask)
    chosen = [each.host for each in found.willing[: world.settings.migration.attempts_max]]
    if not chosen:
        return found.verdicts()
    instance = await known_server(world, ask.instance_uuid)
    states = await world.hosts.now()
    spec = await question(world, ask, instance, described(states, instance.host))
    said = await _rehearse_at_each(world, spec, [described(states, name) for name in chosen])
    willing = [
        replace(each, rehearsed=each.host in said)
        for each in found.willing
        if not said.get(each.host)
    ]
    refused = (*found.refused, *((host, why) for host, each in said.items() for why in each))
    return Found(willing=tuple(willing), refused=refused).verdicts()


async def _rehearse_at_each(
    world: World, spec: RequestSpec, hosts: list[HostFacts]
) -> Mapping[HostName, tuple[Reason, ...]]:
    gate = asyncio.Semaphore(AT_ONCE_MAX)

    async def at(host: HostFacts) -> tuple[Reason, ...]:
        async with gate:
            return await _rehearse_at(world, spec, host)

    async with asyncio.TaskGroup() as tasks:
        asked = {
            host.name: tasks.create_task(at(host), name=f"rehearsal at {host.name}")
            for host in hosts
        }
    return {name: task.result() for name, task in asked.items()}


async def _rehearse_at(world: World, spec: RequestSpec, host: HostFacts) -> tuple[Reason, ...]:
    try:
        answer = await check_both_ends(world, spec, host)
        if answer.refusals or answer.migrate_data is None:
            return answer.refusals
        await _send_and_start_twins(world, spec, host, answer.migrate_data)
    except GodwitError as error:
        return (of_host(error.reason, host),)
    return ()


async def _send_and_start_twins(
    world: World, spec: RequestSpec, host: HostFacts, migrate_data: LiveMigrateData
) -> None:
    """Whatever has arrived is removed again, also if the answer to its departure was lost."""
    twin = twin_name(world.clock.now_s(), new_uuid())
    there = world.compute(host.name)
    depart = RehearseDeparture(instance=spec.instance, migrate_data=migrate_data, twin=twin)
    try:
        departed = await world.compute(spec.source.name).rehearse_departure(depart)
        await there.rehearse_arrival(RehearseArrival(definition=departed.definition, twin=twin))
    finally:
        await there.end_rehearsal(EndRehearsal(twin=twin))
