"""What the settings file says, as types. `settings_file` reads it; `examples/godwit.toml` shows all
keys with their defaults.
"""

from typing import Annotated, Final, Literal

import msgspec

from godwit.model.ids import HostName
from godwit.model.steering import CONNECTIONS_MAX, DOWNTIME_MAX_MS

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_NAME = msgspec.Meta(
    pattern=NAME_PATTERN,
    description="letters, digits, dots, dashes and underscores, at most 63",
)
Name = Annotated[str, _NAME]
"""Names become folder names and parts of URLs."""
NameOfHost = Annotated[HostName, _NAME]
Uri = Annotated[
    str,
    msgspec.Meta(
        pattern="^qemu(\\+[a-z0-9]+)?://", description="a libvirt URI, qemu+tls://ADDRESS/system"
    ),
]

Address = Annotated[
    str,
    msgspec.Meta(
        pattern="^([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[^\\s]+)?)?$",
        description="a host name or an IP address, without a port",
    ),
]
Pause = Annotated[int, msgspec.Meta(ge=1, le=DOWNTIME_MAX_MS)]
BusUrl = Annotated[
    str,
    msgspec.Meta(
        pattern="^(tls|nats)://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$",
        description="a NATS server, tls://ADDRESS:PORT",
    ),
]


SQLITE: Final = "sqlite"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[server]: where the API listens and where state is kept."""

    listen: str = "127.0.0.1:8774"
    """`ADDRESS:PORT` on loopback, or `unix:/path/of/socket`. Nothing else until there is a login.
    """
    state_dir: str = "/var/lib/godwit"
    """Holds the database, the transfers' folders and the fences of every host driven from here."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[store]: the database that keeps what must survive."""

    url: str = SQLITE
    """`sqlite`: the file godwit.sqlite in `state_dir`, for one process alone. Else
    `postgresql://USER@HOST/DATABASE`, for any number of processes."""
    password_file: str = ""
    """Holds the password of that user and nothing else. Without it PGPASSWORD or ~/.pgpass."""
    read_url: str = ""
    """As whom a server is read, for a user that may do no more; empty: as `url` says."""
    read_password_file: str = ""


class MigrationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[migration]: bounds of one live migration."""

    attempts_max: Count = 5
    """At most so many destinations are tried before the answer is no-valid-host."""
    stall_timeout_s: Positive = 30.0
    """A transfer that sends nothing for so long is stopped; the guest stays at the source."""
    permit_post_copy: bool = False
    """A guest may run at its destination before all its memory is there, and depends on both hosts
    and the network between them until it is."""
    rely_on_fencing: bool = False
    """Where every disk of a guest is on storage that fences, that alone keeps it from running
    twice: some 200 ms less of outage."""
    bandwidth_mib_per_s: NotNegative = 0
    """Memory and disks of one guest are sent no faster; 0: as fast as the network takes them."""
    max_downtime_ms: Pause = 500
    """A guest may pause for so long at the switch, and no longer."""
    downtime_steps: Count = 5
    """The pause that is allowed rises to that in so many steps, each only if it is needed."""
    completion_timeout_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """A transfer that is not over after so long is stopped; 0: it may go on while it gains."""
    auto_converge: bool = False
    """A guest that writes faster than can be sent may be slowed down."""
    parallel_connections: Annotated[int, msgspec.Meta(ge=1, le=CONNECTIONS_MAX)] = 1
    """So many connections carry a guest's memory."""
    force_complete_max_pause_ms: Pause = 5000
    """For so long a guest may be paused by `godwit migration force-complete`; no less than
    `max_downtime_ms`, which is allowed without it."""
    lease_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 7.0
    """A conductor that has not renewed its hold on a story for so long is taken for dead; at most
    120."""
    ask_again_s: Annotated[float, msgspec.Meta(gt=60)] = 75.0
    """How long an undecided whereabouts is looked at again before a person is asked: over 60 s,
    and more than the hosts' keepalive + 5 s."""


class HostsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[hosts_defaults]: how hosts are watched."""

    report_interval_s: Positive = 5.0
    down_after_s: Positive = 20.0
    """A host that has not reported for so long is down."""
    audit_every_s: Annotated[float, msgspec.Meta(ge=0)] = 180.0
    """Every so long one conductor compares the record with what all hosts show, and mends what is
    safe to mend, as `godwit audit --repair` does; 0: only people ask for that."""


class BusSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[bus]: how processes on several machines reach each other."""

    servers: tuple[BusUrl, ...] = ()
    """NATS servers. None: everything is in this one process."""
    tls_ca: str = ""
    """A file with the certificates by which the servers are known. Default: the system's."""
    credentials: str = ""
    """A file with the seed of this process, one of those that `godwit bus credentials` makes."""

    @property
    def is_encrypted(self) -> bool:
        """Is TLS asked for?"""
        return any(server.startswith("tls:") for server in self.servers)


class LibvirtHostSettings(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="driver",
    tag="libvirt",
):
    """[hosts.NAME] with driver = "libvirt"."""

    uri: Uri
    """How this process reaches the host's libvirtd."""
    peer_uri: str = ""
    """How the other hosts' libvirtds reach it (control connection of a migration). Default: scheme
    and host of `uri`, without its parameters."""
    migration_address: Address = ""
    """Where memory and disks are sent to. Default: the host of `uri`."""
    tls: bool = True
    """Encrypt memory and disks on their way into and out of this host (QEMU's native TLS)."""
    manage: Literal["all", "tagged"] = "all"
    """`tagged`: Godwit moves only guests that carry its tag, or that it has made."""
    managers: tuple[Literal["nova", "ovirt", "kubevirt", "opennebula"], ...] = ()
    """Other managers whose guests Godwit may move all the same."""
    nested: Literal["move", "refuse"] = "move"
    """Guests that may run guests of their own (CPU feature vmx or svm)."""
    console_address: Address = ""
    """Where the VNC and SPICE consoles of guests listen that listen on one address of their host.
    Default: the host of `uri`."""
    transfers_max: Count = 2
    reserved_memory_mib: NotNegative = 512
    cpu_allocation_ratio: Positive = 16.0
    call_timeout_s: Positive = 10.0
    threads_max: Count = 8


class SimulatedHostSettings(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="driver",
    tag="simulated",
):
    """[hosts.NAME] with driver = "simulated": a hypervisor in memory, for trying out."""

    vcpus: Count = 16
    memory_mib: Count = 65536
    hypervisor_version: Count = 7002000
    networks: tuple[str, ...] = ("brvm",)
    guests: NotNegative = 0
    """So many guests run here at the start, named NAME-guest-1 and so on."""
    transfer_s: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """How long a transfer from here takes."""
    transfers_max: Count = 2
    reserved_memory_mib: NotNegative = 512
    cpu_allocation_ratio: Positive = 16.0


HostSettings = LibvirtHostSettings | SimulatedHostSettings


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[storages.NAME]: a folder that several hosts see, declared by the operator."""

    path: str
    paths: dict[NameOfHost, str] = {}
    """Hosts that see it at another path."""
    hosts: tuple[HostName, ...] = ()
    """Who sees it; empty: every host."""
    fences: bool = False
    """True only if two hosts can never write one of its disks at the same time."""


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[networks.NAME]: one network of the guests, whose bridge is not called NAME everywhere."""

    bridges: dict[NameOfHost, str]
    """Bridge or libvirt network at these hosts; at any other it is called NAME."""


class FlavorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[flavors.NAME]: sizes of a server to create."""

    vcpus: Count = 1
    memory_mib: Count
    disk_mib: Count


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[images.NAME]: a disk image file that the hosts see at this path."""

    path: str
    format: str = "qcow2"
    kernel: str = ""
    """Boot this kernel directly, with `command_line`, where it is set."""
    command_line: str = ""


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[groups.NAME]: servers (by name or uuid) that belong together or apart."""

    policy: Literal["affinity", "anti-affinity"]
    members: tuple[str, ...]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    migration: MigrationSettings = MigrationSettings()
    bus: BusSettings = BusSettings()
    hosts_defaults: HostsSettings = HostsSettings()
    hosts: dict[NameOfHost, HostSettings] = {}
    storages: dict[Name, StorageSettings] = {}
    networks: dict[Name, NetworkSettings] = {}
    flavors: dict[Name, FlavorSettings] = {}
    images: dict[Name, ImageSettings] = {}
    groups: dict[Name, GroupSettings] = {}
