import asyncio

import msgspec
import pytest
from structlog.contextvars import get_contextvars
from tests.unit.saga.toy import (
    ABORT,
    ALL_ACTS,
    CLOCK,
    DONE,
    LACONIC,
    REFUSED,
    SEEN,
    TOY,
    UUID,
    Died,
    Facts,
    Hook,
    House,
    World,
)

from godwit.model.errors import Superseded
from godwit.model.reasons import Code, reason
from godwit.saga.course import is_told
from godwit.saga.executor import Pace
from godwit.saga.log import Direction, Story
from godwit.saga.step import Rest, Saga, Undecided
from godwit.sim.loop import START_S, run
from godwit.store import stories
from godwit.store.queries import Queries
from godwit.store.readers import InlineReader
from godwit.store.sql import SqlStore
from godwit.store.writer import InlineWriter

BEFORE = ["a", "b", "c"]
WHEN = ["before", "after"]
LATE = Superseded(reason(Code.SUPERSEDED, migration=UUID))


async def told(house: House) -> None:
    await house.begin()
    await house.until_quiet(house.executor())


@pytest.mark.parametrize("saga", [TOY, LACONIC])
def test_an_undisturbed_story_does_each_act_once_in_order_and_learns_from_each(
    saga: Saga[World, Facts],
) -> None:
    house = House(saga=saga)
    run(told(house))
    assert tuple(house.world.acts) == ALL_ACTS
    assert house.world.whole
    story = run(house.story())
    assert story.direction is Direction.ENDED
    assert story.owner == ""
    assert msgspec.json.decode(story.facts, type=Facts).learned == tuple("abcpfg")
    assert run(house.timeline()) == [
        "a began", "a done", "b began", "b done", "c began", "c done", "p began", "p done",
        "p resolved", "f began", "f done", "g began", "g done", "g ended",
    ]  # fmt: skip


def test_every_act_is_marked_with_its_story_its_lease_and_the_request_that_began_it() -> None:
    house, seen = House(), list[dict[str, object]]()

    async def look() -> None:
        seen.append(get_contextvars())

    acts = ("do a", "undo c", "undo a", "unwound")
    house.world.trouble = {f"before {act}": [look] for act in acts}
    house.world.trouble["before do c"] = [REFUSED]
    run(told(house))
    assert seen == [{"story": UUID, "generation": 1, "request_id": "req-toy"}] * 4


@pytest.mark.parametrize("error", [REFUSED, RuntimeError("a defect")])
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("step", BEFORE)
def test_a_step_that_fails_before_the_pivot_is_undone_with_all_before_it(
    step: str, when: str, error: Exception
) -> None:
    house = House()
    house.world.trouble[f"{when} do {step}"] = [error]
    run(told(house))
    assert house.world.ending == "unwound"
    assert house.world.whole
    failure = run(house.story()).failure
    assert failure is not None
    assert failure.code is getattr(getattr(error, "reason", None), "code", Code.INTERNAL_ERROR)
    assert "do p" not in house.world.acts


@pytest.mark.parametrize("error", [REFUSED, RuntimeError("a defect")])
@pytest.mark.parametrize("when", WHEN)
def test_at_the_pivot_only_what_is_seen_decides_never_the_error(
    when: str, error: Exception
) -> None:
    house = House()
    house.world.trouble[f"{when} do p"] = [error]
    run(told(house))
    assert house.world.ending == ("unwound" if when == "before" else "finished")
    assert house.world.whole
    assert (run(house.story()).failure is None) == (when == "after")
    assert house.world.acts.count("do p") == 1


@pytest.mark.parametrize("times", [1, 3, 4, 12])
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("act", ["do f", "do g"])
def test_after_the_pivot_every_step_is_done_in_the_end_however_often_it_fails(
    act: str, when: str, times: int
) -> None:
    house = House()
    house.world.trouble[f"{when} {act}"] = [REFUSED] * times
    run(told(house))
    assert house.world.ending == "finished"
    assert house.world.whole
    assert house.world.acts.count(act) == times + 1
    assert not any(act.startswith("undo") for act in house.world.acts)


