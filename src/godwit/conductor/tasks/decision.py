"""A person's decision on a move, as the store keeps it beside the story."""

from dataclasses import dataclass

from godwit.conductor.tasks.facts import Telling, at_source, uuid_of
from godwit.conductor.tasks.persons_word import Choice
from godwit.model.reasons import Reason


@dataclass(frozen=True)
class Decided:
    """What a person decided, and who and why in words."""

    choice: Choice
    why: Reason


async def decision_of(context: Telling) -> Decided | None:
    """The decision on record for this move, if there is one."""
    decision = await context.world.queries.decision(uuid_of(context))
    if decision is None:
        return None
    if decision.at_host is None:
        return Decided(Choice.LOST, decision.why)
    here = decision.at_host == at_source(context.facts)
    return Decided(Choice.AT_SOURCE if here else Choice.AT_DESTINATION, decision.why)


async def said_to_be_lost(context: Telling) -> bool:
    """Whether a person has given the guest up: then nothing is touched at either end."""
    decided = await decision_of(context)
    return decided is not None and decided.choice is Choice.LOST
