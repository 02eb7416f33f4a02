"""A look is shared by all who ask while another goes on, and never older than the question."""

import asyncio

import pytest

from godwit.model.errors import Unreachable
from godwit.model.reasons import Code, reason
from godwit.sim.loop import run
from godwit.virt.libvirt.shared_look import SharedLook

LOOK_S = 1.0


class Host:
    """What is read there is the time at which the look began."""

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.answers = True

    async def look(self) -> float:
        began_s = asyncio.get_running_loop().time()
        self.looks.append(began_s)
        await asyncio.sleep(LOOK_S)
        if not self.answers:
            raise Unreachable(reason(Code.NO_ANSWER, who="host-a", call="look", timeout_s=1))
        return began_s


def test_who_asks_while_a_look_goes_on_shares_the_next() -> None:
    host = Host()

    async def main() -> None:
        shared = SharedLook(host.look)

        async def ask(at_s: float) -> float:
            await asyncio.sleep(at_s)
            return await shared.now()

        times = (0.0, 0.1, 0.5, 0.9, 1.5)
        seen = await asyncio.gather(*(ask(at_s) for at_s in times))
        assert all(began_s >= at_s for began_s, at_s in zip(seen, times, strict=True))
        assert await shared.now() >= LOOK_S * 3

    run(main())
    assert host.looks == [0.0, 1.0, 2.0, 3.0]


def test_a_look_that_fails_fails_for_all_who_share_it_and_for_nobody_later() -> None:
    host = Host()
    host.answers = False

    async def main() -> None:
        shared = SharedLook(host.look)
        answers = await asyncio.gather(*(shared.now() for _ in range(8)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unreachable] * 8
        host.answers = True
        assert await shared.now() > 0.0

    run(main())
    assert host.looks == [0.0, 1.0]


def test_a_look_whose_asker_gives_up_is_made_by_the_next() -> None:
    host = Host()

    async def main() -> None:
        shared = SharedLook(host.look)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shared.now(), LOOK_S / 2)
        assert await shared.now() == LOOK_S / 2

    run(main())