@pytest.mark.parametrize("times", [1, 3, 4, 12])
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("act", ["undo a", "undo c", "undo p", "unwound"])
def test_every_undo_is_done_in_the_end_however_often_it_fails(
    act: str, when: str, times: int
) -> None:
    house = House()
    house.world.trouble = {"before do p": [REFUSED], f"{when} {act}": [REFUSED] * times}
    run(told(house))
    assert house.world.ending == "unwound"
    assert house.world.whole
    assert house.world.acts.count(act) == times + 1


def test_an_act_that_no_host_owes_is_told_at_ever_rarer_failures_while_the_story_rests() -> None:
    house = House()
    house.world.trouble["before do g"] = [REFUSED] * 32
    run(told(house))
    told_failures = [line for line in run(house.timeline()) if line == "g failed"]
    assert len(told_failures) == len([n for n in range(1, 9) if is_told(n)]) == 4


def test_what_a_host_owes_is_on_record_until_it_is_paid_under_a_newer_generation() -> None:
    house = House()

    async def story() -> None:
        house.world.trouble["before do f"] = [REFUSED] * 6
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        [debt] = await house.store().queries.debts()
        assert (debt.step, debt.undo, debt.where, debt.words) == (
            "f",
            False,
            "h",
            REFUSED.reason.words,
        )
        assert house.world.ending == "finished"
        for attempts in (2, 3):
            await executor.pay(debt)
            [debt] = await house.store().queries.debts()
            assert debt.attempts == attempts
            assert debt.due_at_s == CLOCK.now_s() + Pace().rest_s(attempts)
        await executor.pay(debt)
        assert await house.store().queries.debts() == ()
        assert house.world.whole
        assert house.world.generations[-3:] == [2, 3, 4]
        await executor.pay(debt)

    run(story())
    assert run(house.timeline())[-5:] == ["f owed", "g began", "g done", "g ended", "f paid"]
    assert house.world.acts.count("do f") == 7


def test_a_debt_that_asks_for_a_rest_stays_owed() -> None:
    house = House()

    async def story() -> None:
        house.world.trouble["before do f"] = [REFUSED] * 4
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        [debt] = await house.store().queries.debts()
        house.world.trouble["before do f"] = [Rest("queued", again_after_s=1)]
        await executor.pay(debt)
        [debt] = await house.store().queries.debts()
        assert debt.attempts == 2

    run(story())


def test_a_debt_whose_undo_a_newer_program_no_longer_has_is_simply_paid() -> None:
    house = House()

    async def story() -> None:
        house.world.trouble = {"before do c": [REFUSED], "before undo c": [REFUSED] * 4}
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        [debt] = await house.store().queries.debts()
        renamed = msgspec.structs.replace(debt, step="b")
        house.do_in_the_store(lambda c: c.execute("update debts set step = 'b'").close())
        await executor.pay(renamed)
        assert await house.store().queries.debts() == ()

    run(story())


@pytest.mark.slow
@pytest.mark.parametrize("dies_after_commit", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [
        {},
        {"before do c": [REFUSED] * 2},
        {"before do p": [REFUSED] * 2},
        {"after do p": [REFUSED]},
        {"before do f": [REFUSED] * 6},
        {"before do p": [REFUSED] * 2, "before undo c": [REFUSED] * 6},
        {"before do b": [Rest("queued", again_after_s=30)]},
    ],
)
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("saga", [TOY, LACONIC])
def test_whichever_write_a_process_dies_at_the_next_one_ends_the_story_whole(
    saga: Saga[World, Facts],
    trouble: dict[str, list[BaseException | Hook]],
    *,
    dies_after_commit: bool,
    alone: bool,
) -> None:
    for write in range(1, 18):
        house = House(saga=saga)
        house.world.trouble = {when: list(met) for when, met in trouble.items()}
        assert run(dies_and_is_taken_over(house, write, after=dies_after_commit, alone=alone))
        assert house.world.whole
        assert house.world.generations == sorted(house.world.generations)


