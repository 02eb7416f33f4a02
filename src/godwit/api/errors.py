"""Every error becomes one OpenStack fault: `{"badRequest": {"code": 400, "message": ...}}`.

Beside Nova's `code` and `message` stand ours: `reason` (the stable code), `remedy`, `host`, and
`refusals` (of hosts, by code). A client never sees a traceback; `app` registers these
handlers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import answer, standard_headers
from godwit.model.errors import (
    BadRequest,
    Conflict,
    GodwitError,
    HypervisorError,
    NotFound,
    Refused,
    Superseded,
    Unreachable,
)
from godwit.model.reasons import Code, Reason, reason

log = structlog.get_logger(__name__)

STATUS: Final[Mapping[type[GodwitError], int]] = {
    BadRequest: 400,
    Refused: 400,
    NotFound: 404,
    Conflict: 409,
    HypervisorError: 500,
    Superseded: 500,
    Unreachable: 503,
}
"""The HTTP status of each class of error. A class that is not here is a 500."""

FAULT_NAMES: Final[Mapping[int, str]] = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    503: "serviceUnavailable",
}
"""Nova's name for each status that is answered; every other status is a `computeFault`."""

_REMEDIES: Final = {
    404: "docs/operating/api.md lists every path",
    405: "docs/operating/api.md lists the methods of every path",
    413: "send less: no body needs as much",
    415: "send JSON, and say so: Content-Type: application/json",
}
_NAMED_IN_BODIES: Final = frozenset({Code.HOST_UNKNOWN, Code.FLAVOR_UNKNOWN, Code.IMAGE_UNKNOWN})


def status_of(error: GodwitError) -> int:
    """The HTTP status for `error`, or for the nearest of its classes that has one."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def fault(status: int, message: str, **ours: Any) -> dict[str, Any]:
    """A fault body under Nova's name for `status`; `ours` stands beside code and message."""
    name = FAULT_NAMES.get(status, "computeFault")
    return {name: {"code": status, "message": message, **ours}}


def fault_of(error: GodwitError) -> dict[str, Any]:
    """The fault body for one of our own errors, with reason code, remedy and further reasons."""
    said: Reason = error.reason
    return fault(
        status_of(error),
        said.words,
        reason=said.code,
        remedy=said.remedy,
        host=said.host,
        refusals=error.refusals,
    )


def bad_input(field: str, problem: str, expected: str) -> BadRequest:
    """The error for one field of a request: which, what is wrong with it, what would be right."""
    return BadRequest(reason(Code.INVALID_INPUT, field=field, problem=problem, expected=expected))


@contextmanager
def names_in_the_body() -> Iterator[None]:
    """A host, flavor or image that only the body names and nobody knows is a 400, not a 404."""
    try:
        yield
    except NotFound as error:
        if error.reason.code not in _NAMED_IN_BODIES:
            raise
        raise BadRequest(error.reason, refusals=error.refusals) from error


async def on_godwit_error(request: Request, error: Exception) -> Response:
    """Expected trouble: the fault it stands for. What we must answer for ourselves is logged."""
    if not isinstance(error, GodwitError):
        raise TypeError(f"registered for GodwitError, called for {error!r}")
    status = status_of(error)
    if status >= 500:
        log.warning("request_failed", path=request.url.path, reason=str(error), exc_info=error)
    return answer(fault_of(error), status=status)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """What is refused before it is read (no such path or method, no JSON), as a fault."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"registered for HTTPException, called for {error!r}")
    remedy = _REMEDIES.get(error.status_code, "see docs/operating/api.md")
    body = fault(error.status_code, error.detail, reason=Code.INVALID_INPUT, remedy=remedy)
    return answer(body, status=error.status_code, headers=error.headers)


async def on_defect(request: Request, error: Exception) -> Response:
    """A defect: logged with its chain; the client is told only that, and its request id."""
    log.error("defect", method=request.method, path=request.url.path, exc_info=error)
    said = reason(Code.INTERNAL_ERROR, problem=type(error).__name__)
    body = fault(500, said.words, reason=said.code, remedy=said.remedy)
    return answer(body, status=500, headers=standard_headers(request.scope))
