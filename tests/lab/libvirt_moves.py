"""A guest, two drivers and a transfer on real lab hosts: what the libvirt lab tests begin from.

`Move` does what the story does, step by step, so that a test can stop anywhere and break something.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.last_requests import last_requests

from godwit.compute.transfer import agreed_terms, run_transfer
from godwit.compute.transfer_folder import MemoryFolder
from godwit.lab.errors import LabError
from godwit.lab.guest import GuestSpec, create_disk, domain_state, start_guest
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.ids import HostName
from godwit.model.instance import Guest, Instance, vm_state_of
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.migration import BlockMigration
from godwit.model.reasons import Code
from godwit.model.request_spec import RequestSpec
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import UNSTEERED
from godwit.runtime.settings import LibvirtHostSettings, NetworkSettings, StorageSettings
from godwit.virt.driver import Checked, TransferEvidence, TransferOutcome
from godwit.virt.libvirt.driver import LibvirtDriver
from godwit.virt.libvirt.migration import End, LibvirtTransferDriver

CALL_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Declared:
    """What an operator has declared for all hosts."""

    storages: Mapping[str, StorageSettings]
    networks: Mapping[str, NetworkSettings]


AS_THE_LAB_IS = Declared({"shared": StorageSettings(path="/srv/shared")}, {})


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test in a real event loop: hosts do not live in virtual time. Bounded, no more."""

    async def bounded() -> None:
        async with asyncio.timeout(400):
            await test

    asyncio.run(bounded())


def settings_of(host: LabHost, *, tls: bool = True) -> LibvirtHostSettings:
    """What the settings file would say of this host."""
    return LibvirtHostSettings(
        uri=host.uri,
        peer_uri=host.peer_uri,
        migration_address=host.migration_address,
        tls=tls,
        call_timeout_s=CALL_TIMEOUT_S,
    )


@asynccontextmanager
async def driver_of(
    host: LabHost, declared: Declared = AS_THE_LAB_IS
) -> AsyncIterator[LibvirtDriver]:
    """A driver of this host, closed afterwards."""
    settings = settings_of(host)
    driver = LibvirtDriver(
        HostName(host.name), settings, declared.storages, declared.networks, trusted_for_s=0.0
    )
    try:
        yield driver
    finally:
        await driver.close()


def instance_of(guest: Guest, host: LabHost) -> Instance:
    """The record of a guest that was seen at this host."""
    return Instance(
        uuid=guest.uuid,
        name=guest.name,
        host=HostName(host.name),
        node=host.name,
        vm_state=vm_state_of(guest.power_state),
        power_state=guest.power_state,
        vcpus=guest.vcpus,
        memory_mib=guest.memory_mib,
        disks=guest.disks,
        nics=guest.nics,
        platform=guest.platform,
    )


@dataclass
class Move:
    """One guest on its way from the first lab host to the second."""

    lab: Lab
    beats: Heartbeats
    spec: GuestSpec
    source: LibvirtDriver
    destination: LibvirtDriver
    instance: Instance
    permit_post_copy: bool = False
    rely_on_fencing: bool = False
    migrate_data: LibvirtLiveMigrateData | None = None
    transfer: LibvirtTransferDriver | None = None

    @property
    def here(self) -> LabHost:
        """The source."""
        return self.lab.hosts[0]

    @property
    def there(self) -> LabHost:
        """The destination."""
        return self.lab.hosts[1]

    @property
    def agreed(self) -> LibvirtLiveMigrateData:
        """What `prepare` has agreed on."""
        assert self.migrate_data is not None
        return self.migrate_data

    @property
    def moving(self) -> LibvirtTransferDriver:
        """The transfer that `prepare` has opened."""
        assert self.transfer is not None
        return self.transfer

    async def request(self, block: BlockMigration = BlockMigration.AUTO) -> RequestSpec:
        """The question that both checks answer."""
        facts = await self.source.host_facts()
        return RequestSpec(
            instance=self.instance,
            source=facts,
            block_migration=block,
            permit_post_copy=self.permit_post_copy,
            rely_on_fencing=self.rely_on_fencing,
        )

    async def check(self, block: BlockMigration = BlockMigration.AUTO) -> Checked:
        """Both checks: the destination's refusals, else the source's answer."""
        spec = await self.request(block)
        first = await self.destination.check_can_live_migrate_destination(spec)
        if first.migrate_data is None:
            return first
        facts = await self.destination.host_facts()
        return await self.source.check_can_live_migrate_source(spec, facts, first.migrate_data)

    async def refusals(self, block: BlockMigration = BlockMigration.AUTO) -> list[Code]:
        """The codes of the refusals of `check`."""
        return [refusal.code for refusal in (await self.check(block)).refusals]

    async def agree_and_make_room(self) -> None:
        """Everything up to the transfer."""
        checked = await self.check()
        assert checked.refusals == ()
        assert checked.migrate_data is not None
        made = await self.destination.pre_live_migration(self.instance, checked.migrate_data)
        assert isinstance(made, LibvirtLiveMigrateData)
        self.migrate_data = made

    async def prepare(self) -> None:
        """The same, and the transfer is opened."""
        await self.agree_and_make_room()
        self.transfer = LibvirtTransferDriver(
            End(HostName(self.here.name), settings_of(self.here)),
            End(HostName(self.there.name), settings_of(self.there)),
            self.instance,
            self.agreed,
            steering=UNSTEERED,
        )
        await self.transfer.open()
        await self.transfer.clear_autostart()

    async def transfer_and_let_run(self) -> TransferOutcome:
        """The transfer as its process does it."""
        outcome = await self.moving.transfer()
        if await self.moving.source_is_gone():
            await self.moving.let_run_at_destination()
        return outcome

    async def transfer_as_its_process_does(self, folder: MemoryFolder) -> None:
        """All of the transfer, from its first connection to its result in `folder`."""
        terms = agreed_terms(self.agreed, stall_timeout_s=20.0)
        folder.begin_life()
        await run_transfer(folder, self.moving, terms)
        folder.end_life()

    async def words(self) -> tuple[SourceWord, DestinationWord]:
        """What both ends are called now."""
        evidence = TransferEvidence(began=True)
        source = await self.source.sight_source(self.instance, self.agreed, evidence)
        destination = await self.destination.sight_destination(self.instance, self.agreed)
        return source.word, destination.word

    async def until(self, *wanted: tuple[SourceWord, DestinationWord]) -> None:
        """Wait until both ends are called so; AssertionError naming what they were called."""
        seen: list[tuple[SourceWord, DestinationWord]] = []
        for _ in range(480):
            seen.append(await self.words())
            if seen[-1] in wanted:
                return
            await asyncio.sleep(0.25)
        raise AssertionError(f"never seen: {wanted}; but {sorted(set(seen))}")

    async def finish(self) -> None:
        """Both posts."""
        await self.destination.post_live_migration_at_destination(self.instance, self.agreed)
        await self.source.post_live_migration_at_source(self.instance, self.agreed)

    async def roll_back(self) -> None:
        """Both undos."""
        await self.source.rollback_live_migration_at_source(self.instance, self.agreed)
        await self.destination.rollback_live_migration_at_destination(
            self.instance, self.agreed, may_have_run=False
        )

    async def wait_for_beat(self, host: LabHost) -> None:
        """Wait for the next heartbeat there."""
        await asyncio.to_thread(self.beats.wait, self.spec.name, host.name)

    def assert_ran_once(self) -> None:
        """The guest has never run at two hosts, and its memory and disks are whole."""
        assert self.beats.check_ran_once(self.spec.name) == []

    def state_at(self, host: LabHost) -> str:
        """libvirt's own words for the guest there."""
        return domain_state(host, self.spec.name)


