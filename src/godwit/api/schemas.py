"""The bodies that requests may have, as types. A key that is not here is refused by its name."""

from typing import Annotated, Literal

import msgspec
from msgspec import structs

from godwit.api.errors import bad_input
from godwit.model.ids import HostName
from godwit.model.migration import BlockMigration
from godwit.model.steering import CONNECTIONS_MAX, DOWNTIME_MAX_MS, SteeringWish

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"\S")]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*$")]
Why = Annotated[str, msgspec.Meta(max_length=500)]
NotNegative = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Pause = Annotated[int, msgspec.Meta(ge=1, le=DOWNTIME_MAX_MS)]
Connections = Annotated[int, msgspec.Meta(ge=1, le=CONNECTIONS_MAX)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
NeededWhy = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"\S")]

_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every body is strict."""


class Limits(Body, frozen=True, kw_only=True):
    """`PATCH /godwit/v1/migrations/{id}`: what can be changed while a transfer runs."""

    bandwidth_mib_per_s: NotNegative | None = None
    max_downtime_ms: Pause | None = None
    completion_timeout_s: Seconds | None = None


class SteeringBody(Limits, frozen=True, kw_only=True):
    """How a transfer is to be steered, where that differs from the settings."""

    auto_converge: bool | None = None
    permit_post_copy: bool | None = None
    parallel_connections: Connections | None = None

    def wish(self) -> SteeringWish:
        """The same, as it is asked for."""
        return SteeringWish(**structs.asdict(self))

    def limits(self) -> SteeringWish:
        """The same, of a migration that may have begun. Raises `BadRequest` for what cannot be
        changed then.
        """
        for name in sorted(structs.asdict(self).keys() - _LIMITS):
            if getattr(self, name) is not None:
                raise bad_input(name, _BEFORE_THE_START, "abort it, and migrate again with it")
        return self.wish()


_LIMITS = frozenset(field.name for field in structs.fields(Limits))
_BEFORE_THE_START = "holds from before the start: QEMU takes it only while no migration goes on"


class MigrateLive(Body, frozen=True, kw_only=True):
    """The inside of `os-migrateLive`."""

    host: Word | None = None
    block_migration: bool | str = "auto"
    disk_over_commit: bool | str | None = None
    """Clients of 2.1 always send it."""
    steering: SteeringBody = msgspec.field(name="godwit:steering", default=SteeringBody())


class ServerAction(Body, frozen=True, kw_only=True):
    """`POST /servers/{id}/action`: exactly one action, and there is only one."""

    migrate_live: MigrateLive = msgspec.field(name="os-migrateLive")


class NewServer(Body, frozen=True, kw_only=True):
    """The inside of `server` when one is created."""

    name: Name
    flavor: Word = msgspec.field(name="flavorRef")
    image: Word = msgspec.field(name="imageRef")
    host: Word | None = None
    networks: Literal["auto", "none"] | None = None
    """A server gets the card its image and flavor call for; nothing can be chosen yet."""


class CreateServerBody(Body, frozen=True, kw_only=True):
    """`POST /servers`."""

    server: NewServer


class ServiceBody(Body, frozen=True, kw_only=True):
    """`PUT /os-services/enable`, `disable`, `disable-log-reason`."""

    host: Word
    binary: Literal["nova-compute"] = "nova-compute"
    disabled_reason: Why = ""


class CheckBody(Body, frozen=True, kw_only=True):
    """`POST /godwit/v1/servers/{id}/check`."""

    host: Word | None = None
    block_migration: bool | str = "auto"
    disk_over_commit: bool | str | None = None
    rehearse: bool = False
    steering: SteeringBody = msgspec.field(name="godwit:steering", default=SteeringBody())
    """As for the move itself: the guard depends on it."""


class MigrationAction(Body, frozen=True, kw_only=True):
    """`POST /servers/{id}/migrations/{id}/action`: the one there is, without anything inside."""

    force_complete: None


class ResolveBody(Body, frozen=True, kw_only=True):
    """`POST /godwit/v1/migrations/{id}/resolve`. `at_host` null says that the guest is lost."""

    at_host: Word | None
    reason: NeededWhy


class WithReason(Body, frozen=True, kw_only=True):
    """A body that only says why."""

    reason: Why = ""


def block_migration_of(given: bool | str) -> BlockMigration:
    """What `block_migration` asks for. Nova's many words for true and false are understood."""
    word = str(given).lower()
    if word == "auto":
        return BlockMigration.AUTO
    if word in _TRUE:
        return BlockMigration.BLOCK
    if word in _FALSE:
        return BlockMigration.SHARED
    raise bad_input("block_migration", f"{given!r} is not known", 'true, false or "auto"')


def disk_over_commit_of(given: bool | str | None) -> bool:
    """What `disk_over_commit` asks for, in Nova's many words; not given is false."""
    word = str(given or "false").lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise bad_input("disk_over_commit", f"{given!r} is not known", "true or false")


def host_name(given: str | None) -> HostName | None:
    """The host a body names, if any."""
    return None if given is None else HostName(given)
