"""A compute host: what it reports of itself, and what the operator has said about it."""

from enum import StrEnum

import msgspec

from godwit.model.ids import HostName, StorageId
from godwit.model.instance import Guest
from godwit.model.reasons import Code, Reason, reason


class Manage(StrEnum):
    """Which guests Godwit may move at a host."""

    ALL = "all"
    TAGGED = "tagged"
    """Only those that carry Godwit's own tag, or were made by Godwit."""


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """A place for disks at a host. Hosts that report the same `id` see the same files."""

    id: StorageId
    name: str = ""
    """The pool's or the declared one's. Two local storages of one name take each other's disks."""
    path: str
    shared: bool
    fences: bool = False
    """Declared by the operator: two hosts can never write one of its disks at the same time."""
    total_mib: int
    free_mib: int


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself. Versions are libvirt's numbers: 7.2.22 is 7002022."""

    name: HostName
    node: str
    """The hypervisor's own name for the host (Nova: hypervisor_hostname)."""
    hypervisor_type: str
    hypervisor_version: int
    library_version: int = 0
    architecture: str = "x86_64"
    cpu_model: str = ""
    cpu_features: tuple[str, ...] = ()
    """What its CPU has beyond the model, sorted."""
    vcpus: int
    memory_mib: int
    storages: tuple[Storage, ...] = ()
    networks: tuple[str, ...] = ()
    machine_types: tuple[str, ...] = ()
    machine_uuid: str = ""
    """By which hypervisors tell hosts apart; empty where they do not say."""
    manage: Manage = Manage.ALL
    managers: tuple[str, ...] = ()
    """Other managers whose guests Godwit may move here."""
    migration_address: str = ""
    cpu_allocation_ratio: float = 16.0
    reserved_memory_mib: int = 0
    transfers_max: int = 2
    """At most so many migrations run into, and so many out of, this host at once."""


class PersonsWord(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has stated: who, when (ISO 8601, UTC), and why."""

    by: str
    at: str
    why: str = ""
    heard_at: str = ""
    """Of a host that is confirmed down: when it was last heard all the same. From then on the
    statement is evidence of nothing."""

    @property
    def words(self) -> str:
        """As a sentence goes on with it."""
        return f"by {self.by} at {self.at[:19]}{f': {self.why}' if self.why else ''}"

    def why_it_takes_no_part(self, host: HostName) -> Reason:
        """Of a host that is confirmed down. HOST_CONFIRMED_DOWN alone says that nothing runs there;
        HOST_HEARD_AGAIN says nothing of what may.
        """
        if not self.heard_at:
            return reason(Code.HOST_CONFIRMED_DOWN, host=host, word=self.words)
        heard_at = self.heard_at[:19]
        return reason(Code.HOST_HEARD_AGAIN, host=host, word=self.words, heard_at=heard_at)


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host as the store knows it. `heard_at_s`: wall clock of its last report (0: none)."""

    name: HostName
    facts: HostFacts | None = None
    heard_at_s: float = 0.0
    trouble: str = ""
    """Why the last attempt to look at the host failed; empty while it answers."""
    disabled: bool = False
    disabled_reason: str = ""
    confirmed_down: PersonsWord | None = None
    """Its power is off, as somebody states who has seen to it: until it is confirmed up, nothing it
    says is heard and nothing is asked of it."""
    confirmed_up: PersonsWord | None = None
    """The last statement that it may take part again."""


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a host's compute manager tells the conductor: its facts and every guest on it.

    With `facts` None the hypervisor did not answer, `trouble` says how, and `guests` means nothing.
    """

    host: HostName
    facts: HostFacts | None
    guests: tuple[Guest, ...] = ()
    trouble: str = ""
    look_s: float = 0.0
    """So long the look has taken: what it shows may be so old. An older agent does not say."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What is claimed at a host, by servers and by migrations under way."""

    vcpus: int = 0
    memory_mib: int = 0
    transfers: int = 0
    """Migrations that hold a slot, out or in."""
    waiting: int = 0
    """Migrations in line for one."""


def version_words(version: int) -> str:
    """libvirt's number as people write it: 7002022 is 7.2.22."""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"