def test_what_is_told_later_costs_no_write_of_its_own_and_is_done_again_by_who_takes_over() -> None:
    async def dies_before_its_next_record() -> None:
        await house.begin()
        dying = house.store(dies_at_write=5)  # the lease, and a record of a, b and c each
        try:
            await house.executor(dying).tell(UUID)
        except* Died:
            await house.until_quiet(house.executor(owner="second"), alone=True)

    house = House(saga=LACONIC)
    run(dies_before_its_next_record())
    assert house.world.whole
    assert house.world.acts[-8:] == ["do p", "resolve p", "do f", "do g"] * 2


async def dies_and_is_taken_over(house: House, write: int, *, after: bool, alone: bool) -> bool:
    await house.begin()
    try:
        await house.until_quiet(house.executor(house.store(dies_at_write=write, after=after)))
    except* Died:
        pass
    began_s = CLOCK.now_s()
    await house.until_quiet(house.executor(owner="second"), alone=alone)
    return not alone or CLOCK.now_s() - began_s < 100


def test_a_process_that_is_alone_takes_over_at_once_and_any_other_when_the_lease_is_over() -> None:
    async def waited_s(*, alone: bool) -> float:
        house = House()
        await house.begin()
        try:
            await house.executor(house.store(dies_at_write=3)).tell(UUID)
        except* Died:
            pass
        began_s = CLOCK.now_s()
        await house.until_quiet(house.executor(owner="second"), alone=alone, every_s=1)
        assert house.world.whole
        assert "b taken-over" in await house.timeline()
        return CLOCK.now_s() - began_s

    assert run(waited_s(alone=True)) <= 2
    assert 15 <= run(waited_s(alone=False)) <= 18


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("act", ALL_ACTS)
def test_an_abort_is_heard_at_any_step_before_the_pivot_and_changes_nothing_from_it_on(
    act: str, when: str
) -> None:
    house = House()

    async def abort() -> None:
        house.do_in_the_store(lambda c: stories.request_abort(c, UUID, ABORT))

    house.world.trouble[f"{when} {act}"] = [abort]
    run(told(house))
    heard = act in {"do a", "do b", "do c"}
    assert house.world.ending == ("unwound" if heard else "finished")
    assert house.world.whole
    assert (run(house.story()).failure == ABORT) == heard
    assert ("do p" in house.world.acts) != heard


def test_an_abort_wakes_a_resting_story_which_is_then_undone_without_its_do() -> None:
    house = House()

    async def story() -> None:
        house.world.trouble["before do c"] = [Rest("queued", again_after_s=1e6)]
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        house.do_in_the_store(lambda c: stories.request_abort(c, UUID, ABORT))
        await house.until_quiet(executor, every_s=1, times_max=5)

    run(story())
    assert house.world.ending == "unwound"
    assert house.world.whole
    assert house.world.acts.count("do c") == 1


@pytest.mark.parametrize("act", ["do a", "do b", "do c", "do p", "do f", "undo c", "unwound"])
def test_an_act_that_asks_for_a_rest_gives_the_lease_back_and_is_done_again_when_it_is_time(
    act: str,
) -> None:
    house = House()

    async def story() -> None:
        if act.startswith("un"):
            house.world.trouble["before do p"] = [REFUSED]
        house.world.trouble[f"before {act}"] = [Rest("queued", again_after_s=30)] * 2
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        resting = await house.story()
        assert (resting.owner, resting.resting) == ("", "queued")
        assert resting.wake_at_s == START_S + 30
        await house.until_quiet(executor)
        assert 60 <= CLOCK.now_s() - START_S <= 70
        assert (await house.story()).resting == ""
        rests = [line for line in await house.timeline() if line.endswith(" rests")]
        assert len(rests) == 1

    run(story())
    assert house.world.whole
    assert house.world.acts.count(act) == 3


