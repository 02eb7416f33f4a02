import asyncio

import pytest

from godwit.sim.loop import START_S, Stuck, VirtualClock, VirtualLoop, run


def test_a_day_of_waiting_takes_no_time_and_the_clock_shows_it() -> None:
    async def wait() -> float:
        await asyncio.sleep(80_000)
        return VirtualClock().now_s()

    assert run(wait()) == pytest.approx(START_S + 80_000)


def test_timers_fire_in_the_order_of_their_time() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def note(after_s: int) -> None:
            await asyncio.sleep(after_s)
            order.append(after_s)

        async with asyncio.TaskGroup() as group:
            for after_s in (30, 10, 20):
                group.create_task(note(after_s))
        return order

    assert run(main()) == [10, 20, 30]


def test_waiting_for_what_can_never_come_ends_with_the_time_limit() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(wait_for_ever(), at_most_s=10)


def test_a_loop_without_any_timer_says_that_it_is_stuck() -> None:
    loop = VirtualLoop()
    try:
        with pytest.raises(Stuck):
            loop.run_forever()
    finally:
        loop.close()
