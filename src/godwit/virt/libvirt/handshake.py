"""The TLS handshake with a host's libvirtd, as another host's libvirt would make it: the checks'
only door to TLS, used by `driver`. Changes nothing; `tls` judges what it shows.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from godwit.model.errors import GodwitError
from godwit.model.ids import HostName
from godwit.model.reasons import Code, Reason, reason
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.libvirt.addresses import peer_uri
from godwit.virt.libvirt.shared_look import SharedLook
from godwit.virt.libvirt.tls import (
    Credentials,
    Handshake,
    Listener,
    listener_of,
    names_of,
    places_of_credentials,
    problem_of_certificate,
    problem_of_peer,
)

T = TypeVar("T")

TIMEOUT_S: Final = 2.0
SILENT_FOR_S: Final = 300.0
"""An address that has swallowed all it was sent is left alone for so long: each look would wait
again. It may be one that only the hosts reach. One that has answered before will answer again."""
TRUSTED_FOR_S: Final = 1.0
"""A handshake that shows nothing wrong counts for so long: it takes the event loop and libvirtd as
much as all else that a check asks of them, and guests that leave a host together are checked
together. Whatever a check has missed the hosts' own handshake finds, before anything is sent."""
CONTEXTS_MAX: Final = 8
ACCEPTED: Final = b"\x01"
"""libvirtd's first byte to a client whose certificate it accepts; to others it says nothing."""


class OwnListener:
    """One host's listener, seen as the other hosts' libvirts see it. For one event loop."""

    def __init__(
        self,
        host: HostName,
        settings: LibvirtHostSettings,
        *,
        timeout_s: float = TIMEOUT_S,
        trusted_for_s: float = TRUSTED_FOR_S,
    ) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._trusted_for_s = trusted_for_s
        self._listener = listener_of(peer_uri(settings))
        self._places = places_of_credentials(settings.uri, own_home())
        self._we_use_it = listener_of(settings.uri) is not None
        self._has_answered = False
        self._silent_until_s = 0.0
        self._trusted: Handshake | None = None
        self._trusted_until_s = 0.0
        self._seen = SharedLook(self._look)

    async def refusals_as_destination(self) -> tuple[Reason, ...]:
        """Why another host could not send a guest here: certificate, address, acceptance."""
        if self._listener is None:
            return ()
        seen = await self._lately()
        problem = problem_of_peer(self._listener, seen, ours_counts=self._we_use_it)
        return self._refusal(self._listener, problem)

    async def refusals_as_source(self, destination_uri: str) -> tuple[Reason, ...]:
        """Why the destination would not believe this host, if they talk over TLS.

        What a host shows as a client is normally what it shows as a server, apart from the address.
        """
        if self._listener is None or listener_of(destination_uri) is None:
            return ()
        problem = problem_of_certificate(await self._lately())
        return self._refusal(self._listener, problem)

    async def _lately(self) -> Handshake:
        """What was trusted a moment ago, or what a handshake shows that begins now."""
        if self._trusted is not None and _now_s() < self._trusted_until_s:
            return self._trusted
        return await self._seen.now()

    async def _look(self) -> Handshake:
        credentials = readable(self._places)
        began_s = _now_s()
        if self._listener is None or credentials is None or began_s < self._silent_until_s:
            return Handshake()
        seen = await handshake(self._listener, credentials, timeout_s=self._timeout_s)
        self._has_answered |= seen != Handshake()
        if not self._has_answered and _now_s() - began_s >= self._timeout_s:
            self._silent_until_s = _now_s() + SILENT_FOR_S
        is_trusted = seen.accepted and not problem_of_peer(self._listener, seen, ours_counts=True)
        self._trusted = seen if is_trusted else None
        self._trusted_until_s = began_s + self._trusted_for_s
        return seen

    def _refusal(self, listener: Listener, problem: str) -> tuple[Reason, ...]:
        if not problem:
            return ()
        words = f"at {listener.address} {problem}"
        return (reason(Code.TLS_UNUSABLE, host=self._host, problem=words),)


async def beside(
    trust: Coroutine[Any, Any, tuple[Reason, ...]], look: Coroutine[Any, Any, T]
) -> tuple[tuple[Reason, ...], Callable[[], T]]:
    """Both at once, so that trust costs no time: what speaks against the host's TLS, and a way to
    what `look` found or raised. Untrusted, a host may be out of reach for that reason alone.
    """
    async with asyncio.TaskGroup() as group:
        trusting = group.create_task(trust, name="TLS handshake")
        looking = group.create_task(_outcome(look), name="look beside a TLS handshake")
    return trusting.result(), looking.result()


async def handshake(
    listener: Listener, credentials: Credentials, *, timeout_s: float = TIMEOUT_S
) -> Handshake:
    """What one handshake shows; bounded. An address out of reach shows nothing: it may be one that
    only the hosts reach.
    """
    try:
        context = _context(credentials)
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                listener.host, listener.port, ssl=context
            )
            try:
                names = names_of(writer.get_extra_info("peercert") or {})
                return Handshake(names=names, accepted=await _is_accepted(reader))
            finally:
                writer.transport.abort()
    except ssl.SSLCertVerificationError as error:
        return Handshake(mistrust=error.verify_code)
    except (OSError, TimeoutError):
        return Handshake()


def readable(places: Sequence[Credentials]) -> Credentials | None:
    """The first place with all its files; None where Godwit has no certificate to show."""
    return next((place for place in places if _can_be_read(place)), None)


def own_home() -> Path | None:
    """The folder in which libvirt looks for a user's own certificate; None for root."""
    return None if os.geteuid() == 0 else Path.home()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _outcome(look: Coroutine[Any, Any, T]) -> Callable[[], T]:
    try:
        found = await look
    except GodwitError as error:
        trouble = error

        def fail() -> T:
            raise trouble

        return fail
    return lambda: found


async def _is_accepted(reader: asyncio.StreamReader) -> bool | None:
    try:
        async with asyncio.timeout(TIMEOUT_S / 2):
            return await reader.read(1) == ACCEPTED
    except TimeoutError:
        return None
    except OSError:
        return False


def _context(credentials: Credentials) -> ssl.SSLContext:
    """Raises `ssl.SSLError` or `OSError` if the files are not what they should be. Reading them
    takes the event loop as long as half a handshake: that is done when they have changed.
    """
    files = (credentials.authority, credentials.certificate, credentials.key)
    looks = [file.stat() for file in files]
    return _read(credentials, tuple((at.st_ino, at.st_mtime_ns, at.st_size) for at in looks))


@lru_cache(CONTEXTS_MAX)
def _read(credentials: Credentials, _as_of: tuple[tuple[int, int, int], ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The name is judged apart: GnuTLS accepts an address written as a name, `ssl` does not.
    context.check_hostname = False
    # As for GnuTLS, whatever is in the CA file is trusted, also if somebody else has signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(credentials.authority)
    context.load_cert_chain(credentials.certificate, credentials.key)
    return context


def _can_be_read(place: Credentials) -> bool:
    with contextlib.suppress(OSError):
        return all(
            os.access(file, os.R_OK) for file in (place.authority, place.certificate, place.key)
        )
    return False