@asynccontextmanager
async def a_move(
    lab: Lab, spec: GuestSpec, declared: Declared = AS_THE_LAB_IS
) -> AsyncIterator[Move]:
    """The guest runs at the first host, and both hosts' drivers are there."""
    here, there = lab.hosts[:2]
    for disk in spec.disks:
        create_disk(here, disk)
    with Heartbeats(lab, [spec.name]) as beats:
        start_guest(here, spec)
        beats.wait(spec.name, here.name)
        async with driver_of(here, declared) as source, driver_of(there, declared) as destination:
            guest = next(g for g in await source.guests() if g.uuid == str(spec.uuid))
            move = Move(lab, beats, spec, source, destination, instance_of(guest, here))
            try:
                yield move
            finally:
                if move.transfer is not None:
                    await move.transfer.close()


async def eventually(done: Callable[[], bool], what: str, *, timeout_s: float = 120.0) -> None:
    """Wait until `done`; LabError saying that `what` did not happen."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await asyncio.to_thread(done):  # noqa: ASYNC110 - a host sends no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise LabError(f"{what} did not happen within {timeout_s:g} s") from None


async def begin_copying(move: Move, *, sent_mib: int = 8) -> asyncio.Task[TransferOutcome]:
    """Start the transfer and wait until so much is sent."""
    call = asyncio.create_task(move.moving.transfer())
    async with asyncio.timeout(120):
        while True:
            sample = await move.moving.progress()
            if sample is not None and sample.memory_processed_bytes > sent_mib * 2**20:
                return call
            await asyncio.sleep(0.01)


async def enter_the_window(*moves: Move) -> list[asyncio.Task[TransferOutcome]]:
    """Start the transfers, and freeze the destination's libvirtd just before everything is sent:
    the source then has sent all, stands still and waits for an answer, for less than 5 s. So the
    guests must be endless, with little left to send at any moment.
    """
    set_pace(2, *moves)
    calls = await asyncio.gather(*(begin_copying(move, sent_mib=2) for move in moves))
    moves[0].there.freeze_libvirtd()
    set_pace(200, *moves)
    await eventually(
        # A source whose libvirtd dies before QEMU was told to send the rest takes its guest back.
        lambda: last_requests(moves[0].here, moves[0].there) == len(moves),
        "the switch at the source",
        timeout_s=4.5,
    )
    return calls


def set_pace(mib_per_s: int, *moves: Move) -> None:
    """Send the guests at this pace from now on."""
    for move in moves:
        move.here.run("virsh", "-q", "migrate-setspeed", move.spec.name, str(mib_per_s))


async def expect_an_error(call: asyncio.Task[TransferOutcome]) -> TransferOutcome:
    """The outcome of a call that must end with an error."""
    outcome = await call
    assert outcome.error
    return outcome
