"""What is known to be wrong with a host's TLS is refused; whatever is not known is left to libvirt.

The handshakes are real: certificates made by openssl, and a server on loopback that greets as
libvirtd does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import datetime
from pathlib import Path

import pytest

from godwit.lab.certificates import Authority, expire, issue, make_authority
from godwit.model.ids import HostName
from godwit.model.reasons import Code
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.libvirt.handshake import ACCEPTED, OwnListener, handshake, readable
from godwit.virt.libvirt.tls import (
    MISTRUST,
    NOT_ACCEPTED,
    STRANGE,
    Credentials,
    Handshake,
    Listener,
    listener_of,
    names_of,
    places_of_credentials,
    problem_of_certificate,
    problem_of_peer,
    stands_for,
)

HERE = "127.0.0.1"
ELSEWHERE = "127.0.0.2"


class Pki:
    """A CA, a stranger's CA, a client's certificate and one for a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ours = make_authority(folder / "ours")
        self.strangers = make_authority(folder / "strangers")
        issue(self.ours, folder / "client", name="control-plane", alternatives=[])
        self.client = self.credentials("client")

    def credentials(self, name: str) -> Credentials:
        (found,) = places_of_credentials(f"qemu+tls://h/system?pkipath={self.folder / name}", None)
        return found

    def server(self, by: Authority, address: str = HERE) -> Credentials:
        issue(by, self.folder / "server", name="host-b", alternatives=[f"IP:{address}"])
        return self.credentials("server")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def server_context(shown: Credentials) -> ssl.SSLContext:
    """Of a server that shows this certificate and wants one of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(shown.authority)
    context.load_cert_chain(shown.certificate, shown.key)
    return context


def what_is_seen(shown: Credentials, client: Credentials, *, greeting: bytes = ACCEPTED) -> str:
    """What a handshake with a server that shows this certificate is judged to be."""
    context = server_context(shown)

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async def seen() -> str:
        async with await asyncio.start_server(greet, HERE, 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            listener = Listener(HERE, port)
            return problem_of_peer(listener, await handshake(listener, client), ours_counts=True)

    return asyncio.run(seen())


def test_a_certificate_of_the_same_ca_for_this_address_is_believed(pki: Pki) -> None:
    assert what_is_seen(pki.server(pki.ours), pki.client) == ""


def test_a_certificate_of_another_ca_of_the_same_name_is_not_believed(pki: Pki) -> None:
    assert what_is_seen(pki.server(pki.strangers), pki.client) == STRANGE


def test_a_certificate_for_another_address_is_not_believed(pki: Pki) -> None:
    problem = what_is_seen(pki.server(pki.ours, ELSEWHERE), pki.client)
    assert problem == f"its certificate is made out to host-b, {ELSEWHERE}, not to {HERE}"


@pytest.mark.parametrize(("day", "number"), [("2020-01-02", 10), ("2120-01-02", 9)])
def test_a_certificate_is_not_believed_before_and_after_its_time(
    pki: Pki, day: str, number: int
) -> None:
    server = pki.server(pki.ours)
    expire(pki.ours, server.certificate.parent, at=datetime.fromisoformat(f"{day}T00:00:00Z"))
    assert what_is_seen(server, pki.client) == MISTRUST[number]


def test_a_certificate_that_replaces_another_in_place_is_shown_from_then_on(pki: Pki) -> None:
    issue(pki.strangers, pki.folder / "own", name="control-plane", alternatives=[])
    own = pki.credentials("own")
    server = pki.server(pki.ours)
    assert what_is_seen(server, own) == STRANGE
    issue(pki.ours, pki.folder / "own", name="control-plane", alternatives=[])
    assert what_is_seen(server, own) == ""


def test_a_client_certificate_that_the_host_does_not_accept_is_noticed(pki: Pki) -> None:
    issue(pki.strangers, pki.folder / "other", name="control-plane", alternatives=[])
    other = pki.credentials("other")
    trusting = Credentials(pki.client.authority, other.certificate, other.key)
    assert what_is_seen(pki.server(pki.ours), trusting) == NOT_ACCEPTED
    assert what_is_seen(pki.server(pki.ours), pki.client, greeting=b"") == NOT_ACCEPTED


def test_a_listener_out_of_reach_or_without_tls_is_left_to_libvirt(pki: Pki) -> None:
    async def seen() -> list[Handshake]:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"not TLS at all\n")
            writer.close()

        async with await asyncio.start_server(hang_up, HERE, 0) as server:
            port = server.sockets[0].getsockname()[1]
            no_tls = await handshake(Listener(HERE, port), pki.client)
        return [no_tls, await handshake(Listener(HERE, port), pki.client)]

    assert asyncio.run(seen()) == [Handshake(), Handshake()]


@pytest.mark.parametrize("ways", [("qemu+tls", True), ("qemu+ssh", False)])
def test_a_host_refuses_as_destination_what_it_would_not_refuse_as_source(
    pki: Pki, ways: tuple[str, bool]
) -> None:
    """Its address is looked for only where guests arrive; Godwit's own certificate counts only
    where Godwit needs it.
    """
    scheme, ours_counts = ways
    good = pki.server(pki.ours)
    context = server_context(good)

    async def seen(greeting: bytes, host: str) -> tuple[list[Code], list[Code]]:
        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            writer.close()

        async with await asyncio.start_server(greet, host, 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            settings = LibvirtHostSettings(
                uri=f"{scheme}://x/system?pkipath={pki.folder / 'client'}",
                peer_uri=f"qemu+tls://{host}:{port}/system",
            )
            listener = OwnListener(HostName("host-b"), settings)
            there = await listener.refusals_as_destination()
            here = await listener.refusals_as_source("qemu+tls://other/system")
            assert await listener.refusals_as_source("qemu+ssh://other/system") == ()
        return [why.code for why in there], [why.code for why in here]

    assert asyncio.run(seen(ACCEPTED, HERE)) == ([], [])
    assert asyncio.run(seen(ACCEPTED, ELSEWHERE)) == ([Code.TLS_UNUSABLE], [])
    not_accepted = [Code.TLS_UNUSABLE] if ours_counts else []
    assert asyncio.run(seen(b"", HERE)) == (not_accepted, [])


def test_a_silent_address_is_left_alone_for_a_while(pki: Pki) -> None:
    async def seen() -> list[int]:
        arrived: list[int] = []
        hung_up = asyncio.Event()

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.append(1)
            with contextlib.suppress(OSError):
                while await reader.read(4096):
                    pass
            writer.transport.abort()
            hung_up.set()

        async with await asyncio.start_server(swallow, HERE, 0) as server:
            port = server.sockets[0].getsockname()[1]
            settings = LibvirtHostSettings(
                uri=f"qemu+tls://x/system?pkipath={pki.folder / 'client'}",
                peer_uri=f"qemu+tls://{HERE}:{port}/system",
            )
            listener = OwnListener(HostName("host-b"), settings, timeout_s=0.05)
            for _ in range(3):
                assert await listener.refusals_as_destination() == ()
            await asyncio.wait_for(hung_up.wait(), 5.0)
        return arrived

    assert asyncio.run(seen()) == [1]


@pytest.mark.slow
def test_an_address_that_has_answered_before_is_asked_again_after_a_silence(pki: Pki) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        writer.close()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        writer.transport.abort()

    async def seen() -> list[list[Code]]:
        port = 0
        said: list[list[Code]] = []
        listener: OwnListener | None = None
        ours, strange = (server_context(pki.server(ca)) for ca in (pki.ours, pki.strangers))
        for context in (ours, None, strange):
            answers = swallow if context is None else greet
            async with await asyncio.start_server(answers, HERE, port, ssl=context) as server:
                port = server.sockets[0].getsockname()[1]
                settings = LibvirtHostSettings(
                    uri=f"qemu+tls://x/system?pkipath={pki.folder / 'client'}",
                    peer_uri=f"qemu+tls://{HERE}:{port}/system",
                )
                listener = listener or OwnListener(
                    HostName("host-b"), settings, timeout_s=1.0, trusted_for_s=0.0
                )
                said.append([why.code for why in await listener.refusals_as_destination()])
        return said

    assert asyncio.run(seen()) == [[], [], [Code.TLS_UNUSABLE]]


@pytest.mark.parametrize(
    ("trusted_for_s", "greeting", "handshakes"),
    [(60.0, ACCEPTED, 1), (0.0, ACCEPTED, 3), (60.0, b"", 3)],
)
def test_a_good_handshake_counts_for_a_moment_and_a_bad_one_for_nobody_later(
    pki: Pki, trusted_for_s: float, greeting: bytes, handshakes: int
) -> None:
    async def seen() -> int:
        greeted = 0

        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal greeted
            greeted += 1
            writer.write(greeting)
            writer.close()

        context = server_context(pki.server(pki.ours))
        async with await asyncio.start_server(greet, HERE, 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            settings = LibvirtHostSettings(
                uri=f"qemu+tls://x/system?pkipath={pki.folder / 'client'}",
                peer_uri=f"qemu+tls://{HERE}:{port}/system",
            )
            listener = OwnListener(HostName("host-b"), settings, trusted_for_s=trusted_for_s)
            for _ in range(3):
                assert bool(await listener.refusals_as_destination()) == (greeting != ACCEPTED)
        return greeted

    assert asyncio.run(seen()) == handshakes


def test_credentials_that_cannot_be_used_judge_nobody(pki: Pki) -> None:
    broken = Credentials(pki.client.authority, pki.client.certificate, pki.client.authority)
    assert asyncio.run(handshake(Listener(HERE, 1), broken)) == Handshake()
    nowhere = Credentials(pki.folder / "no", pki.folder / "no", pki.folder / "no")
    assert readable([nowhere, pki.client]) == pki.client
    assert readable([nowhere]) is None


def test_what_others_find_in_our_own_certificate_counts_only_where_we_need_it() -> None:
    listener, seen = Listener("h", 1), Handshake(names=("h",), accepted=False)
    assert problem_of_peer(listener, seen, ours_counts=True) == NOT_ACCEPTED
    assert problem_of_peer(listener, seen, ours_counts=False) == ""
    assert problem_of_peer(listener, Handshake(names=("h",)), ours_counts=True) == ""


@pytest.mark.parametrize("number", [62, 66, 26, 1])
def test_what_openssl_alone_dislikes_is_left_to_libvirt(number: int) -> None:
    assert problem_of_certificate(Handshake(mistrust=number)) == ""


@pytest.mark.parametrize(
    ("uri", "leads_to"),
    [
        ("qemu+tls://10.0.0.1/system", "10.0.0.1:16514"),
        ("qemu+tls://host-b:1234/system", "host-b:1234"),
        ("qemu+tls://[fd00::1]/system", "[fd00::1]:16514"),
        ("qemu://host-b/system", "host-b:16514"),
        ("qemu:///system", ""),
        ("qemu+ssh://host-b/system", ""),
        ("qemu+tcp://host-b/system", ""),
        ("qemu+tls://host-b/system?no_verify=1", ""),
        ("", ""),
    ],
)
def test_only_an_address_that_libvirt_reaches_by_tls_is_looked_at(uri: str, leads_to: str) -> None:
    listener = listener_of(uri)
    assert (listener.address if listener else "") == leads_to


def test_certificates_are_looked_for_where_libvirt_looks() -> None:
    def authorities(uri: str, home: Path | None) -> list[str]:
        return [str(place.authority) for place in places_of_credentials(uri, home)]

    named, plain = "qemu+tls://h/system?pkipath=/etc/godwit/pki", "qemu+tls://h/system"
    assert authorities(named, Path("/home/u")) == ["/etc/godwit/pki/cacert.pem"]
    assert authorities(plain, None) == ["/etc/pki/CA/cacert.pem"]
    assert authorities(plain, Path("/home/u")) == [
        "/home/u/.pki/libvirt/cacert.pem",
        "/etc/pki/CA/cacert.pem",
    ]


@pytest.mark.parametrize(
    ("names", "host", "fits"),
    [
        (("host-b",), "host-b", True),
        (("Host-B",), "host-b", True),
        (("10.0.0.1",), "10.0.0.1", True),
        (("10.0.0.1",), "10.0.0.10", False),
        (("*.example.org",), "b.example.org", True),
        (("*.example.org",), "a.b.example.org", False),
        (("*.example.org",), "example.org", False),
        ((), "host-b", False),
    ],
)
def test_a_name_stands_for_itself_and_a_star_for_one_part(
    names: tuple[str, ...], host: str, *, fits: bool
) -> None:
    assert stands_for(names, host) is fits


def test_a_common_name_counts_only_where_there_is_no_other() -> None:
    subject = ((("organizationName", "o"),), (("commonName", "cn"),))
    assert names_of({"subject": subject}) == ("cn",)
    assert names_of({"subject": subject, "subjectAltName": (("DNS", "san"),)}) == ("san",)
    assert names_of({}) == ()
