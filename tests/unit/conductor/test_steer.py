"""How a transfer is brought to its end: decided from what is on record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from godwit.conductor.steer import how_to_force
from godwit.model.errors import Conflict
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.migrate_data import Guard
from godwit.model.migration import Migration, MigrationStatus
from godwit.model.progress import Progress, TransferPhase
from godwit.model.reasons import Code
from godwit.model.steering import Force, ForceKind, Steering, SteeringWish, wished

MIB = 2**20
COPYING = Progress(
    phase=TransferPhase.COPYING_MEMORY,
    memory_remaining_bytes=100 * MIB,
    rate_bytes_per_s=100 * MIB,
    iteration=3,
    expected_downtime_ms=400,
)
RUNNING = Migration(
    uuid=MigrationUuid("u"),
    instance_uuid=InstanceUuid("i"),
    source_compute=HostName("host-a"),
    source_node="host-a",
    status=MigrationStatus.RUNNING,
    progress=COPYING,
)
FORCED = Force(kind=ForceKind.PAUSE, pause_ms=3_000)
EARLY = {TransferPhase.PREPARING, TransferPhase.COPYING_DISKS}


@pytest.mark.parametrize("guard", list(Guard))
def test_post_copy_is_for_its_guard_and_a_pause_for_all_others(guard: Guard) -> None:
    forced = how_to_force(RUNNING, guard, longest_ms=5_000)
    assert (forced.force.kind is ForceKind.POST_COPY) == (guard is Guard.POSTCOPY)


def test_nothing_is_forced_by_figures_from_before_a_person_was_needed() -> None:
    with pytest.raises(Conflict) as refused:
        how_to_force(replace(RUNNING, person_needed=True), Guard.POSTCOPY, longest_ms=5_000)
    assert refused.value.reason.code is Code.MIGRATION_NEEDS_A_PERSON


def test_a_pause_that_is_set_holds_in_place_of_one_that_was_forced() -> None:
    forced = Steering(max_downtime_ms=500, force=FORCED)
    assert wished(forced, SteeringWish(max_downtime_ms=200)) == Steering(max_downtime_ms=200)
    assert wished(forced, SteeringWish(bandwidth_mib_per_s=9)).force == FORCED


@pytest.mark.parametrize("guard", list(Guard))
@pytest.mark.parametrize("phase", [p for p in TransferPhase if p is not COPYING.phase])
def test_nothing_is_forced_but_the_copy_of_memory(phase: TransferPhase, guard: Guard) -> None:
    migration = replace(RUNNING, progress=replace(COPYING, phase=phase))
    with pytest.raises(Conflict) as refused:
        how_to_force(migration, guard, longest_ms=5_000)
    code = Code.FORCED_TOO_EARLY if phase in EARLY else Code.MIGRATION_NOT_STEERABLE
    assert refused.value.reason.code is code


@pytest.mark.parametrize("status", [s for s in MigrationStatus if s is not RUNNING.status])
def test_nothing_is_forced_unless_it_runs(status: MigrationStatus) -> None:
    with pytest.raises(Conflict):
        how_to_force(replace(RUNNING, status=status), Guard.PAUSED, longest_ms=5_000)


@given(
    left=st.integers(0, 10_000 * MIB),
    rate=st.integers(1, 10_000 * MIB),
    expected=st.none() | st.integers(0, 100_000),
    longest_ms=st.integers(1, 60_000),
)
def test_a_forced_pause_is_never_longer_than_allowed_and_long_enough_or_refused(
    left: int, rate: int, expected: int | None, longest_ms: int
) -> None:
    progress = replace(
        COPYING,
        memory_remaining_bytes=left,
        rate_bytes_per_s=rate,
        expected_downtime_ms=expected,
    )
    needed_ms = max(1000 * left // rate, expected or 0)
    migration = replace(RUNNING, progress=progress)
    if needed_ms > longest_ms:
        with pytest.raises(Conflict) as refused:
            how_to_force(migration, Guard.PAUSED, longest_ms=longest_ms)
        assert refused.value.reason.code is Code.FORCED_PAUSE_TOO_LONG
        return
    forced = how_to_force(migration, Guard.PAUSED, longest_ms=longest_ms)
    assert forced.expected_pause_ms == needed_ms
    assert needed_ms <= forced.force.pause_ms <= longest_ms


def test_the_pause_leaves_room_for_a_guest_that_does_not_write_evenly() -> None:
    forced = how_to_force(RUNNING, Guard.PAUSED, longest_ms=5_000)
    assert forced.force == Force(kind=ForceKind.PAUSE, pause_ms=2_000, longest_ms=5_000)
    assert forced.expected_pause_ms == 1_000
