"""Would libvirt's TLS hold between two hosts? Pure: what a handshake showed comes in, what is wrong
with it comes out. `handshake` looks, `driver` asks.

Only what libvirt is known to refuse counts as wrong; whatever else looks odd is left to libvirt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

TLS_PORT: Final = 16514
SYSTEM_PKI: Final = Path("/etc/pki")

STRANGE: Final = "its certificate was not issued by the CA that Godwit trusts"
MISTRUST: Final[Mapping[int, str]] = {
    **dict.fromkeys((2, 7, 18, 19, 20, 21), STRANGE),
    9: "its certificate is not valid yet",
    10: "its certificate, or that of its CA, has expired",
}
"""By the number of OpenSSL's X509_V_ERR_...; GnuTLS, which libvirt uses, refuses all of these."""
NOT_ACCEPTED: Final = "it does not accept Godwit's own certificate"


@dataclass(frozen=True)
class Listener:
    """Where a libvirtd answers over TLS."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """As a person writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Credentials:
    """The files that libvirt's client shows and trusts."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Handshake:
    """What came of one. All at their defaults: nothing is known, for the listener was not reached
    or did not behave like one.
    """

    mistrust: int = 0
    """Why its certificate is not believed, by OpenSSL's number; 0 if it is."""
    names: tuple[str, ...] = ()
    """Names and addresses its certificate is made out to."""
    accepted: bool | None = None
    """Does it accept our certificate? None if it did not say."""


def listener_of(uri: str) -> Listener | None:
    """Where a libvirt URI leads over TLS; None if it does not, or waives what a check would find.

    TLS is what libvirt takes for a URI that names a host and no transport.
    """
    parts = urlsplit(uri)
    if not parts.hostname or parts.scheme.partition("+")[2] not in ("", "tls"):
        return None
    if parse_qs(parts.query).get("no_verify", ["0"])[-1] != "0":
        return None
    return Listener(parts.hostname, parts.port or TLS_PORT)


def places_of_credentials(uri: str, home: Path | None) -> tuple[Credentials, ...]:
    """Where libvirt's client looks, the first place first: `pkipath` if the URI has one, else the
    user's own (`home`; None for root), then the system's.
    """
    folder = parse_qs(urlsplit(uri).query).get("pkipath")
    if folder:
        return (_all_in(Path(folder[-1])),)
    system = Credentials(
        SYSTEM_PKI / "CA/cacert.pem",
        SYSTEM_PKI / "libvirt/clientcert.pem",
        SYSTEM_PKI / "libvirt/private/clientkey.pem",
    )
    return (system,) if home is None else (_all_in(home / ".pki/libvirt"), system)


def problem_of_peer(listener: Listener, seen: Handshake, *, ours_counts: bool) -> str:
    """Why another host could not migrate to this listener; empty if nothing is known against it.

    `ours_counts`: Godwit itself reaches the host over TLS, so that its certificate must do.
    """
    if seen.mistrust:
        return problem_of_certificate(seen)
    if seen.names and not stands_for(seen.names, listener.host):
        return f"its certificate is made out to {', '.join(seen.names)}, not to {listener.host}"
    return NOT_ACCEPTED if ours_counts and seen.accepted is False else ""


def problem_of_certificate(seen: Handshake) -> str:
    """Why no host would believe this certificate; empty if nothing is known against it."""
    return MISTRUST.get(seen.mistrust, "")


def names_of(certificate: Mapping[str, object]) -> tuple[str, ...]:
    """What a certificate, as `ssl` describes it, is made out to. Its common name counts only if it
    names nothing else, as for GnuTLS.
    """
    alternatives = _pairs(certificate.get("subjectAltName"))
    names = tuple(name for kind, name in alternatives if kind in ("DNS", "IP Address"))
    subject = certificate.get("subject")
    parts = subject if isinstance(subject, tuple) else ()
    return names or tuple(
        name for part in parts for kind, name in _pairs(part) if kind == "commonName"
    )


def stands_for(names: Sequence[str], host: str) -> bool:
    """Is one of these the host's name or address? `*` stands for the first part of a name."""
    wanted = host.casefold()
    return any(_matches(name.casefold(), wanted) for name in names)


def _matches(name: str, wanted: str) -> bool:
    if name.startswith("*."):
        return name.count(".") == wanted.count(".") and fnmatchcase(wanted, name)
    return name == wanted


def _all_in(folder: Path) -> Credentials:
    return Credentials(folder / "cacert.pem", folder / "clientcert.pem", folder / "clientkey.pem")


def _pairs(value: object) -> list[tuple[str, str]]:
    found = value if isinstance(value, tuple) else ()
    return [(str(pair[0]), str(pair[1])) for pair in found if isinstance(pair, tuple)]
