"""What every hypervisor driver promises, as claims about a guest that moves between two hosts.

An implementer subclasses `DriverContract` in a test module of its own and gives it a fixture
`world`: two hosts, a way to make a guest at the source, and a way to run a claim. The simulated
driver is held to it in virtual time, libvirt's in the lab.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import pytest
from msgspec.structs import replace

from godwit.compute.transfer import agreed_terms, run_transfer
from godwit.compute.transfer_folder import MemoryFolder
from godwit.model.errors import GodwitError, HypervisorError, Refused
from godwit.model.host import HostFacts
from godwit.model.ids import InstanceUuid
from godwit.model.instance import Guest, Instance, Nic, PowerState, vm_state_of
from godwit.model.migrate_data import LiveMigrateData
from godwit.model.reasons import Code
from godwit.model.rehearsal import twin_name
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import TransferLimits
from godwit.rpc.compute import TransferResult
from godwit.virt.driver import ComputeDriver, TransferDriver, TransferEvidence

BEGAN = TransferEvidence(began=True)


@dataclass(frozen=True)
class TwoHosts:
    """The drivers of two hosts between which guests may move."""

    source: ComputeDriver
    destination: ComputeDriver


class DriverWorld(Protocol):
    """What an implementer brings. Guests made are removed by the fixture's end."""

    def run(self, claim: Callable[[TwoHosts], Awaitable[None]]) -> None:
        """Open both drivers in a new event loop, run the claim, close them."""
        ...

    async def make_guest(self, hosts: TwoHosts, *, paused: bool = False) -> InstanceUuid:
        """A guest runs (or is paused by its operator) at the source, in reach of the destination,
        with autostart set.
        """
        ...

    def transfer_driver(
        self, instance: Instance, migrate_data: LiveMigrateData, destination: HostFacts
    ) -> TransferDriver:
        """The driver of one move of that guest from source to destination."""
        ...


async def guest_at(driver: ComputeDriver, uuid: InstanceUuid) -> Guest | None:
    """The guest as a host reports it."""
    return next((guest for guest in await driver.guests() if guest.uuid == uuid), None)


async def power_at(driver: ComputeDriver, uuid: InstanceUuid) -> PowerState | None:
    """The guest's power state at a host; None if it is not there at all."""
    guest = await guest_at(driver, uuid)
    return guest.power_state if guest else None


async def record_of(driver: ComputeDriver, uuid: InstanceUuid) -> Instance:
    """Godwit's record of a guest, as discovery makes it."""
    facts, guest = await driver.host_facts(), await guest_at(driver, uuid)
    assert guest is not None
    return Instance(
        uuid=guest.uuid,
        name=guest.name,
        host=facts.name,
        node=facts.node,
        vm_state=vm_state_of(guest.power_state),
        power_state=guest.power_state,
        vcpus=guest.vcpus,
        memory_mib=guest.memory_mib,
        disks=guest.disks,
        nics=guest.nics,
        platform=guest.platform,
    )


@dataclass(frozen=True)
class Agreed:
    """A guest about to move, and what both ends agreed on."""

    instance: Instance
    destination: HostFacts
    migrate_data: LiveMigrateData


async def agree(world: DriverWorld, hosts: TwoHosts, *, paused: bool = False) -> Agreed:
    """A new guest, checked at both ends."""
    uuid = await world.make_guest(hosts, paused=paused)
    instance = await record_of(hosts.source, uuid)
    spec = RequestSpec(instance=instance, source=await hosts.source.host_facts())
    there = await hosts.destination.check_can_live_migrate_destination(spec)
    assert there.refusals == ()
    assert there.migrate_data is not None
    destination = await hosts.destination.host_facts()
    here = await hosts.source.check_can_live_migrate_source(spec, destination, there.migrate_data)
    assert here.refusals == ()
    assert here.migrate_data is not None
    return Agreed(instance, destination, here.migrate_data)


async def prepare(world: DriverWorld, hosts: TwoHosts, *, paused: bool = False) -> Agreed:
    """A new guest, checked at both ends, for which room was made at the destination."""
    return await _prepared(hosts, await agree(world, hosts, paused=paused))


async def _prepared(hosts: TwoHosts, agreed: Agreed) -> Agreed:
    prepared = await hosts.destination.pre_live_migration(agreed.instance, agreed.migrate_data)
    return Agreed(agreed.instance, agreed.destination, prepared)


