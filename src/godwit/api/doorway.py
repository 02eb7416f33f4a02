"""What happens to every request before a resource sees it, and to every response after.

A plain ASGI middleware: gives the request its id, refuses what nobody may ask (another
microversion, a page in somebody's browser), adds the standard headers, and logs changes once.
"""

import asyncio
import re

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from godwit.api.answers import REQUEST_ID, VERSION, VERSION_HEADERS, answer, standard_headers
from godwit.api.errors import fault
from godwit.model.reasons import Code, Reason, reason
from godwit.runtime.ids import new_request_id
from godwit.runtime.settings_file import is_loopback

log = structlog.get_logger(__name__)

_ONLY_READS = frozenset({"GET", "HEAD"})
_SPOKEN = f"ask for {VERSION}, the only version there is, or leave the header out"
_MICROVERSION = re.compile(r"^(latest|\d+\.\d+)$")


class Doorway:
    """Wraps the application; see the module."""

    def __init__(self, app: ASGIApp, *, listen: str) -> None:
        """`app` is what lies behind the door, `listen` where the server listens."""
        self._app = app
        self._on_loopback = not listen.startswith("unix:")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer it at the door."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = new_request_id()
        status = 500
        began_s = asyncio.get_running_loop().time()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(standard_headers(scope))
            await send(message)

        try:
            headers = Headers(scope=scope)
            refused = _stranger(headers) if self._on_loopback else None
            refused = refused or _refusal(scope["method"], headers)
            if refused is None:
                with structlog.contextvars.bound_contextvars(request_id=scope[REQUEST_ID]):
                    await self._app(scope, receive, send_with_headers)
            else:
                code, said = refused
                body = fault(code, said.words, reason=said.code, remedy=said.remedy)
                response = answer(body, status=code)
                await response(scope, receive, send_with_headers)
        finally:
            if scope["method"] not in _ONLY_READS:
                log.info(
                    "request_answered",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    elapsed_s=round(asyncio.get_running_loop().time() - began_s, 3),
                    request_id=scope[REQUEST_ID],
                )


def _stranger(headers: Headers) -> tuple[int, Reason] | None:
    """A page in the operator's own browser can have its name lead to loopback and then read what it
    is answered, as if from its own server. But its browser says which name it asked for.
    """
    host = headers.get("host", "").casefold()
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    if is_loopback(name):
        return None
    return 400, _said("Host", f"{host!r} is not let in", "ask 127.0.0.1, [::1] or localhost")


def _refusal(method: str, headers: Headers) -> tuple[int, Reason] | None:
    """Status and reason for a request that is not let in."""
    # There is no login yet. A page in the operator's own browser can reach loopback too, and its
    # browser always sends Origin with a request that changes something.
    if method not in _ONLY_READS and "origin" in headers:
        problem = "requests from web pages are not let in"
        return 403, _said(
            "Origin", problem, "use the command line, or a client that is no web page"
        )
    for name in VERSION_HEADERS:
        asked = headers.get(name, "").removeprefix("compute").strip()
        if not asked:
            continue
        if not _MICROVERSION.match(asked):
            return 400, _said(name, f"{asked!r} is not a version", _SPOKEN)
        if asked not in (VERSION, "latest"):
            return 406, _said(name, f"version {asked} is not supported", _SPOKEN)
    return None


def _said(field: str, problem: str, expected: str) -> Reason:
    return reason(Code.INVALID_INPUT, field=field, problem=problem, expected=expected)
