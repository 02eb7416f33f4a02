"""The fence lets no late act through, and no two acts of one migration at once."""

import asyncio
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from godwit.compute.disk import Disk
from godwit.compute.fence import BARRED_BY, LAST, Deed, Fence, FenceKeeper, FenceRecord, admit
from godwit.compute.fence_keepers import (
    KEPT_S,
    MEMORY_MAX,
    DiskFenceKeeper,
    MemoryFenceKeeper,
)
from godwit.model.errors import HypervisorError, Superseded
from godwit.model.ids import HostName, MigrationUuid
from godwit.rpc.compute import Act
from godwit.sim.loop import run

UUID = MigrationUuid("11111111-1111-4111-8111-111111111111")
HOST = HostName("host-a")


def act(generation: int = 1, uuid: MigrationUuid = UUID) -> Act:
    return Act(migration_uuid=uuid, generation=generation)


# --- the decision ---------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", Deed)
def test_an_older_generation_than_seen_is_refused_whatever_it_wants(deed: Deed) -> None:
    with pytest.raises(Superseded):
        admit(FenceRecord(generation=5), act(4), deed)


@pytest.mark.parametrize("deed", Deed)
@pytest.mark.parametrize("generation", [5, 6])
def test_the_same_or_a_newer_generation_may_act_and_is_remembered(
    deed: Deed, generation: int
) -> None:
    assert admit(FenceRecord(generation=5), act(generation), deed).generation == generation


BARS = [(deed, bar) for deed, bars in BARRED_BY.items() for bar in sorted(bars)]


@pytest.mark.parametrize(("deed", "bar"), BARS)
@pytest.mark.parametrize("generation", [1, 99])
def test_what_was_undone_or_is_over_is_not_done_again_by_any_generation(
    deed: Deed, bar: Deed, generation: int
) -> None:
    undone = admit(FenceRecord(), act(1), bar)
    with pytest.raises(Superseded):
        admit(undone, act(generation), deed)


@pytest.mark.parametrize("last", sorted(LAST))
def test_what_ends_a_story_here_may_be_repeated(last: Deed) -> None:
    once = admit(FenceRecord(), act(), last)
    assert admit(once, act(), last) == once


@pytest.mark.parametrize("deed", sorted(set(Deed) - set(BARRED_BY)))
def test_what_nothing_bars_is_admitted_after_all_that_ends_a_story(deed: Deed) -> None:
    over = FenceRecord(generation=1, marks=tuple(sorted(LAST)))
    assert admit(over, act(), deed).marks == over.marks


@pytest.mark.parametrize("last", sorted(LAST))
def test_what_ends_a_story_here_is_done_once_and_repeated_only_if_it_failed(last: Deed) -> None:
    """The guest may have come back by another move: a late repetition would take that one down."""

    async def main() -> list[bool]:
        fence, wanted = Fence(MemoryFenceKeeper()), []
        with pytest.raises(ValueError, match="broken"):
            async with fence.acting(act(), last):
                raise ValueError("broken")
        for generation in (1, 1, 2):
            async with fence.acting(act(generation), last) as is_wanted:
                wanted.append(is_wanted)
        return wanted

    assert run(main()) == [True, False, False]


@pytest.mark.parametrize("deed", sorted(set(Deed) - LAST))
def test_everything_else_may_be_done_again(deed: Deed) -> None:
    async def main() -> list[bool]:
        fence, wanted = Fence(MemoryFenceKeeper()), []
        for _ in range(2):
            async with fence.acting(act(), deed) as is_wanted:
                wanted.append(is_wanted)
        return wanted

    assert run(main()) == [True, True]


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(Deed))))
def test_the_generation_never_falls_and_no_mark_is_ever_lost(
    messages: list[tuple[int, Deed]],
) -> None:
    record = FenceRecord()
    for generation, deed in messages:
        before = record
        try:
            record = admit(record, act(generation), deed)
        except Superseded:
            continue
        assert record.generation >= before.generation
        assert set(record.marks) >= set(before.marks)


# --- one after another ----------------------------------------------------------------------------


def test_acts_of_one_migration_run_one_after_another_and_those_of_two_at_once() -> None:
    fence, log = Fence(MemoryFenceKeeper()), list[str]()
    other = MigrationUuid("22222222-2222-4222-8222-222222222222")

    async def one(name: str, uuid: MigrationUuid) -> None:
        async with fence.acting(act(uuid=uuid), Deed.PRE_LIVE_MIGRATION):
            log.append(f"{name} begins")
            await asyncio.sleep(5)
            log.append(f"{name} ends")

    async def main() -> float:
        async with asyncio.TaskGroup() as tasks:
            for name, uuid in (("first", UUID), ("second", UUID), ("other", other)):
                tasks.create_task(one(name, uuid))
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(10)
    ours = [line for line in log if "other" not in line]
    assert ours == ["first begins", "first ends", "second begins", "second ends"]
    assert log.index("other begins") < log.index("first ends")


def test_an_act_that_waited_is_refused_if_a_newer_one_came_first() -> None:
    fence = Fence(MemoryFenceKeeper())

    async def newer() -> None:
        async with fence.acting(act(2), Deed.ROLLBACK_AT_DESTINATION):
            await asyncio.sleep(5)

    async def older() -> None:
        await asyncio.sleep(1)
        with pytest.raises(Superseded):
            async with fence.acting(act(1), Deed.PRE_LIVE_MIGRATION):
                pytest.fail("an old act came through")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(newer())
            tasks.create_task(older())

    run(main())


