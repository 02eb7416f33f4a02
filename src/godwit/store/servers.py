"""The rows of hosts and servers: reports, discovery, making and removing. Called by `sql`.

Discovery never touches a server that is in a task: a story or a request knows better.
"""

from collections.abc import Sequence
from functools import cache

from msgspec import structs
from sqlalchemy import ColumnElement, Select, bindparam, delete, insert, select, text, update

from godwit.model.errors import Conflict, NotFound, Refused
from godwit.model.host import Host, HostReport
from godwit.model.ids import HostName, InstanceUuid, MigrationUuid
from godwit.model.instance import Guest, Instance, PowerState, TaskState, VmState, vm_state_of
from godwit.model.reasons import Code, reason
from godwit.model.sighting import GuestEnd
from godwit.store import alarms, claims
from godwit.store.interface import InstanceChange, InstanceChangeKind, Needs
from godwit.store.statements import Connection, Locks, Reads, Writes
from godwit.store.tables import debts, hosts, instances, migrations

K = InstanceChangeKind

_this = instances.c.uuid == bindparam("key")
_this_host = hosts.c.name == bindparam("key")

FIND = Reads(select(instances).where(_this), Instance)
TAKE = Reads(select(instances).where(_this).with_for_update(key_share=True), Instance)
LOCK_ALL = Locks(text("LOCK TABLE instances IN SHARE ROW EXCLUSIVE MODE"))
LOCK_ALL_HOSTS = Locks(text("LOCK TABLE hosts IN SHARE ROW EXCLUSIVE MODE"))
OF_NAME = Reads(
    select(instances.c.uuid).where(instances.c.name == bindparam("called")), InstanceUuid
)
INSERT = Writes(insert(instances), *Instance.__struct_fields__)
SAVE = Writes(
    update(instances).where(_this), *(n for n in Instance.__struct_fields__ if n != "uuid")
)
SET_TASK = Writes(update(instances).where(_this), "task_state", "updated_at")
REMOVE = Writes(delete(instances).where(_this))
HOST_NAMES = Reads(select(hosts.c.name), HostName)
INSERT_HOST = Writes(insert(hosts), *Host.__struct_fields__)
SAY_TROUBLE = Writes(update(hosts).where(_this_host), "trouble")
SAY_FACTS = Writes(update(hosts).where(_this_host), "facts", "heard_at_s", "trouble")
_well = (hosts.c.trouble == "") & hosts.c.confirmed_down.is_(None)
SAY_FACTS_AGAIN = Writes(update(hosts).where(_this_host, _well), "facts", "heard_at_s")
"""Of a host that was well before."""
WELL = Reads(select(hosts.c.name).where(_well), HostName)
HOST = Reads(select(hosts).where(_this_host), Host)
ENABLE = Writes(update(hosts).where(_this_host), "disabled", "disabled_reason")
TROUBLE = Reads(select(hosts.c.trouble).where(_this_host), str)
DUE_NOW = Writes(update(debts).where(debts.c.where == bindparam("host")).values(due_at_s=0.0))


def find(connection: Connection, uuid: InstanceUuid) -> Instance | None:
    """The server's record."""
    return FIND.first(connection, key=uuid)


def get(connection: Connection, uuid: InstanceUuid) -> Instance:
    """The server's record. Raises `NotFound`."""
    return known(find(connection, uuid), uuid)


def take(connection: Connection, uuid: InstanceUuid) -> Instance | None:
    """The server's record, which nobody else may change until the transaction ends: in the place
    that it has in the order of `Locks`.
    """
    return TAKE.first(connection, key=uuid)


def known(instance: Instance | None, uuid: InstanceUuid) -> Instance:
    """What was found. Raises `NotFound`."""
    if instance is None:
        raise NotFound(reason(Code.SERVER_UNKNOWN, server=uuid))
    return instance


def save(connection: Connection, instance: Instance) -> None:
    """Write the record as it is now."""
    SAVE.run(connection, key=instance.uuid, **structs.asdict(instance))


def change_of(connection: Connection, migration: MigrationUuid, **given: object) -> bool:
    """Change these columns of the server that the migration moves. False if it is not on record."""
    return bool(changing(*given).run(connection, of=migration, **given))


@cache
def changing(*columns: str) -> Writes:
    """Changes these columns of the server of a migration."""
    its = select(migrations.c.instance_uuid).where(migrations.c.uuid == bindparam("of"))
    return Writes(update(instances).where(instances.c.uuid == its.scalar_subquery()), *columns)


