"""Our records in Nova's words and fields: servers, flavors, hosts, migrations. Pure."""

import zlib
from typing import Any, Final

from godwit.model.audit import Alarm
from godwit.model.host import Host, Usage
from godwit.model.instance import (
    Disk,
    Instance,
    Platform,
    PowerState,
    SourceType,
    TaskState,
    VmState,
)
from godwit.model.migration import FINAL, Migration
from godwit.runtime.clock import iso
from godwit.runtime.settings import FlavorSettings

_STATUS: Final = {
    VmState.BUILDING: "BUILD",
    VmState.ACTIVE: "ACTIVE",
    VmState.PAUSED: "PAUSED",
    VmState.STOPPED: "SHUTOFF",
    VmState.SUSPENDED: "SUSPENDED",
    VmState.MISSING: "UNKNOWN",
}
_POWER: Final = {
    PowerState.NOSTATE: 0,
    PowerState.RUNNING: 1,
    PowerState.PAUSED: 3,
    PowerState.SHUTDOWN: 4,
    PowerState.CRASHED: 6,
    PowerState.SUSPENDED: 7,
}
_MAY_BE_MIGRATING: Final = frozenset({VmState.ACTIVE, VmState.PAUSED})


def server_status(server: Instance) -> str:
    """Nova's one word for a server."""
    if server.task_state is TaskState.MIGRATING and server.vm_state in _MAY_BE_MIGRATING:
        return "MIGRATING"
    return _STATUS[server.vm_state]


def server_brief(server: Instance, base: str) -> dict[str, Any]:
    """What a list without detail says of a server. `base` is the address we were reached at."""
    return {
        "id": server.uuid,
        "name": server.name,
        "links": _links(base, f"/servers/{server.uuid}"),
    }


def server_detail(server: Instance, base: str, *, alarm: Alarm | None = None) -> dict[str, Any]:
    """A server in Nova's fields. What Godwit does not have is empty; `godwit` holds the rest."""
    return {
        **server_brief(server, base),
        "status": server_status(server),
        "tenant_id": "godwit",
        "user_id": "godwit",
        "metadata": {},
        "hostId": server.host,
        "image": {"id": server.image, "links": []} if server.image else "",
        "flavor": _embedded_flavor(server, base),
        "created": zulu(server.created_at),
        "updated": zulu(server.updated_at or server.created_at),
        "addresses": {},
        "accessIPv4": "",
        "accessIPv6": "",
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "nova",
        "config_drive": "",
        "key_name": None,
        "OS-SRV-USG:launched_at": server.created_at or None,
        "OS-SRV-USG:terminated_at": None,
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.node,
        "OS-EXT-SRV-ATTR:instance_name": server.name,
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:power_state": _POWER[server.power_state],
        "os-extended-volumes:volumes_attached": [
            {"id": disk.path, "delete_on_termination": False}
            for disk in server.disks
            if disk.network
        ],
        "godwit": {
            "alarm": alarm,
            "discovered": server.discovered,
            "managed_by": managed_by(server),
            "group": server.group,
            "disks": server.disks,
            "nics": server.nics,
            "is_volume_backed": server.is_volume_backed,
            "block_device_mapping": [block_device(server, disk) for disk in server.disks],
        },
    }


def managed_by(server: Instance) -> list[str]:
    """Whose guest it is, as far as it says so itself; `godwit` for one that was made or tagged."""
    platform = server.platform or Platform()
    ours = platform.tagged or not server.discovered
    return [*platform.managers, *(["godwit"] if ours else [])]


