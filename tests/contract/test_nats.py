"""What a real bus adds to what every transport promises: who is there, outages, who may what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from structlog.testing import capture_logs
from tests.contract.bus import Gathering, Party, gathering
from tests.contract.parrot import Answer, Ask, Parrot, repeat, scripted
from tests.nats_server import NatsServer, nats_server, needs_nats_server

from godwit.lab import certificates
from godwit.model.errors import BadRequest, Conflict, GodwitError, Refused, Unreachable
from godwit.model.ids import HostName
from godwit.model.reasons import Code
from godwit.rpc import bus_users
from godwit.rpc.address import CONDUCTORS, Address, agent_of
from godwit.rpc.keys import new_seed, public_key
from godwit.rpc.line import Delivery
from godwit.rpc.nats import NatsLine
from godwit.runtime.settings import BusSettings
from godwit.service.on_bus import refuse_second

pytestmark = needs_nats_server

A, B, INSIDE_A = HostName("host-a"), HostName("host-b"), HostName("host-a.rack-1")
PARROT = Address("parrot", "parrot")
AT_ONCE_S = 4.0
"""Less than anything is waited for on a bus, and enough for a busy machine."""
QUIET_S = 0.3
"""So long nothing is to be heard of what must not arrive."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as started:
        yield started


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def code_of(parrot: Parrot, ask: Ask | None = None) -> Code:
    """How a call failed that would wait for 5 s."""
    with pytest.raises(GodwitError) as caught:
        await parrot.take_its_time(ask or Ask())
    return caught.value.reason.code


async def with_a_parrot(here: Gathering, settings: BusSettings) -> tuple[Party, Parrot]:
    """An answerer, and a way to it from another process."""
    there = await here.join(settings, "parrot")
    await there.exchange.answer(Parrot, scripted(repeat), PARROT)
    return there, (await here.join(settings, "caller")).exchange.reach(Parrot, PARROT)


async def settled() -> None:
    """A connection is no longer new: that nobody listens is believed."""
    await asyncio.sleep(1.1)


def test_an_agent_that_is_not_there_or_has_gone_is_known_at_once(server: NatsServer) -> None:
    async def main() -> None:
        async with gathering() as here:
            there, parrot = await with_a_parrot(here, BusSettings(servers=(server.url,)))
            nobody = here.parties[1].exchange.reach(Parrot, agent_of(A))
            await settled()
            began_s = now_s()
            assert await code_of(nobody) is Code.AGENT_UNREACHABLE
            assert await parrot.take_its_time(Ask(("hello",))) == Answer(("hello",))
            await there.leave()
            await asyncio.sleep(QUIET_S)  # until the server has seen it
            assert await code_of(parrot) is Code.CONDUCTOR_UNREACHABLE
            assert now_s() - began_s < QUIET_S + AT_ONCE_S

    asyncio.run(main())


def test_of_two_that_answer_at_one_address_one_gets_each_message(server: NatsServer) -> None:
    heard: list[str] = []

    async def keep(ask: Ask) -> Answer:
        heard.extend(ask.words)
        return Answer()

    async def main() -> None:
        settings = BusSettings(servers=(server.url,))
        async with gathering() as here:
            parties = [await here.join(settings) for _ in range(2)]
            for party in parties:
                await party.exchange.answer(Parrot, scripted(keep), PARROT)
            parrot = parties[0].exchange.reach(Parrot, PARROT)
            await asyncio.gather(*[parrot.say(Ask((str(number),))) for number in range(50)])

    asyncio.run(main())
    assert sorted(heard, key=int) == [str(number) for number in range(50)]


def test_a_message_larger_than_the_bus_carries_is_said_to_be_so(server: NatsServer) -> None:
    async def main() -> None:
        async with gathering() as here:
            _, parrot = await with_a_parrot(here, BusSettings(servers=(server.url,)))
            began_s = now_s()
            assert await code_of(parrot, Ask(("x" * 2**21,))) is Code.MESSAGE_TOO_LARGE
            assert now_s() - began_s < AT_ONCE_S

    asyncio.run(main())


@pytest.mark.parametrize(("more", "warned"), [("", True), ("max_payload: 4MB\n", False)])
def test_who_joins_a_bus_that_carries_small_messages_only_is_told_so(
    tmp_path: Path, more: str, warned: bool
) -> None:
    async def main(server: NatsServer) -> None:
        async with gathering() as here:
            await here.join(BusSettings(servers=(server.url,)))

    with nats_server(tmp_path, more) as server, capture_logs() as lines:
        asyncio.run(main(server))
    assert any("max_payload" in line.get("advice", "") for line in lines) == warned


