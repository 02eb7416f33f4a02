"""The line of a real bus: NATS. The only module that imports its client.

The client's own ways that would do harm are set aside: it keeps no letter for a server that is
away, tries for ever to come back, and what it would only tell its error callback is logged.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from godwit.model.errors import BadRequest, Refused
from godwit.model.reasons import Code, reason
from godwit.rpc.address import INBOXES
from godwit.rpc.keys import public_key
from godwit.rpc.line import Delivery, Down, Take, TooLarge
from godwit.runtime.ids import new_uuid
from godwit.runtime.settings import BusSettings

RECONNECT_WAIT_S: Final = 0.2
CONNECT_TIMEOUT_S: Final = 5
PING_INTERVAL_S: Final = 5
PINGS_MAX: Final = 2
"""So many unanswered, and the connection counts as broken."""
FLUSH_S: Final = 5
RENEW_PAUSE_S: Final = 1.0
CLOSE_S: Final = 3.0
END_TRIES: Final = 50
END_PAUSE_S: Final = 0.03
"""Not in step with `RECONNECT_WAIT_S`."""
NOBODY_THERE: Final = "503"
PAYLOAD_MIN: Final = 4 * 1000 * 1000
"""What docs/operating/deploy.md sets: a report is one message, however many guests a host has."""

log = structlog.get_logger()


class _WaryClient(Client):
    """Where TLS is wanted, the client as it comes goes on without if a server asks for none."""

    def _connect_command(self) -> bytes:
        """The first that is said to a server, signed by this process. Nothing that the server says
        is acted on before. Raises instead, at a first connection and at any other.
        """
        if self.options.get("tls") is not None and not self._server_info.get("tls_required"):
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            raise nats.errors.SecureConnRequiredError
        return super()._connect_command()


class NatsLine:
    """A connection to the servers of [bus]. `connect` first, `keep` beside all else."""

    def __init__(self, settings: BusSettings, *, name: str, hears_itself: bool = True) -> None:
        """`name` is what the server's operator sees; `hears_itself`: what it sends may come to
        itself. Raises `BadRequest` for files of the settings that cannot be used.
        """
        self._settings = settings
        self._hears_itself = hears_itself
        self._name = name
        self._seed = _seed(settings)
        self._trust = _trust(settings)
        mine = f"{public_key(self._seed)}." if self._seed else ""
        self.inbox = f"{INBOXES}{mine}{new_uuid()}"
        self._client: Client = _WaryClient()
        self._listening: dict[tuple[str, str], Take] = {}
        """By subject and group."""
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._up_since_s = 0.0
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing = False
        self._refused: asyncio.Future[NoReturn] | None = None
        """While the first connection is being made."""
        self._last_problem = ""
        self._told: Callable[[], None] | None = None

    @property
    def up_since_s(self) -> float:
        """See `Line`."""
        return self._up_since_s

    def on_return(self, told: Callable[[], None]) -> None:
        """See `Line`."""
        self._told = told

    # --- the connection ---------------------------------------------------------------------------

    async def connect(self) -> None:
        """Wait until a server lets us in, however long that takes. Raises `Refused` (bus-refused)
        if one does not, or is not to be trusted.
        """
        self._refused = refused = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(self._connect(), name="connect to the bus")
            await asyncio.wait((connecting, refused), return_when=asyncio.FIRST_COMPLETED)
            connecting.cancel()
        self._refused = None
        if refused.done():
            await self.close()
            refused.result()

    async def keep(self) -> None:
        """Make the connection anew whenever the client has given it up. Runs for ever."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            await asyncio.sleep(RENEW_PAUSE_S)
            self._client = _WaryClient()
            await self._connect()

    async def close(self) -> None:
        """Send what is still to be sent and go, soon."""
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()
        except (TimeoutError, nats.errors.Error, OSError) as error:
            log.warning("bus connection not closed in order", problem=_words(error))
        await self._end_reconnecting()
        if self._client._transport is not None:  # A last try may have made another connection.
            self._client._transport.close()  # type: ignore[no-untyped-call]

    async def _end_reconnecting(self) -> None:
        """The client loses its own request to stop if a try to connect fails at that very moment,
        and tries on for ever: the process would not end.
        """
        trying = self._client._reconnection_task
        for _ in range(END_TRIES):
            if trying is None or trying.done():
                return
            trying.cancel()
            await asyncio.wait((trying,), timeout=END_PAUSE_S)
        log.error("the client of the bus goes on trying to connect", name=self._name)

    async def _connect(self) -> None:
        await self._client.connect(
            list(self._settings.servers),
            name=self._name,
            tls=self._trust,
            nkeys_seed_str=self._seed or None,
            no_echo=not self._hears_itself,
            pending_size=0,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # fractions will do
            connect_timeout=CONNECT_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=PINGS_MAX,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
        )
        await self._on_connected()
        for (subject, group), take in list(self._listening.items()):
            await self._subscribe(subject, take, group)

    async def _on_connected(self) -> None:
        if self._up_since_s and self._told is not None:
            self._told()
        self._up_since_s = asyncio.get_running_loop().time()
        self._last_problem = ""
        self._up.set()
        log.info("bus connected", name=self._name)
        if self._client.max_payload < PAYLOAD_MIN:
            carries = self._client.max_payload
            advice = "set max_payload of the NATS server to 4MB, or hosts of many guests go unheard"
            log.warning("the bus carries small messages only", bytes_max=carries, advice=advice)

    async def _on_disconnected(self) -> None:
        if not self._closing:
            log.warning("bus connection lost", name=self._name)

    async def _on_closed(self) -> None:
        if not self._closing:
            log.error("bus connection closed", name=self._name)
            self._lost.set()

    async def _on_error(self, error: Exception) -> None:
        """A right that we lack is heard of here alone."""
        problem = _words(error)
        if self._refused is not None and not self._refused.done() and _is_refusal(error):
            servers = ", ".join(self._settings.servers)
            said = reason(Code.BUS_REFUSED, servers=servers, problem=problem)
            self._refused.set_exception(Refused(said))
        if problem != self._last_problem:
            self._last_problem = problem
            log.warning("trouble with the bus", name=self._name, problem=problem)

    # --- letters ----------------------------------------------------------------------------------

    async def send(
        self, subject: str, data: bytes, *, reply_to: str = "", patience_s: float
    ) -> None:
        """See `Line`."""
        if not self._client.is_connected:
            await self._wait_until_up(patience_s)
        try:
            await self._client.publish(subject, data, reply=reply_to)
        except nats.errors.MaxPayloadError as error:
            raise TooLarge from error
        except nats.errors.Error as error:
            raise Down(_words(error)) from error

    async def listen(self, subject: str, take: Take, *, group: str = "") -> None:
        """See `Line`. Whether it is allowed is seen in the log alone."""
        self._listening[subject, group] = take
        if self._up_since_s:
            await self._subscribe(subject, take, group)

    async def ignore(self, subject: str, *, group: str = "") -> None:
        """See `Line`."""
        self._listening.pop((subject, group), None)
        subscription = self._subscriptions.pop((subject, group), None)
        if subscription is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
                await self._client.flush(FLUSH_S)

    async def _subscribe(self, subject: str, take: Take, group: str) -> None:
        async def forward(message: Msg) -> None:
            nobody = not message.data and (message.headers or {}).get("Status") == NOBODY_THERE
            await take(Delivery(message.subject, message.data, message.reply, nobody))

        try:
            subscribed = await self._client.subscribe(subject, queue=group, cb=forward)
            self._subscriptions[subject, group] = subscribed
            await self._client.flush(FLUSH_S)
        except (nats.errors.Error, OSError) as error:
            # The client says it again once it is back; if it has given up, `keep` does.
            log.warning("not listening yet", subject=subject, problem=_words(error))

    async def _wait_until_up(self, patience_s: float) -> None:
        self._up.clear()
        try:
            async with asyncio.timeout(patience_s):
                await self._up.wait()
        except TimeoutError as error:
            raise Down(self._last_problem or "it was lost") from error


