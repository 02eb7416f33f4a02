"""The pivot: run the transfer, then find the guest and carry the verdict out.

`live_migration` is the do: whatever it returns or raises proves nothing. `find_the_guest` resolves:
it waits until the transfer process has ended and nothing can begin any more, looks at both ends,
asks `whereabouts` (or, once one has decided, a person's word), and does what the verdict says.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec.structs import replace

from godwit.conductor.alarms import alarm
from godwit.conductor.tasks.decision import Decided, decision_of
from godwit.conductor.tasks.facts import (
    LiveMigrationFacts,
    Telling,
    act,
    agreement_of,
    at_destination,
    at_source,
    destination_of,
    fence,
    move,
    rolling_back,
    uuid_of,
)
from godwit.conductor.tasks.look import (
    EVIDENCE_LOST,
    NOT_CLOSED,
    STUCK,
    Seen,
    answered,
    look,
    seen_words,
    sight_destination,
    sight_source,
)
from godwit.conductor.tasks.persons_word import RUNS_AT_DESTINATION, carry_out
from godwit.conductor.tasks.slots import give_slots_back
from godwit.conductor.tasks.transfer_watch import close, follow, watch_orphan
from godwit.conductor.tasks.verdict_reason import why_it_did_not_happen
from godwit.conductor.tasks.whereabouts import PERSON, Verdict, decide
from godwit.model.audit import Evidence, Mismatch
from godwit.model.migration import MigrationStatus
from godwit.model.sighting import SourceSighting, SourceWord
from godwit.model.steering import UNSTEERED
from godwit.model.whereis import Shows
from godwit.rpc.compute import StartTransfer, TransferNews
from godwit.runtime.clock import iso
from godwit.saga.step import DidNotHappen, Happened, Resolution, Undecided
from godwit.store.interface import MigrationChanges

LOOK_AGAIN_S: Final = 3.0
WATCH_AGAIN_S: Final = 1.0
"""Without its transfer process a guest that arrives waits for this look to be let run."""
NEVER_BEGUN_TWICE_S: Final = 5.0
"""So far apart are the two looks that what never began needs."""
PERSON_LOOK_S: Final = 30.0
"""While a person is needed, the look goes on: the hosts may answer by themselves."""

BACK_TO_THE_SOURCE: Final = frozenset({Verdict.RESUME_SOURCE, Verdict.DISCARD_DESTINATION})
"""What the source would go on with is older than what the guest wrote if it ran at the other end:
somebody may have let it run there by hand."""

Outcome = Resolution[LiveMigrationFacts]


async def live_migration(context: Telling) -> LiveMigrationFacts:
    """Begin the transfer, or find the one that was begun, and follow it until it has ended."""
    migration = await context.world.queries.migration(uuid_of(context))
    started = await context.world.compute(at_source(context.facts)).live_migration(
        StartTransfer(
            act=act(context),
            instance=context.facts.instance,
            migrate_data=agreement_of(context.facts),
            destination=destination_of(context.facts),
            steering=migration.steering if migration else UNSTEERED,
        )
    )
    news = await follow(context)
    result = news.result if news else None
    return replace(context.facts, result=result, started=started.started)


async def find_the_guest(context: Telling) -> Outcome:
    """Whether the guest has moved, by looking. Never by what the transfer said of itself."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    if context.facts.result is None:
        await follow(context, silences_max=1)
    closed = await close(context)
    if closed is not None and not closed.ended and not closed.stuck:
        return Undecided(LOOK_AGAIN_S, facts=replace(context.facts, undecided_for_s=0.0))
    if closed is not None and closed.orphaned:
        closed = await watch_orphan(context, closed)
    result = closed.result if closed is not None and closed.result else context.facts.result
    started = context.facts.started or (closed is not None and closed.started)
    facts = replace(context.facts, result=result, started=started)
    seen = await _look_until_it_counts(context, _why_the_source_cannot_tell(facts, closed))
    if seen is None:
        return Undecided(LOOK_AGAIN_S, facts=facts)
    facts = replace(
        facts,
        may_have_run_there=_may_have_run_there(facts, seen),
        undecided_for_s=_with_this_look(facts, loop.time() - began_s),
    )
    outcome = await carry_out_verdict(_with(context, facts), seen)
    await _say_whether_a_person_is_needed(context, outcome)
    return outcome


async def _look_until_it_counts(context: Telling, unfit: SourceSighting | None) -> Seen | None:
    """What never began must be seen twice: a hung hypervisor may still hold the request to begin.
    None: the two looks differ.
    """
    seen = await look(context, unfit=unfit)
    if seen is None or not seen.source.never_begun:
        return seen
    await asyncio.sleep(NEVER_BEGUN_TWICE_S)
    again = await look(context, unfit=unfit)
    return again if again is not None and again.source == seen.source else None