def test_all_come_back_by_themselves_after_the_bus_and_nothing_is_done_late(
    tmp_path: Path,
) -> None:
    heard: list[str] = []

    async def keep(ask: Ask) -> Answer:
        heard.extend(ask.words)
        return Answer(ask.words)

    async def main(server: NatsServer) -> None:
        settings = BusSettings(servers=(server.url,))
        async with gathering() as here:
            there = await here.join(settings)
            await there.exchange.answer(Parrot, scripted(keep), PARROT)
            parrot = (await here.join(settings)).exchange.reach(Parrot, PARROT)
            server.kill()
            await asyncio.sleep(QUIET_S)
            assert await code_of(parrot, Ask(("meanwhile",))) is Code.BUS_UNAVAILABLE
            server.start()
            began_s = now_s()
            assert await parrot.take_its_time(Ask(("after",))) == Answer(("after",))
            assert now_s() - began_s < 5

    with nats_server(tmp_path) as server:
        asyncio.run(main(server))
    assert heard == ["after"]


def test_a_client_that_goes_on_trying_to_connect_does_not_outlive_its_line() -> None:
    """As the real one does if a try fails at the very moment at which it is told to stop."""

    async def trying() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    async def main() -> bool:
        line = NatsLine(BusSettings(servers=("nats://127.0.0.1:1",)), name="somebody")
        async with asyncio.TaskGroup() as tasks:
            stubborn = tasks.create_task(trying())
            line._client._reconnection_task = stubborn
            line._client._status = Client.CLOSED
            await asyncio.sleep(0)
            await line.close()
            return stubborn.done()

    assert asyncio.run(main())


def test_a_connection_that_a_last_try_has_made_is_closed_with_its_line() -> None:
    """The client closes the one before, and then hears that it is to try no more."""

    async def main() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            gone.set()

        async with (
            await asyncio.start_server(serve, "127.0.0.1", 0) as server,
            asyncio.TaskGroup() as tasks,
        ):
            url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            line = NatsLine(BusSettings(servers=(url,)), name="somebody")

            async def trying() -> None:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    transport = TcpTransport()  # type: ignore[no-untyped-call]
                    line._client._transport = transport
                    await transport.connect(urlparse(url), 1000, 60)

            line._client._reconnection_task = tasks.create_task(trying())
            line._client._status = Client.CLOSED
            await asyncio.sleep(0)
            await line.close()
            async with asyncio.timeout(60):
                await gone.wait()

    asyncio.run(main())


# --- who may what ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secured:
    """A server with TLS and users, and the settings of each of them."""

    server: NatsServer
    folder: Path
    seeds: dict[str, str]

    def settings(self, name: str) -> BusSettings:
        """Of the agent of a host, of `conductors` or of `apis`."""
        path = self.folder / f"{name}.seed"
        path.write_text(self.seeds[name])
        ca = str(self.folder / "authority/cacert.pem")
        url = self.server.url.replace("nats:", "tls:")
        return BusSettings(servers=(url,), tls_ca=ca, credentials=str(path))

    def written(self, *, without: str = "") -> str:
        """The server's configuration; perhaps without one of the users."""
        keys = {name: public_key(seed) for name, seed in self.seeds.items() if name != without}
        users = [
            bus_users.of_host(HostName(name), key)
            for name, key in keys.items()
            if name.startswith("host")
        ]
        users += [bus_users.of_conductors(keys["conductors"]), bus_users.of_apis(keys["apis"])]
        pki = self.folder / "server"
        tls = f'tls {{ cert_file: "{pki}/clientcert.pem", key_file: "{pki}/clientkey.pem" }}\n'
        return tls + bus_users.server_part(users)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    authority = certificates.make_authority(tmp_path / "authority")
    certificates.issue(authority, tmp_path / "server", name="bus", alternatives=["IP:127.0.0.1"])
    seeds = {name: new_seed() for name in (A, B, INSIDE_A, "conductors", "apis")}
    made = Secured(NatsServer(tmp_path), tmp_path, seeds)
    made.server.write(made.written())
    made.server.start()
    yield made
    made.server.kill()


