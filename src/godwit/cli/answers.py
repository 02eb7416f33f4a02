"""What the server answers, as far as a person is shown it.

Unknown fields are ignored and every word is a plain string, so that an older client still works
with a newer server.
"""

import threading
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What `decode` raises for bytes that are no answer, whoever has sent them."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Part of an answer. Whatever the server does not say has a default."""


class Reason(Answer, frozen=True, kw_only=True):
    """Why not: stable code, words, remedy, and the host that said so."""

    code: str = ""
    words: str = ""
    remedy: str = ""
    host: str | None = None


Detail = int | str


class Refusal(Answer, frozen=True, kw_only=True):
    """Why some hosts refused. What differs from host to host stands in braces in words and remedy:
    `{host}`, and the names in `details`, each with one value per host.
    """

    code: str = ""
    words: str = ""
    remedy: str = ""
    hosts: tuple[str, ...] = ()
    details: dict[str, tuple[Detail, ...]] = {}


class Fault(Answer, frozen=True, kw_only=True):
    """An error answer. `reason` is the stable code, `code` the HTTP status."""

    code: int = 0
    message: str = ""
    reason: str = ""
    remedy: str = ""
    refusals: tuple[Refusal, ...] = ()


class Debt(Answer, frozen=True, kw_only=True):
    """What a host still owes to a migration."""

    migration_uuid: str = ""
    step: str = ""
    undo: bool = False
    words: str = ""
    attempts: int = 0


class OwedHere(Debt, frozen=True, kw_only=True):
    """The same, with whom and what it is about."""

    host: str = ""
    server: str = ""
    server_uuid: str | None = None
    due_at: str = ""


class Debts(Answer, frozen=True, kw_only=True):
    """`{"debts": ...}`."""

    debts: tuple[OwedHere, ...] = ()


class Evidence(Answer, frozen=True, kw_only=True):
    """One thing that was seen."""

    by: str = ""
    said: str = ""
    at: str = ""


class Usage(Answer, frozen=True, kw_only=True):
    """What is claimed at a host."""

    vcpus: int = 0
    memory_mib: int = 0
    transfers: int = 0
    waiting: int = 0


class Storage(Answer, frozen=True, kw_only=True):
    """A place for disks at a host."""

    id: str = ""
    path: str = ""
    shared: bool = False
    total_mib: int = 0
    free_mib: int = 0


class Facts(Answer, frozen=True, kw_only=True):
    """What a host says of itself."""

    node: str = ""
    hypervisor_type: str = ""
    hypervisor_version: int = 0
    library_version: int = 0
    architecture: str = ""
    cpu_model: str = ""
    vcpus: int = 0
    memory_mib: int = 0
    storages: tuple[Storage, ...] = ()
    networks: tuple[str, ...] = ()
    manage: str = "all"
    managers: tuple[str, ...] = ()
    migration_address: str = ""
    cpu_allocation_ratio: float = 1.0
    reserved_memory_mib: int = 0
    transfers_max: int = 0


class PersonsWord(Answer, frozen=True, kw_only=True):
    """What somebody has stated."""

    by: str = ""
    at: str = ""
    why: str = ""
    heard_at: str = ""


class Host(Answer, frozen=True, kw_only=True):
    """One host."""

    name: str
    up: bool = False
    enabled: bool = True
    disabled_reason: str = ""
    confirmed_down: PersonsWord | None = None
    confirmed_up: PersonsWord | None = None
    trouble: str = ""
    silent_s: float | None = None
    servers: int = 0
    usage: Usage = Usage()
    facts: Facts | None = None
    debts: tuple[Debt, ...] = ()


class OneHost(Answer, frozen=True, kw_only=True):
    """`{"host": ...}`."""

    host: Host


class Hosts(Answer, frozen=True, kw_only=True):
    """`{"hosts": [...]}`."""

    hosts: tuple[Host, ...] = ()


class Flavor(Answer, frozen=True, kw_only=True):
    """A server's sizes. `ram` in MiB, as Nova has it."""

    id: str = ""
    vcpus: int = 0
    ram: int = 0


class BackingFile(Answer, frozen=True, kw_only=True):
    """A file below an overlay."""

    path: str = ""


class Disk(Answer, frozen=True, kw_only=True):
    """A disk of a server."""

    device: str = ""
    path: str = ""
    format: str = ""
    size_bytes: int = 0
    storage: str | None = None
    network: bool = False
    read_only: bool = False
    device_type: str = "disk"
    backing: tuple[BackingFile, ...] = ()


class Nic(Answer, frozen=True, kw_only=True):
    """A network card of a server."""

    mac: str = ""
    network: str = ""
    model: str = ""


class Alarm(Answer, frozen=True, kw_only=True):
    """A guest that runs twice or nowhere."""

    kind: str = ""
    evidence: tuple[Evidence, ...] = ()
    since: str = ""
    seen_at: str = ""


class OfGodwit(Answer, frozen=True, kw_only=True):
    """What Nova has no field for."""

    alarm: Alarm | None = None
    discovered: bool = False
    managed_by: tuple[str, ...] = ()
    group: str | None = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    is_volume_backed: bool = False


class Server(Answer, frozen=True, kw_only=True):
    """One server."""

    id: str
    name: str = ""
    status: str = ""
    flavor: Flavor = Flavor()
    updated: str = ""
    host: str = msgspec.field(name="OS-EXT-SRV-ATTR:host", default="")
    task_state: str | None = msgspec.field(name="OS-EXT-STS:task_state", default=None)
    godwit: OfGodwit = OfGodwit()

    @property
    def is_missing(self) -> bool:
        """Nova's `UNKNOWN`: no host has the guest any more."""
        return self.status == "UNKNOWN"


class OneServer(Answer, frozen=True, kw_only=True):
    """`{"server": ...}`."""

    server: Server


class Servers(Answer, frozen=True, kw_only=True):
    """`{"servers": [...]}`."""

    servers: tuple[Server, ...] = ()


_learning: Final = threading.Lock()


def decode(raw: bytes, kind: type[T]) -> T:
    """The answer as `kind`, in any thread. Raises one of `UNREADABLE` for anything else."""
    return _decoder(kind).decode(raw)


def converted(told: object, kind: type[T]) -> T:
    """As `decode`, of what is decoded already."""
    _decoder(kind)
    return msgspec.convert(told, kind)


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """msgspec crashes where a thread reads a kind that another one is just learning."""
    with _learning:
        return msgspec.json.Decoder(kind)


def fault_in(raw: bytes) -> Fault:
    """The one fault inside an error answer; an empty one if that is not what it is."""
    try:
        body = decode(raw, dict[str, Any])
        inner: Any = next(iter(body.values()), {})
        return converted(inner, Fault)
    except UNREADABLE:
        return Fault()
