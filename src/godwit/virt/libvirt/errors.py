"""libvirt's errors as the rest of Godwit knows them. Made in `connection` alone, code and message
kept.

libvirt's trouble
├── LibvirtUnreachable  no answer: refused, timed out, or the connection broke
└── LibvirtError        libvirtd answered, with an error
"""

from godwit.model.errors import HypervisorError, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason


class LibvirtUnreachable(Unreachable):
    """No answer from the host's libvirtd. Says nothing about whether the act happened."""

    def __init__(self, host: HostName, problem: str) -> None:
        words = f"{host} does not answer: {problem}"
        super().__init__(reason(Code.HYPERVISOR_UNAVAILABLE, host=host, problem=words))


class LibvirtError(HypervisorError):
    """libvirtd answered with an error. `number` is virErrorNumber, `domain` virErrorDomain."""

    def __init__(
        self, host: HostName, doing: str, *, number: int, domain: int, message: str
    ) -> None:
        problem = f"{message} (libvirt error {number})"
        super().__init__(reason(Code.HYPERVISOR_ERROR, host=host, doing=doing, problem=problem))
        self.number = number
        self.domain = domain
        self.message = message
