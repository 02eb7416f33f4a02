"""Servers of our own, and what discovery makes of guests that come and go, on simulated hosts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from tests.saga.house import ASKED, GUEST, REPORTED_S, A, B, C, House, a_guest, a_house

from godwit.model.errors import BadRequest, Conflict, GodwitError, NotFound, Refused
from godwit.model.ids import HostName
from godwit.model.instance import TaskState, VmState
from godwit.model.reasons import Code
from godwit.rpc.conductor import CreateServer, ForServer, LiveMigrate
from godwit.runtime.settings import FlavorSettings, ImageSettings
from godwit.sim.loop import run
from godwit.virt.simulated.faults import Fault, FaultKind

PLAIN = CreateServer(asked=ASKED, name="new", flavor="small", image="tiny")


@asynccontextmanager
async def a_house_with_flavors() -> AsyncIterator[House]:
    async with a_house(
        flavors={
            "small": FlavorSettings(memory_mib=512, disk_mib=100),
            "huge": FlavorSettings(memory_mib=2**20, disk_mib=100),
        },
        images={"tiny": ImageSettings(path="/images/tiny.qcow2")},
    ) as house:
        yield house


def test_a_server_is_made_moved_and_deleted() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            made = await house.conductor.manager.create_server(replace(PLAIN, host=B))
            assert (made.host, made.vm_state, made.task_state) == (B, VmState.ACTIVE, None)
            assert not made.discovered
            assert house.fleet.running_at(made.uuid) == (B,)
            await house.assert_sound(made.uuid)
            gone = ForServer(asked=ASKED, instance_uuid=made.uuid)
            await house.conductor.manager.delete_server(gone)
            await asyncio.sleep(REPORTED_S)
            assert house.fleet.running_at(made.uuid) == ()
            assert await house.store.queries.instance(made.uuid) is None
            await house.assert_sound(GUEST)

    run(story())


def test_a_new_server_goes_where_most_memory_is_free() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            wishes = [replace(PLAIN, name=name) for name in ("one", "two")]
            made = [await house.conductor.manager.create_server(wish) for wish in wishes]
            assert [each.host for each in made] == [B, C]

    run(story())


@pytest.mark.parametrize(
    ("wish", "error", "code"),
    [
        ({"flavor": "none"}, BadRequest, Code.FLAVOR_UNKNOWN),
        ({"image": "none"}, BadRequest, Code.IMAGE_UNKNOWN),
        ({"host": HostName("host-z")}, BadRequest, Code.HOST_UNKNOWN),
        ({"flavor": "huge"}, Refused, Code.NO_VALID_HOST),
        ({"name": "guest-1"}, Conflict, Code.SERVER_NAME_TAKEN),
        ({"name": "b/d"}, BadRequest, Code.INVALID_INPUT),
        ({"name": "../../../tmp/evil"}, BadRequest, Code.INVALID_INPUT),
        ({"name": "."}, BadRequest, Code.INVALID_INPUT),
        ({"name": ".."}, BadRequest, Code.INVALID_INPUT),
        ({"name": "-v"}, BadRequest, Code.INVALID_INPUT),
        ({"name": "<x>"}, BadRequest, Code.INVALID_INPUT),
        ({"name": " x"}, BadRequest, Code.INVALID_INPUT),
        ({"name": "two\nlines"}, BadRequest, Code.INVALID_INPUT),
        ({"name": "x" * 201}, BadRequest, Code.INVALID_INPUT),
        ({"name": ""}, BadRequest, Code.INVALID_INPUT),
        ({"name": "godwit-rehearsal-1800000000-0123abcd"}, BadRequest, Code.INVALID_INPUT),
    ],
)
def test_a_server_that_cannot_be_made_leaves_no_record(
    wish: dict[str, Any], error: type[GodwitError], code: Code
) -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            before = await house.store.queries.instances()
            with pytest.raises(error) as refusal:
                await house.conductor.manager.create_server(replace(PLAIN, **wish))
            assert refusal.value.reason.code is code
            assert await house.store.queries.instances() == before

    run(story())


@pytest.mark.parametrize("kind", FaultKind)
def test_a_spawn_that_fails_gives_back_claim_and_record(kind: FaultKind) -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            house.fleet.inject(Fault(B, "spawn", kind))
            with pytest.raises(GodwitError):
                await house.conductor.manager.create_server(replace(PLAIN, host=B))
            await asyncio.sleep(600)
            assert [each.uuid for each in await house.store.queries.instances()] == [GUEST]
            assert house.fleet.halves(B) == ()
            await house.assert_sound()

    run(story())


def test_a_discovered_server_is_forgotten_but_never_deleted() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            ask = ForServer(asked=ASKED, instance_uuid=GUEST)
            with pytest.raises(Conflict) as refusal:
                await house.conductor.manager.delete_server(ask)
            assert refusal.value.reason.code is Code.SERVER_DISCOVERED
            await house.conductor.manager.forget_server(ask)
            assert await house.store.queries.instance(GUEST) is None
            with pytest.raises(NotFound):
                await house.conductor.manager.forget_server(ask)
            assert house.fleet.running_at(GUEST) == (A,)

    run(story())


def test_a_server_of_our_own_is_deleted_but_not_forgotten() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            made = await house.conductor.manager.create_server(PLAIN)
            with pytest.raises(Conflict) as refusal:
                await house.conductor.manager.forget_server(
                    ForServer(asked=ASKED, instance_uuid=made.uuid)
                )
            assert refusal.value.reason.code is Code.SERVER_STILL_THERE

    run(story())


def test_a_guest_that_appears_vanishes_and_comes_back_is_followed() -> None:
    async def story() -> None:
        async with a_house() as house:
            guest = a_guest(7)
            house.fleet.add_guest(C, guest)
            await asyncio.sleep(30)
            seen = await house.store.queries.instance(guest.uuid)
            assert seen is not None
            assert (seen.host, seen.vm_state) == (C, VmState.ACTIVE)
            house.fleet.destroy(C, guest.uuid)
            await asyncio.sleep(30)
            gone = await house.store.queries.instance(guest.uuid)
            assert gone is not None
            assert gone.vm_state is VmState.MISSING
            move = LiveMigrate(asked=ASKED, instance_uuid=guest.uuid)
            with pytest.raises(GodwitError) as refusal:
                await house.conductor.manager.live_migrate_instance(move)
            assert "on none of the hosts" in refusal.value.reason.words
            house.fleet.add_guest(B, guest)
            await asyncio.sleep(30)
            back = await house.store.queries.instance(guest.uuid)
            assert back is not None
            assert (back.host, back.vm_state) == (B, VmState.ACTIVE)
            await house.assert_sound(guest.uuid)

    run(story())


def test_a_server_that_an_earlier_life_was_making_is_settled_at_the_next_report() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            house.fleet.inject(Fault(B, "spawn", FaultKind.HANGS))
            making = house.tasks.create_task(
                house.conductor.manager.create_server(replace(PLAIN, host=B)), name="making"
            )
            await asyncio.sleep(1)
            (made,) = [s for s in await house.store.queries.instances() if s.uuid != GUEST]
            ask = ForServer(asked=ASKED, instance_uuid=made.uuid)
            for way_out in ("delete_server", "forget_server"):
                with pytest.raises(Conflict) as refusal:
                    await getattr(house.conductor.manager, way_out)(ask)
                assert refusal.value.reason.code is Code.SERVER_BEING_MADE
            making.cancel()
            house.kill_conductor()
            await house.next_conductor()
            house.wires[B].unheard["destroy_guest"] = 1
            await asyncio.sleep(3 * REPORTED_S)
            assert [each.uuid for each in await house.store.queries.instances()] == [GUEST]
            await house.assert_sound()

    run(story())


def test_a_server_that_this_life_is_making_is_left_to_it() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            house.fleet.inject(Fault(B, "spawn", FaultKind.HANGS))
            making = house.tasks.create_task(
                house.conductor.manager.create_server(replace(PLAIN, host=B)), name="making"
            )
            await asyncio.sleep(3 * REPORTED_S)
            (made,) = [s for s in await house.store.queries.instances() if s.uuid != GUEST]
            assert made.task_state is TaskState.SPAWNING
            making.cancel()

    run(story())


def test_a_server_whose_conductor_died_while_it_was_made_or_deleted_does_not_stay_so() -> None:
    async def story() -> None:
        async with a_house_with_flavors() as house:
            fault = Fault(B, "spawn", FaultKind.HANGS)
            house.fleet.inject(fault)
            making = house.tasks.create_task(
                house.conductor.manager.create_server(replace(PLAIN, host=B)), name="making"
            )
            made = await house.conductor.manager.create_server(replace(PLAIN, name="other", host=C))
            house.wires[C].unheard["destroy_guest"] = 1
            with pytest.raises(GodwitError):
                await house.conductor.manager.delete_server(
                    ForServer(asked=ASKED, instance_uuid=made.uuid)
                )
            await asyncio.sleep(1)
            making.cancel()
            house.fleet.destroy(C, made.uuid)
            await asyncio.sleep(400)
            assert [each.uuid for each in await house.store.queries.instances()] == [GUEST]
            await house.assert_sound()

    run(story())