def ensure_hosts(connection: Connection, names: tuple[HostName, ...]) -> None:
    """See `Store.ensure_hosts`."""
    LOCK_ALL_HOSTS.hold(connection)
    Writes(
        delete(hosts).where(
            hosts.c.name.not_in(names),
            hosts.c.name.not_in(select(instances.c.host)),
            hosts.c.name.not_in(select(migrations.c.source_compute)),
            hosts.c.name.not_in(_named(migrations.c.dest_compute)),
        )
    ).run(connection)
    known = set(HOST_NAMES.all(connection))
    for name in names:
        if name not in known:
            INSERT_HOST.run(connection, **structs.asdict(Host(name=name)))


def set_host_enabled(connection: Connection, host: HostName, *, enabled: bool, why: str) -> None:
    """See `Store.set_host_enabled`."""
    values = {"disabled": not enabled, "disabled_reason": "" if enabled else why}
    if not ENABLE.run(connection, key=host, **values):
        raise NotFound(reason(Code.HOST_UNKNOWN, name=host))


def record_report(
    connection: Connection,
    report: HostReport,
    changes: tuple[InstanceChange, ...],
    *,
    now_s: float,
    at: str,
) -> None:
    """See `Store.record_report`. A host that did not answer is heard no more: its facts stay."""
    said = _said(report, now_s)
    if report.facts is not None and not changes and SAY_FACTS_AGAIN.run(connection, **said):
        return
    trouble = TROUBLE.first(connection, key=report.host)
    _refuse_if_down(connection, report.host)
    if trouble and report.facts is not None:
        DUE_NOW.run(connection, host=report.host)
    for change in sorted(changes, key=lambda change: change.uuid):
        _apply(connection, change, at)
    if trouble is None:
        LOCK_ALL_HOSTS.hold(connection)
        if TROUBLE.first(connection, key=report.host) is None:
            INSERT_HOST.run(connection, **structs.asdict(Host(name=report.host)))
    if report.facts is None:
        SAY_TROUBLE.run(connection, key=report.host, trouble=report.trouble or "it did not answer")
    else:
        SAY_FACTS.run(connection, **said, trouble="")


def _refuse_if_down(connection: Connection, name: HostName) -> None:
    host = HOST.first(connection, key=name)
    if host is not None and host.confirmed_down is not None:
        raise Refused(host.confirmed_down.why_it_takes_no_part(name))


def record_nothing_new(
    connection: Connection, reports: Sequence[tuple[HostReport, float]]
) -> frozenset[HostName]:
    """Keep, in one statement, the reports of hosts that have answered, in which nothing is new
    about a server; each with when it came in. Returns the hosts about which there is more to be
    said than that, and nothing was: `record_report` is for these.
    """
    reports = sorted(reports, key=lambda each: each[0].host)  # as everybody takes hosts in turn
    said = [_said(report, now_s) for report, now_s in reports]
    if SAY_FACTS_AGAIN.run_for_each(connection, said) == len(said):
        return frozenset()
    return frozenset(report.host for report, _ in reports).difference(WELL.all(connection))


def _said(report: HostReport, now_s: float) -> dict[str, object]:
    return {"key": report.host, "facts": report.facts, "heard_at_s": now_s}


def create(connection: Connection, instance: Instance, needs: Needs, *, at: str) -> None:
    """See `Store.create_instance`."""
    LOCK_ALL.hold(connection)
    if find(connection, instance.uuid) is not None:
        raise Conflict(reason(Code.UUID_TAKEN, host=instance.host, uuid=instance.uuid))
    namesake = OF_NAME.first(connection, called=instance.name)
    if namesake is not None:
        raise Conflict(reason(Code.SERVER_NAME_TAKEN, name=instance.name, uuid=namesake))
    claims.drop(connection, instance.uuid)
    refusal = claims.claim(connection, instance.uuid, instance.host, needs)
    if refusal is not None:
        raise Refused(refusal)
    _insert(connection, instance, at)


def finish(connection: Connection, uuid: InstanceUuid, guest: Guest | None, *, at: str) -> None:
    """See `Store.finish_instance`. Only ends spawning: repeated later, it changes nothing."""
    instance = take(connection, uuid)
    if guest is None:
        if instance is not None and instance.task_state is TaskState.SPAWNING:
            _remove(connection, uuid)
        return
    made = known(instance, uuid)
    if made.task_state is TaskState.SPAWNING:
        save(connection, structs.replace(with_guest(made, guest, at=at), task_state=None))


def begin_delete(connection: Connection, uuid: InstanceUuid, *, at: str) -> Instance:
    """See `Store.begin_delete`. One that is being deleted may be deleted again: whoever began may
    have died.
    """
    instance = known(take(connection, uuid), uuid)
    if instance.task_state not in (None, TaskState.DELETING):
        raise busy(instance)
    marked = structs.replace(instance, task_state=TaskState.DELETING, updated_at=at)
    save(connection, marked)
    return marked


