"""Where a server is, asked of every host at once: only looked at, and never an alarm for a move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs
from tests.saga.house import GUEST, A, B, C, House, a_guest, a_house

from godwit.conductor.alarms import ALARM
from godwit.model.errors import NotFound
from godwit.model.ids import InstanceUuid
from godwit.model.whereis import Place, Shows, Whereis
from godwit.rpc.compute import GuestHere
from godwit.rpc.conductor import FindServer
from godwit.sim.loop import run


async def where(house: House) -> Whereis:
    before = house.fleet.snapshot()
    found = await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))
    assert house.fleet.snapshot() == before
    return found


def in_a_house(claim: Callable[[House], Awaitable[None]]) -> list[str]:
    """The claim, and what was logged as an error, or louder, while it was made."""

    async def story() -> None:
        async with a_house() as house:
            await claim(house)

    with capture_logs() as lines:
        run(story())
    return [line["event"] for line in lines if line["log_level"] in ("error", "critical")]


def shows(found: Whereis) -> dict[str, Shows]:
    return {each.host: each.shows for each in found.sightings}


def test_a_guest_that_is_where_its_record_says_is_seen_there_and_nowhere_else() -> None:
    async def claim(house: House) -> None:
        found = await where(house)
        assert (found.place, found.recorded_host, found.at_hosts) == (Place.AS_RECORDED, A, (A,))
        assert shows(found) == {A: Shows.RUNS, B: Shows.NOTHING, C: Shows.NOTHING}

    assert in_a_house(claim) == []


def test_a_host_that_does_not_answer_says_why_and_what_it_showed_last() -> None:
    async def claim(house: House) -> None:
        house.fleet.disconnect(A)
        found = await where(house)
        [silent] = [each for each in found.sightings if each.shows is Shows.UNREACHABLE]
        assert (found.place, silent.host) == (Place.UNKNOWN, A)
        assert silent.words
        assert silent.last is not None
        assert silent.last.shows is Shows.RUNS
        assert silent.last.at
        assert silent.heard_at

    assert in_a_house(claim) == []


def test_a_guest_that_runs_at_two_hosts_is_an_alarm_and_left_alone() -> None:
    async def claim(house: House) -> None:
        house.fleet.add_guest(C, a_guest())
        found = await where(house)
        assert (found.place, found.at_hosts) == (Place.TWICE, (A, C))

    assert set(in_a_house(claim)) == {ALARM}


def test_a_guest_that_no_host_has_is_an_alarm() -> None:
    async def claim(house: House) -> None:
        house.fleet.remove(A, GUEST)
        found = await where(house)
        assert (found.place, found.at_hosts) == (Place.NOWHERE, ())

    assert set(in_a_house(claim)) == {ALARM}


@pytest.mark.parametrize("seen", [Shows.RUNS, Shows.NOTHING])
def test_a_guest_that_moves_between_two_answers_raises_no_alarm(seen: Shows) -> None:
    """The first look meets host-a before, or after, the guest was seen to run at host-b."""

    async def claim(house: House) -> None:
        house.fleet.remove(A, GUEST)
        house.wires[A].says["look_for_guest"] = GuestHere(shows=seen)
        if seen is Shows.RUNS:
            house.fleet.add_guest(B, a_guest())

        async def then(_where: str, call: str) -> None:
            if call == "look_for_guest":
                house.wires[A].says["look_for_guest"] = GuestHere(shows=Shows.NOTHING)
                if seen is Shows.NOTHING and not house.fleet.running_at(GUEST):
                    house.fleet.add_guest(B, a_guest())

        house.wires[C].then = then
        found = await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))
        assert found.place is Place.ELSEWHERE
        assert house.wires[B].heard.count("look_for_guest") == 2

    assert in_a_house(claim) == []


def test_a_guest_on_its_way_is_under_way_at_every_moment() -> None:
    async def claim(house: House) -> None:
        move = await house.ask()
        places = set()
        while (await house.see(move.uuid)).status not in {"completed", "failed"}:
            places.add((await where_while_it_moves(house)).place)
            await asyncio.sleep(0.05)
        assert Place.UNDER_WAY in places
        assert places <= {Place.UNDER_WAY, Place.AS_RECORDED}

    assert in_a_house(claim) == []


async def where_while_it_moves(house: House) -> Whereis:
    return await house.conductor.manager.whereis(FindServer(instance_uuid=GUEST))


def test_a_server_nobody_knows_is_not_found() -> None:
    async def claim(house: House) -> None:
        stranger = FindServer(instance_uuid=InstanceUuid("00000000-0000-0000-0000-000000000009"))
        with pytest.raises(NotFound):
            await house.conductor.manager.whereis(stranger)

    in_a_house(claim)
