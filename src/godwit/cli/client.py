"""What the verbs ask of the server, in the server's paths; errors become `Failure`s here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from godwit.cli.answers import (
    UNREADABLE,
    Host,
    OneHost,
    Server,
    Servers,
    converted,
    decode,
    fault_in,
)
from godwit.cli.exits import Exit, Failure, exit_of_fault
from godwit.cli.migration_answers import Checked, Migration, Migrations, OneMigration, Timeline
from godwit.cli.transport import HttpRequest, HttpResponse, Transport, Unanswered

T = TypeVar("T")

LOOK_S: Final = 15.0
CHANGE_S: Final = 20.0
CHECK_S: Final = 75.0
REHEARSAL_S: Final = 310.0
CREATE_S: Final = 160.0
DELETE_S: Final = 100.0
WHEREIS_S: Final = 130.0
CONFIRM_S: Final = 40.0
AUDIT_S: Final = 250.0
POLL_WAIT_S: Final = 20.0
PAGES_MAX: Final = 1000
"""So many pages of a list are read at most."""


@dataclass(frozen=True)
class Client:
    """One server, asked on behalf of `user`. Every method raises `Failure`."""

    transport: Transport
    url: str
    user: str

    def get(
        self, path: str, query: Mapping[str, object] | None = None, *, timeout_s: float = LOOK_S
    ) -> bytes:
        """The body of an answer. Query parameters that are None are left out."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        return self._ask(HttpRequest("GET", target, timeout_s=timeout_s)).body

    def change(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        why: str = "",
        timeout_s: float = CHANGE_S,
    ) -> HttpResponse:
        """Ask for a change, saying who asks and why."""
        headers = {"X-Godwit-Initiator": f"local:{quote(self.user)}"}
        if why:
            headers["X-Godwit-Reason"] = quote(why)
        raw = None
        if body is not None:
            raw = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        return self._ask(HttpRequest(method, path, raw, headers, timeout_s))

    def _ask(self, ask: HttpRequest) -> HttpResponse:
        try:
            answer = self.transport.send(ask)
        except Unanswered as error:
            raise self._unanswered(ask, error) from error
        if answer.status < 400:
            return answer
        fault = fault_in(answer.body)
        raise Failure(
            exit_of_fault(answer.status, fault),
            fault.message or f"the server answered {answer.status}",
            fault.remedy,
            fault.reason,
            fault.refusals,
        )

    def _unanswered(self, ask: HttpRequest, error: Unanswered) -> Failure:
        message = f"{self.url} does not answer: {error}"
        if error.arrived and ask.method != "GET":
            return Failure(
                Exit.CANNOT_ASK,
                message,
                "the request may have been carried out: look before asking again",
            )
        return Failure(
            Exit.CANNOT_ASK,
            message,
            "see that godwit serve runs, or name another server with --url or GODWIT_URL",
        )

    # --- lookups ---

    def servers(self, **query: str | None) -> list[dict[str, Any]]:
        """All servers with detail, page by page, as the server describes them."""
        found: list[dict[str, Any]] = []
        marker = None
        for _ in range(PAGES_MAX):
            raw = self.get("/v2.1/servers/detail", {**query, "marker": marker})
            page = self.read(raw, dict[str, Any])
            found += page.get("servers", [])
            if not page.get("servers_links"):
                break
            marker = found[-1]["id"]
        return found

    def server(self, named: str) -> Server:
        """The server with this uuid, or the only one with this name."""
        if looks_like_a_uuid(named):
            path = f"/v2.1/servers/{named.lower()}"
            return self.read(self.get(path), dict[str, Server])["server"]
        return the_one(named, self.all_servers(name=named))

    def all_servers(self, **query: str | None) -> tuple[Server, ...]:
        """As `servers`, as far as this client reads them."""
        return converted({"servers": self.servers(**query)}, Servers).servers

    def host(self, name: str) -> Host:
        """The host of this name."""
        raw = self.get(f"/godwit/v1/hosts/{quote(name, safe='')}")
        return self.read(raw, OneHost).host

    def check(self, server: Server, wish: Mapping[str, object]) -> tuple[Checked, bytes]:
        """Which hosts would take the server, and the answer as it came."""
        path = f"/godwit/v1/servers/{server.id}/check"
        limit_s = REHEARSAL_S if wish.get("rehearse") else CHECK_S
        raw = self.change("POST", path, wish, timeout_s=limit_s).body
        return self.read(raw, Checked), raw

    def migrations(self, *, limit: int) -> tuple[Migration, ...]:
        """The newest ones, without outcome and phase."""
        raw = self.get("/godwit/v1/migrations", {"limit": limit})
        return self.read(raw, Migrations).migrations

    def abort(self, uuid: str, *, why: str) -> None:
        """Ask a migration to stop."""
        self.change("POST", f"/godwit/v1/migrations/{quote(uuid)}/abort", {"reason": why})

    def migration(self, named: str, *, wait_s: float = 0.0) -> tuple[Migration, bytes]:
        """The migration with this number or uuid, and the answer as it came; with `wait_s` as soon
        as it has ended.
        """
        raw = self.get(
            f"/godwit/v1/migrations/{quote(named, safe='')}",
            {"wait_s": wait_s or None},
            timeout_s=LOOK_S + wait_s,
        )
        return self.read(raw, OneMigration).migration, raw

    def timeline(
        self, uuid: str, *, after: int = 0, seen: str = "", wait_s: float = 0.0
    ) -> Timeline:
        """News of a migration, waited for at most `wait_s`."""
        raw = self.get(
            f"/godwit/v1/migrations/{uuid}/timeline",
            {"after": after, "seen": seen or None, "wait_s": wait_s},
            timeout_s=LOOK_S + wait_s,
        )
        return self.read(raw, Timeline)

    def migrate(self, server: Server, wish: Mapping[str, object], *, why: str) -> str:
        """Ask to move the server; the uuid of the accepted migration."""
        path = f"/v2.1/servers/{server.id}/action"
        answer = self.change("POST", path, {"os-migrateLive": wish}, why=why)
        uuid = answer.headers.get("x-godwit-migration")
        if uuid is None:
            raise self._stranger()
        return uuid

    def read(self, raw: bytes, kind: type[T]) -> T:
        """The answer as `kind`; `Failure` if somebody else seems to answer there."""
        try:
            return decode(raw, kind)
        except UNREADABLE as error:
            raise self._stranger() from error

    def _stranger(self) -> Failure:
        message = f"{self.url} does not answer like a Godwit server"
        return Failure(Exit.CANNOT_ASK, message, "check --url or GODWIT_URL")


def the_one(named: str, servers: Sequence[Server]) -> Server:
    """The only one of these with this uuid or name. Raises `Failure` if there is none, or more."""
    found = [server for server in servers if named.lower() == server.id]
    found = found or [server for server in servers if server.name == named]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Failure(
            Exit.CANNOT_ASK,
            f"no server is known as {named}",
            "godwit server list shows the known ones",
            "server-unknown",
        )
    raise Failure(
        Exit.CANNOT_ASK,
        f"{named} names {len(found)} servers",
        f"name the server by its uuid: {'; '.join(map(_who, found))}",
        "server-name-ambiguous",
    )


def _who(server: Server) -> str:
    return f"{server.id} on {server.host}, {server.status}"


def looks_like_a_uuid(text: str) -> bool:
    """Eight, four, four, four and twelve hexadecimal digits?"""
    groups = text.lower().split("-")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and all(
        set(group) <= set("0123456789abcdef") for group in groups
    )
