"""The hosts as the scheduler wants them: records, claims and servicegroup's word put together."""

from godwit.conductor.world import World
from godwit.model.host import Host, Usage
from godwit.scheduler.host_state import HostState, host_state
from godwit.servicegroup import is_up, silent_s


async def host_states(world: World) -> tuple[HostState, ...]:
    """Every known host as it is now."""
    usages = await world.queries.usage()
    hosts = await world.queries.hosts()
    return tuple(state_of(world, host, usages.get(host.name, Usage())) for host in hosts)


def state_of(world: World, host: Host, usage: Usage) -> HostState:
    """One host as it is now."""
    now_s = world.clock.now_s()
    down_after_s = world.settings.hosts_defaults.down_after_s
    return host_state(
        host,
        usage,
        up=is_up(host, now_s=now_s, down_after_s=down_after_s),
        silent_s=silent_s(host, now_s=now_s),
    )
