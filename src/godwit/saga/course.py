"""Where a story goes from a position: pure decisions over its row. Used by `executor` alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Generic

import msgspec
from msgspec.structs import replace

from godwit.model.reasons import Reason
from godwit.saga.log import Debt, Direction, Entry, Story, What
from godwit.saga.step import Context, F, Forward, NothingToUndo, Pivot, Saga, Step, Undo, W, Where

PERSON_NEEDED: Final = "person_needed"
ASKING_AGAIN: Final = "asking-again"
RETRYING: Final = "retrying"


@dataclass(frozen=True)
class Pace:
    """How patient the engine is, in seconds."""

    lease_s: float = 15.0
    retries_s: tuple[float, ...] = (0.5, 1.0, 2.0)
    """The pauses before an act that must not fail is tried again while the story is held."""
    rest_first_s: float = 5.0
    rest_max_s: float = 60.0

    def rest_s(self, attempts: int) -> float:
        """How long a story or a debt rests after so many rounds of failing in a row."""
        return float(min(self.rest_max_s, self.rest_first_s * 2 ** min(attempts - 1, 16)))


@dataclass(frozen=True)
class Course(Generic[W, F]):
    """One saga's table, read by position."""

    saga: Saga[W, F]

    def part(self, name: str) -> Step[W, F] | Pivot[W, F] | Forward[W, F]:
        """The line of the table with this name. A missing one is a defect: `KeyError`."""
        return self._parts[name]

    def undo(self, name: str) -> Undo[W, F] | None:
        """The undo of a step or of the pivot, None if it needs none. What comes after the pivot
        cannot be undone: a defect, `KeyError`.
        """
        undo = self._undoable[name].undo
        return None if isinstance(undo, NothingToUndo) else undo

    def where(self, story: Story) -> str:
        """The host of the step at the position; empty if it is of none."""
        where: Where[F] | None = self.part(story.step).where
        return "" if where is None else where(self.facts(story))

    def signed(self, story: Story, entries: tuple[Entry, ...], by: str) -> tuple[Entry, ...]:
        """The lines with who told them, and at which host the step of each was to act."""
        at = {each.step: self.where(replace(story, step=each.step)) for each in entries}
        return tuple(replace(each, by=by, where=at[each.step]) for each in entries)

    def onward(self, story: Story) -> Story:
        """At the beginning of the next step, or at the end."""
        names = list(self._parts)
        after = names[names.index(story.step) + 1 :]
        if after:
            return moved(story, Direction.FORWARD, after[0])
        return moved(story, Direction.ENDED, story.step)

    def one_back(self, story: Story) -> Story:
        """The step at the position is undone: at the one before it, or all is unwound."""
        names = list(self._undoable)
        index = names.index(story.step)
        if index == 0:
            return moved(story, Direction.UNWOUND, story.step)
        return moved(story, Direction.BACKWARD, names[index - 1])

    def facts(self, story: Story) -> F:
        """What the story has learned so far."""
        return self._read(story.facts)

    def learned(self, story: Story, facts: F | None) -> Story:
        """With the facts that an act returned, if there is anything new in them."""
        known = facts is None or facts is self.facts(story)
        return story if known else replace(story, facts=msgspec.json.encode(facts))

    def marks(self, story: Story) -> Mapping[str, object]:
        """What every log line of the story, and all that it asks of others, is marked with."""
        request_id = self.saga.request_id(self.facts(story))
        return {"story": story.uuid, "generation": story.generation, "request_id": request_id}

    def context(self, story: Story, world: W) -> Context[W, F]:
        """What an act at the position is given."""
        return Context(
            story_uuid=story.uuid,
            generation=story.generation,
            world=world,
            facts=self.facts(story),
            failure=story.failure,
            has_rested=bool(story.resting),
            has_ended=story.direction is Direction.ENDED,
        )

    @cached_property
    def _read(self) -> Callable[[bytes], F]:
        """Every act and record of a story asks for the same facts, until one of them learns. Kept
        of as many stories as are told at once.
        """
        return lru_cache(256)(msgspec.json.Decoder(self.saga.facts).decode)

    @cached_property
    def _undoable(self) -> dict[str, Step[W, F] | Pivot[W, F]]:
        undoable: tuple[Step[W, F] | Pivot[W, F], ...] = (*self.saga.before, self.saga.pivot)
        return {part.name: part for part in undoable}

    @cached_property
    def _parts(self) -> dict[str, Step[W, F] | Pivot[W, F] | Forward[W, F]]:
        parts: tuple[Step[W, F] | Pivot[W, F] | Forward[W, F], ...]
        parts = (*self.saga.before, self.saga.pivot, *self.saga.after)
        return {part.name: part for part in parts}


def told(
    story: Story, what: What, why: Reason | None = None, *, attempt: int = 0, at: str = ""
) -> Entry:
    """A line of the timeline about the step at the position, and the reason for it."""
    words, code = ("", "") if why is None else (why.words, str(why.code))
    return Entry(step=story.step, what=what, words=words, code=code, attempt=attempt, at=at)


def moved(story: Story, direction: Direction, step: str) -> Story:
    """At a new position: what was said about the old one no longer holds."""
    owner = "" if direction is Direction.ENDED else story.owner
    return replace(
        story, direction=direction, step=step, owner=owner, resting="", attempts=0, wake_at_s=0.0
    )


def rests(story: Story, why: str, *, until_s: float, attempts: int = 0) -> Story:
    """Without a lease until then, unless woken."""
    return replace(story, owner="", resting=why, wake_at_s=until_s, attempts=attempts)


def is_told(attempts: int) -> bool:
    """Every 2^n-th failure in a row enters the timeline: what fails for ever must not fill it."""
    return attempts & (attempts - 1) == 0


def debt_of(story: Story, where: str, why: Reason, *, due_at_s: float) -> Debt:
    """The act at the position is owed by this host."""
    return Debt(
        story_uuid=story.uuid,
        step=story.step,
        undo=story.direction is Direction.BACKWARD,
        where=where,
        words=why.words,
        attempts=1,
        due_at_s=due_at_s,
    )
