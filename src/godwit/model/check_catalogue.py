"""What a check may say against a move: against a host, or against the guest. Part of the catalogue
in `reasons`.
"""

from collections.abc import Mapping
from typing import Final

from godwit.model.codes import Code, Entry

CHECKS: Final[Mapping[Code, Entry]] = {
    Code.NO_VALID_HOST: Entry(
        "no valid host: refused by {refused} of the {hosts} that were considered",
        "each host's own reason stands beside this one",
    ),
    Code.UNABLE_TO_MIGRATE_TO_SELF: Entry(
        "{host} already runs the guest", "name another host, or none"
    ),
    Code.COMPUTE_SERVICE_UNAVAILABLE: Entry(
        "{host} has not reported for {silent_s:.0f} s",
        "see that the host's hypervisor answers: godwit host show {host}",
    ),
    Code.COMPUTE_SERVICE_DISABLED: Entry(
        "{host} is disabled: {why}", "godwit host enable {host}, when it may take guests again"
    ),
    Code.HOST_CONFIRMED_DOWN: Entry(
        "{host} takes no part: its power is off, confirmed {word}",
        "when it may take part again: godwit host confirm-up {host}",
    ),
    Code.HOST_HEARD_AGAIN: Entry(
        "{host} takes no part: its power is off, confirmed {word}; yet it was heard at {heard_at}",
        "see what runs there, then godwit host confirm-up {host}; if its power is off now, say so "
        "again: godwit host confirm-down {host}",
    ),
    Code.NOT_THE_REQUESTED_HOST: Entry(
        "{requested} was asked for", "leave --to out to let any host be chosen"
    ),
    Code.REFUSED_BEFORE: Entry(
        "{host} has already refused this guest in this migration", "see its first refusal"
    ),
    Code.SAME_MACHINE_UUID: Entry(
        "{host} and {source} call themselves by the same uuid {uuid}, so they refuse each other",
        "if they are one machine, remove one from the settings; else give {host} a host_uuid of "
        "its own in libvirtd.conf",
    ),
    Code.INVALID_HYPERVISOR_TYPE: Entry(
        "{host} runs {there}, the source runs {here}",
        "a live migration needs the same hypervisor type at both ends",
    ),
    Code.DESTINATION_HYPERVISOR_TOO_OLD: Entry(
        "{host} has {there}, older than the source's {here}",
        "upgrade {host}, or choose a host that is at least as new",
    ),
    Code.NOT_ENOUGH_MEMORY: Entry(
        "{host} has {free_mib} MiB of memory left for guests, {needed_mib} MiB are needed",
        "move another guest off {host} first, or choose another host",
    ),
    Code.NOT_ENOUGH_VCPUS: Entry(
        "{host} has {free} vCPUs left for guests, {needed} are needed",
        "move another guest off {host} first, or raise its cpu_allocation_ratio",
    ),
    Code.NOT_ENOUGH_DISK: Entry(
        "{host} has {free_mib} MiB free in {storage}, {needed_mib} MiB are needed",
        "free space there, or choose another host",
    ),
    Code.AFFINITY_VIOLATED: Entry(
        "server group {group} keeps its members together on {together}",
        "move the members of the group one after another with --to {together}",
    ),
    Code.ANTI_AFFINITY_VIOLATED: Entry(
        "{host} already runs a member of the server group {group}, which keeps them apart",
        "choose a host without a member of the group",
    ),
    Code.CLEAN_UP_PENDING: Entry(
        "{host} still owes the clean-up of an earlier migration of this guest ({migration})",
        "it is done as soon as {host} answers: godwit host show {host}",
    ),
    Code.MIGRATION_PRE_CHECK_ERROR: Entry(
        "{host}: {problem}", "mend what the hypervisor names, then ask again"
    ),
    Code.INVALID_CPU_INFO: Entry(
        "{host} cannot give the guest its CPU: {missing}",
        "choose a host with these features, or start the guest with an older CPU model",
    ),
    Code.MACHINE_TYPE_UNSUPPORTED: Entry(
        "{host} does not know the machine type {machine}",
        "choose a host with the same or a newer QEMU, or pin an older machine type at next boot",
    ),
    Code.BRIDGE_MISSING: Entry(
        "{host} has no bridge {bridge}", "create the bridge on {host}, or choose another host"
    ),
    Code.LINK_MISSING: Entry(
        "{host} has no network device {link}, which a card of the guest sits on",
        "give a device at {host} that name, or choose another host",
    ),
    Code.NAME_TAKEN: Entry(
        "{host} already has another guest named {name}", "rename or remove that guest at {host}"
    ),
    Code.UUID_TAKEN: Entry(
        "{host} already has a guest with uuid {uuid}",
        "if it runs, find out which one is right before anything moves; if it is only a definition "
        "left behind, undefine it at {host}",
    ),
    Code.DISK_UNREACHABLE: Entry(
        "{host} does not see {path}",
        "mount the storage at {host}; give it a read-only file of its own, or eject the medium",
    ),
    Code.DISK_EXISTS: Entry(
        "{host} already has a file {path}, where the disk would be copied to",
        "if both hosts see that storage, declare it in [storages]; else move the file away",
    ),
    Code.DISK_NOT_A_FILE: Entry(
        "{device} ({path}) is no file, so no copy of it can be made at {host}",
        "if both hosts see that device, declare its folder in [storages]; else put its contents "
        "into a file, or on storage that both hosts see",
    ),
    Code.DISK_BASE_UNREACHABLE: Entry(
        "{host} does not see {path}, on which {overlay} is an overlay",
        "put the base where both hosts see it under one path, or make the disk whole at the source "
        "(virsh blockpull)",
    ),
    Code.CONSOLE_ADDRESS_MISSING: Entry(
        "a console of the guest (or a serial device) listens on {address}, and {host} has no "
        "console_address",
        "give {host} a console_address in its settings",
    ),
    Code.INVALID_SHARED_STORAGE: Entry(
        "{path} is not on storage that {host} shares, and copying disks was refused",
        "use --auto or --block, or choose a host that shares the storage",
    ),
    Code.INVALID_LOCAL_STORAGE: Entry(
        "{path} is on storage that {host} shares, so there is nothing to copy",
        "use --auto or --shared",
    ),
    Code.STORAGE_POOL_MISSING: Entry(
        "{host} has no active storage pool for {folder}, where the disk would be copied to",
        "define and start a pool with that target path at {host}",
    ),
    Code.HOST_MEMORY_SHORT: Entry(
        "{host} itself has at most {free_mib} MiB of memory free, {needed_mib} MiB are needed",
        "see what uses memory at {host} beside its guests, or choose another host",
    ),
    Code.HUGE_PAGES_SHORT: Entry(
        "{host} has {free_mib} MiB free in huge pages of {size}, {needed_mib} MiB are needed",
        "reserve more of them at {host} (vm.nr_hugepages), or choose another host",
    ),
    Code.PINNED_CPUS_MISSING: Entry(
        "the guest is pinned to CPUs that {host} does not have: {cpus}",
        "pin it to CPUs that both hosts have (virsh vcpupin), or choose a host with more CPUs",
    ),
    Code.NUMA_CELLS_MISSING: Entry(
        "the guest's memory is bound to NUMA cells that {host} does not have: {cells}",
        "choose a host with these cells, or bind the memory to others at its next start",
    ),
    Code.VIRTUALISATION_MISSING: Entry(
        "{host} cannot run {kind}",
        "for kvm: enable virtualisation in its firmware and load the kvm module at {host}",
    ),
    Code.EMULATOR_MISSING: Entry(
        "{host} does not have the guest's emulator {path}",
        "install it at {host} under that path (a link will do), or choose another host",
    ),
    Code.FIRMWARE_MISSING: Entry(
        "{host} does not have the guest's firmware {path}",
        "install the same firmware package at {host} (for UEFI: ovmf)",
    ),
    Code.TPM_UNSUPPORTED: Entry(
        "{host} cannot give the guest its TPM ({backend})", "install swtpm at {host}"
    ),
    Code.SECRET_MISSING: Entry(
        "{host} does not keep the secret {uuid}, which opens a disk or the TPM of the guest",
        "define it at {host}: virsh secret-define, then virsh secret-set-value",
    ),
    Code.MIGRATION_BLOCKED: Entry(
        "the guest cannot be migrated now: {blocker}",
        "remove what blocks it (device, snapshot, running block job), then ask again",
    ),
    Code.JOB_RUNNING: Entry(
        "a job of libvirt's is running on the guest (operation {operation})",
        "wait for its end, or stop it: virsh domjobabort",
    ),
    Code.BLOCK_JOB_RUNNING: Entry(
        "a block job is running on the guest's disk {device}",
        "wait for its end, or stop it: virsh blockjob --abort",
    ),
    Code.HAS_SNAPSHOTS: Entry(
        "libvirt keeps {count} of the guest's snapshots, which would not move along",
        "delete them, or only libvirt's record of them: virsh snapshot-delete --metadata",
    ),
    Code.HOST_DEVICE_ATTACHED: Entry(
        "the guest uses a device of its host: {device}",
        "detach it (virsh detach-device --live), or move the guest while it is shut off",
    ),
    Code.HOST_FOLDER_SHARED: Entry(
        "the guest shares a folder of its host: {folder} (virtiofs)",
        "unmount it in the guest and detach it (virsh detach-device --live)",
    ),
    Code.MEMORY_ENCRYPTED: Entry(
        "the guest's memory is encrypted by its host ({kind}), which nobody can move",
        "move the guest while it is shut off",
    ),
    Code.INVARIANT_TSC: Entry(
        "the guest relies on its host's clock rate (CPU feature invtsc)",
        "remove invtsc from its CPU, or give its tsc timer a frequency, at its next start",
    ),
    Code.NESTED_VIRTUALISATION: Entry(
        "the guest may run guests of its own (CPU feature {feature}), and its host is set not to"
        " move such",
        'remove {feature} from its CPU at its next start, or set nested = "move" for its host',
    ),
    Code.REHEARSAL_FAILED: Entry(
        "{host}: {doing} failed: {problem}",
        "the guest was left alone; mend what the hypervisor names (its log on {host} says more), "
        "then rehearse again",
    ),
    Code.TLS_UNUSABLE: Entry(
        "the TLS of {host} cannot be used: {problem}",
        "give that host a certificate that is valid now, issued by the CA of both hosts and made "
        "out to its address; then, at it: virt-admin server-update-tls libvirtd",
    ),
    Code.HYPERVISOR_UNAVAILABLE: Entry(
        "{problem}",
        "see that libvirtd runs on {host} and that its management address is reachable",
    ),
}
