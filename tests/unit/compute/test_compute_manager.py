"""A compute manager of simulated hosts, asked through the transport as a conductor asks it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
from msgspec.structs import replace
from tests.contract.driver_contract import record_of

from godwit.compute import source
from godwit.compute.managers import ComputeManagers
from godwit.compute.transfer_folder import Mark
from godwit.compute.transfers import TaskTransfers, Transfers
from godwit.model.errors import Conflict, HypervisorError, Superseded, Unreachable
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.reasons import Code
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.rpc import local
from godwit.rpc.compute import (
    FOLLOW_WAIT_S,
    Act,
    CheckDestination,
    CheckSource,
    ComputeRpc,
    DestroyGuest,
    FollowTransfer,
    ForTransfer,
    Move,
    RollBack,
    SpawnGuest,
    StartTransfer,
    TransferNews,
)
from godwit.runtime.settings import MigrationSettings, Settings, SimulatedHostSettings
from godwit.sim.loop import VirtualClock, run
from godwit.virt.driver import ComputeDriver
from godwit.virt.registry import simulated_fleet
from godwit.virt.simulated.driver import SimulatedDriver
from godwit.virt.simulated.faults import Fault, FaultKind, TransferFault
from godwit.virt.simulated.fleet import SimulatedFleet

A, B = HostName("host-a"), HostName("host-b")
UUID = MigrationUuid("11111111-1111-4111-8111-111111111111")


@dataclass(frozen=True)
class House:
    """Two hosts, their managers behind the transport, and a guest about to move."""

    fleet: SimulatedFleet
    computes: Mapping[HostName, ComputeRpc]
    start: StartTransfer
    move: Move
    guest: InstanceUuid

    @property
    def source(self) -> ComputeRpc:
        return self.computes[A]

    @property
    def destination(self) -> ComputeRpc:
        return self.computes[B]

    @property
    def transfer(self) -> ForTransfer:
        return ForTransfer(act=self.move.act)

    async def follow_to_the_end(self) -> TransferNews:
        news = TransferNews()
        while not news.ended:
            ask = FollowTransfer(migration_uuid=UUID, after_sequence=news.sequence)
            news = await self.source.follow_transfer(ask)
        return news

    async def words(self) -> tuple[SourceWord, DestinationWord]:
        source = await self.source.sight_source(self.move)
        destination = await self.destination.sight_destination(self.move)
        return source.word, destination.word


Tale = Callable[[House], Awaitable[None]]


def in_a_house(tale: Tale, *, transfer_s: float = 4.0) -> SimulatedFleet:
    """Tell `tale` in a new house in virtual time. No guest may have come to harm in it."""
    settings = Settings(
        hosts={
            A: SimulatedHostSettings(guests=1, transfer_s=transfer_s),
            B: SimulatedHostSettings(),
        },
        migration=MigrationSettings(stall_timeout_s=20.0),
    )
    fleet = simulated_fleet(settings)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            maker = ComputeManagers(settings, tasks=tasks, clock=VirtualClock(), fleet=fleet)
            answerers: dict[HostName, ComputeRpc] = {**maker.make(settings.hosts)}
            computes = {
                host: local.connect(ComputeRpc, answerer, tasks=tasks, who=host)
                for host, answerer in answerers.items()
            }
            await tale(await _house(fleet, computes))
            maker.close()

    run(main())
    assert fleet.violations() == ()
    return fleet


async def _house(fleet: SimulatedFleet, computes: Mapping[HostName, ComputeRpc]) -> House:
    source, destination = SimulatedDriver(fleet, A), SimulatedDriver(fleet, B)
    guest = fleet.halves(A)[0].guest.uuid
    instance = await record_of(source, guest)
    spec = RequestSpec(instance=instance, source=await source.host_facts())
    facts = await destination.host_facts()
    there = await computes[B].check_can_live_migrate_destination(CheckDestination(spec=spec))
    assert there.migrate_data is not None
    here = await computes[A].check_can_live_migrate_source(
        CheckSource(spec=spec, destination=facts, migrate_data=there.migrate_data)
    )
    assert here.migrate_data is not None
    act = Act(migration_uuid=UUID, generation=3)
    move = Move(act=act, instance=instance, migrate_data=here.migrate_data)
    start = StartTransfer(
        act=act, instance=instance, migrate_data=here.migrate_data, destination=facts
    )
    return House(fleet, computes, start, move, guest)


def rolling_back(move: Move) -> RollBack:
    return RollBack(
        act=move.act, instance=move.instance, migrate_data=move.migrate_data, may_have_run=False
    )


def under(act: Act, house: House) -> Move:
    return replace(house.move, act=act)


def test_the_guest_moves_by_the_calls_of_the_story() -> None:
    async def tale(house: House) -> None:
        await house.destination.pre_live_migration(house.move)
        await house.source.live_migration(house.start)
        news = await house.follow_to_the_end()
        assert news.result is not None
        assert news.result.ran_at_destination
        closed = await house.source.close_transfer(house.transfer)
        assert (closed.ended, closed.result) == (True, news.result)
        assert await house.words() == (SourceWord.GONE, DestinationWord.RUNS)
        for _ in range(2):
            await house.destination.post_live_migration_at_destination(house.move)
            await house.source.post_live_migration_at_source(house.move)
        assert house.fleet.running_at(house.guest) == (B,)
        assert house.fleet.half(A, house.guest) is None

    in_a_house(tale)
    in_a_house(tale, transfer_s=0.0)


def test_news_come_as_the_copy_goes_on_and_then_the_end() -> None:
    async def tale(house: House) -> None:
        await house.source.live_migration(house.start)
        sequences, news = list[int](), TransferNews()
        while not news.ended:
            ask = FollowTransfer(migration_uuid=UUID, after_sequence=news.sequence)
            news = await house.source.follow_transfer(ask)
            sequences.append(news.sequence)
        assert len(sequences) >= 4
        assert sequences == sorted(sequences)
        assert asyncio.get_running_loop().time() == pytest.approx(4.0)

    in_a_house(tale)


def test_sending_live_migration_again_attaches_and_never_starts_a_second() -> None:
    async def tale(house: House) -> None:
        for _ in range(3):
            await house.source.live_migration(house.start)
        await house.follow_to_the_end()
        again = await house.source.live_migration(house.start)
        assert again.ended
        assert house.fleet.calls(A, "transfer") == 1

    in_a_house(tale)


def test_following_a_transfer_that_nobody_started_says_that_it_has_ended() -> None:
    async def tale(house: House) -> None:
        ask = FollowTransfer(migration_uuid=UUID)
        assert await house.source.follow_transfer(ask) == TransferNews(ended=True)

    in_a_house(tale)


def test_a_transfer_without_news_is_followed_for_no_longer_than_was_promised() -> None:
    async def tale(house: House) -> None:
        house.fleet.break_transfer(house.guest, TransferFault.STALLS)
        await house.source.live_migration(house.start)
        ask = FollowTransfer(migration_uuid=UUID, after_sequence=1_000)
        news = await house.source.follow_transfer(ask)
        assert not news.ended
        assert asyncio.get_running_loop().time() == pytest.approx(FOLLOW_WAIT_S)

    in_a_house(tale)


def test_a_stalled_transfer_ends_by_itself() -> None:
    async def tale(house: House) -> None:
        house.fleet.break_transfer(house.guest, TransferFault.STALLS)
        await house.source.live_migration(house.start)
        news = await house.follow_to_the_end()
        assert news.result is not None
        assert news.result.reason is not None
        assert news.result.reason.code is Code.TRANSFER_STALLED
        assert await house.words() == (SourceWord.KEPT, DestinationWord.GONE)

    in_a_house(tale)


def test_an_abort_stops_the_transfer() -> None:
    async def tale(house: House) -> None:
        await house.source.live_migration(house.start)
        await asyncio.sleep(1)
        for _ in range(2):
            await house.source.abort_live_migration(house.transfer)
        news = await house.follow_to_the_end()
        assert news.result is not None
        assert news.result.aborted
        assert await house.words() == (SourceWord.KEPT, DestinationWord.GONE)

    in_a_house(tale)


def test_an_abort_before_the_transfer_prevents_it() -> None:
    async def tale(house: House) -> None:
        await house.source.abort_live_migration(house.transfer)
        await house.source.live_migration(house.start)
        news = await house.follow_to_the_end()
        assert news.result is not None
        assert news.result.aborted
        assert house.fleet.calls(A, "transfer") == 0

    in_a_house(tale)


def test_a_transfer_that_was_closed_before_it_began_never_begins() -> None:
    async def tale(house: House) -> None:
        closed = await house.source.close_transfer(house.transfer)
        assert closed == TransferNews(ended=True)
        newer = replace(house.start, act=Act(migration_uuid=UUID, generation=99))
        for start in (house.start, newer):
            with pytest.raises(Superseded):
                await house.source.live_migration(start)

    in_a_house(tale)


def test_a_transfer_that_lives_is_not_closed() -> None:
    async def tale(house: House) -> None:
        await house.source.live_migration(house.start)
        assert not (await house.source.close_transfer(house.transfer)).ended
        await house.follow_to_the_end()
        assert house.fleet.running_at(house.guest) == (B,)

    in_a_house(tale)


TOUCHES_THE_SOURCE: list[Callable[[House], Awaitable[object]]] = [
    lambda house: house.source.rollback_live_migration_at_source(house.move),
    lambda house: house.source.let_run_at_source(house.move),
    lambda house: house.source.end_source(house.move),
    lambda house: house.source.post_live_migration_at_source(house.move),
]


@pytest.mark.parametrize("act", TOUCHES_THE_SOURCE, ids=["rollback", "let run", "end", "post"])
def test_nothing_touches_the_source_while_its_transfer_lives(
    act: Callable[[House], Awaitable[object]],
) -> None:
    async def tale(house: House) -> None:
        await house.source.live_migration(house.start)
        with pytest.raises(Conflict):
            await act(house)

    in_a_house(tale)


def test_the_source_is_not_called_kept_while_its_transfer_may_still_begin() -> None:
    async def tale(house: House) -> None:
        house.fleet.inject(Fault(A, "open", FaultKind.HANGS, hang_s=5.0))
        await house.source.live_migration(house.start)
        seen = await house.source.sight_source(house.move)
        assert (seen.word, seen.never_begun) == (SourceWord.COPYING, False)
        await house.follow_to_the_end()
        seen = await house.source.sight_source(house.move)
        assert (seen.word, seen.never_begun) == (SourceWord.KEPT, True)

    in_a_house(tale)


def test_an_end_of_the_source_is_on_record_before_it_is_done() -> None:
    async def tale(house: House) -> None:
        house.fleet.break_transfer(house.guest, TransferFault.HANDED_OVER)
        house.fleet.inject(Fault(A, "end_source", FaultKind.FAILS_AFTER_ACTING))
        await house.source.live_migration(house.start)
        await house.follow_to_the_end()
        assert await house.words() == (SourceWord.HANDED_OVER, DestinationWord.READY)
        with pytest.raises(Exception, match="end_source failed"):
            await house.source.end_source(house.move)
        assert await house.words() == (SourceWord.GONE, DestinationWord.READY)
        await house.destination.let_run_at_destination(house.move)
        assert house.fleet.running_at(house.guest) == (B,)

    in_a_house(tale)


@pytest.mark.parametrize("act", [source.rollback_live_migration, source.post_live_migration])
def test_the_story_is_over_at_the_source_once_its_last_act_there_is_done_and_not_before(
    act: Callable[[ComputeDriver, Transfers, Move], Awaitable[object]],
) -> None:
    marks = list[Mark]()

    class Remembering(TaskTransfers):
        async def set(self, uuid: MigrationUuid, mark: Mark) -> None:
            marks.append(mark)

    async def tale(house: House) -> None:
        driver = SimulatedDriver(house.fleet, A)
        async with asyncio.TaskGroup() as tasks:
            transfers = Remembering(
                tasks=tasks, make_driver=lambda _: pytest.fail("begins"), stall_timeout_s=1
            )
            house.fleet.inject(Fault(A, f"{act.__name__}_at_source", FaultKind.FAILS))
            with pytest.raises(HypervisorError):
                await act(driver, transfers, house.move)
            assert marks == []
            house.fleet.power_off_guest(A, house.guest)
            await act(driver, transfers, house.move)
            assert marks == [Mark.OVER]
            house.fleet.destroy(A, house.guest)

    in_a_house(tale)


def test_a_rollback_refuses_what_comes_late_at_the_destination() -> None:
    async def tale(house: House) -> None:
        await house.destination.pre_live_migration(house.move)
        await house.destination.rollback_live_migration_at_destination(rolling_back(house.move))
        for late in (
            house.destination.pre_live_migration,
            house.destination.let_run_at_destination,
            house.destination.post_live_migration_at_destination,
        ):
            with pytest.raises(Superseded):
                await late(house.move)

    fleet = in_a_house(tale)
    assert fleet.snapshot()[B] == ({}, frozenset())


def test_an_older_conductor_can_neither_do_nor_undo() -> None:
    async def tale(house: House) -> None:
        await house.destination.pre_live_migration(house.move)
        older = under(Act(migration_uuid=UUID, generation=2), house)
        with pytest.raises(Superseded):
            await house.destination.rollback_live_migration_at_destination(rolling_back(older))
        assert house.fleet.snapshot()[B] == ({}, frozenset({house.guest}))

    in_a_house(tale)


def test_an_orphaned_transfer_is_watched_for_the_newest_conductor_alone() -> None:
    """To watch it may mean to stop it."""

    async def tale(house: House) -> None:
        await house.source.live_migration(house.start)
        await house.follow_to_the_end()
        older = ForTransfer(act=Act(migration_uuid=UUID, generation=2))
        with pytest.raises(Superseded):
            await house.source.watch_transfer(older)
        news = await house.source.watch_transfer(ForTransfer(act=house.start.act))
        assert news.ended
        await house.source.rollback_live_migration_at_source(house.move)
        with pytest.raises(Superseded):
            await house.source.watch_transfer(ForTransfer(act=house.start.act))

    in_a_house(tale)


def test_a_newer_conductor_does_not_stop_the_transfer_of_the_older() -> None:
    async def tale(house: House) -> None:
        await house.source.live_migration(house.start)
        newer = replace(house.start, act=Act(migration_uuid=UUID, generation=4))
        assert not (await house.source.live_migration(newer)).ended
        await house.follow_to_the_end()
        assert house.fleet.running_at(house.guest) == (B,)

    in_a_house(tale)


def test_a_lost_answer_does_not_undo_the_act_and_the_next_act_waits_for_it() -> None:
    async def tale(house: House) -> None:
        house.fleet.inject(
            Fault(B, "pre_live_migration", FaultKind.HANGS_AFTER_ACTING, hang_s=70.0)
        )
        with pytest.raises(Unreachable):
            await house.destination.pre_live_migration(house.move)
        await house.destination.rollback_live_migration_at_destination(rolling_back(house.move))
        assert asyncio.get_running_loop().time() == pytest.approx(70.0)

    fleet = in_a_house(tale)
    assert fleet.snapshot()[B] == ({}, frozenset())


def test_a_host_out_of_reach_is_sighted_as_unreachable_and_nothing_is_raised() -> None:
    async def tale(house: House) -> None:
        house.fleet.disconnect(A)
        house.fleet.disconnect(B)
        assert await house.words() == (SourceWord.UNREACHABLE, DestinationWord.UNREACHABLE)

    in_a_house(tale)


def test_another_hypervisors_agreement_is_refused_and_starts_nothing() -> None:
    async def tale(house: House) -> None:
        foreign = replace(house.start, migrate_data=LibvirtLiveMigrateData())
        with pytest.raises(Exception, match="LibvirtLiveMigrateData was given"):
            await house.source.live_migration(foreign)
        assert (await house.source.close_transfer(house.transfer)).ended

    in_a_house(tale)


def test_guests_are_made_once_and_destroyed_once() -> None:
    async def tale(house: House) -> None:
        uuid = InstanceUuid("22222222-2222-4222-8222-222222222222")
        made = replace(house.move.instance, uuid=uuid, name="new")
        ask = SpawnGuest(instance=made, image_path="/images/small.qcow2", disk_mib=64)
        for _ in range(2):
            await house.destination.spawn_guest(ask)
        assert house.fleet.running_at(uuid) == (B,)
        for _ in range(2):
            await house.destination.destroy_guest(DestroyGuest(instance_uuid=uuid))
        assert house.fleet.running_at(uuid) == ()

    in_a_house(tale)
