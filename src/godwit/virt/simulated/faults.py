"""What can go wrong on simulated hosts, as data that a test sets on the fleet."""

from dataclasses import dataclass
from enum import StrEnum

from godwit.model.ids import HostName


class FaultKind(StrEnum):
    """What happens to one call to a host's hypervisor."""

    HANGS = "hangs"
    """No answer, and nothing is done."""
    FAILS = "fails"
    """An error, and nothing is done."""
    FAILS_AFTER_ACTING = "fails after acting"
    HANGS_AFTER_ACTING = "hangs after acting"
    """It is done, but the answer is lost."""
    UNREACHABLE = "unreachable"
    """Known at once to be out of reach; nothing is done."""


@dataclass(frozen=True)
class Fault:
    """The next `times` calls of `call` (a driver's method name) at `host` meet `kind`."""

    host: HostName
    call: str
    kind: FaultKind
    times: int = 1
    hang_s: float = 300.0
    """How long a call hangs before its driver gives up with `Unreachable`."""


class TransferFault(StrEnum):
    """What happens to the next transfer of one guest."""

    FAILS_MID_COPY = "fails mid-copy"
    HALF_LEFT_OVER = "fails mid-copy and leaves the destination's half behind"
    STALLS = "makes no progress after the middle, until it is aborted"
    GUEST_ENDS = "the guest shuts itself off mid-copy"
    SOURCE_TAKES_BACK = "the answer is lost at the switch: the source runs on, the other half waits"
    HANDED_OVER = "the source's job is gone after the switch, both halves are paused"
    HANDED_OVER_UNFINISHED = "as handed over, but the destination never finished receiving"
    HANDED_OVER_TO_NOBODY = "as handed over, but the destination's half is gone"
    REPLY_LOST = "everything happened, and the call returns an error"
