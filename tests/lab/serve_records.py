"""What the API answers, as far as the `test_serve_*` files look at it; the rest is ignored."""

from __future__ import annotations

from typing import Any

import msgspec


class Why(msgspec.Struct, frozen=True):
    """A reason, as the API gives it."""

    code: str
    words: str
    host: str | None


class Refusal(msgspec.Struct, frozen=True):
    """What hosts have refused by."""

    code: str
    hosts: tuple[str, ...]


class Sample(msgspec.Struct, frozen=True):
    """How far a copy is."""

    phase: str
    memory_processed_bytes: int
    converging: bool
    expected_downtime_ms: int | None
    allowed_downtime_ms: int | None
    throttle_percent: int


class Statistics(msgspec.Struct, frozen=True):
    """What a move cost."""

    total_ms: int | None
    downtime_ms: int | None
    disk_bytes: int | None = None


class Migration(msgspec.Struct, frozen=True):
    """A migration, as far as these tests look at it."""

    uuid: str
    status: str
    outcome: str
    direction: str
    reason: Why | None
    refusals: tuple[Refusal, ...]
    progress: Sample | None
    statistics: Statistics | None


class Usage(msgspec.Struct, frozen=True):
    """What is claimed at a host."""

    vcpus: int
    memory_mib: int
    transfers: int


class HostSeen(msgspec.Struct, frozen=True):
    """A host on record."""

    name: str
    up: bool
    trouble: str
    facts: dict[str, Any] | None
    usage: Usage
    debts: tuple[dict[str, Any], ...]


class Server(msgspec.Struct, frozen=True):
    """A server on record."""

    id: str
    name: str
    status: str
    host: str = msgspec.field(name="OS-EXT-SRV-ATTR:host")
    task_state: str | None = msgspec.field(name="OS-EXT-STS:task_state")