def test_an_act_that_fails_lets_the_next_one_go_on() -> None:
    fence = Fence(MemoryFenceKeeper())

    async def main() -> None:
        with pytest.raises(ValueError, match="broken"):
            async with fence.acting(act(), Deed.PRE_LIVE_MIGRATION):
                raise ValueError("broken")
        async with fence.acting(act(), Deed.ROLLBACK_AT_DESTINATION):
            pass

    run(main())


# --- what survives --------------------------------------------------------------------------------


class FixedClock:
    """A wall clock that stands still."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.close()


def a_keeper(folder: Path, disk: Disk, now_s: float = 0.0) -> DiskFenceKeeper:
    return DiskFenceKeeper(folder / "fence", host=HOST, disk=disk, clock=FixedClock(now_s))


def test_a_new_process_knows_what_the_old_one_undid(tmp_path: Path, disk: Disk) -> None:
    async def undo() -> None:
        async with Fence(a_keeper(tmp_path, disk)).acting(act(3), Deed.ROLLBACK_AT_DESTINATION):
            pass

    async def do(generation: int, deed: Deed) -> None:
        async with Fence(a_keeper(tmp_path, disk)).acting(act(generation), deed):
            pass

    asyncio.run(undo())
    for generation, deed in product((2, 3, 4), (Deed.PRE_LIVE_MIGRATION,)):
        with pytest.raises(Superseded):
            asyncio.run(do(generation, deed))
    asyncio.run(do(3, Deed.ROLLBACK_AT_DESTINATION))


def test_the_mark_is_there_before_the_undo_begins(tmp_path: Path, disk: Disk) -> None:
    async def main() -> tuple[Deed, ...]:
        async with Fence(a_keeper(tmp_path, disk)).acting(act(), Deed.ROLLBACK_AT_SOURCE):
            return (await a_keeper(tmp_path, disk).read(UUID)).marks

    assert asyncio.run(main()) == (Deed.ROLLBACK_AT_SOURCE,)


def test_an_act_that_teaches_nothing_new_writes_nothing(tmp_path: Path, disk: Disk) -> None:
    async def main() -> list[int]:
        fence, seen = Fence(a_keeper(tmp_path, disk)), []
        for deed in (Deed.PRE_LIVE_MIGRATION, Deed.PRE_LIVE_MIGRATION, Deed.LIVE_MIGRATION):
            async with fence.acting(act(), deed):
                seen.append((tmp_path / "fence" / f"{UUID}.json").stat().st_ino)
        return seen

    assert len(set(asyncio.run(main()))) == 1


@pytest.mark.parametrize("deed", sorted(set(Deed) - LAST))
def test_only_the_last_act_of_a_story_here_makes_its_record_one_to_forget(deed: Deed) -> None:
    assert not admit(FenceRecord(), act(), deed).over
    ended = admit(FenceRecord(), act(), Deed.POST_AT_SOURCE)
    assert ended.over
    assert admit(ended, act(), deed if deed not in BARRED_BY else Deed.ABORT).over


def test_the_record_of_an_unended_story_is_kept_however_old_it_is(
    tmp_path: Path, disk: Disk
) -> None:
    async def main() -> int:
        keeper = a_keeper(tmp_path, disk, 1000 * KEPT_S)
        await keeper.write(UUID, FenceRecord(generation=7))
        os.utime(tmp_path / "fence" / f"{UUID}.json", (1.0, 1.0))
        await Fence(keeper).forget_old()
        return (await keeper.read(UUID)).generation

    assert asyncio.run(main()) == 7


def test_the_record_of_an_ended_story_is_forgotten_a_week_after_its_last_change(
    tmp_path: Path, disk: Disk
) -> None:
    now_s = 10 * KEPT_S
    young = MigrationUuid("22222222-2222-4222-8222-222222222222")

    async def main() -> tuple[int, int]:
        keeper = a_keeper(tmp_path, disk, now_s)
        for uuid, age_s in ((UUID, KEPT_S + 1), (young, KEPT_S - 1)):
            await keeper.write(uuid, FenceRecord(generation=7, over=True))
            os.utime(tmp_path / "fence" / f"{uuid}.json", (now_s - age_s, now_s - age_s))
        await Fence(keeper).forget_old()
        return (await keeper.read(UUID)).generation, (await keeper.read(young)).generation

    assert asyncio.run(main()) == (0, 7)


def test_forgetting_before_anything_was_kept_is_harmless(tmp_path: Path, disk: Disk) -> None:
    asyncio.run(a_keeper(tmp_path, disk).forget_old())


def test_a_folder_that_cannot_be_written_refuses_the_act(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "fence").write_text("a file where the folder should be")

    async def main() -> None:
        async with Fence(a_keeper(tmp_path, disk)).acting(act(), Deed.PRE_LIVE_MIGRATION):
            pytest.fail("an act came through unrecorded")

    with pytest.raises(HypervisorError, match="the fence failed"):
        asyncio.run(main())


def test_memory_is_bounded_and_lets_the_oldest_go() -> None:
    keeper: FenceKeeper = MemoryFenceKeeper()

    async def main() -> tuple[int, int]:
        for number in range(MEMORY_MAX + 1):
            await keeper.write(MigrationUuid(str(number)), FenceRecord(generation=1))
        first, last = MigrationUuid("0"), MigrationUuid(str(MEMORY_MAX))
        await keeper.forget_old()
        return (await keeper.read(first)).generation, (await keeper.read(last)).generation

    assert run(main()) == (0, 1)
