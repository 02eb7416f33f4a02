"""What an act of a story came to. Used by `executor` alone: here its errors end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from godwit.model.errors import GodwitError, Superseded
from godwit.model.reasons import Code, Reason, reason
from godwit.saga.step import Along, Context, F, Rest, W

T = TypeVar("T")

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failed:
    """An act that raised, as people are told."""

    reason: Reason


def parted(outcome: F | Along[F]) -> tuple[F, object]:
    """The facts, and what is to be written along."""
    return (outcome.facts, outcome.write) if isinstance(outcome, Along) else (outcome, None)


async def outcome_of(
    act: Callable[[Context[W, F]], Awaitable[T]], context: Context[W, F]
) -> T | Failed:
    """What an act returned, or the reason for which it failed. `Rest` and `Superseded` pass."""
    try:
        return await act(context)
    except (Rest, Superseded):
        raise
    except GodwitError as error:
        words, code = error.reason.words, error.reason.code
        logger.warning("act_failed", story=context.story_uuid, code=code, words=words)
        return Failed(error.reason)
    except Exception as error:
        logger.exception("act_met_a_defect", story=context.story_uuid)
        return Failed(reason(Code.INTERNAL_ERROR, problem=f"{type(error).__name__}: {error}"))


async def guarded(uuid: str, act: Awaitable[T]) -> T | None:
    """What the act returned, or None if it could not go on: then the lease runs out, and the story
    is taken up again from its last record.
    """
    try:
        return await act
    except Superseded:
        logger.info("story_is_anothers", story=uuid)
    except GodwitError as error:
        logger.warning("story_left", story=uuid, code=error.reason.code, words=error.reason.words)
    except Exception:
        logger.exception("story_left_by_a_defect", story=uuid)
    return None
