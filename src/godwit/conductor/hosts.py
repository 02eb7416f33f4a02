"""The hosts as the scheduler wants them: records, claims and servicegroup's word put together."""

from godwit.conductor.world import World
from godwit.model.host import Host, Usage
from godwit.model.ids import HostName
from godwit.scheduler.host_state import HostState, host_state
from godwit.servicegroup import is_up, silent_s


async def host_states(world: World) -> tuple[HostState, ...]:
    """Every known host as it is now."""
    hosts = await world.queries.hosts_in_use()
    now_s = world.clock.now_s()
    return tuple(state_of(world, host, usage, now_s=now_s) for host, usage in hosts)


async def state_of_host(world: World, name: HostName) -> HostState:
    """One host as it is now, without what is claimed there. An unknown one has never reported."""
    host = await world.queries.host(name)
    return state_of(world, host or Host(name=name), Usage(), now_s=world.clock.now_s())


def state_of(world: World, host: Host, usage: Usage, *, now_s: float) -> HostState:
    """One host as it is at `now_s`."""
    down_after_s = world.settings.hosts_defaults.down_after_s
    return host_state(
        host,
        usage,
        up=is_up(host, now_s=now_s, down_after_s=down_after_s),
        silent_s=silent_s(host, now_s=now_s),
    )
