"""Hosts, servers and discovery: what every store must get right, in a file and in memory alike."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.contract.store_records import (
    NEEDS,
    WHY,
    A,
    B,
    C,
    Tell,
    accepted,
    allocated,
    along,
    change,
    facts,
    guest,
    instance,
    report,
    with_guests,
)

from godwit.model.audit import Fenced
from godwit.model.errors import Conflict, NotFound, Refused
from godwit.model.finding import InstanceChangeKind
from godwit.model.host import Host, HostReport, PersonsWord
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Disk, Instance, PowerState, TaskState, VmState
from godwit.model.migration import MigrationStatus
from godwit.model.reasons import Code
from godwit.saga.log import Debt
from godwit.store.interface import Ending, Needs
from godwit.store.sql import SqlStore

K = InstanceChangeKind
ONE = InstanceUuid("guest-1")


async def server(store: SqlStore, uuid: InstanceUuid = ONE) -> Instance:
    found = await store.queries.instance(uuid)
    assert found is not None
    return found


def test_hosts_of_the_settings_are_known_and_others_forgotten_unless_something_names_them(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, host=B)
        await store.ensure_hosts((A,))
        assert [host.name for host in await store.queries.hosts()] == [A, B]
        fence = await accepted(store, 1, B)
        await along(store, fence, Ending(MigrationStatus.FAILED))
        await store.remove_instance(ONE)
        await store.ensure_hosts((C,))
        assert [host.name for host in await store.queries.hosts()] == [B, C]
        assert set(await store.queries.usage()) == {B, C}

    tell(tale)


def test_a_report_makes_a_host_heard_and_a_silent_hypervisor_does_not(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await store.ensure_hosts((A,))
        assert await store.queries.host(A) == Host(name=A)
        await store.record_report(report(A), (), now_s=5.0)
        await store.record_report(report(A, facts=None, trouble="timed out"), (), now_s=9.0)
        host = Host(name=A, facts=facts(A), heard_at_s=5.0, trouble="timed out")
        assert await store.queries.host(A) == host
        await store.record_report(report(A), (), now_s=11.0)
        assert await store.queries.host(A) == Host(name=A, facts=facts(A), heard_at_s=11.0)
        await store.record_report(report(C, facts=None), (), now_s=12.0)
        new = await store.queries.host(C)
        assert new is not None
        assert new.trouble != ""
        assert await store.queries.host(HostName("unheard-of")) is None

    tell(tale)


def test_of_reports_that_come_at_once_each_is_on_record_also_of_new_hosts_and_troubled_ones(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        many = tuple(HostName(f"host-{number:02}") for number in range(40))
        await store.ensure_hosts(many[:-1])
        for wave in (1.0, 2.0):
            silent = report(many[3], facts=None, trouble="timed out")
            await store.record_report(silent, (), now_s=wave)
            async with asyncio.TaskGroup() as tasks:
                for number, host in enumerate(many):
                    heard_at_s = 100 * wave + number
                    tasks.create_task(store.record_report(report(host), (), now_s=heard_at_s))
            assert await store.queries.hosts() == tuple(
                Host(name=host, facts=facts(host), heard_at_s=100 * wave + number)
                for number, host in enumerate(many)
            )

    tell(tale)


def test_a_host_that_is_confirmed_down_is_refused_alone_among_reports_that_come_at_once(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        many = tuple(HostName(f"host-{number}") for number in range(6))
        await store.ensure_hosts(many)
        down = PersonsWord(by="ana", at="2026-01-02T03:04:05")
        await store.confirm_power(many[4], down, is_down=True)
        came = [store.record_report(report(host), (), now_s=7.0) for host in many]
        said = await asyncio.gather(*came, return_exceptions=True)
        assert [host for host, each in zip(many, said, strict=True) if each] == [many[4]]
        assert isinstance(said[4], Refused)
        heard = await store.queries.heard_since(7.0)
        assert heard == frozenset(many) - {many[4]}

    tell(tale)


def test_a_statement_about_power_is_kept_with_when_the_host_was_heard_all_the_same(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.ensure_hosts((A, B))
        assert not await store.hear_confirmed_down(A, at="2026-01-02T03:05:00")
        down = PersonsWord(by="ana", at="2026-01-02T03:04:05")
        await store.confirm_power(A, down, is_down=True)
        assert await store.hear_confirmed_down(A, at="2026-01-02T03:05:00")
        assert not await store.hear_confirmed_down(A, at="2026-01-02T03:06:00")
        heard = replace(down, heard_at="2026-01-02T03:06:00")
        assert await store.queries.confirmed_down() == {A: heard}
        assert (await store.queries.ledger(at_s=0.0)).fenced == (Fenced(host=A, word=heard),)
        await store.confirm_power(A, down, is_down=True)
        assert await store.queries.confirmed_down() == {A: down}

    tell(tale)


def test_a_host_is_disabled_with_its_reason_and_enabled_without(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await store.ensure_hosts((A,))
        await store.set_host_enabled(A, enabled=False, why="new memory")
        assert await store.queries.host(A) == Host(
            name=A, disabled=True, disabled_reason="new memory"
        )
        await store.record_report(report(A), (), now_s=5.0)
        await store.ensure_hosts((A, B))
        host = await store.queries.host(A)
        assert host is not None
        assert host.disabled
        await store.set_host_enabled(A, enabled=True, why="done")
        host = await store.queries.host(A)
        assert host is not None
        assert (host.disabled, host.disabled_reason) == (False, "")
        with pytest.raises(NotFound):
            await store.set_host_enabled(B_UNKNOWN, enabled=True, why="")

    tell(tale)


B_UNKNOWN = HostName("unheard-of")


def test_a_discovered_guest_becomes_a_server_with_its_claim_and_follows_its_host(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        found = await server(store)
        assert (found.host, found.vm_state, found.discovered) == (A, VmState.ACTIVE, True)
        assert found.created_at == found.updated_at != ""
        assert await allocated(store, A) == (1, 512)
        disk = Disk(device="vda", path="/x", format="raw", size_bytes=1)
        changed = change(K.CHANGED, 1, A, power_state=PowerState.PAUSED, vcpus=2, disks=(disk,))
        await store.record_report(report(A), (changed,), now_s=2.0)
        found = await server(store)
        assert (found.vm_state, found.vcpus, found.disks) == (VmState.PAUSED, 2, (disk,))
        assert await allocated(store, A) == (2, 512)
        await store.record_report(report(B), (change(K.MOVED, 1, B),), now_s=3.0)
        assert (await server(store)).host == B
        assert (await allocated(store, A), await allocated(store, B)) == ((0, 0), (1, 512))
        await store.record_report(report(B), (change(K.VANISHED, 1, B),), now_s=4.0)
        assert (await server(store)).vm_state is VmState.MISSING
        assert await allocated(store, B) == (0, 0)
        await store.record_report(report(C), (change(K.APPEARED, 1, C),), now_s=5.0)
        assert (await server(store)).host == C
        assert (await server(store)).vm_state is VmState.ACTIVE
        assert await allocated(store, C) == (1, 512)

    tell(tale)


@pytest.mark.parametrize(
    ("kind", "host"),
    [(K.CHANGED, B), (K.VANISHED, B), (K.APPEARED, B)],
)
def test_a_finding_that_no_longer_fits_the_record_changes_nothing(
    tell: Tell, kind: InstanceChangeKind, host: HostName
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        before = await server(store)
        await store.record_report(report(host), (change(kind, 1, host),), now_s=2.0)
        assert await server(store) == before
        await store.record_report(report(host), (change(K.CHANGED, 9, host),), now_s=2.0)
        assert await store.queries.instance(InstanceUuid("guest-9")) is None

    tell(tale)


@pytest.mark.parametrize("kind", list(K))
def test_discovery_leaves_a_server_alone_while_it_is_in_a_task(
    tell: Tell, kind: InstanceChangeKind
) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        await accepted(store, 1)
        before = await server(store)
        host = B if kind is K.MOVED else A
        findings = (change(kind, 1, host), change(K.CHANGED, 2, A, name="renamed"))
        await store.record_report(report(host), findings, now_s=2.0)
        assert await server(store) == before
        assert (await server(store, InstanceUuid("guest-2"))).name == "renamed"

    tell(tale)


def test_a_created_server_is_claimed_first_and_is_finished_or_removed_without_trace(
    tell: Tell,
) -> None:
    async def tale(store: SqlStore) -> None:
        await store.ensure_hosts((A,))
        await store.create_instance(instance(1), NEEDS)
        assert await allocated(store, A) == (1, 512)
        with pytest.raises(Conflict) as taken:
            await store.create_instance(instance(1), NEEDS)
        assert taken.value.reason.code is Code.UUID_TAKEN
        small = Needs(vcpus=1, memory_mib=2000, vcpus_max=8, memory_max_mib=2048)
        with pytest.raises(Refused) as full:
            await store.create_instance(instance(2), small)
        assert full.value.reason.code is Code.NOT_ENOUGH_MEMORY
        for _ in range(2):
            await store.finish_instance(ONE, guest(1))
        made = await server(store)
        assert (made.task_state, made.vm_state) == (None, VmState.ACTIVE)
        await store.create_instance(instance(3), NEEDS)
        for _ in range(2):
            await store.finish_instance(InstanceUuid("guest-3"), None)
        await store.finish_instance(ONE, None)
        assert [i.uuid for i in await store.queries.instances()] == [ONE]
        assert await allocated(store, A) == (1, 512)
        with pytest.raises(NotFound):
            await store.finish_instance(InstanceUuid("guest-3"), guest(3))

    tell(tale)


def test_a_server_is_deleted_only_while_it_is_in_no_other_task(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        with pytest.raises(NotFound):
            await store.begin_delete(InstanceUuid("guest-9"))
        fence = await accepted(store, 1)
        for refused in (store.begin_delete(ONE), store.remove_instance(ONE)):
            with pytest.raises(Conflict) as caught:
                await refused
            assert caught.value.reason.code is Code.INSTANCE_BUSY
        await along(store, fence, Ending(MigrationStatus.FAILED, WHY))
        for _ in range(2):
            assert (await store.begin_delete(ONE)).task_state is TaskState.DELETING
        with pytest.raises(Conflict):
            await accepted(store, 1, key="late")
        for _ in range(2):
            await store.remove_instance(ONE)
        assert await store.queries.instance(ONE) is None
        assert await allocated(store, A) == (1, 512)
        assert len(await store.queries.migrations(instance_uuid=ONE)) == 1

    tell(tale)


def test_servers_are_found_by_host_and_by_a_name_that_several_may_have(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        twins = tuple(change(K.APPEARED, number, B, name="twin") for number in (2, 3))
        await store.record_report(report(B), twins, now_s=2.0)
        find = store.queries.instances
        assert [i.uuid for i in await find(name="twin")] == ["guest-2", "guest-3"]
        assert await find(name="nobody") == ()
        assert [i.uuid for i in await store.queries.instances(host=B)] == ["guest-2", "guest-3"]
        assert [i.uuid for i in await store.queries.instances(host=A, name="twin")] == []

    tell(tale)


def test_a_host_owes_a_server_until_its_debt_is_paid(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1, 2)
        fence = await accepted(store, 1)
        story = await store.story_of(fence.migration_uuid)
        assert story is not None
        for where in (B, C):
            debt = Debt(story_uuid=story.uuid, step=f"at {where}", undo=True, where=where)
            await store.record(story, owed=debt)
            await store.record(story, owed=debt)
        assert await store.queries.owing(ONE) == (B, C)
        assert await store.queries.owing(InstanceUuid("guest-2")) == ()
        assert [debt.where for debt in await store.queries.debts()] == [B, C]

    tell(tale)


def test_what_a_host_owes_is_due_when_it_answers_again_and_not_before(tell: Tell) -> None:
    async def tale(store: SqlStore) -> None:
        await with_guests(store, 1)
        fence = await accepted(store, 1)
        story = await store.story_of(fence.migration_uuid)
        assert story is not None
        debt = Debt(story_uuid=story.uuid, step="at b", undo=True, where=B, due_at_s=60.0)
        await store.record(story, owed=debt)
        silent = HostReport(host=B, facts=None, trouble="no route to host")
        for said, due_at_s in ((report(B), 60.0), (silent, 60.0), (report(B), 0.0)):
            await store.record_report(said, (), now_s=3.0)
            [owed] = await store.queries.debts()
            assert owed.due_at_s == due_at_s

    tell(tale)
