"""libvirt's numbers and the little we use of its objects, so that no module but `connection`
imports it.

The numbers are part of libvirt's stable ABI; a test compares each with the library's own.
"""

from enum import IntEnum, IntFlag
from typing import Final, Protocol


class State(IntEnum):
    """virDomainState."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class Running(IntEnum):
    """virDomainRunningReason, as far as it matters here."""

    BOOTED = 1
    MIGRATED = 2
    UNPAUSED = 5
    MIGRATION_CANCELED = 6
    POSTCOPY = 10
    POSTCOPY_FAILED = 11


class Paused(IntEnum):
    """virDomainPausedReason, as far as it matters here."""

    USER = 1
    MIGRATION = 2
    IOERROR = 5
    STARTING_UP = 11
    POSTCOPY = 12
    POSTCOPY_FAILED = 13


class Shutoff(IntEnum):
    """virDomainShutoffReason."""

    UNKNOWN = 0
    SHUTDOWN = 1
    DESTROYED = 2
    CRASHED = 3
    MIGRATED = 4
    SAVED = 5
    FAILED = 6


class Event(IntEnum):
    """virDomainEventType, the lifecycle's, as far as it matters here."""

    STARTED = 2
    SUSPENDED = 3
    RESUMED = 4
    STOPPED = 5


class Stopped(IntEnum):
    """virDomainEventStoppedDetailType, as far as it matters here."""

    CRASHED = 2
    MIGRATED = 3
    """The guest has left."""
    FAILED = 5
    """Its QEMU is no more, and nobody had asked for that."""


SUSPENDED_MIGRATED: Final = 1
"""VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED: the detail of SUSPENDED when the migration has paused it."""


class JobType(IntEnum):
    """virDomainJobType."""

    NONE = 0
    BOUNDED = 1
    UNBOUNDED = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5


MIGRATION_OUT: Final = 5
"""VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT."""


class JobStats(IntFlag):
    """virDomainGetJobStatsFlags."""

    COMPLETED = 1
    KEEP_COMPLETED = 2


class Migrate(IntFlag):
    """virDomainMigrateFlags, as far as Godwit uses them."""

    LIVE = 1
    PEER2PEER = 2
    PERSIST_DEST = 8
    UNDEFINE_SOURCE = 16
    PAUSED = 32
    NON_SHARED_DISK = 64
    NON_SHARED_INC = 128
    UNSAFE = 512
    ABORT_ON_ERROR = 4096
    AUTO_CONVERGE = 8192
    POSTCOPY = 32768
    TLS = 65536
    PARALLEL = 131072
    POSTCOPY_RESUME = 524288


PARAM_URI: Final = "migrate_uri"
PARAM_DISKS: Final = "migrate_disks"
PARAM_CONNECTIONS: Final = "parallel.connections"
PARAM_BANDWIDTH: Final = "bandwidth"
"""MiB per second until the guest runs at the destination; the rest of a post-copy has its own."""
SPEED_UNLIMITED: Final = (2**63 - 1) // 2**20
"""What libvirt takes for no limit, in MiB per second."""
PARAM_LIVE_XML: Final = "destination_xml"
PARAM_PERSISTENT_XML: Final = "persistent_xml"


class DomainXml(IntFlag):
    """virDomainXMLFlags."""

    SECURE = 1
    INACTIVE = 2
    MIGRATABLE = 8


class Domains(IntFlag):
    """virConnectListAllDomainsFlags, as far as it matters here."""

    PERSISTENT = 4
    AUTOSTART = 1024


class Start(IntFlag):
    """virDomainCreateFlags, as far as Godwit uses them."""

    PAUSED = 1
    AUTODESTROY = 2


UNDEFINE_LEFTOVERS: Final = 1 | 2 | 8 | 16
"""virDomainUndefineFlags: with managed save, snapshot and checkpoint metadata; never storage, and
never the UEFI variables, whose file both hosts may share."""

CPU_INCOMPATIBLE: Final = 0
"""VIR_CPU_COMPARE_INCOMPATIBLE."""
FAIL_INCOMPATIBLE: Final = 1
"""VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE: say what is missing, as an error."""


class Trouble(IntEnum):
    """virErrorNumber, as far as it matters here."""

    INTERNAL_ERROR = 1
    NO_SUPPORT = 3
    INVALID_ARG = 8
    OPERATION_FAILED = 9
    SYSTEM_ERROR = 38
    NO_DOMAIN = 42
    NO_NETWORK = 43
    AUTH_FAILED = 45
    NO_STORAGE_POOL = 49
    NO_STORAGE_VOL = 50
    OPERATION_INVALID = 55
    NO_INTERFACE = 57
    NO_SECRET = 66
    CONFIG_UNSUPPORTED = 67
    OPERATION_UNSUPPORTED = 84
    CPU_INCOMPATIBLE = 91


FROM_RPC: Final = 7
"""VIR_FROM_RPC: the error arose in talking to a libvirtd, not in what it did."""

POOL_RUNNING: Final = 2
"""VIR_STORAGE_POOL_RUNNING."""


VOLUME_IS_FILE: Final = 0
"""VIR_STORAGE_VOL_FILE."""


class Volume(Protocol):
    """virStorageVol."""

    def path(self) -> str: ...
    def XMLDesc(self, flags: int = 0) -> str: ...  # noqa: N802 - libvirt's own name
    def info(self) -> list[int]: ...
    def resize(self, capacity: int, flags: int = 0) -> int: ...
    def delete(self, flags: int = 0) -> int: ...


