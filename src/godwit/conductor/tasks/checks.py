"""May this guest move, and may it move there? The same checks serve the request, the dry run and
the story; they only look.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from godwit.conductor.world import World
from godwit.model.errors import GodwitError, HypervisorError, Refused, Unreachable
from godwit.model.host import HostFacts
from godwit.model.instance import Instance, PowerState, VmState
from godwit.model.reasons import Code, Reason, reason
from godwit.model.refusals import Refusal
from godwit.model.request_spec import RequestSpec
from godwit.rpc.compute import CheckAnswer, CheckDestination, CheckSource
from godwit.scheduler.filters import enabled, up
from godwit.scheduler.host_state import HostState
from godwit.scheduler.ownership import not_ours

NEVER_ASKED = frozenset({Code.UNABLE_TO_MIGRATE_TO_SELF, Code.NOT_THE_REQUESTED_HOST})
ON_NONE = "on none of the hosts"
CAN_MOVE = frozenset({PowerState.RUNNING, PowerState.PAUSED})


def against_the_guest(instance: Instance, host: HostFacts | None) -> Reason | None:
    """Why this guest of that host cannot be moved anywhere: it is gone, it is neither running nor
    paused, or it is not Godwit's to move.
    """
    if instance.vm_state is VmState.MISSING:
        return reason(Code.INSTANCE_INVALID_STATE, server=instance.name, state=ON_NONE)
    if instance.power_state not in CAN_MOVE:
        return reason(
            Code.INSTANCE_INVALID_STATE, server=instance.name, state=instance.power_state.value
        )
    return not_ours(instance, host) if host is not None else None


async def check_both_ends(world: World, spec: RequestSpec, destination: HostFacts) -> CheckAnswer:
    """Ask the destination, then the source: every reason of the first that refuses, or what both
    agree on.

    A destination that does not answer refuses; a source that does not answer raises.
    """
    try:
        there = await world.compute(destination.name).check_can_live_migrate_destination(
            CheckDestination(spec=spec)
        )
    except (Unreachable, HypervisorError, Refused) as error:
        return CheckAnswer(refusals=(of_host(error.reason, destination),))
    if there.refusals or there.migrate_data is None:
        return CheckAnswer(refusals=_at_least_one(there.refusals, destination))
    here = await world.compute(spec.source.name).check_can_live_migrate_source(
        CheckSource(spec=spec, destination=destination, migrate_data=there.migrate_data)
    )
    if here.refusals or here.migrate_data is None:
        return CheckAnswer(refusals=_at_least_one(here.refusals, destination))
    return here


async def check_again(
    world: World, spec: RequestSpec, destination: HostState, facts: HostFacts
) -> CheckAnswer:
    """After a wait: is the destination still up and enabled, and do both ends still agree?"""
    for refuse in (up, enabled):
        refusal = refuse(spec, destination)
        if refusal is not None:
            return CheckAnswer(refusals=(refusal,))
    return await check_both_ends(world, spec, facts)


def of_host(why: Reason, host: HostFacts) -> Reason:
    """The same reason, as that host's refusal."""
    return why if why.host is not None else replace(why, host=host.name)


def considered(refusals: Iterable[Reason]) -> Iterator[Reason]:
    """Those of hosts that could be asked: not of the guest's own, nor of one that was not named."""
    return (why for why in refusals if why.code not in NEVER_ASKED)


def no_valid_host(refusals: tuple[Refusal, ...], *, not_tried: int = 0) -> GodwitError:
    """The refusal that carries every host's own. `not_tried`: hosts that nothing speaks against,
    but the attempts are used up.
    """
    count = len({host for refusal in refusals for host in refusal.hosts})
    why = reason(Code.NO_VALID_HOST, refused=count, hosts=count + not_tried)
    return Refused(why, refusals=refusals)


def _at_least_one(refusals: tuple[Reason, ...], destination: HostFacts) -> tuple[Reason, ...]:
    """A check that neither refuses nor agrees is a refusal, too."""
    problem = "a check ended without an agreement"
    unclear = reason(Code.MIGRATION_PRE_CHECK_ERROR, host=destination.name, problem=problem)
    return tuple(of_host(why, destination) for why in refusals) or (unclear,)
