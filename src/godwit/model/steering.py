"""How a transfer is steered: what may be asked of the guest and the network to bring it to its end.

The settings give the defaults, a request may differ, and the limits can be changed while the
transfer runs. Kept with the migration; obeyed by the transfer process.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import structs

DOWNTIME_MAX_MS: Final = 2_000_000
"""The longest pause that QEMU can be told to allow."""
CONNECTIONS_MAX: Final = 255


class ForceKind(StrEnum):
    """How a transfer is brought to its end at once."""

    POST_COPY = "post-copy"
    """The guest runs on at the destination, the rest of its memory following."""
    PAUSE = "pause"
    """The pause at the switch may be longer, up to a bound."""


class Force(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asked for the end of the transfer now."""

    kind: ForceKind
    pause_ms: int = 0
    """The guest may pause for so long at the switch (`PAUSE`)."""
    longest_ms: int = 0
    """It may be allowed to pause for so long, once that is seen to be needed."""


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to steer by."""

    bandwidth_mib_per_s: int = 0
    """Memory and disks are sent no faster, each; 0: no limit of ours."""
    max_downtime_ms: int = 500
    """The guest may pause for so long at the switch, and no longer."""
    downtime_steps: int = 5
    """The allowed pause is raised in so many steps, each only when it is seen to be needed."""
    completion_timeout_s: float = 0.0
    """A transfer that is not over after so long is stopped; 0: it may go on while it gains."""
    auto_converge: bool = False
    """The hypervisor may slow a guest down that writes faster than can be sent."""
    permit_post_copy: bool = False
    """The guest may run at its destination before its memory is there. Its guard is chosen by it,
    so it holds from before the start."""
    parallel_connections: int = 1
    """So many connections carry the memory."""
    force: Force | None = None
    revision: int = 0
    """Counts the changes that were asked for since the migration was accepted."""


class SteeringWish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants otherwise. `None`: as it is."""

    bandwidth_mib_per_s: int | None = None
    max_downtime_ms: int | None = None
    completion_timeout_s: float | None = None
    auto_converge: bool | None = None
    permit_post_copy: bool | None = None
    parallel_connections: int | None = None


NO_WISH: Final = SteeringWish()


def wished(steering: Steering, wish: SteeringWish) -> Steering:
    """The steering with what is wished for. A pause that is set takes back one that was forced."""
    given = {name: value for name, value in structs.asdict(wish).items() if value is not None}
    force = steering.force
    if wish.max_downtime_ms is not None and force is not None and force.kind is ForceKind.PAUSE:
        given["force"] = None
    return structs.replace(steering, **given)


UNSTEERED: Final = Steering()
"""As the settings are where they say nothing."""


class TransferLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What can be changed while a transfer runs. `None`: as it is."""

    bandwidth_mib_per_s: int | None = None
    max_downtime_ms: int | None = None
