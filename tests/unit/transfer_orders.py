"""One guest and its transfer as it is ordered: what the tests of the parts of a transfer begin
from.
"""

from __future__ import annotations

from godwit.model.host import HostFacts
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Instance, PowerState, VmState
from godwit.model.migrate_data import LibvirtLiveMigrateData, LiveMigrateData
from godwit.runtime.settings import HostSettings, LibvirtHostSettings
from godwit.virt.registry import TransferOrder

A, B = HostName("host-a"), HostName("host-b")
UUID = MigrationUuid("11111111-1111-4111-8111-111111111111")
SETTINGS = LibvirtHostSettings(uri="qemu+tls://a/system")
GUEST = Instance(
    uuid=InstanceUuid("22222222-2222-4222-8222-222222222222"),
    name="guest-1",
    host=A,
    node=A,
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=64,
)
DESTINATION = HostFacts(
    name=B,
    node=B,
    hypervisor_type="QEMU",
    hypervisor_version=7002022,
    vcpus=1,
    memory_mib=1024,
)


def an_order(
    settings: HostSettings = SETTINGS, migrate_data: LiveMigrateData | None = None
) -> TransferOrder:
    """The guest is to go from A to B, both of which have these settings."""
    return TransferOrder(
        migration_uuid=UUID,
        instance=GUEST,
        migrate_data=migrate_data or LibvirtLiveMigrateData(),
        source=A,
        source_settings=settings,
        destination=DESTINATION,
        destination_settings=settings,
        stall_timeout_s=20.0,
    )
