"""The errors that rooms may expect of each other. Each carries a `Reason` from the catalogue.

GodwitError
├── BadRequest      the request makes no sense as it stands
├── NotFound        what it names is not known
├── Conflict        it makes sense, but not now
├── Refused         a check or a host said no; `refusals` holds what every host has said
├── Unreachable     no answer in time: says nothing about whether the act happened
├── HypervisorError the hypervisor answered, with an error
└── Superseded      a newer generation acts for this migration, or the act was already undone
"""

from godwit.model.reasons import Reason
from godwit.model.refusals import Refusal


class GodwitError(Exception):
    """Expected trouble. `reason` is what a person is shown; the cause, if any, is chained."""

    def __init__(self, reason: Reason, *, refusals: tuple[Refusal, ...] = ()) -> None:
        """`refusals`: of hosts, where the reason sums them up."""
        super().__init__(f"{reason.code}: {reason.words}")
        self.reason = reason
        self.refusals = refusals


class BadRequest(GodwitError):
    """The request makes no sense as it stands; the reason names the field."""


class NotFound(GodwitError):
    """What the request names is not known."""


class Conflict(GodwitError):
    """The request makes sense, but not in the present state."""


class Refused(GodwitError):
    """A check said no. Nothing was changed, or what was changed is undone by the story."""


class Unreachable(GodwitError):
    """No answer in time. Says nothing about whether the act happened: look, never guess."""


class HypervisorError(GodwitError):
    """The hypervisor answered with an error. Says nothing about where a guest is."""


class Superseded(GodwitError):
    """A newer generation acts for this migration, or its undo was done: it must not happen."""