async def move(world: DriverWorld, agreed: Agreed) -> TransferResult:
    """Transfer it, as its transfer process would."""
    folder = MemoryFolder()
    driver = world.transfer_driver(agreed.instance, agreed.migrate_data, agreed.destination)
    terms = agreed_terms(agreed.migrate_data, stall_timeout_s=30.0)
    await run_transfer(folder, driver, terms)
    result = folder.news().result
    assert result is not None
    return result


async def settle(hosts: TwoHosts, agreed: Agreed) -> None:
    """After the switch: permanent there, forgotten here."""
    await hosts.destination.post_live_migration_at_destination(agreed.instance, agreed.migrate_data)
    await hosts.source.post_live_migration_at_source(agreed.instance, agreed.migrate_data)


class DriverContract:
    """The claims. Each makes its own guest."""

    # --- looks ------------------------------------------------------------------------------------

    def test_looks_change_nothing(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            uuid = await world.make_guest(hosts)
            instance = await record_of(hosts.source, uuid)
            facts = await hosts.destination.host_facts()
            before = (await hosts.source.guests(), await hosts.destination.guests())
            spec = RequestSpec(instance=instance, source=await hosts.source.host_facts())
            for _ in range(2):
                there = await hosts.destination.check_can_live_migrate_destination(spec)
                assert there.migrate_data is not None
                await hosts.source.check_can_live_migrate_source(spec, facts, there.migrate_data)
                await hosts.source.sight_source(instance, there.migrate_data, BEGAN)
                await hosts.destination.sight_destination(instance, there.migrate_data)
            assert (await hosts.source.guests(), await hosts.destination.guests()) == before

        world.run(claim)

    def test_guests_are_reported_in_order_of_their_uuids(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            made = [await world.make_guest(hosts) for _ in range(2)]
            seen = [guest.uuid for guest in await hosts.source.guests()]
            assert seen == sorted(seen)
            assert set(made) <= set(seen)

        world.run(claim)

    def test_the_host_that_has_the_guest_refuses_to_be_its_destination(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            instance = await record_of(hosts.source, await world.make_guest(hosts))
            spec = RequestSpec(instance=instance, source=await hosts.source.host_facts())
            checked = await hosts.source.check_can_live_migrate_destination(spec)
            assert Code.UUID_TAKEN in [refusal.code for refusal in checked.refusals]
            assert all(refusal.host for refusal in checked.refusals)

        world.run(claim)

    def test_a_missing_network_is_refused_by_name(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            instance = await record_of(hosts.source, await world.make_guest(hosts))
            elsewhere = _with_network(instance, "nosuchbridge")
            spec = RequestSpec(instance=elsewhere, source=await hosts.source.host_facts())
            checked = await hosts.destination.check_can_live_migrate_destination(spec)
            assert Code.BRIDGE_MISSING in [refusal.code for refusal in checked.refusals]
            assert any("nosuchbridge" in refusal.words for refusal in checked.refusals)

        world.run(claim)

    def test_a_guest_that_is_not_there_cannot_leave(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await agree(world, hosts)
            spec = RequestSpec(instance=agreed.instance, source=agreed.destination)
            checked = await hosts.destination.check_can_live_migrate_source(
                spec, agreed.destination, agreed.migrate_data
            )
            assert checked.refusals
            assert all(refusal.host for refusal in checked.refusals)
            assert checked.migrate_data is None

        world.run(claim)

    def test_before_the_transfer_the_source_keeps_the_guest_and_nothing_is_there(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            at_source = await hosts.source.sight_source(
                agreed.instance, agreed.migrate_data, TransferEvidence()
            )
            at_destination = await hosts.destination.sight_destination(
                agreed.instance, agreed.migrate_data
            )
            assert (at_source.word, at_source.never_begun) == (SourceWord.KEPT, True)
            assert at_destination.word is DestinationWord.GONE
            assert at_source.seen
            assert at_destination.seen

        world.run(claim)

    def test_a_rehearsal_leaves_both_hosts_as_they_were_and_the_guest_running(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await agree(world, hosts)
            before = await hosts.source.guests(), await hosts.destination.guests()
            twin = twin_name(1.8e9, agreed.instance.uuid)
            definition = await hosts.source.rehearse_departure(
                agreed.instance, agreed.migrate_data, twin
            )
            await hosts.destination.rehearse_arrival(definition, twin)
            for _ in range(2):
                await hosts.destination.end_rehearsal(twin)
            assert (await hosts.source.guests(), await hosts.destination.guests()) == before
            result = await move(world, await _prepared(hosts, agreed))
            assert (result.error, result.ran_at_destination) == ("", True)

        world.run(claim)

    # --- preparing and giving back ----------------------------------------------------------------

    def test_preparing_twice_is_preparing_once(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await agree(world, hosts)
            first = await hosts.destination.pre_live_migration(agreed.instance, agreed.migrate_data)
            again = await hosts.destination.pre_live_migration(agreed.instance, agreed.migrate_data)
            assert again == first
            assert await power_at(hosts.destination, agreed.instance.uuid) is None

        world.run(claim)

    def test_a_rollback_is_harmless_when_nothing_was_prepared(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await agree(world, hosts)
            for _ in range(2):
                await hosts.destination.rollback_live_migration_at_destination(
                    agreed.instance, agreed.migrate_data, may_have_run=False
                )
                await hosts.source.rollback_live_migration_at_source(
                    agreed.instance, agreed.migrate_data
                )
            assert await power_at(hosts.source, agreed.instance.uuid) is PowerState.RUNNING

        world.run(claim)

    def test_a_guest_can_be_moved_after_an_earlier_attempt_was_rolled_back(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            for _ in range(2):
                await hosts.destination.rollback_live_migration_at_destination(
                    agreed.instance, agreed.migrate_data, may_have_run=False
                )
            prepared = await hosts.destination.pre_live_migration(
                agreed.instance, agreed.migrate_data
            )
            result = await move(world, Agreed(agreed.instance, agreed.destination, prepared))
            assert (result.error, result.ran_at_destination) == ("", True)

        world.run(claim)

    def test_a_transfer_takes_autostart_away_and_a_rollback_gives_it_back(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            driver = world.transfer_driver(agreed.instance, agreed.migrate_data, agreed.destination)
            await driver.open()
            await driver.clear_autostart()
            await driver.close()
            cleared = await guest_at(hosts.source, agreed.instance.uuid)
            for _ in range(2):
                await hosts.source.rollback_live_migration_at_source(
                    agreed.instance, agreed.migrate_data
                )
            back = await guest_at(hosts.source, agreed.instance.uuid)
            assert (cleared and cleared.autostart, back and back.autostart) == (False, True)

        world.run(claim)

    # --- the move ---------------------------------------------------------------------------------

    def test_a_moved_guest_runs_at_the_destination_and_nowhere_else(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            uuid = agreed.instance.uuid
            result = await move(world, agreed)
            assert (result.error, result.ran_at_destination) == ("", True)
            assert await power_at(hosts.destination, uuid) is PowerState.RUNNING
            assert await power_at(hosts.source, uuid) in {None, PowerState.SHUTDOWN}
            await settle(hosts, agreed)
            moved = await guest_at(hosts.destination, uuid)
            assert moved is not None
            assert (moved.power_state, moved.persistent, moved.arriving, moved.autostart) == (
                PowerState.RUNNING,
                True,
                False,
                True,
            )
            assert await power_at(hosts.source, uuid) is None

        world.run(claim)

    def test_after_the_switch_both_ends_say_so(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await move(world, agreed)
            evidence = TransferEvidence(began=True, stopped_as_migrated=True)
            at_source = await hosts.source.sight_source(
                agreed.instance, agreed.migrate_data, evidence
            )
            at_destination = await hosts.destination.sight_destination(
                agreed.instance, agreed.migrate_data
            )
            assert (at_source.word, at_destination.word) == (SourceWord.GONE, DestinationWord.RUNS)

        world.run(claim)

    def test_a_guest_that_its_operator_had_paused_arrives_paused_and_stays_so(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts, paused=True)
            assert agreed.migrate_data.was_paused
            result = await move(world, agreed)
            assert (result.error, result.ran_at_destination) == ("", False)
            await hosts.destination.let_run(agreed.instance, agreed.migrate_data)
            await settle(hosts, agreed)
            assert await power_at(hosts.destination, agreed.instance.uuid) is PowerState.PAUSED

        world.run(claim)

    def test_letting_run_what_runs_already_leaves_it_alone(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await move(world, agreed)
            for _ in range(2):
                await hosts.destination.let_run(agreed.instance, agreed.migrate_data)
            assert await power_at(hosts.destination, agreed.instance.uuid) is PowerState.RUNNING

        world.run(claim)

    def test_a_guest_that_is_not_there_cannot_be_let_run(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            with pytest.raises((HypervisorError, Refused)):
                await hosts.destination.let_run(agreed.instance, agreed.migrate_data)

        world.run(claim)

    def test_what_comes_after_the_switch_may_come_twice(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await move(world, agreed)
            for _ in range(2):
                await settle(hosts, agreed)
            assert await power_at(hosts.destination, agreed.instance.uuid) is PowerState.RUNNING
            assert await power_at(hosts.source, agreed.instance.uuid) is None

        world.run(claim)

    def test_a_guest_can_go_and_come_back(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await move(world, agreed)
            await settle(hosts, agreed)
            spec = RequestSpec(
                instance=await record_of(hosts.destination, agreed.instance.uuid),
                source=agreed.destination,
            )
            checked = await hosts.source.check_can_live_migrate_destination(spec)
            assert checked.refusals == ()

        world.run(claim)

    # --- what must never be done ------------------------------------------------------------------

    def test_a_rollback_never_stops_a_guest_that_runs_at_the_destination(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await move(world, agreed)
            await _whether_it_raises_or_not(
                hosts.destination.rollback_live_migration_at_destination(
                    agreed.instance, agreed.migrate_data, may_have_run=False
                )
            )
            assert await power_at(hosts.destination, agreed.instance.uuid) is PowerState.RUNNING

        world.run(claim)

    def test_the_source_of_a_guest_that_runs_there_is_not_ended(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            with pytest.raises((HypervisorError, Refused)):
                await hosts.source.end_source(agreed.instance, agreed.migrate_data)
            assert await power_at(hosts.source, agreed.instance.uuid) is PowerState.RUNNING

        world.run(claim)

    def test_a_source_on_which_the_guest_still_runs_is_not_cleaned_up(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await _whether_it_raises_or_not(
                hosts.source.post_live_migration_at_source(agreed.instance, agreed.migrate_data)
            )
            assert await power_at(hosts.source, agreed.instance.uuid) is PowerState.RUNNING

        world.run(claim)

    def test_ending_a_source_that_is_gone_already_is_harmless(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            await move(world, agreed)
            for _ in range(2):
                await hosts.source.end_source(agreed.instance, agreed.migrate_data)
            assert await power_at(hosts.destination, agreed.instance.uuid) is PowerState.RUNNING
            assert await power_at(hosts.source, agreed.instance.uuid) is None

        world.run(claim)

    def test_nothing_goes_over_to_post_copy_that_is_not_on_its_way(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            driver = world.transfer_driver(agreed.instance, agreed.migrate_data, agreed.destination)
            await driver.open()
            with pytest.raises(HypervisorError):
                await driver.start_post_copy()
            await driver.close()
            assert await power_at(hosts.source, agreed.instance.uuid) is PowerState.RUNNING

        world.run(claim)

    def test_limits_may_be_set_before_the_beginning_and_again(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            driver = world.transfer_driver(agreed.instance, agreed.migrate_data, agreed.destination)
            await driver.open()
            for bandwidth_mib_per_s in (1, 1, 2):
                limits = TransferLimits(
                    bandwidth_mib_per_s=bandwidth_mib_per_s, max_downtime_ms=100
                )
                await driver.limit(limits)
            await driver.close()
            result = await move(world, agreed)
            assert (result.error, result.ran_at_destination) == ("", True)

        world.run(claim)

    def test_there_is_no_proof_that_a_running_source_is_gone(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            driver = world.transfer_driver(agreed.instance, agreed.migrate_data, agreed.destination)
            await driver.open()
            try:
                assert not await driver.source_is_gone()
            finally:
                await driver.close()

        world.run(claim)

    def test_a_source_is_seen_to_die_only_with_all_of_its_guest_at_the_destination(
        self, world: DriverWorld
    ) -> None:
        async def claim(hosts: TwoHosts) -> None:
            agreed = await prepare(world, hosts)
            driver = world.transfer_driver(agreed.instance, agreed.migrate_data, agreed.destination)
            await driver.open()
            try:
                async with asyncio.TaskGroup() as tasks:
                    call = tasks.create_task(driver.transfer())
                    if await driver.sees_source_die():
                        there = await hosts.destination.sight_destination(
                            agreed.instance, agreed.migrate_data
                        )
                        assert there.word is DestinationWord.READY
                assert call.result().error == ""
            finally:
                await driver.close()

        world.run(claim)

    def test_destroying_a_guest_that_is_not_there_is_harmless(self, world: DriverWorld) -> None:
        async def claim(hosts: TwoHosts) -> None:
            await hosts.source.destroy(InstanceUuid("00000000-0000-4000-8000-000000000000"))

        world.run(claim)


async def _whether_it_raises_or_not(act: Awaitable[None]) -> None:
    """An act that must do no harm may say no, or say nothing."""
    try:
        await act
    except GodwitError:
        return


def _with_network(instance: Instance, network: str) -> Instance:
    return replace(instance, nics=(Nic(mac="52:54:00:00:00:01", network=network),))
