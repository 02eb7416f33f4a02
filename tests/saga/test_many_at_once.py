"""Many stories at once: nobody fails for want of room that is there, and no host is overcommitted;
however old the view is from which a host was chosen.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace
from tests.saga.house import GUEST, A, B, C, House, a_guest, a_house, host_settings, said_by

from godwit.model.host import Host
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import TaskState
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.runtime.settings import MigrationSettings, SimulatedHostSettings
from godwit.sim.loop import run
from godwit.store.database import FileConnection
from godwit.store.interface import Needs
from godwit.store.statements import Connection

S = MigrationStatus
MIB = 512
"""What one guest takes."""


def with_room_for(guests: int) -> SimulatedHostSettings:
    memory = {"memory_mib": guests * MIB, "reserved_memory_mib": 0}
    return host_settings(vcpus=64, transfers_max=25, transfer_s=0.1, **memory)


async def assert_nowhere_overcommitted(house: House) -> None:
    for host, usage in (await house.store.queries.usage()).items():
        facts = (await house.store.queries.host(host) or Host(name=host)).facts
        assert facts is None or usage.memory_mib <= facts.memory_mib


@pytest.mark.slow
def test_two_hundred_at_once_with_room_for_exactly_two_hundred_all_arrive() -> None:
    async def story() -> None:
        rooms = {HostName(f"host-{n}"): with_room_for(n) for n in (17, 23, 35, 50, 75)}
        guests = tuple(a_guest(n) for n in range(1, 201))
        async with a_house(
            hosts={A: with_room_for(200), **rooms},
            guests={A: guests},
            migration=MigrationSettings(attempts_max=1),
        ) as house:

            async def look(_where: str, name: str) -> None:
                if name == "claim_destination":
                    await assert_nowhere_overcommitted(house)

            house.shelf.then = look
            asked = await asyncio.gather(*(house.ask(guest.uuid) for guest in guests))
            ended = [await house.end_of(migration.uuid) for migration in asked]
            assert {each.status for each in ended} == {S.COMPLETED}
            usage = await house.store.queries.usage()
            assert [usage[host].memory_mib // MIB for host in rooms] == [17, 23, 35, 50, 75]
            assert usage[A].memory_mib == 0
            assert house.fleet.violations() == ()

    run(story())


def test_a_host_whose_room_was_taken_after_it_was_chosen_counts_as_no_attempt() -> None:
    async def story() -> None:
        hosts = {A: with_room_for(2), B: with_room_for(4), C: with_room_for(2)}
        async with a_house(hosts=hosts, migration=MigrationSettings(attempts_max=1)) as house:
            await house.check()
            await take_all_the_room(house, B)
            moved = await house.migrate()
            assert (moved.status, moved.dest_compute) == (S.COMPLETED, C)
            assert house.shelf.heard.count("claim_destination") == 2
            assert said_by(moved.refusals) == {B: Code.NOT_ENOUGH_MEMORY}

    run(story())


async def take_all_the_room(house: House, host: HostName) -> None:
    """As another conductor would: this one hears nothing of it."""
    server = await house.store.queries.instance(GUEST)
    assert server is not None
    uuid = InstanceUuid("ffffffff-0000-0000-0000-000000000000")
    stranger = replace(server, uuid=uuid, name="x", host=host, task_state=TaskState.SPAWNING)
    await house.store.create_instance(stranger, Needs(1, 4 * MIB, 1024, 4 * MIB))


def test_the_only_room_is_found_although_it_became_free_a_moment_ago() -> None:
    async def story() -> None:
        hosts = {A: with_room_for(2), B: with_room_for(1)}
        guests = {A: (a_guest(1),), B: (a_guest(2),)}
        async with a_house(hosts=hosts, guests=guests) as house:
            await house.check()
            await house.store.remove_instance(a_guest(2).uuid)
            moved = await house.migrate()
            assert (moved.status, moved.dest_compute) == (S.COMPLETED, B)

    run(story())


def test_a_host_that_was_disabled_a_moment_ago_is_not_chosen() -> None:
    async def story() -> None:
        async with a_house() as house:
            await house.check()
            await house.disable(B)
            assert (await house.migrate()).dest_compute == C

    run(story())


def trace(each: Callable[[str], None] | None, connection: Connection) -> None:
    assert isinstance(connection, FileConnection)
    connection.set_trace_callback(each)


def test_a_dry_run_asks_every_host_once_and_reads_no_more_for_a_hundred_than_for_three() -> None:
    async def statements(count: int) -> int:
        names = [HostName(f"host-{n:03}") for n in range(count)]
        hosts, guests = {name: host_settings() for name in names}, {names[0]: (a_guest(),)}
        async with a_house(hosts=hosts, guests=guests) as house:
            await asyncio.sleep(0.5)  # no report and no sweep falls into this moment
            ran: list[str] = []
            await house.store.queries.read(partial(trace, ran.append))
            verdicts = await house.check()
            await house.store.queries.read(partial(trace, None))
            assert len(verdicts.willing) == count - 1
            asked = [call for wire in house.wires.values() for call in wire.heard]
            assert asked.count("check_can_live_migrate_destination") == count - 1
            assert asked.count("check_can_live_migrate_source") == count - 1
        return len(ran)

    async def story() -> None:
        assert 0 < await statements(100) == await statements(3)

    run(story())
