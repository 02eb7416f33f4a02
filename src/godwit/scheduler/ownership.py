"""May Godwit move this guest at this host? What the operator has said of the host, and what the
guest's definition says of whose it is. Asked before a move is accepted, and for each destination.
Pure.
"""

from godwit.model.host import HostFacts, Manage
from godwit.model.instance import Instance, Platform
from godwit.model.reasons import Code, Reason, reason


def not_ours(instance: Instance, host: HostFacts) -> Reason | None:
    """Why Godwit leaves the guest alone at this host, or None if it may move it."""
    platform = instance.platform or Platform()
    foreign = [name for name in platform.managers if name not in host.managers]
    if foreign:
        return reason(
            Code.OTHER_MANAGER,
            host=host.name,
            server=instance.name,
            manager=" and ".join(foreign),
        )
    if host.manage is Manage.TAGGED and instance.discovered and not platform.tagged:
        return reason(Code.NOT_TAGGED, host=host.name, server=instance.name)
    return None
