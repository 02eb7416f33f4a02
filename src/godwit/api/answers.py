"""How an answer is made: JSON by msgspec, links, and the headers that every response carries."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

REQUEST_ID: Final = "godwit.request_id"
"""Where the doorway leaves the request's id in the ASGI scope."""

VERSION_HEADERS: Final = ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version")
VERSION: Final = "2.1"
"""The one microversion that is spoken."""


def answer(
    body: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`body` as JSON."""
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def link(request: Request, path: str) -> str:
    """`path` as a full address, as the client reached us."""
    return str(request.base_url).rstrip("/") + path


def empty(*, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body, as Nova gives to an accepted action."""
    return Response(status_code=status, headers=headers)


def standard_headers(scope: Scope) -> dict[str, str]:
    """What every response carries: the request's id under both names, and the version spoken."""
    request_id: Any = scope.get(REQUEST_ID, "")
    return {
        "x-openstack-request-id": request_id,
        "x-compute-request-id": request_id,
        VERSION_HEADERS[0]: f"compute {VERSION}",
        VERSION_HEADERS[1]: VERSION,
        "Vary": ", ".join(VERSION_HEADERS),
        "Cache-Control": "no-store",
    }
