"""Leases, generations, timelines and debts: what every store must get right, in a file and in
memory alike.
"""

import pytest
from msgspec.structs import replace
from tests.contract.store_records import WHY, Tell

from godwit.model.errors import NotFound, Superseded
from godwit.saga.log import Debt, Direction, Entry, Recorded, Story, What
from godwit.store import stories
from godwit.store.sql import SqlStore

NEW = Story(uuid="s-1", saga="s", step="a", facts=b"{}")


async def claimed(store: SqlStore, owner: str = "me", *, now_s: float = 0.0) -> Story:
    story = await store.claim(NEW.uuid, owner=owner, until_s=now_s + 10, now_s=now_s)
    assert story is not None
    return story


async def ended(store: SqlStore, *owed: Debt) -> Story:
    """A story that has ended and left these debts."""
    await store.begin(NEW)
    story = await claimed(store)
    for debt in owed:
        await store.record(story, owed=debt)
    story = replace(story, direction=Direction.ENDED, owner="")
    await store.record(story)
    return story


def debt(step: str, **changes: object) -> Debt:
    fields: dict[str, object] = {"story_uuid": NEW.uuid, "step": step, "undo": True, "where": "h"}
    return Debt(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_lease_is_anothers_until_it_runs_out_and_each_claim_has_a_newer_generation(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        assert (await claimed(store)).generation == 1
        assert (await claimed(store, now_s=1.0)).generation == 2
        other = await store.claim(NEW.uuid, owner="other", until_s=99.0, now_s=11.0)
        assert other is None
        assert await store.due(now_s=11.0, owner="other") == ()
        assert await store.due(now_s=11.0, owner="other", alone=True) == (NEW.uuid,)
        assert await store.due(now_s=11.0, owner="me", alone=True) == ()
        assert await store.due(now_s=11.5, owner="other") == (NEW.uuid,)
        assert (await claimed(store, "other", now_s=11.5)).generation == 3
        alone = await store.claim(NEW.uuid, owner="me", until_s=99.0, now_s=11.5, alone=True)
        assert alone is not None
        assert alone.generation == 4
        taken = [e.words for e in await store.queries.timeline(NEW.uuid) if e.what == "taken-over"]
        assert len(taken) == 2

    tell(tale)


def test_a_lease_is_renewed_only_by_who_holds_it(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        first = await claimed(store)
        assert await store.renew(NEW.uuid, generation=1, until_s=50.0)
        assert await store.due(now_s=49.0, owner="other") == ()
        second = await claimed(store, "other", now_s=51.0)
        assert not await store.renew(NEW.uuid, generation=first.generation, until_s=99.0)
        await store.record(replace(second, owner="", wake_at_s=70.0))
        assert not await store.renew(NEW.uuid, generation=second.generation, until_s=99.0)
        assert not await store.renew("unheard-of", generation=1, until_s=99.0)
        assert await store.due(now_s=69.0, owner="x") == ()
        assert await store.due(now_s=70.0, owner="x") == (NEW.uuid,)

    tell(tale)


def test_a_record_leaves_the_lease_as_long_as_it_was_renewed(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        story = await claimed(store)
        assert await store.renew(NEW.uuid, generation=story.generation, until_s=50.0)
        await store.record(replace(story, step="b"))
        assert await store.due(now_s=49.0, owner="other") == ()
        assert await store.claim(NEW.uuid, owner="other", until_s=99.0, now_s=49.0) is None
        assert await store.due(now_s=51.0, owner="other") == (NEW.uuid,)

    tell(tale)


HOUR_S = 3600.0


def test_what_a_clock_wrote_that_was_an_hour_ahead_keeps_nobody_waiting_for_an_hour(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        ahead = await claimed(store, "ahead", now_s=HOUR_S)
        assert await store.due(now_s=1.0, owner="me") == (NEW.uuid,)
        held = await claimed(store, "me", now_s=1.0)
        assert held.generation == ahead.generation + 1
        await store.record(replace(held, owner="", wake_at_s=HOUR_S + 60))
        assert await store.due(now_s=1.0, owner="me") == (NEW.uuid,)
        held = await claimed(store, "me", now_s=1.0)
        late = debt("a", due_at_s=HOUR_S + 60)
        await store.record(replace(held, direction=Direction.ENDED, owner=""), owed=late)
        assert await store.debts_due(now_s=1.0) == (late,)

    tell(tale)


def test_a_record_keeps_the_story_as_it_is_but_for_the_abort_and_numbers_its_entries(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        story = replace(
            await claimed(store),
            direction=Direction.BACKWARD,
            step="b",
            facts=b'{"a": 1}',
            resting="r",
            attempts=3,
            failure=WHY,
        )
        done = Entry(
            step="a", what=What.DONE, words="w", attempt=2, by="me", where="here", code="code"
        )
        entries = (done, Entry(step="b", what=What.BEGAN))
        await store.record(replace(story, abort=WHY), *entries)
        assert await store.story_of(NEW.uuid) == story
        await store.record(story, Entry(step="b", what=What.DONE, at="then"))
        timeline = await store.queries.timeline(NEW.uuid, after_sequence=1)
        assert [(e.sequence, e.step, e.what, e.words) for e in timeline] == [
            (2, "a", What.DONE, "w"),
            (3, "b", What.BEGAN, ""),
            (4, "b", What.DONE, ""),
        ]
        assert timeline[0] == replace(done, at=timeline[0].at, sequence=2)
        assert timeline[0].at != ""
        assert timeline[2].at == "then"
        late = replace(story, generation=0)
        with pytest.raises(Superseded):
            await store.record(late, *entries, owed=debt("a"))
        with pytest.raises(NotFound):
            await store.record(replace(story, uuid="unheard-of"))
        assert await store.story_of(NEW.uuid) == story
        assert await store.queries.debts() == ()

    tell(tale)


def test_debts_are_due_only_when_their_time_has_come_and_their_story_has_ended(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        story = await claimed(store)
        later = debt("b", due_at_s=7.0)
        for owed in (debt("a"), later, later):
            await store.record(story, owed=owed)
        assert await store.debts_due(now_s=9.0) == ()
        assert await store.claim_debt(later, owner="me", until_s=9.0, now_s=0.0) is None
        await store.record(replace(story, direction=Direction.ENDED, owner=""))
        assert await store.debts_due(now_s=6.0) == (debt("a"),)
        assert await store.debts_due(now_s=7.0) == (debt("a"), later)
        assert await store.due(now_s=1e12, owner="me", alone=True) == ()

    tell(tale)


def test_a_debt_is_held_like_a_story_and_paid_once(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        owed = debt("a")
        await ended(store, owed)
        held = await store.claim_debt(owed, owner="me", until_s=9.0, now_s=0.0)
        assert held is not None
        assert held.generation == 2
        assert await store.claim_debt(owed, owner="other", until_s=9.0, now_s=1.0) is None
        taken = await store.claim_debt(owed, owner="other", until_s=9.0, now_s=1.0, alone=True)
        assert taken is not None
        paid = Entry(step="a", what=What.PAID)
        with pytest.raises(Superseded):
            await store.pay(owed, paid, generation=held.generation)
        worse = replace(owed, attempts=2, words="still down", due_at_s=5.0)
        with pytest.raises(Superseded):
            await store.postpone(worse, generation=held.generation)
        assert await store.queries.debts() == (owed,)
        await store.postpone(worse, generation=taken.generation)
        assert await store.queries.debts() == (worse,)
        again = await store.claim_debt(worse, owner="me", until_s=9.0, now_s=2.0)
        assert again is not None
        await store.pay(worse, paid, generation=again.generation)
        assert await store.queries.debts() == ()
        assert (await store.queries.timeline(NEW.uuid))[-1].what is What.PAID
        assert await store.claim_debt(worse, owner="me", until_s=9.0, now_s=2.0) is None
        story = await store.story_of(NEW.uuid)
        assert story is not None
        assert (story.owner, story.direction) == ("", Direction.ENDED)

    tell(tale)


def test_many_stories_that_are_due_come_in_the_order_in_which_they_began(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        uuids = [f"s-{number}" for number in (3, 1, 2)]
        for uuid in uuids:
            await store.begin(replace(NEW, uuid=uuid))
        assert await store.due(now_s=0.0, owner="me") == tuple(uuids)
        await store.wake("unheard-of")
        assert await store.claim("unheard-of", owner="me", until_s=1.0, now_s=0.0) is None

    tell(tale)


def test_a_record_that_gives_way_to_a_request_to_abort_writes_nothing_and_says_why(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        story = await claimed(store)
        onward = replace(story, step="b")
        done = Entry(step="a", what=What.DONE)
        assert await store.record(onward, done, unless_aborted=True) == Recorded()
        await abort_on_record(store)
        assert await store.record(story, done, unless_aborted=True) == Recorded(abort=WHY)
        assert await store.story_of(NEW.uuid) == replace(onward, abort=WHY)
        assert len(await store.queries.timeline(NEW.uuid)) == 2
        with pytest.raises(Superseded):
            await store.record(replace(story, generation=0), unless_aborted=True)
        assert await store.record(story, done) == Recorded()

    tell(tale)


async def abort_on_record(store: SqlStore) -> None:
    await store._write(lambda c: stories.request_abort(c, NEW.uuid, WHY))


def test_who_waits_for_a_change_is_woken_by_the_write_that_makes_it(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await store.begin(NEW)
        story = await claimed(store)
        change, end = store.queries.news.change_of(NEW.uuid), store.queries.news.end_of(NEW.uuid)
        another = store.queries.news.change_of("another")
        await store.record(story)
        assert (change.is_set(), end.is_set(), another.is_set()) == (True, False, False)
        store.queries.news.wake_all()
        assert (end.is_set(), another.is_set()) == (True, True)

    tell(tale)
