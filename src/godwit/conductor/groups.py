"""Server groups, as the settings declare them: which servers belong together or apart, and where
they are now.
"""

from dataclasses import dataclass

from godwit.conductor.world import World
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance


@dataclass(frozen=True)
class Group:
    """A server's group as the others in it stand. Without a group everything is empty."""

    name: str | None = None
    policy: str | None = None
    others: tuple[InstanceUuid, ...] = ()
    hosts: tuple[HostName, ...] = ()
    """Where the others are now."""


async def group_of(world: World, instance: Instance) -> Group:
    """The group that names this server, by uuid or name; the first one, should several do."""
    for name, group in sorted(world.settings.groups.items()):
        if not _names(group.members, instance):
            continue
        others = [
            other
            for other in await world.queries.instances()
            if other.uuid != instance.uuid and _names(group.members, other)
        ]
        return Group(
            name=name,
            policy=group.policy,
            others=tuple(other.uuid for other in others),
            hosts=tuple(sorted({other.host for other in others})),
        )
    return Group()


def _names(members: tuple[str, ...], instance: Instance) -> bool:
    return instance.uuid in members or instance.name in members
