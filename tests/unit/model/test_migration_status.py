from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.migration import (
    FINAL,
    MAY_FOLLOW,
    IllegalTransition,
    Migration,
    MigrationStatus,
    advance,
)

PAIRS = list(product(MigrationStatus, MigrationStatus))


def migration(status: MigrationStatus) -> Migration:
    return Migration(
        uuid=MigrationUuid("m"),
        instance_uuid=InstanceUuid("i"),
        status=status,
        source_compute=HostName("host-a"),
        source_node="host-a",
    )


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_status_goes_only_where_the_table_leads(
    before: MigrationStatus, after: MigrationStatus
) -> None:
    if after is before or after in MAY_FOLLOW[before]:
        assert advance(migration(before), after).status is after
    else:
        with pytest.raises(IllegalTransition, match=f"{before} -> {after}"):
            advance(migration(before), after)


@given(st.lists(st.sampled_from(MigrationStatus)))
def test_no_road_leads_out_of_a_final_status(road: list[MigrationStatus]) -> None:
    here = MigrationStatus.ACCEPTED
    final: MigrationStatus | None = None
    for there in road:
        if there in MAY_FOLLOW[here]:
            assert final is None
            here = there
        if here in FINAL:
            final = here


def test_every_status_can_be_reached_and_every_unfinished_one_can_end() -> None:
    reached = {MigrationStatus.ACCEPTED}
    for _ in MigrationStatus:
        reached |= {after for status in reached for after in MAY_FOLLOW[status]}
    assert reached == set(MigrationStatus)
    assert all(
        MAY_FOLLOW[status] & FINAL
        for status in set(MigrationStatus) - FINAL - {MigrationStatus.ACCEPTED}
    )
    assert frozenset({"completed", "failed", "cancelled", "error"}) == FINAL