def _why_the_source_cannot_tell(
    facts: LiveMigrationFacts, closed: TransferNews | None
) -> SourceSighting | None:
    """What counts in place of the source's own word. Without the evidence of a transfer that was
    started, an absent guest would read as one that never left.
    """
    if closed is None:
        return NOT_CLOSED
    if not closed.ended:
        return STUCK
    return EVIDENCE_LOST if facts.started and not closed.started else None


async def carry_out_verdict(context: Telling, seen: Seen) -> Outcome:
    """A person's word goes before the table."""
    # Nobody is asked but by a story that rests.
    decided = await decision_of(context) if context.has_rested else None
    if decided is not None:
        return await _as_a_person_decided(context, seen, decided)
    verdict = decide(
        seen.source.word,
        seen.destination.word,
        guard=agreement_of(context.facts).guard,
        bound_is_over=_bound_is_over(context),
        without_power=seen.without_power,
    )
    if verdict in BACK_TO_THE_SOURCE and context.facts.may_have_run_there:
        return await ask_a_person(context, seen)
    return await CARRY_OUT[verdict](context, seen)


async def _as_a_person_decided(context: Telling, seen: Seen, decided: Decided) -> Outcome:
    verdict = carry_out(decided.choice, seen.source.word, seen.destination.word)
    if verdict is None:
        return await ask_a_person(context, seen)
    if verdict is Verdict.LOST:
        return DidNotHappen(decided.why)
    outcome = await CARRY_OUT[verdict](context, seen)
    if isinstance(outcome, DidNotHappen):
        return dataclasses.replace(outcome, reason=decided.why)
    return outcome


# --- one small function per verdict ---------------------------------------------------------------


async def watch(context: Telling, _seen: Seen) -> Outcome:
    """The hypervisor copies on by itself; before each look its job was looked after."""
    return Undecided(WATCH_AGAIN_S, facts=replace(context.facts, undecided_for_s=0.0))


async def ask_again(context: Telling, _seen: Seen) -> Outcome:
    """Look again; the bound runs from the first time."""
    for_s = context.facts.undecided_for_s + LOOK_AGAIN_S
    return Undecided(LOOK_AGAIN_S, facts=replace(context.facts, undecided_for_s=for_s))


async def undo(context: Telling, seen: Seen) -> Outcome:
    """The guest is at the source, or ended there: all that was prepared is undone. A source of
    which only a person says that it has no power may still be sending.
    """
    abort = await context.world.store.abort_request(context.story_uuid)
    source = seen.told_source
    why = why_it_did_not_happen(source, context.facts.result, abort=abort, failure=context.failure)
    by_word = context.facts.source_by_word or seen.source_by_word_alone
    return DidNotHappen(why, facts=replace(context.facts, end=source.end, source_by_word=by_word))


async def forward(context: Telling, seen: Seen) -> Outcome:
    """The guest is at the destination. One that has ended there has moved all the same; it is told
    of, and not started again.
    """
    return Happened(replace(context.facts, undecided_for_s=0.0, end=seen.destination.end))


async def resume_destination(context: Telling, seen: Seen) -> Outcome:
    """The source can never run again. Looked at once more: it may have ended as soon as it ran."""
    compute = context.world.compute(at_destination(context.facts))
    if await answered(compute.let_run_at_destination(move(context))):
        return await forward(context, Seen(seen.source, await sight_destination(context)))
    return await ask_again(context, seen)


async def end_source(context: Telling, seen: Seen) -> Outcome:
    """It runs at the destination: the half at the source is what is left over."""
    compute = context.world.compute(at_source(context.facts))
    if await answered(compute.end_source(move(context))):
        return await forward(context, seen)
    return await ask_again(context, seen)


async def end_source_resume_destination(context: Telling, seen: Seen) -> Outcome:
    """The order is what keeps the guest single: end, see that it is gone, only then resume.

    Looking again instead of resuming here: the next look sees it gone and resumes.
    """
    compute = context.world.compute(at_source(context.facts))
    await answered(compute.end_source(move(context)))
    again = await sight_source(context)
    gone = decide(
        again.word,
        seen.destination.word,
        guard=agreement_of(context.facts).guard,
        bound_is_over=False,
        without_power=seen.without_power,
    )
    if gone is Verdict.RESUME_DESTINATION:
        return await resume_destination(context, seen)
    return await ask_again(context, seen)


async def discard_destination(context: Telling, seen: Seen) -> Outcome:
    """Half a guest that never ran. The next look must see it gone before the source is resumed."""
    compute = context.world.compute(at_destination(context.facts))
    ask = rolling_back(context, may_have_run=True)
    await answered(compute.rollback_live_migration_at_destination(ask))
    return await ask_again(context, seen)


async def resume_source(context: Telling, seen: Seen) -> Outcome:
    """The destination has answered that nothing is there which could run."""
    compute = context.world.compute(at_source(context.facts))
    if await answered(compute.let_run_at_source(move(context))):
        return await undo(context, seen)
    return await ask_again(context, seen)


