"""The guests that a simulated host runs at the start, made from its settings alone."""

from uuid import NAMESPACE_DNS, uuid5

from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Disk, Guest, Nic, PowerState
from godwit.runtime.settings import SimulatedHostSettings
from godwit.virt.simulated.driver import STORAGE

MEMORY_MIB = 512
DISK_BYTES = 2**30


def guests_at_start(host: HostName, settings: SimulatedHostSettings) -> tuple[Guest, ...]:
    """HOST-guest-1 and so on. The same settings give the same guests with the same uuids."""
    return tuple(
        simulated_guest(f"{host}-guest-{number}", networks=settings.networks)
        for number in range(1, settings.guests + 1)
    )


def simulated_guest(
    name: str, *, networks: tuple[str, ...] = (), memory_mib: int = MEMORY_MIB
) -> Guest:
    """A running guest with one disk on the shared storage and a card in each network."""
    uuid = uuid5(NAMESPACE_DNS, f"{name}.simulated.invalid")
    disk = Disk(
        device="vda",
        path=f"/simulated/{name}.qcow2",
        format="qcow2",
        size_bytes=DISK_BYTES,
        storage=STORAGE,
    )
    nics = tuple(
        Nic(mac=f"52:54:00:{uuid.bytes[0]:02x}:{uuid.bytes[1]:02x}:{number:02x}", network=network)
        for number, network in enumerate(networks, start=1)
    )
    return Guest(
        uuid=InstanceUuid(str(uuid)),
        name=name,
        power_state=PowerState.RUNNING,
        vcpus=1,
        memory_mib=memory_mib,
        disks=(disk,),
        nics=nics,
    )
