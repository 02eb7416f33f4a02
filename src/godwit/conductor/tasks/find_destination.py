"""Find a destination: ask the scheduler, claim the best host, have both ends check it; if it
refuses, remember why and take the next. Bounded; a host that was asked for by name is checked like
any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from msgspec.structs import replace

from godwit.conductor.groups import Group, group_of
from godwit.conductor.hosts import Hosts
from godwit.conductor.tasks.checks import check_both_ends, considered, no_valid_host, of_host
from godwit.conductor.tasks.facts import (
    LiveMigrationFacts,
    Telling,
    Told,
    facts_of,
    fence,
)
from godwit.conductor.world import World
from godwit.model.errors import Refused
from godwit.model.host import HostFacts
from godwit.model.ids import HostName
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.reasons import Code, Reason, reason
from godwit.model.refusals import Refusal, by_themselves, grouped
from godwit.model.request_spec import RequestSpec
from godwit.scheduler.host_state import HostState, memory_max_mib, vcpus_max
from godwit.scheduler.select import Selection, select_destinations
from godwit.store.interface import MigrationChanges, Needs

LOOK_MAX: Final = 25
"""Of a large fleet so many hosts are looked at, unless none of them can take the guest."""


@dataclass(frozen=True)
class Agreed:
    """A candidate that took the guest: claimed, and checked by both ends."""

    destination: HostFacts
    migrate_data: LiveMigrateData


async def find_destination(context: Telling) -> Told:
    """Facts with `destination` and `migrate_data`; the destination is claimed and on record.

    Each turn ends the search or refuses a host, and at most `attempts_max` hosts are asked. One
    whose room another story has taken meanwhile was not asked. Raises `Refused` (no-valid-host)
    with all that each host said that could be asked. `Unreachable`: the source.
    """
    await drop_claims(context)
    world, attempts = context.world, 0
    asked_for = context.facts.requested_host
    if asked_for is not None and not await world.hosts.well_lately(asked_for):
        await world.hosts.heard_again(asked_for)
    refused: dict[HostName, tuple[Reason, ...]] = {}
    selection = Selection((), ())
    while attempts < world.settings.migration.attempts_max:
        spec = await request_spec(world, context.facts, refused=tuple(refused))
        selection, candidate = await choose(world.hosts, spec)
        if candidate is None:
            break
        no_room = await claim(context, spec, candidate)
        if no_room is not None:
            refused[candidate.name] = (no_room,)
            continue
        attempts += 1
        answer = await check_both_ends(world, spec, candidate)
        if answer.migrate_data is not None and not answer.refusals:
            agreed = Agreed(candidate, answer.migrate_data)
            return settled_on(context, agreed, all_refusals(selection, refused))
        await drop_claims(context)
        refused[candidate.name] = answer.refusals
    refusals = all_refusals(selection, refused)
    await context.world.store.change_migration(
        fence(context), MigrationChanges(refusals=refusals, forget_destination=True)
    )
    left = set(selection.hosts) - set(refused)
    raise no_valid_host(refusals, not_tried=len(left))


async def choose(hosts: Hosts, spec: RequestSpec) -> tuple[Selection, HostFacts | None]:
    """The best host, if there is one; that there is none is said of hosts as they are now."""
    states = in_question(spec, await hosts.lately())
    selection = select_destinations(spec, states, look_max=LOOK_MAX)
    if not selection.hosts:
        states = in_question(spec, await hosts.now())
        selection = select_destinations(spec, states, look_max=LOOK_MAX)
    return selection, described(states, selection.hosts[0]) if selection.hosts else None


def in_question(spec: RequestSpec, states: tuple[HostState, ...]) -> tuple[HostState, ...]:
    """Where a host was asked for, nothing need be known of any other one."""
    if spec.requested_host is None:
        return states
    return tuple(state for state in states if state.name == spec.requested_host)


async def claim(context: Telling, spec: RequestSpec, candidate: HostFacts) -> Reason | None:
    """Claim this host for the guest, or say why there is no room."""
    world = context.world
    needs = needs_at(spec, candidate, await group_of(world, spec.instance))
    no_room = await world.store.claim_destination(fence(context), candidate.name, needs)
    if no_room is not None:
        world.hosts.forget()
        return of_host(no_room, candidate)
    world.hosts.claimed(candidate.name, vcpus=needs.vcpus, memory_mib=needs.memory_mib)
    return None


def settled_on(context: Telling, agreed: Agreed, refusals: tuple[Refusal, ...]) -> Told:
    """The destination, to be put on record."""
    changes = MigrationChanges(
        dest_compute=agreed.destination.name,
        dest_node=agreed.destination.node,
        refusals=refusals,
    )
    facts = replace(
        context.facts,
        destination=agreed.destination,
        migrate_data=agreed.migrate_data,
    )
    return Told(facts, changes)


async def drop_claims(context: Telling) -> None:
    """Undo: nothing is claimed at any destination for this migration."""
    await context.world.store.drop_claims(fence(context))


async def request_spec(
    world: World,
    facts: LiveMigrationFacts,
    *,
    refused: tuple[HostName, ...] = (),
) -> RequestSpec:
    """The question to scheduler and checks, with what is true of the server's group now."""
    group = await group_of(world, facts.instance)
    owing = await world.queries.owing(facts.instance.uuid)
    return RequestSpec(
        instance=replace(facts.instance, group=group.name),
        source=facts.source,
        requested_host=facts.requested_host,
        block_migration=facts.block_migration,
        disk_over_commit=facts.disk_over_commit,
        permit_post_copy=facts.permit_post_copy,
        rely_on_fencing=world.settings.migration.rely_on_fencing,
        refused=refused,
        owing=owing,
        autostart_owed=facts.source.name in owing and await autostart_owed(world, facts),
        group_policy=group.policy,
        group_hosts=group.hosts,
    )


