"""What a destination must offer: the question that scheduler and checks answer."""

import msgspec

from godwit.model.host import HostFacts
from godwit.model.ids import HostName
from godwit.model.instance import Instance
from godwit.model.migration import BlockMigration


class RequestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One guest looking for a host. `source` are the facts of the host it runs on now."""

    instance: Instance
    source: HostFacts
    requested_host: HostName | None = None
    block_migration: BlockMigration = BlockMigration.AUTO
    disk_over_commit: bool = False
    """Disks that are copied need room for what they hold now, not for what they may grow to."""
    permit_post_copy: bool = False
    """The guest may run at its destination before all its memory is there."""
    rely_on_fencing: bool = False
    """Storage that is declared to fence may be what keeps the guest from running twice."""
    refused: tuple[HostName, ...] = ()
    """Hosts that have refused this guest already, in this migration."""
    owing: tuple[HostName, ...] = ()
    """Hosts that still owe the clean-up of an earlier migration of this guest."""
    autostart_owed: bool = False
    """The source has yet to set again the flag that an earlier migration cleared there."""
    group_policy: str | None = None
    """`affinity` or `anti-affinity`, if the server is in a group."""
    group_hosts: tuple[HostName, ...] = ()
    """Hosts of the other members of its group."""
