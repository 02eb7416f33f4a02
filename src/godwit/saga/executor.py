"""The executor: tells a story from its log, at most one durable write per step, forward or back.

Called by the sweeper (`recovery`). Wherever the log ends, the story goes on from there: the act at
its position is simply done (again). No act is ever cancelled from outside; the lease is renewed
beside it, and whoever lost the lease notices at its next record.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, assert_never

import structlog
from msgspec.structs import replace

from godwit.model.reasons import Code, Reason, reason
from godwit.runtime.clock import Clock, iso
from godwit.saga.course import (
    ASKING_AGAIN,
    PERSON_NEEDED,
    RETRYING,
    Course,
    debt_of,
    is_told,
    moved,
    rests,
    told,
)
from godwit.saga.course import Pace as Pace
from godwit.saga.log import Debt, Direction, Entry, SagaLog, Story, What
from godwit.saga.outcome import Failed, guarded, outcome_of, parted
from godwit.saga.step import (
    Context,
    DidNotHappen,
    F,
    Forward,
    Happened,
    Pivot,
    Rest,
    Saga,
    Step,
    Undecided,
    W,
)

T = TypeVar("T")

PATIENT = Pace()


def nobody_listens(_uuid: str) -> None:
    """For an executor without a sweeper."""


logger = structlog.get_logger(__name__)


class _CalledOff(Exception):
    """A request to abort is on record, so the step's was not written."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.words)
        self.reason = reason