def test_a_story_woken_while_it_is_told_does_not_oversleep() -> None:
    house = House()

    async def wake_then_rest() -> None:
        await house.store().wake(UUID)
        raise Rest("queued", again_after_s=1e6)

    async def story() -> None:
        house.world.trouble["before do b"] = [wake_then_rest]
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        assert await house.store().due(now_s=CLOCK.now_s(), owner="first") == (UUID,)
        await house.until_quiet(executor, every_s=1, times_max=5)

    run(story())
    assert house.world.whole


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("act", [*ALL_ACTS, "undo c"])
def test_a_story_that_was_taken_over_is_told_no_further_by_the_late_one(
    act: str, when: str
) -> None:
    house = House()

    async def take_over() -> None:
        await house.until_quiet(house.executor(owner="second"), alone=True)
        assert house.world.whole
        house.world.acts.append("second is through")

    if act == "undo c":
        house.world.trouble["before do p"] = [REFUSED]
    house.world.trouble[f"{when} {act}"] = [take_over]

    async def story() -> None:
        await house.begin()
        await house.executor(owner="first").tell(UUID)
        ended = await house.story()
        assert ended.direction is Direction.ENDED

    run(story())
    assert house.world.acts[-1] == "second is through"


@pytest.mark.parametrize("act", ["do a", "do p", "resolve p", "do f", "undo a"])
def test_an_act_that_is_superseded_at_its_host_decides_nothing(act: str) -> None:
    house = House()
    if act == "undo a":
        house.world.trouble["before do b"] = [REFUSED]
    house.world.trouble[f"before {act}"] = [LATE]
    run(told(house))
    assert house.world.ending == ("unwound" if act == "undo a" else "finished")
    assert house.world.whole
    assert house.world.generations[-1] == 2


def test_what_an_undecided_look_learned_is_kept_and_a_person_is_asked_for_by_name() -> None:
    house = House()

    async def story() -> None:
        house.world.undecided = [
            Undecided(again_after_s=5.0),
            Undecided(again_after_s=5.0, facts=Facts(learned=("once",))),
            Undecided(again_after_s=7.0, reason=SEEN),
        ]
        await house.begin()
        executor = house.executor()
        for resting in ("asking-again", "asking-again", "person_needed"):
            await executor.tell(UUID)
            story = await house.story()
            assert (story.direction, story.resting) == (Direction.RESOLVING, resting)
        facts = (await house.story()).facts
        assert msgspec.json.decode(facts, type=Facts).learned == ("once",)
        assert (await house.store().queries.timeline(UUID))[-1].words == SEEN.words
        await house.until_quiet(executor)

    run(story())
    assert house.world.whole
    assert house.world.acts.count("resolve p") == 4


@pytest.mark.parametrize("error", [REFUSED, RuntimeError("a defect")])
def test_a_look_that_fails_is_repeated_and_decides_nothing(error: Exception) -> None:
    house = House()
    house.world.trouble = {"before do p": [REFUSED], "before resolve p": [error] * 3}
    run(told(house))
    assert house.world.ending == "unwound"
    assert house.world.whole


def test_the_lease_is_renewed_while_an_act_takes_long() -> None:
    house = House()

    async def long() -> None:
        for _ in range(100):
            await asyncio.sleep(1)
            assert await house.store().due(now_s=CLOCK.now_s(), owner="second") == ()

    house.world.trouble["before do b"] = [long]
    run(told(house))
    assert tuple(house.world.acts) == ALL_ACTS


def test_a_lost_lease_is_renewed_no_more() -> None:
    house = House()

    async def taken_over() -> None:
        store = house.store()
        now_s = CLOCK.now_s()
        assert await store.claim(UUID, owner="b", until_s=now_s + 9, now_s=now_s, alone=True)
        await asyncio.sleep(20)
        assert (await house.story()).lease_until_s == now_s + 9

    house.world.trouble["before do b"] = [taken_over]
    run(told(house))
    assert house.world.whole


class SlowAtTheEnd(SqlStore):
    """What gives a lease back is written at once, and answered late."""

    async def renew(self, uuid: str, *, generation: int, until_s: float) -> bool:
        is_end = until_s <= CLOCK.now_s()
        ours = await super().renew(uuid, generation=generation, until_s=until_s)
        if is_end:
            await asyncio.sleep(Pace().lease_s)
        return ours


