"""libvirt's errors as the rest of Godwit knows them. Made in `connection` alone, code and message
kept.

libvirt's trouble
├── LibvirtUnreachable  no answer: refused, timed out, or the connection broke
└── LibvirtError        libvirtd answered, with an error
"""

from typing import Final
from urllib.parse import urlsplit

from godwit.model.errors import HypervisorError, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.virt.libvirt.abi import FROM_RPC, Trouble

SOCKET_BROKE: Final = ("Error in the pull function", "Error in the push function")
"""In the words of GnuTLS."""


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


def is_certificate_problem(error: LibvirtError, destination_uri: str) -> bool:
    """Did one of the two libvirtds not believe the other's certificate?

    The domain alone does not say so: a refused connection, a cut and a libvirtd that was killed
    have the same one, with other numbers; and if that happens during the handshake, the same
    number, with the words of GnuTLS for a socket that broke.
    """
    over_tls = urlsplit(destination_uri).scheme.endswith("+tls")
    disbelief = (error.domain, error.number) == (FROM_RPC, Trouble.AUTH_FAILED)
    return over_tls and disbelief and not any(words in error.message for words in SOCKET_BROKE)