class Executor(Generic[W, F]):
    """Tells the stories of one saga, for one owner of leases."""

    def __init__(
        self,
        *,
        log: SagaLog,
        saga: Saga[W, F],
        world: W,
        clock: Clock,
        owner: str,
        pace: Pace = PATIENT,
    ) -> None:
        """`owner` is the name of this process's life: new at each start."""
        self.log = log
        self.clock = clock
        self.owner = owner
        self._saga = saga
        self._course = Course(saga)
        self._world = world
        self._pace = pace
        self.notice: Callable[[str], None] = nobody_listens
        """Called with every other story that a record has woken; the sweeper listens."""
        self._stopping = False
        self._untold: dict[str, tuple[Entry, ...]] = {}
        """Of stories that are being told: what happened since their last record."""

    def stop(self) -> None:
        """Give every lease back at the story's next record, and take up none."""
        self._stopping = True

    async def tell(self, uuid: str, *, alone: bool = False) -> None:
        """Go on with a story until it ends, rests, or is another's; return at once if it cannot be
        had. Raises no `Exception`: trouble with the log, or a defect, leaves it to its lease.
        """
        if not self._stopping:
            now_s = self.clock.now_s()
            until_s = now_s + self._pace.lease_s
            claim = self.log.claim(
                uuid, owner=self.owner, until_s=until_s, now_s=now_s, alone=alone
            )
            await self._under_lease(await guarded(uuid, claim), self._go_on)

    async def pay(self, debt: Debt, *, alone: bool = False) -> None:
        """Do what is owed; if it fails, it is due again later. Raises no `Exception`."""
        if not self._stopping:
            now_s = self.clock.now_s()
            until_s = now_s + self._pace.lease_s
            claim = self.log.claim_debt(
                debt, owner=self.owner, until_s=until_s, now_s=now_s, alone=alone
            )
            story = await guarded(debt.story_uuid, claim)
            await self._under_lease(story, lambda held: self._pay(debt, held))

    async def _go_on(self, story: Story) -> None:
        self._untold.pop(story.uuid, None)
        while story.owner:
            try:
                story = await self._next(story)
            except Rest as rest:
                entry = replace(told(story, What.RESTS), words=rest.why)
                story = await self._rests(story, rest.why, entry, rest.again_after_s)

    async def _next(self, story: Story) -> Story:
        match story.direction:
            case Direction.FORWARD:
                return await self._forward(story)
            case Direction.RESOLVING:
                return await self._resolve(story)
            case Direction.BACKWARD:
                return await self._backward(story)
            case Direction.UNWOUND:
                return await self._unwound(story)
            case Direction.ENDED:
                raise AssertionError(f"story {story.uuid} has ended and cannot be held")
            case _:
                assert_never(story.direction)

    async def _forward(self, story: Story) -> Story:
        part = self._course.part(story.step)
        match part:
            case Step():
                return await self._before_pivot(story, part)
            case Pivot():
                return await self._pivot(story, part)
            case Forward():
                return await self._after_pivot(story, part)
            case _:
                assert_never(part)

    async def _before_pivot(self, story: Story, step: Step[W, F]) -> Story:
        if story.abort is not None:
            return await self._turn_back(story, story.abort)
        outcome = await outcome_of(step.do, self._context(story))
        if isinstance(outcome, Failed):
            return await self._turn_back(story, outcome.reason)
        facts, write = parted(outcome)
        story = self._course.learned(story, facts)
        over, later = told(story, What.DONE), step.only_reads
        try:
            # Heard with the record itself: a pivot's do cannot be called off from here.
            return await self._advance(story, over, along=write, unless_aborted=True, later=later)
        except _CalledOff as called_off:
            return await self._turn_back(story, called_off.reason)

    async def _turn_back(self, story: Story, failure: Reason) -> Story:
        """The step at the position is undone, too: it may have happened."""
        story = moved(replace(story, failure=failure), Direction.BACKWARD, story.step)
        return await self._record(story, told(story, What.FAILED, failure))

    async def _pivot(self, story: Story, pivot: Pivot[W, F]) -> Story:
        facts = await outcome_of(pivot.do, self._context(story))
        if isinstance(facts, Failed):
            failed = moved(replace(story, failure=facts.reason), Direction.RESOLVING, pivot.name)
            return await self._record(failed, told(failed, What.FAILED, facts.reason))
        story = self._course.learned(story, facts)
        entry, story = told(story, What.DONE), moved(story, Direction.RESOLVING, pivot.name)
        return self._later(story, entry) if pivot.told_later else await self._record(story, entry)

    async def _resolve(self, story: Story) -> Story:
        found = await outcome_of(self._saga.pivot.resolve, self._context(story))
        match found:
            case Happened():
                story = self._course.learned(replace(story, failure=None), found.facts)
                later = self._saga.pivot.told_later
                return await self._advance(story, told(story, What.RESOLVED), later=later)
            case DidNotHappen(reason=failure, facts=facts):
                story = self._course.learned(story, facts)
                story = moved(replace(story, failure=failure), Direction.BACKWARD, story.step)
                return await self._record(story, told(story, What.RESOLVED, failure))
            case Undecided(again_after_s=again_after_s, reason=seen, facts=facts):
                story = self._course.learned(story, facts)
                why = ASKING_AGAIN if seen is None else PERSON_NEEDED
                entry = told(story, What.RESTS, seen)
                entry = replace(entry, words=why) if seen is None else entry
                return await self._rests(story, why, entry, again_after_s)
            case Failed(reason=failure):
                return await self._retries_later(story, failure)
            case _:
                assert_never(found)

    async def _after_pivot(self, story: Story, forward: Forward[W, F]) -> Story:
        outcome = await self._insist(forward.do, story)
        if not isinstance(outcome, Failed):
            facts, write = parted(outcome)
            story, later = self._course.learned(story, facts), forward.told_later
            return await self._advance(story, told(story, What.DONE), along=write, later=later)
        debt = self._debt(story, outcome.reason)
        if debt is None:
            return await self._retries_later(story, outcome.reason)
        entry = told(story, What.OWED, outcome.reason, attempt=debt.attempts)
        return await self._advance(story, entry, owed=debt)

    async def _backward(self, story: Story) -> Story:
        undo = self._course.undo(story.step)
        back = self._course.one_back(story)
        if undo is None:
            return back
        done = await self._insist(undo, story)
        if not isinstance(done, Failed):
            return await self._record(back, told(story, What.UNDONE))
        debt = self._debt(story, done.reason)
        if debt is None:
            return await self._retries_later(story, done.reason)
        entry = told(story, What.OWED, done.reason, attempt=debt.attempts)
        return await self._record(back, entry, owed=debt)

    async def _unwound(self, story: Story) -> Story:
        done = await self._insist(self._saga.unwound, story)
        if isinstance(done, Failed):
            return await self._retries_later(story, done.reason)
        story = moved(story, Direction.ENDED, story.step)
        return await self._record(story, told(story, What.ENDED, story.failure), along=done)

    async def _pay(self, debt: Debt, story: Story) -> None:
        act: Callable[[Context[W, F]], Awaitable[object]] | None
        act = self._course.undo(debt.step) if debt.undo else self._course.part(debt.step).do
        try:
            done = None if act is None else await outcome_of(act, self._context(story))
        except Rest as rest:
            done = Failed(reason(Code.INTERNAL_ERROR, problem=f"a debt cannot rest: {rest.why}"))
        if not isinstance(done, Failed):
            logger.info("debt_paid", story=story.uuid, step=debt.step, where=debt.where)
            entry = Entry(
                step=debt.step,
                what=What.PAID,
                words=debt.where,
                attempt=debt.attempts + 1,
                by=self.owner,
                where=debt.where,
            )
            return await self.log.pay(debt, entry, generation=story.generation)
        attempts = debt.attempts + 1
        due_at_s = self.clock.now_s() + self._pace.rest_s(attempts)
        debt = replace(debt, attempts=attempts, words=done.reason.words, due_at_s=due_at_s)
        return await self.log.postpone(debt, generation=story.generation)

    async def _advance(
        self,
        story: Story,
        over: Entry,
        *,
        owed: Debt | None = None,
        along: object = None,
        unless_aborted: bool = False,
        later: bool = False,
    ) -> Story:
        """On to the step after this one: one ended and the next begun in one write. `later`: what
        ended may be done again, so it is told with the next write, and who dies before does so.
        """
        story = self._course.onward(story)
        ended = story.direction is Direction.ENDED
        then = told(story, What.ENDED if ended else What.BEGAN)
        if later:
            return self._later(story, over, then)
        return await self._record(
            story, over, then, owed=owed, along=along, unless_aborted=unless_aborted
        )

    def _later(self, story: Story, *entries: Entry) -> Story:
        """Tell this with the story's next record."""
        dated = (replace(each, at=iso(self.clock.now_s())) for each in entries)
        self._untold[story.uuid] = (*self._untold.get(story.uuid, ()), *dated)
        return story

    async def _rests(self, story: Story, why: str, entry: Entry, again_after_s: float) -> Story:
        """Give the lease back for a while. One entry per rest, however often it is looked at."""
        is_news = story.resting != why
        story = rests(story, why, until_s=self.clock.now_s() + again_after_s)
        return await self._record(story, *((entry,) if is_news else ()))

    async def _retries_later(self, story: Story, why: Reason) -> Story:
        attempts = story.attempts + 1
        until_s = self.clock.now_s() + self._pace.rest_s(attempts)
        entry = told(story, What.FAILED, why, attempt=attempts)
        story = rests(story, RETRYING, until_s=until_s, attempts=attempts)
        return await self._record(story, *((entry,) if is_told(attempts) else ()))

    async def _record(
        self,
        story: Story,
        *entries: Entry,
        owed: Debt | None = None,
        along: object = None,
        unless_aborted: bool = False,
    ) -> Story:
        """Raises `_CalledOff`, with nothing written, if `unless_aborted` and that was asked for."""
        if self._stopping and story.owner:
            story = replace(story, owner="", wake_at_s=0.0)
        entries = (*self._untold.get(story.uuid, ()), *entries)
        entries = self._course.signed(story, entries, self.owner)
        recorded = await self.log.record(
            story, *entries, owed=owed, along=along, unless_aborted=unless_aborted
        )
        if recorded.abort is not None:
            raise _CalledOff(recorded.abort)
        for uuid in recorded.woken:
            self.notice(uuid)
        self._untold.pop(story.uuid, None)
        for entry in entries:
            logger.info(
                "story_went_on",
                story=story.uuid,
                step=entry.step,
                what=entry.what,
                words=entry.words,
            )
        return story

    async def _insist(
        self, act: Callable[[Context[W, F]], Awaitable[T]], story: Story
    ) -> T | Failed:
        """An act that must not fail, tried a few times."""
        outcome = await outcome_of(act, self._context(story))
        for pause_s in self._pace.retries_s:
            if not isinstance(outcome, Failed):
                break
            await asyncio.sleep(pause_s)
            outcome = await outcome_of(act, self._context(story))
        return outcome

    def _debt(self, story: Story, why: Reason) -> Debt | None:
        """What the step's host owes; None if the step is of no host."""
        where = self._course.where(story)
        due_at_s = self.clock.now_s() + self._pace.rest_s(1)
        return debt_of(story, where, why, due_at_s=due_at_s) if where else None

    def _context(self, story: Story) -> Context[W, F]:
        return self._course.context(story, self._world)

    async def _under_lease(
        self, story: Story | None, act: Callable[[Story], Awaitable[None]]
    ) -> None:
        if story is None:
            return
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew(story), name=f"lease of {story.uuid}")
            try:
                with structlog.contextvars.bound_contextvars(**self._course.marks(story)):
                    await guarded(story.uuid, act(story))
            except asyncio.CancelledError:
                renewing.cancel()
                if self._stopping:  # an act that outlasts the end of this process
                    await self._give_back(story)
                raise
            renewing.cancel()

    async def _give_back(self, story: Story) -> None:
        """Whoever comes next need not wait until the lease is over."""
        now_s = self.clock.now_s()
        renewal = self.log.renew(story.uuid, generation=story.generation, until_s=now_s)
        await guarded(story.uuid, renewal)

    async def _renew(self, story: Story) -> None:
        ours: bool | None = True
        while ours is not False:
            await asyncio.sleep(self._pace.lease_s / 3)
            until_s = self.clock.now_s() + self._pace.lease_s
            renewal = self.log.renew(story.uuid, generation=story.generation, until_s=until_s)
            ours = await guarded(story.uuid, renewal)