class Overheard:
    """What a party was delivered."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def take(self, delivery: Delivery) -> None:
        self.subjects.append(delivery.subject)


def test_an_agent_serves_and_reports_for_its_own_host_and_for_no_other(secured: Secured) -> None:
    stolen, reported = Overheard(), Overheard()

    async def main() -> None:
        async with gathering() as here:
            conductor = await here.join(secured.settings("conductors"), "conductor")
            api = await here.join(secured.settings("apis"), "api")
            thief = await here.join(secured.settings(A), "host-a")
            await conductor.line.listen("conductor.>", reported.take)
            await thief.exchange.answer(Parrot, scripted(repeat), agent_of(A))
            for subject in (
                *(f"{agent_of(name).subject}.*" for name in (B, INSIDE_A)),
                *("compute.>", "compute.*.*", "compute.host-a.>", "conductor.>", ">"),
                *("_INBOX.>", "_INBOX.*.*.*", f"_INBOX.{public_key(secured.seeds[B])}.>"),
            ):
                await thief.line.listen(subject, stolen.take)
            reach = conductor.exchange.reach
            assert await reach(Parrot, agent_of(A)).say(Ask(("own",))) == Answer(("own",))
            await settled()
            for host in (B, INSIDE_A):
                assert await code_of(reach(Parrot, agent_of(host))) is Code.AGENT_UNREACHABLE
            for subject in (
                *("conductor.report_host.host-b", "conductor.report_host.host-a:rack-1"),
                *("conductor.live_migrate_instance", "conductor.report_host", "compute.host-b.x"),
                *(f"{conductor.line.inbox}.1", f"{api.line.inbox}.1"),
            ):
                await thief.line.send(subject, b"forged", patience_s=1)
            await thief.line.send("conductor.report_host.host-a", b"own", patience_s=1)
            await asyncio.sleep(QUIET_S)

    asyncio.run(main())
    assert [subject for subject in stolen.subjects if "compute.host-a." not in subject] == []
    assert reported.subjects == ["conductor.report_host.host-a"]


def test_of_two_agents_that_begin_at_once_at_least_one_is_refused_and_one_alone_is_not(
    secured: Secured,
) -> None:
    """Neither has seen the other before it listened itself."""

    async def main() -> None:
        async with gathering() as here:
            twins = [await here.join(secured.settings(A), hears_itself=False) for _ in range(2)]
            for twin in twins:
                await refuse_second(twin.exchange, (A,))
            await twins[0].exchange.answer(Parrot, scripted(repeat), agent_of(A))
            began_s = now_s()
            await refuse_second(twins[0].exchange, (A,))
            assert now_s() - began_s < AT_ONCE_S
            await twins[1].exchange.answer(Parrot, scripted(repeat), agent_of(A))
            for twin in twins:
                with pytest.raises(Conflict) as caught:
                    await refuse_second(twin.exchange, (A,))
                assert caught.value.reason.code is Code.AGENT_ELSEWHERE

    asyncio.run(main())


def test_a_second_agent_of_a_host_is_refused_while_the_first_answers(secured: Secured) -> None:
    async def main() -> None:
        async with gathering() as here:
            first = await here.join(secured.settings(A))
            await refuse_second(first.exchange, (A,))
            await first.exchange.answer(Parrot, scripted(repeat), agent_of(A))
            second = await here.join(secured.settings(A))
            with pytest.raises(Conflict) as caught:
                await refuse_second(second.exchange, (A,))
            assert caught.value.reason.code is Code.AGENT_ELSEWHERE
            await first.exchange.stop_answering(within_s=1)
            began_s = now_s()
            await refuse_second(second.exchange, (A,))
            assert now_s() - began_s < AT_ONCE_S

    asyncio.run(main())


def test_an_api_asks_conductors_and_never_a_host(secured: Secured) -> None:
    at_host, at_conductor = Overheard(), Overheard()

    async def main() -> None:
        async with gathering() as here:
            conductor = await here.join(secured.settings("conductors"))
            await conductor.exchange.answer(Parrot, scripted(repeat), CONDUCTORS)
            agent = await here.join(secured.settings(A))
            await agent.line.listen("compute.host-a.*", at_host.take)
            api = await here.join(secured.settings("apis"))
            await api.line.listen("conductor.*", at_conductor.take)
            asked = api.exchange.reach(Parrot, CONDUCTORS)
            assert await asked.say(Ask(("move it",))) == Answer(("move it",))
            await api.line.send("compute.host-a.say", b"forged", patience_s=1)
            await asyncio.sleep(QUIET_S)

    asyncio.run(main())
    assert (at_host.subjects, at_conductor.subjects) == ([], [])


def test_large_answers_are_let_through_to_who_asked(secured: Secured) -> None:
    words = tuple(f"{number:01000}" for number in range(3_000))

    async def much(_ask: Ask) -> Answer:
        return Answer(words)

    async def main() -> Answer:
        async with gathering() as here:
            agent = await here.join(secured.settings(A))
            await agent.exchange.answer(Parrot, scripted(much), agent_of(A))
            conductor = await here.join(secured.settings("conductors"))
            return await conductor.exchange.reach(Parrot, agent_of(A)).take_its_time(Ask())

    assert asyncio.run(main()) == Answer(words)


def test_an_agent_that_was_shut_out_for_a_while_comes_back_by_itself(secured: Secured) -> None:
    async def main() -> None:
        async with gathering() as here:
            agent = await here.join(secured.settings(A), "host-a")
            await agent.exchange.answer(Parrot, scripted(repeat), agent_of(A))
            conductor = await here.join(secured.settings("conductors"), "conductor")
            asked = conductor.exchange.reach(Parrot, agent_of(A))
            await asked.say(Ask())
            secured.server.write(secured.written(without=A))
            secured.server.reload()
            await settled()
            assert await code_of(asked) is Code.AGENT_UNREACHABLE
            secured.server.write(secured.written())
            secured.server.reload()
            for _ in range(8):
                if not await _is_away(asked):
                    return
                await settled()
            pytest.fail("it did not come back")

    asyncio.run(main())


async def _is_away(parrot: Parrot) -> bool:
    try:
        await parrot.say(Ask())
    except Unreachable:
        return True
    return False


@pytest.mark.parametrize("wrong", ["another seed", "another authority", "no TLS at the server"])
def test_who_is_not_let_in_or_does_not_trust_the_server_is_told_so_at_once(
    secured: Secured, tmp_path: Path, server: NatsServer, wrong: str
) -> None:
    settings = secured.settings(A)
    if wrong == "another seed":
        Path(settings.credentials).write_text(new_seed())
    elif wrong == "another authority":
        certificates.make_authority(tmp_path / "other")
        settings = BusSettings(
            servers=settings.servers,
            tls_ca=str(tmp_path / "other/cacert.pem"),
            credentials=settings.credentials,
        )
    else:
        url = server.url.replace("nats:", "tls:")
        settings = BusSettings(
            servers=(url,), tls_ca=settings.tls_ca, credentials=settings.credentials
        )

    async def main() -> float:
        async with gathering() as here:
            began_s = now_s()
            with pytest.raises(Refused) as caught:
                await here.join(settings)
            assert caught.value.reason.code is Code.BUS_REFUSED
            return now_s() - began_s

    assert asyncio.run(main()) < 4 * AT_ONCE_S


class Impostor:
    """Somebody at the bus's address, without TLS, who hands out a letter to whoever comes."""

    INFO = b'INFO {"server_id":"i","headers":true,"max_payload":1000000,"nonce":"of my choice"}\r\n'
    LETTER = b"PONG\r\nMSG compute.host-a.say 1 6\r\nforged\r\n"

    def __init__(self) -> None:
        self.visits = asyncio.Queue[bytes]()
        """What each visitor had said when it left, or when it was answered."""

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.INFO)
        said = await reader.read(10_000)
        self.visits.put_nowait(said)
        if said:
            writer.write(self.LETTER)
            await reader.read(10_000)
        writer.close()

    async def two_visits(self) -> list[bytes]:
        async with asyncio.timeout(60):
            return [await self.visits.get() for _ in range(2)]


