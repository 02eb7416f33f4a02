"""Who answers where on a bus: the subjects of agents and conductors. `exchange` sends there, and
`bus_users` says who may.
"""

from dataclasses import dataclass
from typing import Any, Final

from godwit.model.ids import HostName
from godwit.model.reasons import Code, Reason, reason
from godwit.rpc.contract import Call, calls_of

DOT: Final = ":"
"""Stands for a dot in the name of a host; no name has it."""
INBOXES: Final = "_INBOX."
"""Replies go below here and nowhere else."""
GROUP: Final = "answering"
"""Of several processes that answer at one address, one gets each message."""

ANYBODY: Final = "anybody"
"""No call: whoever answers at an address says so to this one, too."""


@dataclass(frozen=True)
class Address:
    """Where somebody answers: every call has a subject below `subject`."""

    subject: str
    who: str
    host: HostName | None = None
    """Of an agent."""

    def subject_of(self, call: Call, message: Any) -> str:
        """Where this message is sent to. One that its sender speaks for has the sender in it, so
        that the bus can see to it that nobody speaks for another.
        """
        if not call.remote.by:
            return f"{self.subject}.{call.name}"
        return f"{self.subject}.{call.name}.{one_word(getattr(message, call.remote.by))}"

    def subjects(self, protocol: type) -> tuple[str, ...]:
        """Where whoever answers `protocol` here must listen, for calls unknown here, too."""
        by_sender = [call.name for call in calls_of(protocol).values() if call.remote.by]
        return (f"{self.subject}.*", *(f"{self.subject}.{name}.*" for name in by_sender))

    def call_and_sender(self, subject: str) -> tuple[str, str]:
        """The call's name and its sender, or "", from a subject of this address."""
        name, _, sender = subject.removeprefix(f"{self.subject}.").partition(".")
        return name, sender.replace(DOT, ".")

    def unheard(self) -> Reason:
        """What is to be said if nobody listens there."""
        if self.host is not None:
            return reason(Code.AGENT_UNREACHABLE, host=self.host)
        return reason(Code.CONDUCTOR_UNREACHABLE)


def agent_of(host: HostName) -> Address:
    """The compute manager of that host."""
    return Address(f"compute.{one_word(host)}", host, host)


def one_word(host: str) -> str:
    """A host's name as one word of a subject. With a dot it would be two, and a host named a could
    hear what is for a.b: a server that allows it `compute.a.*` lets it listen at `compute.a.>`.
    """
    return host.replace(".", DOT)


CONDUCTORS: Final = Address("conductor", "conductor")
"""Any of them."""