async def autostart_owed(world: World, facts: LiveMigrationFacts) -> bool:
    """Did an earlier migration of this guest clear the flag at the source, and is its undo owed?"""
    for debt in await world.queries.debts():
        if not debt.undo or debt.where != facts.source.name:
            continue
        story = await world.queries.story(debt.story_uuid)
        if story is None:
            continue
        earlier = facts_of(story)
        agreed = earlier.migrate_data
        if earlier.instance.uuid == facts.instance.uuid and agreed is not None and agreed.autostart:
            return True
    return False


def needs_at(spec: RequestSpec, host: HostFacts, group: Group) -> Needs:
    """What the claim takes there, and what the host has in all."""
    barred = group.others if group.policy == "anti-affinity" else ()
    return Needs(
        vcpus=spec.instance.vcpus,
        memory_mib=spec.instance.memory_mib,
        vcpus_max=vcpus_max(host),
        memory_max_mib=memory_max_mib(host),
        group_members_barred=barred,
        group=group.name or "?",
    )


def described(states: tuple[HostState, ...], name: HostName) -> HostFacts:
    """The facts of a host that the scheduler let through. Raises `Refused` if it is known no more:
    it may have been let through among the states of a moment ago.
    """
    state = next((state for state in states if state.name == name), None)
    if state is None:
        raise Refused(reason(Code.HOST_UNKNOWN, host=name, name=name))
    if state.facts is None:
        raise AssertionError(f"the scheduler let {name} through, which has no facts")
    return state.facts


def all_refusals(
    selection: Selection, refused: Mapping[HostName, tuple[Reason, ...]]
) -> tuple[Refusal, ...]:
    """Of every host that could be asked: all that it said itself, else what the scheduler says."""
    unasked = by_themselves(
        why for why in considered(selection.refusals) if why.host not in refused
    )
    asked = ((host, why) for host, reasons in refused.items() for why in reasons)
    return grouped(chain(unasked, asked))