def test_a_lease_that_was_given_back_is_not_renewed_meanwhile() -> None:
    house = House()
    house.world.trouble["before do b"] = [lambda: asyncio.sleep(1000)]
    store = SlowAtTheEnd(InlineWriter(house.database), Queries(InlineReader(house.database)), CLOCK)

    async def story() -> None:
        await house.begin()
        executor = house.executor(store)
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(executor.tell(UUID))
            await asyncio.sleep(1)
            executor.stop()
            telling.cancel()
            given_back_s = CLOCK.now_s()
        assert (await house.story()).lease_until_s == given_back_s

    run(story())


@pytest.mark.parametrize("act", [*ALL_ACTS, "undo c", "unwound"])
def test_a_stop_gives_the_lease_back_at_the_next_record_and_the_next_process_goes_on(
    act: str,
) -> None:
    house = House()

    async def story() -> None:
        executor = house.executor()

        async def stop() -> None:
            executor.stop()

        if act.startswith("un"):
            house.world.trouble["before do p"] = [REFUSED]
        house.world.trouble[f"before {act}"] = [stop]
        await house.begin()
        await executor.tell(UUID)
        assert (await house.story()).owner == ""
        assert house.world.acts[-1] == act
        acts = len(house.world.acts)
        await executor.tell(UUID)
        assert len(house.world.acts) == acts
        await house.until_quiet(house.executor(owner="second"), every_s=1, times_max=5)

    run(story())
    assert house.world.whole
    assert len(house.world.acts) == len(set(house.world.acts))


def test_a_stopped_executor_pays_nothing() -> None:
    house = House()

    async def story() -> None:
        house.world.trouble["before do f"] = [REFUSED] * 4
        await house.begin()
        executor = house.executor()
        await executor.tell(UUID)
        executor.stop()
        [debt] = await house.store().queries.debts()
        await executor.pay(debt)
        assert await house.store().queries.debts() == (debt,)

    run(story())


def test_a_story_written_by_another_program_is_left_alone_and_harms_nobody() -> None:
    house = House()

    async def story() -> None:
        await house.begin()
        house.do_in_the_store(lambda c: c.execute("update stories set step = 'unheard-of'").close())
        await house.executor().tell(UUID)

    run(story())
    assert house.world.acts == []


def test_a_story_that_is_said_to_be_undone_beyond_the_pivot_is_left_alone() -> None:
    house = House()

    async def story() -> None:
        await house.begin()
        house.do_in_the_store(
            lambda c: c.execute("update stories set step = 'f', direction = 'backward'").close()
        )
        await house.executor().tell(UUID)

    run(story())
    assert house.world.acts == []


def test_to_begin_a_story_twice_is_to_begin_it_once() -> None:
    house = House()

    async def story() -> None:
        await house.begin()
        await house.until_quiet(house.executor())
        await house.begin()
        assert (await house.story()).direction is Direction.ENDED
        assert await house.store().claim("unheard-of", owner="x", until_s=1, now_s=0) is None
        assert await house.store().claim(UUID, owner="x", until_s=1, now_s=0) is None

    run(story())


class _Careless(SqlStore):
    """A log that breaks its promise and hands out a story that has ended."""

    async def claim(
        self, uuid: str, *, owner: str, until_s: float, now_s: float, alone: bool = False
    ) -> Story | None:
        story = await self.story_of(uuid)
        assert story is not None
        return msgspec.structs.replace(story, owner=owner)


def test_a_story_that_has_ended_is_told_no_further_even_if_the_log_hands_it_out() -> None:
    house = House()

    async def story() -> None:
        await told(house)
        careless = _Careless(
            InlineWriter(house.database), Queries(InlineReader(house.database)), CLOCK
        )
        await house.executor(careless).tell(UUID)
        assert tuple(house.world.acts) == ALL_ACTS
        assert house.world.done == DONE

    run(story())