def remove(connection: Connection, uuid: InstanceUuid) -> None:
    """See `Store.remove_instance`."""
    instance = take(connection, uuid)
    if instance is not None:
        if instance.task_state is TaskState.MIGRATING:
            raise busy(instance)
        _remove(connection, uuid)


def busy(instance: Instance) -> Conflict:
    """The error of a server that is in a task."""
    if instance.task_state is TaskState.SPAWNING:
        said = reason(Code.SERVER_BEING_MADE, server=instance.name, host=instance.host)
        return Conflict(said)
    return Conflict(reason(Code.INSTANCE_BUSY, server=instance.uuid, task=instance.task_state))


def with_guest(instance: Instance, guest: Guest, *, at: str) -> Instance:
    """The record, told what its host sees of the guest."""
    return structs.replace(
        instance,
        name=guest.name,
        power_state=guest.power_state,
        vm_state=vm_state_of(guest.power_state),
        vcpus=guest.vcpus,
        memory_mib=guest.memory_mib,
        disks=guest.disks,
        nics=guest.nics,
        platform=guest.platform,
        updated_at=at,
    )


def _apply(connection: Connection, change: InstanceChange, at: str) -> None:
    """One finding of discovery, if it still holds against the record of this moment."""
    instance = take(connection, change.uuid)
    if instance is None:
        if change.kind is K.APPEARED and change.guest is not None:
            found = _discovered(change, change.guest)
            _insert(connection, found, at)
            claims.put(connection, found.uuid, found.host, claims.share_of(found))
        return
    if instance.task_state is not None or not _still_holds(instance, change):
        return
    if change.guest is None:
        _save_missing(connection, instance, at)
        return
    seen = with_guest(instance, change.guest, at=at)
    seen = structs.replace(seen, host=change.host, node=change.node or instance.node)
    save(connection, seen)
    alarms.FOUND.run(connection, key=seen.uuid)
    claims.drop(connection, seen.uuid)
    claims.put(connection, seen.uuid, seen.host, claims.share_of(seen))


def as_ended(instance: Instance, end: GuestEnd | None) -> Instance:
    """The record of a guest that is there, and has ended; as it was if it has not."""
    if end is None or end.power_state is None:
        return instance
    state = end.power_state
    return structs.replace(instance, power_state=state, vm_state=vm_state_of(state))


def record_end(connection: Connection, uuid: InstanceUuid, end: GuestEnd, *, at: str) -> None:
    """The guest was seen to end where its record says that it is: no report need say so first."""
    instance = get(connection, uuid)
    if end.power_state is None:
        _save_missing(connection, instance, at)
    else:
        save(connection, structs.replace(as_ended(instance, end), updated_at=at))


def _save_missing(connection: Connection, instance: Instance, at: str) -> None:
    missing = structs.replace(
        instance, vm_state=VmState.MISSING, power_state=PowerState.NOSTATE, updated_at=at
    )
    save(connection, missing)
    claims.drop(connection, instance.uuid)


def _still_holds(instance: Instance, change: InstanceChange) -> bool:
    """The finding was made a moment ago; meanwhile the server may have moved by a story."""
    here = instance.host == change.host
    match change.kind:
        case K.APPEARED:
            return here or instance.vm_state is VmState.MISSING
        case K.CHANGED:
            return here and change.guest is not None
        case K.MOVED:
            return change.guest is not None
        case K.VANISHED:
            return here


def _discovered(change: InstanceChange, guest: Guest) -> Instance:
    return Instance(
        uuid=change.uuid,
        name=guest.name,
        host=change.host,
        node=change.node or change.host,
        vm_state=vm_state_of(guest.power_state),
        power_state=guest.power_state,
        vcpus=guest.vcpus,
        memory_mib=guest.memory_mib,
        disks=guest.disks,
        nics=guest.nics,
        platform=guest.platform,
    )


def _insert(connection: Connection, instance: Instance, at: str) -> None:
    dated = structs.replace(
        instance, created_at=instance.created_at or at, updated_at=instance.updated_at or at
    )
    INSERT.run(connection, **structs.asdict(dated))


def _remove(connection: Connection, uuid: InstanceUuid) -> None:
    claims.drop(connection, uuid)
    REMOVE.run(connection, key=uuid)


def _named(column: ColumnElement[str]) -> Select[str]:
    """SQL's `not in` is never true beside a null."""
    return select(column).where(column.is_not(None))