def _is_refusal(error: Exception) -> bool:
    """A server that answered, and does not let us in or is not what it says; not one that is away,
    which may come back.
    """
    away = (
        TimeoutError,
        nats.errors.NoServersError,
        nats.errors.StaleConnectionError,
        nats.errors.ConnectionClosedError,
    )
    return isinstance(error, ssl.SSLError | nats.errors.Error) and not isinstance(error, away)


def _words(error: Exception) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__


def _seed(settings: BusSettings) -> str:
    """The secret of this process, or "" if the settings name none. Raises `BadRequest`."""
    if not settings.credentials:
        return ""
    try:
        seed = Path(settings.credentials).read_text(encoding="ascii").strip()
        public_key(seed)
    except (OSError, ValueError) as error:
        raise _unusable("bus.credentials", settings.credentials, error) from error
    return seed


def _trust(settings: BusSettings) -> ssl.SSLContext | None:
    """What a server must show; None if no TLS is asked for. Raises `BadRequest`."""
    if not settings.is_encrypted:
        return None
    try:
        return ssl.create_default_context(cafile=settings.tls_ca or None)
    except OSError as error:
        raise _unusable("bus.tls_ca", settings.tls_ca, error) from error


def _unusable(field: str, value: str, error: Exception) -> BadRequest:
    why = (isinstance(error, OSError) and error.strerror) or str(error)
    expected = "godwit bus credentials makes them; docs/operating/deploy.md says which goes where"
    return BadRequest(
        reason(Code.INVALID_INPUT, field=field, problem=f"{value}: {why}", expected=expected)
    )
