"""Lists in pages: `limit` and `marker`, as Nova's lists have them."""

from collections.abc import Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from godwit.api.answers import link
from godwit.api.errors import bad_input
from godwit.api.validation import PAGE_MAX, Query

T = TypeVar("T")


def page_of(items: Sequence[T], ids: Sequence[str], query: Query) -> tuple[Sequence[T], bool]:
    """The page after `marker` with at most `limit` items, and whether more may follow.

    `ids` are the items' ids in the same order. Raises `BadRequest` for a marker that is not there.
    """
    limit = query.number("limit", PAGE_MAX, at_most=PAGE_MAX)
    marker = query.text("marker")
    begin = 0
    if marker is not None:
        if marker not in ids:
            raise bad_input("marker", f"{marker!r} is not in this list", "an id of the last page")
        begin = ids.index(marker) + 1
    page = items[begin : begin + limit]
    return page, limit > 0 and begin + limit < len(items)


def next_link(request: Request, last_id: str) -> list[dict[str, Any]]:
    """The link to the page after the one that ends with `last_id`."""
    params = request.url.include_query_params(marker=last_id).query
    return [{"rel": "next", "href": link(request, f"{request.url.path}?{params}")}]
