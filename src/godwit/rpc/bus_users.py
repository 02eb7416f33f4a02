"""Who may say what on a bus. The server enforces it: a host that was broken into can serve and
report for itself, and for nobody else. Pure; `service/bus.py` writes it down.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from godwit.model.ids import HostName
from godwit.rpc.address import ANYBODY, CONDUCTORS, INBOXES, agent_of, one_word
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import calls_of
from godwit.rpc.envelope import PAGES_MAX

REPLIES_WITHIN: Final = "10m"
"""Longer than any call may take. So long the one who was asked may answer, and nobody else."""
ANSWERS: Final = f'        allow_responses: {{ max: {PAGES_MAX}, expires: "{REPLIES_WITHIN}" }},'


@dataclass(frozen=True)
class BusUser:
    """One identity, with the subjects it may publish to and subscribe to."""

    name: str
    key: str
    """Public."""
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    answers_whom_it_was_asked_by: bool = True
    """And nobody else; kept by the server, which remembers every question for `REPLIES_WITHIN`, and
    from the 4,096th on goes through all of them at each further one.
    """


def of_host(host: HostName, key: str) -> BusUser:
    """The agent of one host."""
    said_by_hosts = [call.name for call in calls_of(ComputeTaskApi).values() if call.remote.by]
    return BusUser(
        name=f"the agent of {host}",
        key=key,
        publish=(
            *(f"{CONDUCTORS.subject}.{name}.{one_word(host)}" for name in said_by_hosts),
            f"{agent_of(host).subject}.{ANYBODY}",
        ),
        subscribe=(f"{agent_of(host).subject}.*", inbox_of(key)),
    )


def of_conductors(key: str) -> BusUser:
    """Every conductor, and `godwit serve`. They are asked by every host, all the time, and trusted
    by all: they may answer anybody.
    """
    every_agent = agent_of(HostName(">")).subject
    return BusUser(
        "conductors",
        key,
        publish=(every_agent, f"{INBOXES}>"),
        subscribe=(f"{CONDUCTORS.subject}.>", inbox_of(key)),
        answers_whom_it_was_asked_by=False,
    )


def of_apis(key: str) -> BusUser:
    """Every API."""
    publish = (f"{CONDUCTORS.subject}.*",)
    return BusUser("APIs", key, publish=publish, subscribe=(inbox_of(key),))


def inbox_of(key: str) -> str:
    """Where replies come to; by the key, which nobody else has."""
    return f"{INBOXES}{key}.>"


def server_part(users: Iterable[BusUser]) -> str:
    """The part of a NATS server's configuration that lets these in and no one else."""
    head = "# Made by `godwit bus credentials`, and made anew by the next one. No secret is in it."
    lines = [head, "authorization {", "  users: ["]
    for user in users:
        lines += [
            f"    # {user.name}",
            f"    {{ nkey: {user.key}, permissions: {{",
            f"        publish: {{ allow: {_listed(user.publish)} }},",
            f"        subscribe: {{ allow: {_listed(user.subscribe)} }},",
            *([ANSWERS] if user.answers_whom_it_was_asked_by else []),
            "    } },",
        ]
    return "\n".join([*lines, "  ]", "}", ""])


def _listed(subjects: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"
