"""From what came over the wire to typed values, or an error that names the field.

Bodies are msgspec structs (`schemas`), unknown keys refused by name. Query parameters are taken one
by one; what nobody took is refused, because a filter that is silently ignored shows the wrong list.
"""

import asyncio
import re
from typing import Final, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from godwit.api.answers import REQUEST_ID
from godwit.api.errors import bad_input
from godwit.model.ids import RequestId
from godwit.rpc.conductor import Asked

T = TypeVar("T")

BODY_MAX_BYTES: Final = 1024 * 1024
BODY_WAIT_S: Final = 30.0
REASON_MAX: Final = 500
PAGE_MAX: Final = 1000

_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<field>.*)`$")
_NOT_OF_A_NAME = re.compile(r"[^\w.@-]")
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_QUERY: Final = "the query"


async def read_body(request: Request, kind: type[T]) -> T:
    """The request's body as `kind`.

    Raises `BadRequest` naming the field; 413 for more than `BODY_MAX_BYTES`, 415 for anything but
    JSON.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "Content-Type must be application/json")
    raw = await _bytes_of(request)
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        field, problem, expected = explained(str(error), kind)
        raise bad_input(field, problem, expected) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_input("the body", f"not JSON: {error}", "send one JSON object") from error
    except RecursionError as error:
        raise bad_input("the body", "nested too deeply", "see docs/operating/api.md") from error


async def _bytes_of(request: Request) -> bytes:
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > BODY_MAX_BYTES:
                    raise HTTPException(413, f"the body has more than {BODY_MAX_BYTES} bytes")
    except TimeoutError as error:
        problem = f"did not arrive within {BODY_WAIT_S:.0f} s"
        raise bad_input("the body", problem, "send it again") from error
    return bytes(raw)


def explained(message: str, kind: type) -> tuple[str, str, str]:
    """msgspec's message taken apart: the field's path, the problem, what is expected instead."""
    problem, _, place = message.partition(" - at `")
    path = place.removeprefix("$").rstrip("`").strip(".")
    if found := _UNKNOWN.match(problem):
        return _within(path, found["field"]), "no such key", f"known here: {_known(kind, path)}"
    if found := _MISSING.match(problem):
        return _within(path, found["field"]), "is missing", "add it; null counts where allowed"
    return path or "the body", problem[:1].lower() + problem[1:], "see docs/operating/api.md"


def _within(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _known(kind: type, path: str) -> str:
    """The keys that the struct at `path` inside `kind` takes, in wire names."""
    for name in filter(None, path.split(".")):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        kind = fields.get(name, kind)
    return ", ".join(field.encode_name for field in msgspec.structs.fields(kind))


class Query:
    """The query parameters of one request. Take each by name, then call `nothing_else`."""

    def __init__(self, request: Request) -> None:
        """Repeated parameters: the last one counts."""
        self._given = dict(request.query_params)
        self._taken: set[str] = set()

    def text(self, name: str) -> str | None:
        """The value as it came; None if absent or empty."""
        self._taken.add(name)
        return self._given.get(name) or None

    def number(self, name: str, default: int, *, at_most: int) -> int:
        """A whole number of at least 0; more than `at_most` counts as `at_most`."""
        given = self.text(name)
        if given is None:
            return default
        if not given.isascii() or not given.isdigit():
            raise bad_input(name, f"{given!r} is not a number", "a whole number, 0 or more")
        return min(int(given[:18]), at_most)

    def seconds(self, name: str, default: float, *, at_most: float) -> float:
        """A duration; more than `at_most` counts as `at_most`."""
        given = self.text(name)
        if given is None:
            return default
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", given):
            raise bad_input(name, f"{given!r} is not a duration", "seconds, 0 or more")
        return min(float(given), at_most)

    def nothing_else(self, *also: str) -> None:
        """Refuse every parameter that was not taken; those in `also` are known and mean nothing."""
        for name in sorted(self._given.keys() - self._taken - set(also)):
            known = ", ".join(sorted(self._taken)) or "none"
            raise bad_input(name, f"no such parameter in {_QUERY}", f"known here: {known}")


def asked_by(request: Request, reason: str = "") -> Asked:
    """Who asks, why, and in which request.

    There is no login yet, so the initiator is always `local:` and a name the client may choose; the
    reason comes from the body or, where Nova's body has no room for one, from X-Godwit-Reason
    (percent-encoded UTF-8).
    """
    claimed = unquote(request.headers.get("x-godwit-initiator", "")).removeprefix("local:")
    user = _NOT_OF_A_NAME.sub("", claimed)[:64] or "unknown"
    why = reason or unquote(request.headers.get("x-godwit-reason", ""))
    if len(why) > REASON_MAX:
        problem = f"{len(why)} characters are too many"
        raise bad_input("X-Godwit-Reason", problem, f"at most {REASON_MAX}")
    return Asked(
        initiator=f"local:{user}",
        reason=_NOT_PRINTABLE.sub(" ", why).strip(),
        request_id=RequestId(request.scope[REQUEST_ID]),
    )
