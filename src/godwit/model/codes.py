"""The stable codes of every refusal and failure that a person may see. What each one says stands in
`check_catalogue` and `catalogue`; reasons are built in `reasons`, through which all others import.
"""

from dataclasses import dataclass
from enum import StrEnum


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
    NOT_TAGGED = "not-tagged"
    OTHER_MANAGER = "other-manager"
    MIGRATION_NOT_ABORTABLE = "migration-not-abortable"
    MIGRATION_NOT_STEERABLE = "migration-not-steerable"
    FORCED_TOO_EARLY = "forced-too-early"
    FORCED_PAUSE_TOO_LONG = "forced-pause-too-long"
    MIGRATION_NEEDS_NOBODY = "migration-needs-nobody"
    # which host
    NO_VALID_HOST = "no-valid-host"
    UNABLE_TO_MIGRATE_TO_SELF = "unable-to-migrate-to-self"
    COMPUTE_SERVICE_UNAVAILABLE = "compute-service-unavailable"
    COMPUTE_SERVICE_DISABLED = "compute-service-disabled"
    NOT_THE_REQUESTED_HOST = "not-the-requested-host"
    REFUSED_BEFORE = "refused-before"
    SAME_MACHINE_UUID = "same-machine-uuid"
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
    LINK_MISSING = "link-missing"
    NAME_TAKEN = "name-taken"
    UUID_TAKEN = "uuid-taken"
    DISK_UNREACHABLE = "disk-unreachable"
    DISK_EXISTS = "disk-exists"
    DISK_BASE_UNREACHABLE = "disk-base-unreachable"
    CONSOLE_ADDRESS_MISSING = "console-address-missing"
    INVALID_SHARED_STORAGE = "invalid-shared-storage"
    INVALID_LOCAL_STORAGE = "invalid-local-storage"
    STORAGE_POOL_MISSING = "storage-pool-missing"
    HOST_MEMORY_SHORT = "host-memory-short"
    HUGE_PAGES_SHORT = "huge-pages-short"
    PINNED_CPUS_MISSING = "pinned-cpus-missing"
    NUMA_CELLS_MISSING = "numa-cells-missing"
    VIRTUALISATION_MISSING = "virtualisation-missing"
    EMULATOR_MISSING = "emulator-missing"
    FIRMWARE_MISSING = "firmware-missing"
    TPM_UNSUPPORTED = "tpm-unsupported"
    SECRET_MISSING = "secret-missing"
    MIGRATION_BLOCKED = "migration-blocked"
    JOB_RUNNING = "job-running"
    BLOCK_JOB_RUNNING = "block-job-running"
    HAS_SNAPSHOTS = "has-snapshots"
    HOST_DEVICE_ATTACHED = "host-device-attached"
    HOST_FOLDER_SHARED = "host-folder-shared"
    MEMORY_ENCRYPTED = "memory-encrypted"
    INVARIANT_TSC = "invariant-tsc"
    NESTED_VIRTUALISATION = "nested-virtualisation"
    TLS_UNUSABLE = "tls-unusable"
    REHEARSAL_FAILED = "rehearsal-failed"
    HYPERVISOR_UNAVAILABLE = "hypervisor-unavailable"
    # the story
    CANCELLED_BY_REQUEST = "cancelled-by-request"
    TRANSFER_FAILED = "transfer-failed"
    DISK_FULL = "disk-full"
    TRANSFER_STALLED = "transfer-stalled"
    TRANSFER_TOO_SLOW = "transfer-too-slow"
    MEMORY_NOT_CONVERGING = "memory-not-converging"
    DISKS_NOT_CONVERGING = "disks-not-converging"
    POST_COPY_NOT_STARTED = "post-copy-not-started"
    GUEST_ENDED = "guest-ended"
    SOURCE_TOOK_THE_GUEST_BACK = "source-took-the-guest-back"
    HYPERVISOR_ERROR = "hypervisor-error"
    SUPERSEDED = "superseded"
    INTERNAL_ERROR = "internal-error"
    NO_ANSWER = "no-answer"
    # a person is needed
    TWO_GUESTS = "two-guests"
    GUEST_LOST = "guest-lost"
    POST_COPY_BROKEN = "post-copy-broken"
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
