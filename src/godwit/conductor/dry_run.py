"""`--check`: would this server move, and where to? The very functions of the real run; nothing is
changed and nothing is left behind.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from godwit.conductor.requests import check_named_host, known_server, steering_asked
from godwit.conductor.tasks.checks import (
    against_the_guest,
    check_both_ends,
    of_host,
)
from godwit.conductor.tasks.facts import LiveMigrationFacts
from godwit.conductor.tasks.find_destination import request_spec
from godwit.conductor.world import World
from godwit.model.errors import GodwitError
from godwit.model.host import HostFacts
from godwit.model.instance import Instance
from godwit.model.reasons import Code, Reason, reason
from godwit.model.refusals import Against, by_themselves, grouped
from godwit.model.request_spec import RequestSpec
from godwit.rpc.conductor import CheckLiveMigration, Verdicts, Willing
from godwit.scheduler.host_state import HostState, why_unavailable
from godwit.scheduler.select import select_destinations

AT_ONCE_MAX: Final = 8
"""So many hosts are asked at the same time."""


@dataclass(frozen=True)
class Found:
    """What was found out, host by host."""

    willing: tuple[Willing, ...] = ()
    """The best choice first."""
    refused: tuple[Against, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """What no host can change."""

    def verdicts(self) -> Verdicts:
        """The answer."""
        return Verdicts(willing=self.willing, refusals=grouped(self.refused), reasons=self.reasons)


async def check(world: World, ask: CheckLiveMigration) -> Verdicts:
    """Which hosts would take it, and why each other one would not. Raises what `look` raises."""
    return (await look(world, ask)).verdicts()


async def look(world: World, ask: CheckLiveMigration) -> Found:
    """Every host is looked at. Raises `NotFound` (the server) and `BadRequest` (the named host);
    all else is an answer.
    """
    instance = await known_server(world, ask.instance_uuid)
    states = await world.hosts.now()
    await check_named_host(world, ask.host, instance)
    source = next((state for state in states if state.name == instance.host), None)
    reasons = against_moving(instance, source)
    if source is None or source.facts is None or reasons:
        return Found(reasons=reasons)
    spec = await question(world, ask, instance, source.facts)
    return await _asked(world, spec, states)


async def question(
    world: World, ask: CheckLiveMigration, instance: Instance, source: HostFacts
) -> RequestSpec:
    """What scheduler and checks are asked."""
    facts = LiveMigrationFacts(
        instance=instance,
        source=source,
        requested_host=ask.host,
        block_migration=ask.block_migration,
        disk_over_commit=ask.disk_over_commit,
        permit_post_copy=steering_asked(world, ask.steering).permit_post_copy,
    )
    return await request_spec(world, facts)


def against_moving(instance: Instance, source: HostState | None) -> tuple[Reason, ...]:
    """Reasons that no destination can change: the guest's own, and its host's."""
    reasons: list[Reason | None] = [
        against_the_guest(instance, source.facts if source is not None else None)
    ]
    if instance.task_state is not None:
        task = instance.task_state.value
        reasons.append(reason(Code.INSTANCE_BUSY, server=instance.name, task=task))
    if source is None:
        reasons.append(reason(Code.HOST_UNKNOWN, host=instance.host, name=instance.host))
    else:
        reasons.append(why_unavailable(source))
    return tuple(why for why in reasons if why is not None)


async def _asked(world: World, spec: RequestSpec, states: tuple[HostState, ...]) -> Found:
    selection = select_destinations(spec, states)
    described = {state.name: state.facts for state in states if state.facts is not None}
    gate = asyncio.Semaphore(AT_ONCE_MAX)
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(_answer(world, spec, described[name], gate), name=f"check of {name}")
            for name in selection.hosts
        ]
    answers = [(name, task.result()) for name, task in zip(selection.hosts, asked, strict=True)]
    said = [(name, why) for name, each in answers if not isinstance(each, Willing) for why in each]
    return Found(
        willing=tuple(each for _, each in answers if isinstance(each, Willing)),
        refused=(*by_themselves(selection.refusals), *said),
    )


async def _answer(
    world: World, spec: RequestSpec, host: HostFacts, gate: asyncio.Semaphore
) -> Willing | tuple[Reason, ...]:
    async with gate:
        try:
            answer = await check_both_ends(world, spec, host)
        except GodwitError as error:
            return (of_host(error.reason, host),)
    if answer.refusals or answer.migrate_data is None:
        return answer.refusals
    return Willing(host=host.name, guard=answer.migrate_data.guard)
