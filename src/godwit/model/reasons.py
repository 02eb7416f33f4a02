"""The catalogue of stable reason codes: every refusal and failure that a person may see, with its
remedy.

Any room that must say no builds its `Reason` here; `docs/operating/reasons.md` is generated from
the catalogue. A code, once published, keeps its meaning. Words and remedies may be improved at any
time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from godwit.model.ids import HostName


class Code(StrEnum):
    """What went wrong, in a word that scripts may rely on."""

    # the request
    SERVER_UNKNOWN = "server-unknown"
    HOST_UNKNOWN = "host-unknown"
    MIGRATION_UNKNOWN = "migration-unknown"
    FLAVOR_UNKNOWN = "flavor-unknown"
    IMAGE_UNKNOWN = "image-unknown"
    INVALID_INPUT = "invalid-input"
    INSTANCE_INVALID_STATE = "instance-invalid-state"
    INSTANCE_BUSY = "instance-busy"
    SERVER_DISCOVERED = "server-discovered"
    SERVER_STILL_THERE = "server-still-there"
    MIGRATION_NOT_ABORTABLE = "migration-not-abortable"
    MIGRATION_NEEDS_NOBODY = "migration-needs-nobody"
    # which host
    NO_VALID_HOST = "no-valid-host"
    UNABLE_TO_MIGRATE_TO_SELF = "unable-to-migrate-to-self"
    COMPUTE_SERVICE_UNAVAILABLE = "compute-service-unavailable"
    COMPUTE_SERVICE_DISABLED = "compute-service-disabled"
    NOT_THE_REQUESTED_HOST = "not-the-requested-host"
    REFUSED_BEFORE = "refused-before"
    INVALID_HYPERVISOR_TYPE = "invalid-hypervisor-type"
    DESTINATION_HYPERVISOR_TOO_OLD = "destination-hypervisor-too-old"
    NOT_ENOUGH_MEMORY = "not-enough-memory"
    NOT_ENOUGH_VCPUS = "not-enough-vcpus"
    NOT_ENOUGH_DISK = "not-enough-disk"
    AFFINITY_VIOLATED = "affinity-violated"
    ANTI_AFFINITY_VIOLATED = "anti-affinity-violated"
    CLEAN_UP_PENDING = "clean-up-pending"
    # the checks at both ends
    MIGRATION_PRE_CHECK_ERROR = "migration-pre-check-error"
    INVALID_CPU_INFO = "invalid-cpu-info"
    MACHINE_TYPE_UNSUPPORTED = "machine-type-unsupported"
    BRIDGE_MISSING = "bridge-missing"
    NAME_TAKEN = "name-taken"
    UUID_TAKEN = "uuid-taken"
    DISK_UNREACHABLE = "disk-unreachable"
    DISK_EXISTS = "disk-exists"
    INVALID_SHARED_STORAGE = "invalid-shared-storage"
    INVALID_LOCAL_STORAGE = "invalid-local-storage"
    STORAGE_POOL_MISSING = "storage-pool-missing"
    MIGRATION_BLOCKED = "migration-blocked"
    TLS_UNUSABLE = "tls-unusable"
    HYPERVISOR_UNAVAILABLE = "hypervisor-unavailable"
    # the story
    CANCELLED_BY_REQUEST = "cancelled-by-request"
    TRANSFER_FAILED = "transfer-failed"
    TRANSFER_STALLED = "transfer-stalled"
    GUEST_ENDED = "guest-ended"
    SOURCE_TOOK_THE_GUEST_BACK = "source-took-the-guest-back"
    HYPERVISOR_ERROR = "hypervisor-error"
    SUPERSEDED = "superseded"
    INTERNAL_ERROR = "internal-error"
    NO_ANSWER = "no-answer"
    # a person is needed
    TWO_GUESTS = "two-guests"
    GUEST_LOST = "guest-lost"
    WHEREABOUTS_UNKNOWN = "whereabouts-unknown"
    RESOLVED_BY_A_PERSON = "resolved-by-a-person"
    # the store
    STORE_UNAVAILABLE = "store-unavailable"
    STORE_IN_USE = "store-in-use"
    STORE_TOO_NEW = "store-too-new"


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue: the sentence, with `{fields}`, and what to do about it."""

    words: str
    remedy: str


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not or cannot happen, ready to be shown.

    `host` is the host that refused or failed, where there is one.
    """

    code: Code
    words: str
    remedy: str
    host: HostName | None = None


def reason(code: Code, *, host: HostName | None = None, **fields: object) -> Reason:
    """The catalogue's sentence for `code`, filled in. A missing field is a bug and raises
    `KeyError`.
    """
    entry = CATALOGUE[code]
    known = {"host": host, **fields}
    return Reason(
        code=code,
        words=entry.words.format_map(known),
        remedy=entry.remedy.format_map(known),
        host=host,
    )


CATALOGUE: Final[Mapping[Code, Entry]] = {
    Code.SERVER_UNKNOWN: Entry(
        "no server is known as {server}",
        "godwit server list shows the known ones; a new guest is seen at its host's next report",
    ),
    Code.HOST_UNKNOWN: Entry(
        "no host is known as {name}", "godwit host list shows the hosts of the settings file"
    ),
    Code.MIGRATION_UNKNOWN: Entry(
        "no migration is known as {migration}", "godwit migration list shows the known ones"
    ),
    Code.FLAVOR_UNKNOWN: Entry(
        "no flavor is known as {flavor}", "add it to [flavors] of the settings file"
    ),
    Code.IMAGE_UNKNOWN: Entry(
        "no image is known as {image}", "register its file in [images] of the settings file"
    ),
    Code.INVALID_INPUT: Entry("{field}: {problem}", "{expected}"),
    Code.INSTANCE_INVALID_STATE: Entry(
        "server {server} is {state}", "only a running or paused guest can be live-migrated"
    ),
    Code.INSTANCE_BUSY: Entry(
        "server {server} is already {task}",
        "wait until that has ended, or abort it: godwit migration list",
    ),
    Code.SERVER_DISCOVERED: Entry(
        "server {server} was found on its host, not created by Godwit",
        "godwit server forget removes the record and leaves the guest alone",
    ),
    Code.SERVER_STILL_THERE: Entry(
        "server {server} was created by Godwit and its guest may still exist",
        "godwit server delete removes both guest and record",
    ),
    Code.MIGRATION_NOT_ABORTABLE: Entry(
        "migration {migration} is {status} and can no longer be aborted",
        "after the switch a migration only goes forward",
    ),
    Code.MIGRATION_NEEDS_NOBODY: Entry(
        "migration {migration} is {status}; no person is needed",
        "godwit migration show says what it is doing",
    ),
    Code.NO_VALID_HOST: Entry(
        "no valid host: {refused} of {hosts} hosts refused",
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
    Code.NOT_THE_REQUESTED_HOST: Entry(
        "{requested} was asked for", "leave --to out to let any host be chosen"
    ),
    Code.REFUSED_BEFORE: Entry(
        "{host} has already refused this guest in this migration", "see its first refusal"
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
        "mount the storage at {host}, or allow its disks to be copied (--block)",
    ),
    Code.DISK_EXISTS: Entry(
        "{host} already has a file {path}, where the disk would be copied to",
        "if both hosts see that storage, declare it in [storages]; else move the file away",
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
    Code.MIGRATION_BLOCKED: Entry(
        "the guest cannot be migrated now: {blocker}",
        "remove what blocks it (device, snapshot, running block job), then ask again",
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
    Code.CANCELLED_BY_REQUEST: Entry(
        "cancelled by {initiator}", "nothing to do: the guest runs on at the source"
    ),
    Code.TRANSFER_FAILED: Entry(
        "the transfer failed: {problem}",
        "the guest runs on at the source; mend the cause and migrate again",
    ),
    Code.TRANSFER_STALLED: Entry(
        "the transfer made no progress for {stalled_s:.0f} s and was stopped",
        "the guest runs on at the source; check the migration network between the two hosts",
    ),
    Code.GUEST_ENDED: Entry(
        "the guest ended during the migration ({how})",
        "nothing here ended it on purpose: see QEMU's log at the source, then start it again",
    ),
    Code.SOURCE_TOOK_THE_GUEST_BACK: Entry(
        "the source resumed the guest at the switch",
        "the guest runs on at the source; check the management network, then migrate again",
    ),
    Code.HYPERVISOR_ERROR: Entry(
        "{host}: {doing} failed: {problem}", "see the hypervisor's own log on {host}"
    ),
    Code.SUPERSEDED: Entry(
        "an older act of migration {migration} came too late and was refused",
        "nothing to do: a newer one has taken its place",
    ),
    Code.INTERNAL_ERROR: Entry(
        "a defect in Godwit: {problem}",
        "the guest was left alone; please report this with the server's log",
    ),
    Code.NO_ANSWER: Entry(
        "{who} did not answer {call} within {timeout_s:.0f} s",
        "it may have acted all the same: look at its state before asking again",
    ),
    Code.TWO_GUESTS: Entry(
        "two guests: {source} shows {source_word}, {destination} shows {destination_word}",
        "stop the wrong one by hand, then say which is right: godwit migration resolve",
    ),
    Code.GUEST_LOST: Entry(
        "the guest runs nowhere: {source} shows {source_word}, {destination} {destination_word}",
        "start it where its newest disk is, then: godwit migration resolve",
    ),
    Code.WHEREABOUTS_UNKNOWN: Entry(
        "{source} shows the guest as {source_word}, {destination} as {destination_word}",
        "bring back the host that does not answer, or decide: godwit migration resolve",
    ),
    Code.RESOLVED_BY_A_PERSON: Entry(
        "{initiator} decided: {choice} ({why})", "nothing to do: the choice is on record"
    ),
    Code.STORE_UNAVAILABLE: Entry(
        "the database {path} cannot be used: {problem}",
        "see that the file is writable, its disk has room, and no other program has it locked",
    ),
    Code.STORE_IN_USE: Entry(
        "the database {path} is in use by process {pid}",
        "stop that process first, or give this one a state_dir of its own",
    ),
    Code.STORE_TOO_NEW: Entry(
        "the database {path} has schema version {found}, this program knows up to {known}",
        "start the newer Godwit that wrote it, or restore an older copy of the file",
    ),
}
