"""After the healing: every story ends, record and truth agree, nothing is left, and the guests can
be moved again. What is not so is found.
"""

import asyncio
from typing import Final

from godwit.model.errors import GodwitError
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance
from godwit.model.migration import FINAL, Migration, MigrationStatus
from godwit.rpc.conductor import ResolveMigration
from godwit.saga.log import Debt
from godwit.sim.checkers import LIVES
from godwit.sim.faults import Ask, Kind
from godwit.sim.shelf import OF_GUEST, UNFINISHED, left_over
from godwit.sim.strikes import ASKED, ask_for
from godwit.sim.world import World, uuid_of
from godwit.virt.simulated.copying import QUIET
from godwit.virt.simulated.half import WHOLE, Half, HalfState

ENDED_WITHIN_S: Final = 600.0
"""Every story has ended within so long, and every debt is paid."""
BY_THEMSELVES_S: Final = 65.0
"""So long nobody decides what the hosts, which answer again, may decide: two looks of a story."""
MOVED_WITHIN_S: Final = 200.0
LOOK_S: Final = 5.0
DEADLY: Final = frozenset(
    {Kind.HOST_DIES, Kind.HOST_IS_CONFIRMED_DOWN, Kind.GUEST_ENDS, Kind.TRANSFER}
)
"""Without one of these no guest ever shuts off."""
TEARING: Final = DEADLY | {Kind.MIGRATION_NETWORK_CUT}
"""Without one of these nobody needs a person, once the hosts answer."""


async def all_over(world: World) -> None:
    """Every story ends, with an operator's word where a person is needed, and every debt is paid;
    or it is found that they do not.
    """
    loop, queries = asyncio.get_running_loop(), world.store.queries
    healed_at_s = loop.time()
    while loop.time() < healed_at_s + ENDED_WITHIN_S:
        unfinished = await queries.read(UNFINISHED.all)
        if not unfinished and not await _owed(world):
            return
        for migration in unfinished:
            if migration.person_needed and loop.time() > healed_at_s + BY_THEMSELVES_S:
                await _resolve(world, migration)
        await asyncio.sleep(LOOK_S)
    for migration in await queries.read(UNFINISHED.all):
        _find(world, f"never ends: {migration.uuid[:8]} {outcome_of(migration)}")
    for debt in await _owed(world):
        _find(world, f"never paid: {debt.where} owes {debt.step}: {debt.words}")


async def _owed(world: World) -> list[Debt]:
    """What is owed for guests that live. Of one that is off nobody but a person can say whether its
    newest disk is not at the other end.
    """
    owed = []
    for debt in await world.store.queries.debts():
        migration = await world.store.queries.migration(debt.story_uuid)
        guest = migration.instance_uuid if migration else None
        if guest and guest not in world.lost and len(_living(world, guest)) == 1:
            owed.append(debt)
    return owed


async def _resolve(world: World, migration: Migration) -> None:
    """An operator goes to both hosts and says, once, what is true there."""
    if migration.uuid in world.checkers.decided:
        return
    if not any(fault.kind in TEARING for fault in world.plan.faults):
        _find(world, f"nothing happened that needs a person: {outcome_of(migration)}")
    at_host = _where_it_is(world, migration)
    world.checkers.decided.add(migration.uuid)
    if at_host is None:
        world.lost.add(migration.instance_uuid)
    else:
        _remove_the_other(world, migration, at_host)
    ask = ResolveMigration(asked=ASKED, migration_uuid=migration.uuid, at_host=at_host)
    try:
        await world.api.resolve_live_migration(ask)
    except GodwitError as error:
        world.journal.note(f"the operator hears: {error.reason.code}")


def _where_it_is(world: World, migration: Migration) -> HostName | None:
    """Where its newest memory is; else where it is shut off. In two halves it is lost."""
    ends = [migration.source_compute, migration.dest_compute]
    halves = [(host, world.fleet.half(host, migration.instance_uuid)) for host in ends if host]
    there = [(half, host) for host, half in halves if half is not None]
    if not there or any(half.stream is not None for half, _ in there):
        return None
    newest = max(half.beat for half, _ in there)
    for states in (LIVES, WHOLE, frozenset({HalfState.OFF})):
        for half, host in there:
            if half.state in states and half.beat == newest:
                return host
    return None


