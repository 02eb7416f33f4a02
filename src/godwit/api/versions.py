"""The version documents. One version is spoken: 2.1, without microversions above it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from godwit.api.answers import VERSION, answer, link


async def every_version(request: Request) -> Response:
    """`GET /`."""
    return answer({"versions": [_version(request)]})


async def this_version(request: Request) -> Response:
    """`GET /v2.1/`."""
    media = {
        "base": "application/json",
        "type": "application/vnd.openstack.compute+json;version=2.1",
    }
    return answer({"version": {**_version(request), "media-types": [media]}})


def _version(request: Request) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": VERSION,
        "min_version": VERSION,
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": link(request, "/v2.1/")}],
    }
