"""What the source's lifecycle events say of the guest, from the opening of a move's connections on.

Pure; `migration` hears them. Events come in order, but one connection may tell what another has
told already: what makes a proof void stays heard.
"""

from dataclasses import dataclass, replace
from typing import Final

from godwit.virt.driver import SeenEnd
from godwit.virt.libvirt.abi import SUSPENDED_MIGRATED, Event, Paused, State, Stopped
from godwit.virt.libvirt.sighting import Reading

WHOLE: Final = (State.PAUSED, Paused.USER)


@dataclass(frozen=True)
class Heard:
    """So far."""

    left: bool = False
    """The last word was that it stopped because it had migrated."""
    ended: SeenEnd | None = None
    """How it stopped, if the last word was that it did so in any other way."""
    switched: bool = False
    """Paused by the migration: it runs here no more, unless it is taken back."""
    ran_again: bool = False
    """After the switch; or ever in another QEMU than the first."""


def after(heard: Heard, event: int, detail: int) -> Heard:
    """What is known after one more event of the guest's."""
    match event:
        case Event.STOPPED:
            ended = _end_told_by(detail)
            return replace(heard, left=ended is None, ended=ended)
        case Event.SUSPENDED if detail == SUSPENDED_MIGRATED:
            return replace(heard, switched=True)
        case Event.RESUMED:
            ran_again = heard.ran_again or heard.switched
            return replace(heard, left=False, ended=None, ran_again=ran_again)
        case Event.STARTED:
            return replace(heard, left=False, ended=None, ran_again=True)
        case _:
            return heard


def _end_told_by(detail: int) -> SeenEnd | None:
    """What the event STOPPED tells with this detail; None: that the guest has left."""
    if detail == Stopped.MIGRATED:
        return None
    fell = detail in (Stopped.CRASHED, Stopped.FAILED)
    return SeenEnd.CRASHED if fell else SeenEnd.WANTED


def died_when_all_was_sent(heard: Heard, there: Reading | None, *, deaf: bool) -> bool:
    """Of a source whose QEMU is dead, and of what was read at the destination after that: may the
    guest run there?

    Not if it ran at the source after the switch, or may have, unheard (`deaf`). libvirt calls the
    destination's half paused by its user once it has all of the guest, and not before.
    """
    stayed = heard.switched and not (heard.ran_again or heard.ended or deaf)
    return stayed and there is not None and (there.state, there.reason) == WHOLE
