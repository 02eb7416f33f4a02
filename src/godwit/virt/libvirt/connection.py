"""The only door to libvirt: connections that are bounded, kept alive, and translated.

Every call runs in a thread of the host's own bounded set, with a time limit, off the event loop.
libvirt's own event loop (keepalive, events) runs in one daemon thread per process rather than in
asyncio's loop (libvirtaio): it then serves any number of asyncio loops, and keepalive goes on when
one of them is busy. A libvirtd that hangs blocks even `open()`, so each open is tried first in a
child process that can be killed; but not in a process that is to be ended itself if it hangs.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import libvirt
import libvirt_qemu

from godwit.model.errors import GodwitError
from godwit.model.ids import HostName
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.libvirt.abi import Domain, Libvirt, Trouble
from godwit.virt.libvirt.errors import LibvirtError, LibvirtUnreachable
from godwit.virt.libvirt.first_try import can_be_opened
from godwit.virt.libvirt.threads import AllThreadsStuck, BoundedThreads, StillBusy

T = TypeVar("T")
Lifecycle = Callable[[str, int, int], None]
"""Told of each lifecycle event: uuid, event, detail. Called in the event loop."""
JobCompleted = Callable[[str, Mapping[str, int]], None]
"""Told of each job that has come to its end: uuid and final figures. Called in the event loop."""

KEEPALIVE_COUNT: Final = 3
CLOSE_TIMEOUT_S: Final = 2.0
ABSENT: Final = frozenset({Trouble.NO_DOMAIN, Trouble.NO_STORAGE_POOL, Trouble.NO_STORAGE_VOL})
NOT_HERE: Final = frozenset({int(Trouble.NO_SUPPORT)})
FOR_EVER: Final = float("inf")
PATIENCE_S: Final = 0.15
"""So long a call waits for a connection to come back before one more is opened, each time anew:
that, tried in a child first, takes as long as some ten looks."""

_event_loop_lock = threading.Lock()
_event_loop_threads: list[threading.Thread] = []


@dataclass
class _Link:
    """One connection to libvirtd, for one call at a time.

    Measured with libvirt 9.0: a call beside one that hangs on the same connection was answered only
    with the next keepalive message. Why was not traced. Besides, libvirtd serves at most 5 requests
    at a time per connection.
    """

    handle: Any  # virConnect: the library has no types
    alive: bool = True
    busy: bool = False


class Connection:
    """One host's libvirtd, over as many connections as its calls need. For one event loop."""

    def __init__(
        self,
        host: HostName,
        settings: LibvirtHostSettings,
        *,
        lifecycle: Lifecycle = lambda _uuid, _event, _detail: None,
        job_completed: JobCompleted | None = None,
        deaf: bool = False,
        try_first: bool = True,
    ) -> None:
        """Opens nothing yet: the first call does. `deaf`: nobody wants to hear of its events.
        `try_first`: in a child process.
        """
        self._deaf = deaf
        self._try_first = try_first
        self._patience_s = PATIENCE_S if try_first else 0.0
        self.host = host
        self._uri = settings.uri
        self._call_timeout_s = settings.call_timeout_s
        self._lifecycle = lifecycle
        self._job_completed = job_completed
        self._threads = BoundedThreads(f"libvirt-{host}", settings.threads_max, (GodwitError,))
        self._links: list[_Link] = []
        self._opening = asyncio.Lock()
        self._opened_at_s = 0.0
        self._came_back = asyncio.Event()
        self._last_failure: tuple[float, LibvirtUnreachable] | None = None
        self._closed = False
        self._losses = 0
        self._subscribers: list[asyncio.Event] = []

    async def call(
        self,
        doing: str,
        work: Callable[[Libvirt], T],
        *,
        timeout_s: float | None = None,
        key: str = "",
    ) -> T:
        """What `work` returns; it runs in a thread and may block.

        Raises `LibvirtUnreachable` after `timeout_s` (the host's limit if not given; `FOR_EVER`
        waits) or as soon as it is known that no answer can come, `LibvirtError` if libvirtd
        answers with an error. Calls that wait for one guest's QEMU name it as `key`: while one of
        them is overdue, the next is refused at once, so that a hung guest holds one thread only.
        """
        limit_s = self._call_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(None if limit_s == FOR_EVER else limit_s):
                link = await self._free_link()
                return await self._threads.run(
                    lambda: self._translating(doing, work, link),
                    key=key,
                    when_back=lambda: self._back(link),
                )
        except TimeoutError as error:
            problem = f"no answer within {limit_s:g} s to: {doing}"
            raise LibvirtUnreachable(self.host, problem) from error
        except AllThreadsStuck as error:
            problem = "every thread is held by a call without an answer"
            raise LibvirtUnreachable(self.host, problem) from error
        except StillBusy as error:
            problem = f"{doing}: an earlier question about this guest is still without an answer"
            raise LibvirtUnreachable(self.host, problem) from error

    def subscribe(self) -> asyncio.Event:
        """An event that is set at each sign that something may have changed, until `close`."""
        event = asyncio.Event()
        self._subscribers.append(event)
        return event

    def unsubscribe(self, event: asyncio.Event) -> None:
        """The end of `subscribe`."""
        self._subscribers.remove(event)

    @property
    def is_open(self) -> bool:
        """Is there a connection that is not known to be dead?"""
        return any(link.alive for link in self._links)

    @property
    def was_lost(self) -> bool:
        """Has one broken? Then events may have gone unheard."""
        return self._losses > 0

    @property
    def losses(self) -> int:
        """How many have broken so far: while it stays the same, the same libvirtd answers."""
        return self._losses

    async def close(self) -> None:
        """Close every connection, at most `CLOSE_TIMEOUT_S` long; one that hangs is left behind."""
        self._closed = True
        links = list(self._links)

        def close_all() -> None:
            for link in links:
                _close(link)

        with contextlib.suppress(TimeoutError, AllThreadsStuck):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._threads.run(close_all)

    # --- in the event loop ---

    async def _free_link(self) -> _Link:
        """A connection that is alive and now ours; opened if there is none before long."""
        asked_at_s = asyncio.get_running_loop().time()
        async with self._opening:
            since_s = max(asked_at_s, self._opened_at_s)
            free = await self._free_until(since_s + self._patience_s)
            if free is not None:
                free.busy = True
                return free
            if self._last_failure is not None and self._last_failure[0] >= asked_at_s:
                # Another call tried while this one stood in the queue. To try again would make a
                # hanging host cost each of them one more limit.
                raise self._last_failure[1]
            link = await self._open()
            link.busy = True
            return link

    async def _free_until(self, until_s: float) -> _Link | None:
        """The first that is free or comes back until then; None if there is none to wait for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                while True:
                    free = self._free_now()
                    if free is not None or not self._links:
                        return free
                    self._came_back.clear()
                    await self._came_back.wait()
        return self._free_now()

    def _free_now(self) -> _Link | None:
        # In place: a thread may be adding one at this moment.
        for dead in [link for link in self._links if not link.alive]:
            self._links.remove(dead)
        return next((link for link in self._links if not link.busy), None)

    def _back(self, link: _Link) -> None:
        """Its call has ended."""
        link.busy = False
        self._came_back.set()

    async def _open(self) -> _Link:
        loop = asyncio.get_running_loop()
        try:
            link = await self._threads.run(lambda: self._open_link(loop))
        except LibvirtUnreachable as failure:
            self._last_failure = (loop.time(), failure)
            raise
        self._opened_at_s = loop.time()
        self._something_changed()
        return link

    def _something_changed(self) -> None:
        for event in self._subscribers:
            event.set()

    def _lost(self, link: _Link) -> None:
        link.alive = False
        self._losses += 1
        self._came_back.set()
        self._something_changed()

    def _happened(self, uuid: str, event: int, detail: int) -> None:
        self._lifecycle(uuid, event, detail)
        self._something_changed()

    # --- in a thread ---

    def _translating(self, doing: str, work: Callable[[Libvirt], T], link: _Link) -> T:
        try:
            return work(link.handle)
        except libvirt.libvirtError as error:
            if not _is_alive(link):
                raise LibvirtUnreachable(self.host, f"{doing}: {_message(error)}") from error
            raise LibvirtError(
                self.host,
                doing,
                number=error.get_error_code() or 0,
                domain=error.get_error_domain() or 0,
                message=_message(error),
            ) from error

    def _open_link(self, loop: asyncio.AbstractEventLoop) -> _Link:
        """Opens, listens, and only then counts. Kept in `_links` even if its opener has given up:
        to drop an open connection would close it wherever Python happens to notice.
        """
        _ensure_event_loop()
        if self._try_first:
            self._probe()
        try:
            link = _Link(libvirt.open(self._uri))
            self._listen(link, loop)
        except libvirt.libvirtError as error:
            raise LibvirtUnreachable(self.host, _message(error)) from error
        self._links.append(link)
        if self._closed:
            _close(link)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(self._came_back.set)
        return link

    def _probe(self) -> None:
        """Raises if opening hangs."""
        limit_s = self._call_timeout_s / 2
        if not can_be_opened(self._uri, limit_s):
            problem = f"libvirtd did not accept a connection within {limit_s:g} s"
            raise LibvirtUnreachable(self.host, problem)

    def _listen(self, link: _Link, loop: asyncio.AbstractEventLoop) -> None:
        def tell(tell_what: Callable[..., None], *arguments: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(tell_what, *arguments)

        interval_s = max(1, int(self._call_timeout_s / (KEEPALIVE_COUNT + 2)))
        # A hypervisor inside this process has nothing to keep alive.
        or_none(lambda: link.handle.setKeepAlive(interval_s, KEEPALIVE_COUNT), also=NOT_HERE)
        link.handle.registerCloseCallback(lambda *_: tell(self._lost, link), None)
        if self._deaf:
            return
        link.handle.domainEventRegisterAny(
            None,
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            lambda _connection, domain, event, detail, _opaque: tell(
                self._happened, domain.UUIDString(), event, detail
            ),
            None,
        )
        completed = self._job_completed
        if completed is None:
            return
        link.handle.domainEventRegisterAny(
            None,
            libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
            lambda _connection, domain, figures, _opaque: tell(
                completed, domain.UUIDString(), figures
            ),
            None,
        )


# --- for the calls that run in those threads ---


def or_none(ask: Callable[[], T], *, also: frozenset[int] = frozenset()) -> T | None:
    """What `ask` answers; `None` if libvirtd answers that there is no such domain, pool or volume,
    or with an error numbered in `also`.
    """
    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() in ABSENT | also:
            return None
        raise


def unless_refused(ask: Callable[[], T]) -> T | None:
    """What `ask` answers; `None` if libvirtd answers with an error of any kind: for what would be
    good to know, and is never in the way of what is to be done.
    """
    with contextlib.suppress(libvirt.libvirtError):
        return ask()
    return None


def refusal_of(ask: Callable[[], object], numbers: frozenset[int]) -> str:
    """The message if libvirtd answers `ask` with an error of these numbers; otherwise empty."""
    try:
        ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() in numbers:
            return _message(error)
        raise
    return ""


def ask_qemu(domain: Domain, command: str) -> str:
    """QEMU's own answer (JSON) to a QMP command that only looks. Marks the domain as tainted."""
    answer: str = libvirt_qemu.qemuMonitorCommand(domain, command, 0)
    return answer


def _message(error: Any) -> str:
    return str(error.get_error_message() or error)


def _is_alive(link: _Link) -> bool:
    """Closed by `close` in the meantime, it cannot answer that either."""
    with contextlib.suppress(libvirt.libvirtError):
        return bool(link.handle.isAlive())
    return False


def _close(link: _Link) -> None:
    link.alive = False
    with contextlib.suppress(libvirt.libvirtError):
        link.handle.close()


def _ensure_event_loop() -> None:
    """Start libvirt's event loop, once per process; it must run before the first connection."""
    with _event_loop_lock:
        if _event_loop_threads:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        thread = threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True)
        thread.start()
        _event_loop_threads.append(thread)


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