def block_device(server: Instance, disk: Disk) -> dict[str, Any]:
    """One disk in the words of Nova's block device mapping; sizes in GiB, rounded up."""
    is_root = disk == server.root_disk
    made_from = SourceType.IMAGE if is_root and server.image else SourceType.BLANK
    return {
        "device_name": f"/dev/{disk.device}",
        "source_type": SourceType.VOLUME if disk.network else made_from,
        "destination_type": disk.destination_type,
        "device_type": disk.device_type,
        "disk_bus": disk.bus or None,
        "boot_index": 0 if is_root else disk.boot_index,
        "volume_id": disk.path if disk.network else None,
        "volume_size": gib(-(-disk.size_bytes // 2**20)) if disk.network else None,
        "delete_on_termination": not server.discovered and not disk.network,
    }


def _embedded_flavor(server: Instance, base: str) -> dict[str, Any]:
    flavor = server.flavor
    return {
        "id": flavor or "",
        "original_name": flavor or "",
        "links": _links(base, f"/flavors/{flavor}") if flavor else [],
        "vcpus": server.vcpus,
        "ram": server.memory_mib,
        "disk": gib(server.disk_mib),
    }


def flavor_brief(name: str, base: str) -> dict[str, Any]:
    """A flavor in a list. Its name is its id."""
    return {"id": name, "name": name, "links": _links(base, f"/flavors/{name}")}


def flavor_detail(name: str, flavor: FlavorSettings, base: str) -> dict[str, Any]:
    """A flavor in Nova's fields; `disk` in GiB, rounded up."""
    return {
        **flavor_brief(name, base),
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib,
        "disk": gib(flavor.disk_mib),
        "swap": "",
        "rxtx_factor": 1.0,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
    }


def number_of(host: Host) -> int:
    """The number Nova's clients know a hypervisor or service by. Follows from the name alone."""
    return zlib.crc32(host.name.encode()) & 0x7FFFFFFF


def service(host: Host, *, up: bool) -> dict[str, Any]:
    """A host's compute service in Nova's fields."""
    return {
        "id": number_of(host),
        "binary": "nova-compute",
        "host": host.name,
        "zone": "nova",
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if up else "down",
        "disabled_reason": host.disabled_reason or None,
        "updated_at": iso(host.heard_at_s) if host.heard_at_s else None,
    }


def hypervisor_brief(host: Host, *, up: bool) -> dict[str, Any]:
    """A host in Nova's list of hypervisors."""
    return {
        "id": number_of(host),
        "hypervisor_hostname": host.facts.node if host.facts else host.name,
        "state": "up" if up else "down",
        "status": "disabled" if host.disabled else "enabled",
    }


def hypervisor_detail(host: Host, usage: Usage, servers: int, *, up: bool) -> dict[str, Any]:
    """A host in Nova's fields. A host that never reported has no sizes: they are 0."""
    facts = host.facts
    memory_mib = facts.memory_mib if facts else 0
    reserved_mib = facts.reserved_memory_mib if facts else 0
    total_mib, free_mib = _largest_storage(host)
    return {
        **hypervisor_brief(host, up=up),
        "service": {
            "id": number_of(host),
            "host": host.name,
            "disabled_reason": host.disabled_reason or None,
        },
        "hypervisor_type": facts.hypervisor_type if facts else "",
        "hypervisor_version": facts.hypervisor_version if facts else 0,
        "cpu_info": {"arch": facts.architecture, "model": facts.cpu_model} if facts else {},
        "host_ip": facts.migration_address if facts else "",
        "vcpus": facts.vcpus if facts else 0,
        "vcpus_used": usage.vcpus,
        "memory_mb": memory_mib,
        "memory_mb_used": reserved_mib + usage.memory_mib,
        "free_ram_mb": memory_mib - reserved_mib - usage.memory_mib,
        "local_gb": total_mib // 1024,
        "local_gb_used": (total_mib - free_mib) // 1024,
        "free_disk_gb": free_mib // 1024,
        "disk_available_least": free_mib // 1024,
        "running_vms": servers,
        "current_workload": usage.transfers,
    }


def _largest_storage(host: Host) -> tuple[int, int]:
    """Size and free space of the host's largest storage: folders may share one disk, so no sum."""
    storages = host.facts.storages if host.facts else ()
    largest = max(storages, key=lambda storage: storage.total_mib, default=None)
    return (largest.total_mib, largest.free_mib) if largest else (0, 0)


def server_migration(migration: Migration) -> dict[str, Any]:
    """As `/servers/{id}/migrations` shows it. Bytes are null until the first sample."""
    progress = migration.progress
    return {
        "id": migration.id,
        "uuid": migration.uuid,
        "server_uuid": migration.instance_uuid,
        "status": migration.status,
        **_hosts_and_times(migration),
        "memory_total_bytes": progress.memory_total_bytes if progress else None,
        "memory_processed_bytes": progress.memory_processed_bytes if progress else None,
        "memory_remaining_bytes": progress.memory_remaining_bytes if progress else None,
        "disk_total_bytes": progress.disk_total_bytes if progress else None,
        "disk_processed_bytes": progress.disk_processed_bytes if progress else None,
        "disk_remaining_bytes": progress.disk_remaining_bytes if progress else None,
    }


def os_migration(migration: Migration, base: str) -> dict[str, Any]:
    """As `/os-migrations` shows it; links only while it is under way, as Nova has it."""
    body = {
        "id": migration.id,
        "uuid": migration.uuid,
        "instance_uuid": migration.instance_uuid,
        "status": migration.status,
        "migration_type": migration.migration_type,
        **_hosts_and_times(migration),
        "new_instance_type_id": None,
        "old_instance_type_id": None,
    }
    if migration.status not in FINAL:
        path = f"/servers/{migration.instance_uuid}/migrations/{migration.id}"
        body["links"] = _links(base, path)
    return body


def _hosts_and_times(migration: Migration) -> dict[str, Any]:
    return {
        "source_compute": migration.source_compute,
        "source_node": migration.source_node,
        "dest_compute": migration.dest_compute,
        "dest_node": migration.dest_node,
        "dest_host": None,
        "created_at": migration.created_at,
        "updated_at": migration.updated_at or None,
    }


def gib(mib: int) -> int:
    """MiB as whole GiB, rounded up."""
    return -(-mib // 1024)


def zulu(at: str) -> str:
    """Our ISO time as Nova writes a server's times: whole seconds and a Z."""
    return f"{at.partition('.')[0]}Z" if at else ""


def _links(base: str, path: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{base}/v2.1{path}"},
        {"rel": "bookmark", "href": f"{base}{path}"},
    ]
