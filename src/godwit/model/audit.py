"""What is recorded, what the hypervisors show, and where the two disagree. Words alone: the
decision is `conductor/disagreements`.
"""

from enum import StrEnum
from typing import Final

import msgspec

from godwit.model.host import HostFacts, PersonsWord
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Guest, Instance

RECORD: Final = "the record"
"""Who says so, where it is the database."""


class Mismatch(StrEnum):
    """How record and truth disagree, in a word that scripts may rely on."""

    # about guests, and hosts; the first three are alarms
    RUNS_TWICE = "runs-twice"
    """It runs at two hosts: it may be writing its disks from both."""
    NOWHERE = "nowhere"
    """Every host answered, and none has it."""
    HEARD_AGAIN = "host-heard-again"
    """An alarm of a host: its power is off, as a person says, and yet it was heard since."""
    HELD_TWICE = "held-twice"
    """Several hosts have it, no task accounts for that, and it runs at one of them at most."""
    ELSEWHERE = "elsewhere"
    """At one host, which is not the recorded one; that one answered that it is not there."""
    RECORDED_HOST_SILENT = "recorded-host-silent"
    """At a host, and the recorded one, which may have it, too, does not answer."""
    NOT_ON_RECORD = "not-on-record"
    STATE_DIFFERS = "state-differs"
    HALF_LEFT = "half-left"
    """Half a guest, which no migration is filling and no debt accounts for."""
    DISK_LEFT = "disk-left"
    """A disk file of a guest that is at another host, used by no guest here."""
    TRANSFER_LEFT = "transfer-left"
    """A transfer lives of a migration that is over."""
    # about the record alone
    TASK_WITHOUT_STORY = "task-without-story"
    """In a task, and no migration carries it on."""
    STORY_WITHOUT_TASK = "story-without-task"
    """A migration is under way, and the server is not locked for it."""
    CLAIM_LEFT = "claim-left"
    """A claim that belongs to nobody who is there, or on the way."""
    CLAIM_MISSING = "claim-missing"
    CLAIM_DIFFERS = "claim-differs"
    SLOT_LEFT = "slot-left"
    """A slot, or a place in the line, of a migration that is over."""
    STORY_NOT_TOLD = "story-not-told"
    """Due for long, or under a lease that ran out long ago: no conductor takes it up."""


OF_GUESTS: Final = frozenset({Mismatch.RUNS_TWICE, Mismatch.NOWHERE})
"""A guest is doubled or lost. Nothing is done about it: whatever were done could destroy data."""
ALARMS: Final = OF_GUESTS | {Mismatch.HEARD_AGAIN}


class Action(StrEnum):
    """What a repair does. Each is safe whatever is true: no guest is touched by any."""

    FOLLOW_THE_GUEST = "follow-the-guest"
    """The record says what the hosts show."""
    LEAVE_TASK = "leave-task"
    """The server is in no task any more."""
    LOCK_AGAIN = "lock-again"
    """The server is in the task that its migration is."""
    DROP_CLAIM = "drop-claim"
    PUT_CLAIM = "put-claim"
    """The server's claim is what it takes, at its host."""
    GIVE_SLOT_BACK = "give-slot-back"
    NOTHING = "nothing"
    """A person decides."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was seen: what, by whom, and when (ISO 8601, UTC)."""

    by: str
    """A host, or `RECORD`."""
    said: str
    at: str


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """One place where record and truth disagree, and what would be done about it."""

    kind: Mismatch
    subject: str
    """The uuid of the server, or of the migration, or the consumer of a claim, or a host's name."""
    name: str = ""
    """The server's, where it is known."""
    host: HostName | None = None
    evidence: tuple[Evidence, ...]
    action: Action = Action.NOTHING
    remedy: str = ""
    """What a person does, where Godwit does nothing."""
    repaired: bool = False

    @property
    def is_of_a_guest(self) -> bool:
        """Is a guest doubled or lost?"""
        return self.kind in OF_GUESTS

    @property
    def key(self) -> tuple[str, ...]:
        """The same in two looks: the same disagreement by the same evidence, the record not written
        in between.
        """
        seen = (f"{e.by} {e.said} {e.at if e.by == RECORD else ''}" for e in self.evidence)
        return (self.kind, self.subject, self.host or "", *seen)


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was mended in the record: what, on which evidence, for whom, and when."""

    at: str
    by: str
    """A person, or the conductor that looks by itself."""
    kind: Mismatch
    action: Action
    subject: str
    name: str = ""
    host: HostName | None = None
    evidence: tuple[Evidence, ...] = ()


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A guest that runs twice or nowhere, as it was last seen."""

    instance_uuid: InstanceUuid
    kind: Mismatch
    evidence: tuple[Evidence, ...]
    since: str
    seen_at: str


def of_power(host: HostName, word: PersonsWord) -> tuple[Evidence, ...]:
    """Of a host that was heard although it is confirmed down: the person's word, and the host's."""
    said = f"its power is off{f': {word.why}' if word.why else ''}"
    return (
        Evidence(by=word.by, said=said, at=word.at),
        Evidence(by=host, said="was heard all the same", at=word.heard_at),
    )


# --- what is recorded ----------------------------------------------------------------------------


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Memory and vCPUs set aside at a host."""

    consumer: str
    host: HostName
    vcpus: int
    memory_mib: int


class SlotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A slot at a host, or a place in its line."""

    migration_uuid: MigrationUuid
    host: HostName
    held: bool


class MoveUnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """A migration that has not ended, and how its story is held. Times are of the wall clock."""

    uuid: MigrationUuid
    instance_uuid: InstanceUuid
    source: HostName
    destination: HostName | None
    updated_at: str
    story_ended: bool
    owner: str
    lease_until_s: float
    wake_at_s: float


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A clean-up of one server's migration that a host still owes."""

    instance_uuid: InstanceUuid
    host: HostName


class Fenced(msgspec.Struct, frozen=True, kw_only=True):
    """A host that is confirmed down, and by whom."""

    host: HostName
    word: PersonsWord


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All that is recorded, at one moment."""

    read_at_s: float
    servers: tuple[Instance, ...] = ()
    moves: tuple[MoveUnderWay, ...] = ()
    claims: tuple[Claim, ...] = ()
    slots: tuple[SlotTaken, ...] = ()
    owed: tuple[Owed, ...] = ()
    fenced: tuple[Fenced, ...] = ()


# --- what a host shows ---------------------------------------------------------------------------


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """All that one host shows at one moment."""

    host: HostName
    seen_at: str = ""
    """By the clock of who asked."""
    facts: HostFacts | None = None
    """None: it did not answer, `trouble` says why, and the rest says nothing."""
    trouble: str = ""
    without_power: bool = False
    """It is not asked: a person has confirmed that its power is off."""
    guests: tuple[Guest, ...] = ()
    """Halves that are still arriving among them."""
    spare_files: tuple[str, ...] = ()
    """Files on its own storages that no guest of this host uses."""
    transfers: tuple[MigrationUuid, ...] = ()
    """Those out of here that live."""

    @property
    def answered(self) -> bool:
        """Was the hypervisor itself heard?"""
        return self.facts is not None


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found, worst first."""

    disagreements: tuple[Disagreement, ...] = ()
    silent: tuple[Evidence, ...] = ()
    """Hosts that did not answer, and why: what they have is not judged."""
    without_power: tuple[Evidence, ...] = ()
    """Hosts that are confirmed down, and by whom."""
    repairs: tuple[Repaired, ...] = ()
    """What was mended lately, whoever had asked for it; the last first."""
    servers: int = 0
    hosts: int = 0
    looked_at: str = ""