class Pool(Protocol):
    """virStoragePool."""

    def name(self) -> str: ...
    def XMLDesc(self, flags: int = 0) -> str: ...  # noqa: N802
    def info(self) -> list[int]: ...
    def isActive(self) -> int: ...  # noqa: N802
    def refresh(self, flags: int = 0) -> int: ...
    def destroy(self) -> int: ...
    def listAllVolumes(self, flags: int = 0) -> list[Volume]: ...  # noqa: N802
    def storageVolLookupByName(self, name: str) -> Volume: ...  # noqa: N802
    def createXML(self, xmlDesc: str, flags: int = 0) -> Volume: ...  # noqa: N802, N803
    def createXMLFrom(self, xmlDesc: str, clonevol: Volume, flags: int = 0) -> Volume: ...  # noqa: N802, N803


class Named(Protocol):
    """virInterface and virNetwork, of which only the name is read."""

    def name(self) -> str: ...
    def isActive(self) -> int: ...  # noqa: N802
    def XMLDesc(self, flags: int = 0) -> str: ...  # noqa: N802


class Domain(Protocol):
    """virDomain."""

    def UUIDString(self) -> str: ...  # noqa: N802
    def name(self) -> str: ...
    def state(self, flags: int = 0) -> list[int]: ...
    def XMLDesc(self, flags: int = 0) -> str: ...  # noqa: N802
    def isActive(self) -> int: ...  # noqa: N802
    def isPersistent(self) -> int: ...  # noqa: N802
    def autostart(self) -> int: ...
    def setAutostart(self, autostart: int) -> int: ...  # noqa: N802
    def blockInfo(self, path: str, flags: int = 0) -> list[int]: ...  # noqa: N802
    def blockJobInfo(self, path: str, flags: int = 0) -> dict[str, int]: ...  # noqa: N802
    def jobStats(self, flags: int = 0) -> dict[str, int]: ...  # noqa: N802
    def snapshotNum(self, flags: int = 0) -> int: ...  # noqa: N802
    def abortJob(self) -> int: ...  # noqa: N802
    def migrateGetMaxSpeed(self, flags: int = 0) -> int: ...  # noqa: N802
    def migrateSetMaxSpeed(self, bandwidth: int, flags: int = 0) -> int: ...  # noqa: N802
    def migrateGetMaxDowntime(self, flags: int = 0) -> int: ...  # noqa: N802
    def migrateSetMaxDowntime(self, downtime: int, flags: int = 0) -> int: ...  # noqa: N802
    def migrateStartPostCopy(self, flags: int = 0) -> int: ...  # noqa: N802
    def resume(self) -> int: ...
    def create(self) -> int: ...
    def destroy(self) -> int: ...
    def undefineFlags(self, flags: int = 0) -> int: ...  # noqa: N802
    def migrateToURI3(self, dconnuri: str, params: dict[str, object], flags: int = 0) -> int: ...  # noqa: N802


class Libvirt(Protocol):
    """virConnect. Its calls block: they are made in the threads of `connection` alone."""

    def getHostname(self) -> str: ...  # noqa: N802
    def getType(self) -> str: ...  # noqa: N802
    def getVersion(self) -> int: ...  # noqa: N802
    def getLibVersion(self) -> int: ...  # noqa: N802
    def getInfo(self) -> list[int]: ...  # noqa: N802
    def getMemoryStats(self, cellNum: int, flags: int = 0) -> dict[str, int]: ...  # noqa: N802, N803
    def getCapabilities(self) -> str: ...  # noqa: N802
    def getFreePages(  # noqa: N802
        self,
        pages: list[int],
        startcell: int,
        cellcount: int,
        flags: int = 0,
    ) -> dict[int, dict[int, int]]: ...
    def getDomainCapabilities(  # noqa: N802
        self,
        emulatorbin: str | None,
        arch: str | None,
        machine: str | None,
        virttype: str | None,
        flags: int = 0,
    ) -> str: ...
    def secretLookupByUUIDString(self, uuidstr: str) -> object: ...  # noqa: N802
    def compareHypervisorCPU(  # noqa: N802
        self,
        emulator: str | None,
        arch: str,
        machine: str | None,
        virttype: str,
        xmlCPU: str,  # noqa: N803
        flags: int = 0,
    ) -> int: ...
    def listAllDomains(self, flags: int = 0) -> list[Domain]: ...  # noqa: N802
    def listAllInterfaces(self, flags: int = 0) -> list[Named]: ...  # noqa: N802
    def listAllNetworks(self, flags: int = 0) -> list[Named]: ...  # noqa: N802
    def interfaceLookupByName(self, name: str) -> Named: ...  # noqa: N802
    def networkLookupByName(self, name: str) -> Named: ...  # noqa: N802
    def listAllStoragePools(self, flags: int = 0) -> list[Pool]: ...  # noqa: N802
    def storagePoolCreateXML(self, xmlDesc: str, flags: int = 0) -> Pool: ...  # noqa: N802, N803
    def storagePoolLookupByName(self, name: str) -> Pool: ...  # noqa: N802
    def lookupByUUIDString(self, uuidstr: str) -> Domain: ...  # noqa: N802
    def lookupByName(self, name: str) -> Domain: ...  # noqa: N802
    def storageVolLookupByPath(self, path: str) -> Volume: ...  # noqa: N802
    def createXML(self, xmlDesc: str, flags: int = 0) -> Domain: ...  # noqa: N802, N803
    def defineXML(self, xml: str) -> Domain: ...  # noqa: N802