async def resume_stream(context: Telling, seen: Seen) -> Outcome:
    """The source sends the rest again. Whether it flows is seen at the next look."""
    compute = context.world.compute(at_source(context.facts))
    await answered(compute.resume_post_copy(move(context)))
    return await ask_again(context, seen)


async def ask_a_person(context: Telling, seen: Seen) -> Outcome:
    """Put on record what was seen; hold no slot meanwhile; go on looking. A broken stream flows
    again as soon as it can, whatever a person has said: a guest in two halves is nowhere.
    """
    verdict = decide(
        seen.source.word,
        seen.destination.word,
        guard=agreement_of(context.facts).guard,
        bound_is_over=True,
        without_power=seen.without_power,
    )
    if verdict is Verdict.STREAM_BROKEN:
        await resume_stream(context, seen)
    await _alarm_about(context, seen, verdict)
    code = PERSON.get(verdict, PERSON[Verdict.UNKNOWN])
    why = seen_words(context, seen, code)
    changes = MigrationChanges(status=MigrationStatus.RUNNING, person_needed=True, reason=why)
    await context.world.store.change_migration(fence(context), changes)
    await give_slots_back(context)
    return Undecided(PERSON_LOOK_S, reason=why, facts=context.facts)


async def _alarm_about(context: Telling, seen: Seen, verdict: Verdict) -> None:
    """What a person is asked about is told to all, where a guest is doubled or lost."""
    kind = _ALARMS.get(verdict)
    if kind is None:
        return
    at = iso(context.world.clock.now_s())
    runs = kind is Mismatch.RUNS_TWICE
    evidence = (
        Evidence(by=at_source(context.facts), said=RUNS if runs else seen.source.word, at=at),
        Evidence(
            by=at_destination(context.facts), said=RUNS if runs else seen.destination.word, at=at
        ),
    )
    await alarm(context.world, context.facts.instance.uuid, kind, evidence)


RUNS: Final = Shows.RUNS.value
_ALARMS: Final[Mapping[Verdict, Mismatch]] = {
    Verdict.TWO_GUESTS: Mismatch.RUNS_TWICE,
    Verdict.LOST: Mismatch.NOWHERE,
}
CARRY_OUT: Final[Mapping[Verdict, Callable[[Telling, Seen], Awaitable[Outcome]]]] = {
    Verdict.WATCH: watch,
    Verdict.ASK_AGAIN: ask_again,
    Verdict.UNDO: undo,
    Verdict.UNDO_FAR_HALF_OWED: undo,
    Verdict.FORWARD: forward,
    Verdict.FORWARD_SHUT_OFF: forward,
    Verdict.RESUME_DESTINATION: resume_destination,
    Verdict.END_SOURCE: end_source,
    Verdict.END_SOURCE_RESUME_DESTINATION: end_source_resume_destination,
    Verdict.DISCARD_DESTINATION: discard_destination,
    Verdict.RESUME_SOURCE: resume_source,
    Verdict.RESUME_STREAM: resume_stream,
    Verdict.STREAM_BROKEN: ask_a_person,
    Verdict.GUEST_ENDED: undo,
    Verdict.TWO_GUESTS: ask_a_person,
    Verdict.LOST: ask_a_person,
    Verdict.UNKNOWN: ask_a_person,
}
"""An undo whose far half does not answer becomes that host's debt in the steps' own undo."""


# --- what one look leaves to the next -------------------------------------------------------------


def _may_have_run_there(facts: LiveMigrationFacts, seen: Seen) -> bool:
    """Never taken back: what has run there has written there."""
    let_run = facts.result is not None and facts.result.ran_at_destination
    runs = seen.source.word is SourceWord.GONE or seen.destination.word in RUNS_AT_DESTINATION
    return facts.may_have_run_there or let_run or runs


def _with(context: Telling, facts: LiveMigrationFacts) -> Telling:
    return dataclasses.replace(context, facts=facts)


def _with_this_look(facts: LiveMigrationFacts, took_s: float) -> float:
    """Added up from durations, whoever looked: no clock that is set, or wrong, is asked."""
    return facts.undecided_for_s + took_s if facts.undecided_for_s else 0.0


def _bound_is_over(context: Telling) -> bool:
    return context.facts.undecided_for_s >= context.world.settings.migration.ask_again_s


async def _say_whether_a_person_is_needed(context: Telling, outcome: Outcome) -> None:
    """A person is no longer needed once the hosts have answered by themselves."""
    if not context.has_rested:
        return
    migration = await context.world.queries.migration(uuid_of(context))
    if migration is None or not migration.person_needed:
        return
    if isinstance(outcome, Undecided) and outcome.reason is not None:
        return
    changes = MigrationChanges(person_needed=False)
    await context.world.store.change_migration(fence(context), changes)
