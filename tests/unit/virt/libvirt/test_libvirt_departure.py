"""How a guest that is gone has ended: the event may come after the answer that it is gone."""

import asyncio

import pytest

from godwit.sim.loop import run
from godwit.virt.driver import SeenEnd
from godwit.virt.libvirt.departure import TOLD_S, end_told
from godwit.virt.libvirt.source_events import Heard


@pytest.mark.parametrize("late_s", [0.0, 0.3, 0.9 * TOLD_S])
@pytest.mark.parametrize("last", [Heard(ended=SeenEnd.WANTED), Heard(left=True)])
def test_the_event_that_tells_of_the_end_is_waited_for(last: Heard, late_s: float) -> None:
    heard, more = [Heard()], asyncio.Event()

    async def events() -> None:
        for each in (Heard(switched=True), last):
            await asyncio.sleep(late_s / 2)
            heard.append(each)
            more.set()

    async def test() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(events())
            assert await end_told(lambda: heard[-1], more) is last.ended
            assert asyncio.get_running_loop().time() < TOLD_S

    run(test())


def test_an_event_that_never_comes_is_not_waited_for_longer_than_a_moment() -> None:
    async def test() -> None:
        assert await end_told(Heard, asyncio.Event()) is None
        assert asyncio.get_running_loop().time() == pytest.approx(TOLD_S)

    run(test())
