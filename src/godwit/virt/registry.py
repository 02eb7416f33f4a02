"""Which driver a host needs, by the settings. The only module that knows all hypervisors.

A hypervisor's own library is imported only when a host needs it: `godwit serve` with simulated
hosts runs where libvirt is not installed.
"""

import msgspec

from godwit.model.errors import Refused
from godwit.model.host import HostFacts
from godwit.model.ids import HostName, MigrationUuid
from godwit.model.instance import Instance
from godwit.model.migrate_data import LibvirtLiveMigrateData, LiveMigrateData
from godwit.model.reasons import Code, reason
from godwit.model.steering import UNSTEERED, Steering
from godwit.runtime.settings import (
    HostSettings,
    LibvirtHostSettings,
    Settings,
    SimulatedHostSettings,
)
from godwit.virt.driver import ComputeDriver, TransferDriver
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.guests import guests_at_start


class TransferOrder(msgspec.Struct, frozen=True, kw_only=True):
    """All that the transfer process of one move needs. Written once, before it starts."""

    migration_uuid: MigrationUuid
    instance: Instance
    migrate_data: LiveMigrateData
    source: HostName
    source_settings: HostSettings
    destination: HostFacts
    destination_settings: HostSettings | None
    """How this process reaches the destination; None if its settings do not name that host."""
    stall_timeout_s: float
    steering: Steering = UNSTEERED


def simulated_fleet(settings: Settings) -> SimulatedFleet:
    """The simulated hosts of the settings with the guests that exist at the start."""
    hosts = {
        name: host
        for name, host in settings.hosts.items()
        if isinstance(host, SimulatedHostSettings)
    }
    fleet = SimulatedFleet(hosts)
    for name in fleet.hosts():
        for guest in guests_at_start(name, hosts[name]):
            fleet.add_guest(name, guest)
    return fleet


def compute_driver(host: HostName, settings: Settings, fleet: SimulatedFleet) -> ComputeDriver:
    """The driver of one host of the settings. `fleet` is used by simulated hosts alone."""
    match settings.hosts[host]:
        case SimulatedHostSettings():
            return SimulatedDriver(fleet, host)
        case LibvirtHostSettings() as of_host:
            from godwit.virt.libvirt.driver import LibvirtDriver

            return LibvirtDriver(host, of_host, settings.storages, settings.networks)


def load_transfer_driver() -> None:
    """Load what `transfer_driver` needs, so that whoever is forked from here need not."""
    from godwit.virt.libvirt import migration  # noqa: F401


def transfer_driver(order: TransferOrder, *, in_its_process: bool = True) -> TransferDriver:
    """The driver of one move, for its transfer process: that ends by force, whatever hangs. Any
    other process says that it is not. Raises `Refused` for a simulated move, which has no process.
    """
    if isinstance(order.migrate_data, LibvirtLiveMigrateData) and isinstance(
        order.source_settings, LibvirtHostSettings
    ):
        return _libvirt_transfer_driver(
            order, order.source_settings, order.migrate_data, try_first=not in_its_process
        )
    kind = type(order.migrate_data).__name__
    problem = f"{kind} was given to the transfer process of {order.source}"
    raise Refused(reason(Code.INTERNAL_ERROR, problem=problem))


def _libvirt_transfer_driver(
    order: TransferOrder,
    source: LibvirtHostSettings,
    migrate_data: LibvirtLiveMigrateData,
    *,
    try_first: bool,
) -> TransferDriver:
    from godwit.virt.libvirt.migration import End, LibvirtTransferDriver

    destination = order.destination_settings
    if not isinstance(destination, LibvirtHostSettings):
        # An agent may know its own host alone: then it goes the way that libvirtd itself goes.
        destination = LibvirtHostSettings(uri=migrate_data.destination_uri)
    return LibvirtTransferDriver(
        End(order.source, source),
        End(order.destination.name, destination),
        order.instance,
        migrate_data,
        steering=order.steering,
        try_first=try_first,
    )