def _remove_the_other(world: World, migration: Migration, at_host: HostName) -> None:
    """By hand: a whole half from before the guest ran on at the other end is nobody's any more."""
    for host in (migration.source_compute, migration.dest_compute):
        half = world.fleet.half(host, migration.instance_uuid) if host else None
        if host and host != at_host and half is not None and half.state is HalfState.ARRIVED:
            world.fleet.remove(host, migration.instance_uuid)


async def check_the_end(world: World) -> None:
    """Nothing is left, and every guest is where the record says and nowhere else."""
    for words in await left_over(world.store):
        _find(world, f"left at the end: {words}")
    for resident in world.plan.residents:
        guest = uuid_of(resident.number)
        instance = await world.store.queries.instance(guest)
        held = {h: half for h in world.fleet.hosts() if (half := world.fleet.half(h, guest))}
        seen = ", ".join(f"{half.state} at {host}" for host, half in held.items()) or "nothing"
        for problem in _problems(world, guest, instance, held):
            _find(world, f"guest {resident.number} {problem}; there is {seen}")


def _problems(
    world: World, guest: InstanceUuid, instance: Instance | None, held: dict[HostName, Half]
) -> list[str]:
    if instance is None:
        return ["has no record any more"]
    if instance.task_state is not None:
        return [f"stays in a task: {instance.task_state}"]
    if guest in world.lost:
        return []  # what is left of it is for a person, too
    own = held.get(instance.host)
    if own is None or set(held) != {instance.host}:
        return [f"is on record at {instance.host}"]
    problems = []
    if own.as_guest().power_state is not instance.power_state:
        problems.append(f"is {instance.power_state} on record")
    if own.state not in LIVES and not any(f.kind in DEADLY for f in world.plan.faults):
        problems.append("was ended by nothing")
    rooms = [host for host in world.fleet.hosts() if world.fleet.is_prepared(host, guest)]
    rooms = rooms if own.state in LIVES else []  # a debt, until a person has looked
    return problems + [f"has room left at {host}" for host in rooms]


async def move_again(world: World) -> None:
    """Whatever has been: a guest that lives can be moved again at once."""
    for resident in world.plan.residents:
        guest = uuid_of(resident.number)
        if len(_living(world, guest)) == 1 and guest not in world.lost:
            world.fleet.set_writes(guest, QUIET)
            await ask_for(world, Ask(0.0, resident.number))
            migration = await _end_of_latest(world, guest)
            if migration is None or migration.status is not MigrationStatus.COMPLETED:
                came = outcome_of(migration) if migration else "it was never accepted"
                _find(world, f"guest {resident.number} cannot be moved again: {came}")
            return


async def _end_of_latest(world: World, guest: InstanceUuid) -> Migration | None:
    until_s = asyncio.get_running_loop().time() + MOVED_WITHIN_S
    found = await _latest(world, guest)
    while found and found.status not in FINAL and asyncio.get_running_loop().time() < until_s:
        await asyncio.sleep(LOOK_S)
        found = await _latest(world, guest)
    return found


async def _latest(world: World, guest: InstanceUuid) -> Migration | None:
    found = await world.store.queries.read(lambda c: OF_GUEST.all(c, guest=guest))
    return found[0] if found else None


def _living(world: World, guest: InstanceUuid) -> list[HostName]:
    halves = ((host, world.fleet.half(host, guest)) for host in world.fleet.hosts())
    return [host for host, half in halves if half is not None and half.state in LIVES]


def _find(world: World, words: str) -> None:
    world.journal.note(f"FOUND {words}")
    world.checkers.findings.append(words)


def outcome_of(migration: Migration) -> str:
    """Its status, and why."""
    return f"{migration.status}{f' {migration.reason.code}' if migration.reason else ''}"
