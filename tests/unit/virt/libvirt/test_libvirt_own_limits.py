"""What a guest's transfers were held to before a move is what they are held to after one that
failed.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

import pytest
from tests.unit.virt.libvirt.fake_libvirt import FakeDomain, FakeLibvirt, Refusal

from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, PowerState, VmState
from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.reasons import Code, reason
from godwit.model.steering import UNSTEERED, TransferLimits
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.driver import TransferOutcome
from godwit.virt.libvirt.abi import (
    MIGRATION_OUT,
    SPEED_UNLIMITED,
    Event,
    Libvirt,
    State,
    Trouble,
)
from godwit.virt.libvirt.connection import Connection
from godwit.virt.libvirt.errors import LibvirtUnreachable
from godwit.virt.libvirt.migration import End, LibvirtTransferDriver
from godwit.virt.libvirt.own_limits import OwnLimits

T = TypeVar("T")
UUID = InstanceUuid("u1")
HERE, THERE = HostName("host-a"), HostName("host-b")
SETTINGS = LibvirtHostSettings(uri="test:///default")
SHUT_DOWN = 0
"""VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN."""
RUNNING = (int(State.RUNNING), 1)


class StraightConnection(Connection):
    """To a libvirtd in memory. Where it does not answer, it has done what it was asked."""

    def __init__(self, behind: FakeLibvirt) -> None:
        super().__init__(HERE, SETTINGS)
        self._behind = behind
        self.answers = True

    async def call(
        self,
        doing: str,
        work: Callable[[Libvirt], T],
        *,
        timeout_s: float | None = None,
        key: str = "",
    ) -> T:
        answer = work(cast(Libvirt, self._behind))
        if not self.answers:
            raise LibvirtUnreachable(HERE, "no answer")
        return answer


@pytest.mark.parametrize(
    ("limits", "after"),
    [
        ([], (7, 90)),
        ([TransferLimits()], (7, 90)),
        ([TransferLimits(max_downtime_ms=20)], (7, 90)),
        ([TransferLimits(max_downtime_ms=20), TransferLimits(max_downtime_ms=500)], (7, 90)),
        ([TransferLimits(max_downtime_ms=20), TransferLimits(bandwidth_mib_per_s=1)], (7, 90)),
        ([TransferLimits(bandwidth_mib_per_s=0)], (7, 90)),
    ],
)
def test_every_limit_that_was_replaced_is_put_back(
    limits: list[TransferLimits], after: tuple[int, int]
) -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, RUNNING, speed=7, downtime=90)
    run(host, limits)
    assert (domain.speed, domain.downtime) == after


def run(host: FakeLibvirt, limits: list[TransferLimits]) -> None:
    async def tale() -> None:
        own = OwnLimits(StraightConnection(host), UUID)
        for each in limits:
            await own.limit(each)
        await own.put_back()

    asyncio.run(tale())


def test_a_limit_that_somebody_else_has_set_meanwhile_stays() -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, RUNNING)

    async def tale() -> None:
        own = OwnLimits(StraightConnection(host), UUID)
        await own.limit(TransferLimits(max_downtime_ms=20))
        domain.speed = 3
        await own.put_back()

    asyncio.run(tale())
    assert (domain.speed, domain.downtime) == (3, 300)


def test_a_limit_whose_setting_was_not_answered_is_put_back_too() -> None:
    host = FakeLibvirt()
    domain = host.add(UUID, RUNNING)

    async def tale() -> None:
        source = StraightConnection(host)
        own = OwnLimits(source, UUID)
        source.answers = False
        with pytest.raises(LibvirtUnreachable):
            await own.limit(TransferLimits(max_downtime_ms=20))
        await own.put_back()

    asyncio.run(tale())
    assert domain.downtime == 300


def test_what_is_found_in_the_middle_of_a_move_is_not_put_back_as_the_guests_own() -> None:
    """Whoever takes a move over finds what its process had set; the next move may run by then."""
    host = FakeLibvirt()
    domain = host.add(UUID, RUNNING, job=MIGRATION_OUT, speed=8, downtime=20)

    async def tale() -> None:
        own = OwnLimits(StraightConnection(host), UUID)
        await own.limit(TransferLimits(max_downtime_ms=60))
        assert domain.downtime == 60
        domain.job, domain.speed, domain.downtime = 0, SPEED_UNLIMITED, 300
        await own.put_back()

    asyncio.run(tale())
    assert (domain.speed, domain.downtime) == (SPEED_UNLIMITED, 300)


class CloseMouthedDomain(FakeDomain):
    """Its QEMU does not say what it may do, and does what it is told."""

    def migrateGetMaxDowntime(self, flags: int = 0) -> int:  # noqa: N802
        raise Refusal(Trouble.INTERNAL_ERROR)


class SecretiveDomain(CloseMouthedDomain):
    """Neither does it say whether it moves."""

    def jobStats(self, flags: int = 0) -> dict[str, int]:  # noqa: N802
        raise Refusal(Trouble.INTERNAL_ERROR)


@pytest.mark.parametrize(("kind", "speed_after"), [(CloseMouthedDomain, 7), (SecretiveDomain, 8)])
def test_a_guest_whose_own_limits_cannot_be_had_is_moved_all_the_same(
    kind: type[FakeDomain], speed_after: int
) -> None:
    host = FakeLibvirt()
    domain = host.domains[UUID] = kind(host, UUID, RUNNING, speed=7)
    run(host, [TransferLimits(bandwidth_mib_per_s=8, max_downtime_ms=20)])
    assert (domain.speed, domain.downtime) == (speed_after, 20)


class StraightTransfer(LibvirtTransferDriver):
    """A transfer from a libvirtd in memory, whose call comes to nothing or to its end."""

    def __init__(self, host: FakeLibvirt) -> None:
        self.libvirtd = StraightConnection(host)
        ends = End(HERE, SETTINGS), End(THERE, SETTINGS)
        record = Instance(
            uuid=UUID,
            name="guest-1",
            host=HERE,
            node="a",
            vm_state=VmState.ACTIVE,
            power_state=PowerState.RUNNING,
            vcpus=1,
            memory_mib=64,
        )
        super().__init__(*ends, record, LibvirtLiveMigrateData(), steering=UNSTEERED)
        self._source = self.libvirtd
        self._limits = OwnLimits(self.libvirtd, UUID)

    def hear_that_it_shut_down(self) -> None:
        """The event may come before the source falls silent."""
        self._source_event(UUID, Event.STOPPED, SHUT_DOWN)


def test_a_transfer_that_did_not_move_its_guest_leaves_no_limit_of_ours_behind() -> None:
    host = FakeLibvirt()
    domain: FakeDomain = host.add(UUID, RUNNING)

    async def tale() -> None:
        transfer = StraightTransfer(host)
        await transfer.limit(TransferLimits(bandwidth_mib_per_s=8, max_downtime_ms=20))
        assert (domain.speed, domain.downtime) == (8, 20)
        await transfer.close()

    asyncio.run(tale())
    assert (domain.speed, domain.downtime) == (SPEED_UNLIMITED, 300)


@pytest.mark.parametrize(("answers", "after"), [(True, (SPEED_UNLIMITED, 300)), (False, (8, 20))])
def test_a_source_that_was_silent_at_the_end_is_not_waited_for_once_more(
    answers: bool, after: tuple[int, int]
) -> None:
    """Whoever looks for the guest waits for the transfer to end, and the guest with them."""
    host = FakeLibvirt()
    domain: FakeDomain = host.add(UUID, RUNNING)
    lost = TransferOutcome(error="no answer", reason=reason(Code.INTERNAL_ERROR, problem="x"))

    async def tale() -> None:
        transfer = StraightTransfer(host)
        await transfer.limit(TransferLimits(bandwidth_mib_per_s=8, max_downtime_ms=20))
        transfer.libvirtd.answers = answers
        assert not (await transfer.explained(lost)).guest_ended
        transfer.hear_that_it_shut_down()
        assert bool((await transfer.explained(lost)).guest_ended) is not answers
        await transfer.close()

    asyncio.run(tale())
    assert (domain.speed, domain.downtime) == after
