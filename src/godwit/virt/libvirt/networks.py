"""What a network of the guests is called at one host, and what everywhere else. Pure.

All of Godwit but this driver's own XML knows a network by one name. At a host that is the name of
its bridge (or libvirt network), unless the settings give it another bridge there.
"""

from collections.abc import Mapping

from godwit.model.ids import HostName
from godwit.runtime.settings import NetworkSettings


def bridge_at(host: HostName, network: str, declared: Mapping[str, NetworkSettings]) -> str:
    """The bridge of that network at the host."""
    settings = declared.get(network)
    return settings.bridges.get(host, network) if settings is not None else network


def network_of(host: HostName, bridge: str, declared: Mapping[str, NetworkSettings]) -> str:
    """The network that this bridge of the host belongs to.

    A bridge that only has the name of a network, which has another bridge here, is the host's own:
    no other host has it.
    """
    known = next((name for name in declared if bridge_at(host, name, declared) == bridge), None)
    if known is not None:
        return known
    return f"{host}:{bridge}" if bridge in declared else bridge


def bridges_there(
    networks: set[str], here: HostName, there: HostName, declared: Mapping[str, NetworkSettings]
) -> dict[str, str]:
    """Each bridge of these networks here that is called otherwise there."""
    both = {bridge_at(here, n, declared): bridge_at(there, n, declared) for n in sorted(networks)}
    return {bridge: other for bridge, other in both.items() if other != bridge}