def test_who_comes_first_to_an_impostor_without_tls_tells_it_nothing(secured: Secured) -> None:
    impostor = Impostor()

    async def main() -> list[bytes]:
        door = await asyncio.start_server(impostor.receive, "127.0.0.1", 0)
        port = door.sockets[0].getsockname()[1]
        mine = secured.settings(A)
        settings = BusSettings(
            servers=(f"tls://127.0.0.1:{port}",), tls_ca=mine.tls_ca, credentials=mine.credentials
        )
        async with door, gathering() as here:
            with pytest.raises(Refused):
                await here.join(settings)
            async with asyncio.timeout(60):
                return [await impostor.visits.get()]

    assert asyncio.run(main()) == [b""]


def test_who_comes_back_to_an_impostor_without_tls_neither_tells_nor_takes(
    secured: Secured,
) -> None:
    impostor, delivered = Impostor(), Overheard()

    async def main() -> list[bytes]:
        async with gathering() as here:
            agent = await here.join(secured.settings(A))
            await agent.line.listen("compute.host-a.*", delivered.take)
            secured.server.kill()
            async with await asyncio.start_server(
                impostor.receive, "127.0.0.1", secured.server.port
            ):
                return await impostor.two_visits()

    assert asyncio.run(main()) == [b"", b""]
    assert delivered.subjects == []


@pytest.mark.parametrize("text", ["", "SUAB", "not a seed at all\n"])
def test_a_file_that_is_no_seed_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.seed"
    path.write_text(text)
    with pytest.raises(BadRequest, match=r"bus\.credentials"):
        NatsLine(BusSettings(servers=("nats://127.0.0.1:1",), credentials=str(path)), name="x")
