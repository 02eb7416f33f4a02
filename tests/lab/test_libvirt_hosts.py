"""A host as its driver sees it: facts, changes, guests of our own, and a libvirtd or a guest that
hangs, which must never hold up anybody else.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from msgspec import structs
from tests.lab.libvirt_moves import (
    CALL_TIMEOUT_S,
    driver_of,
    instance_of,
    run,
)

from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec, create_disk, start_guest
from godwit.lab.guest_program import PLACE_ON_HOSTS, install_guest_program
from godwit.lab.lab import Lab
from godwit.model.errors import GodwitError, Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, PowerState, VmState
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.virt.driver import NewGuest, TransferEvidence


def test_a_host_tells_its_facts(lab: Lab) -> None:
    async def test() -> None:
        async with driver_of(lab.hosts[0]) as driver, driver_of(lab.hosts[1]) as other:
            facts = await driver.host_facts()
            uuids = {facts.machine_uuid, (await other.host_facts()).machine_uuid}
        assert len(uuids - {""}) == 2
        assert facts.cpu_features
        assert (facts.name, facts.node, facts.hypervisor_type) == ("host-a", "host-a", "QEMU")
        assert facts.hypervisor_version > 6_000_000
        assert "brvm" in facts.networks
        assert "pc-i440fx-7.2" in facts.machine_types
        assert [storage.id for storage in facts.storages] == ["local:host-a:local", "shared:shared"]
        assert all(storage.free_mib > 0 for storage in facts.storages)
        assert facts.migration_address == lab.hosts[0].migration_address

    run(test())


def test_a_frozen_libvirtd_is_unreachable_in_time_and_holds_up_nobody_else(lab: Lab) -> None:
    async def test() -> None:
        hung, well = lab.hosts[:2]
        async with driver_of(hung) as driver, driver_of(hung) as never_open, driver_of(well) as far:
            await driver.host_facts()
            await far.host_facts()
            hung.freeze_libvirtd()
            begun = time.monotonic()
            served = 0
            async with asyncio.TaskGroup() as group:
                stuck = [group.create_task(fails_in_time(driver)) for _ in range(10)]
                stuck.append(group.create_task(fails_in_time(never_open)))
                while not any(task.done() for task in stuck):
                    await far.guests()
                    served += 1
                    await asyncio.sleep(0.05)
            assert served > 1, "somebody else was held up"
            # Not one after the other.
            assert time.monotonic() - begun < len(stuck) * CALL_TIMEOUT_S / 2
            assert all(task.result() for task in stuck)
            hung.thaw_libvirtd()
            assert (await driver.host_facts()).name == "host-a"

    async def fails_in_time(driver: object) -> bool:
        with pytest.raises(Unreachable):
            await driver.host_facts()  # type: ignore[attr-defined]
        return True

    run(test())


def test_a_hung_guest_costs_one_thread_and_hides_nobody(lab: Lab) -> None:
    async def test() -> None:
        host = lab.hosts[0]
        disk = GuestDisk("vm1.qcow2", DiskPlace.LOCAL)
        create_disk(host, disk)
        start_guest(host, GuestSpec("vm1", disks=(disk,)))
        async with driver_of(host) as driver:
            (guest,) = await driver.guests()
            assert guest.disks[0].size_bytes == disk.size_mib * 2**20
            instance = instance_of(guest, host)
            agreed = LibvirtLiveMigrateData(state_before=(1, 1), qemu_status_before="none")
            host.freeze_qemu("vm1")
            for _ in range(10):
                here = await driver.sight_source(instance, agreed, TransferEvidence())
                assert here.word is SourceWord.UNREACHABLE
                there = await driver.sight_destination(instance, agreed)
                assert there.word is DestinationWord.RUNS
            assert len(await driver.guests()) == 1
            host.thaw_qemu("vm1")
            async with asyncio.timeout(60):
                word = SourceWord.UNREACHABLE
                while word is not SourceWord.KEPT:
                    await asyncio.sleep(0.1)  # A guest that is known to hang is not asked again.
                    word = (await driver.sight_source(instance, agreed, TransferEvidence())).word

    run(test())


def test_changes_tell_of_guests_and_of_a_libvirtd_that_came_back(lab: Lab) -> None:
    async def test() -> None:
        host = lab.hosts[0]
        async with driver_of(host) as driver:
            changes = driver.changes()

            async def next_change() -> None:
                async with asyncio.timeout(60):
                    await anext(changes)

            await driver.guests()
            await next_change()
            start_guest(host, GuestSpec("vm1"))
            await next_change()
            assert [guest.name for guest in await driver.guests()] == ["vm1"]
            host.kill_libvirtd()
            await next_change()
            with pytest.raises(Unreachable):
                await driver.guests()
            host.start_libvirtd()
            await next_change()
            assert [guest.name for guest in await driver.guests()] == ["vm1"]

    run(test())


def test_a_guest_of_our_own_is_made_once_and_removed_with_its_disk(lab: Lab) -> None:
    async def test() -> None:
        host = lab.hosts[0]
        install_guest_program(host.shared)
        create_disk(host, GuestDisk("image.qcow2", DiskPlace.SHARED))
        uuid = InstanceUuid("6a1c2a4c-7c5c-4c36-9d0e-1f6c9f6f7b11")
        instance = Instance(
            uuid=uuid,
            name="own",
            host=HostName(host.name),
            node=host.name,
            vm_state=VmState.BUILDING,
            power_state=PowerState.NOSTATE,
            vcpus=1,
            memory_mib=32,
        )
        new = NewGuest(
            instance=instance,
            image_path="/srv/shared/image.qcow2",
            disk_mib=24,
            kernel=PLACE_ON_HOSTS,
            command_line="name=own",
        )
        async with driver_of(host) as driver:
            await driver.spawn(new)
            await driver.spawn(new)
            (guest,) = await driver.guests()
            assert (guest.uuid, guest.power_state) == (uuid, PowerState.RUNNING)
            assert guest.disks[0].size_bytes == 24 * 2**20
            assert guest.platform is not None
            assert guest.platform.tagged
            await driver.destroy(uuid)
            await driver.destroy(uuid)
            assert await driver.guests() == ()
            left = host.run("sh", "-c", "ls /srv/shared /srv/local").stdout
            assert uuid not in left
            assert "image.qcow2" in left

            refused = replace(new, instance=structs.replace(instance, name="b/d"))
            with pytest.raises(GodwitError):
                await driver.spawn(refused)
            assert uuid in host.run("sh", "-c", "ls /srv/shared /srv/local").stdout
            await driver.destroy(uuid, half_made=True)
            left = host.run("sh", "-c", "ls /srv/shared /srv/local").stdout
            assert uuid not in left
            assert "image.qcow2" in left

    run(test())
