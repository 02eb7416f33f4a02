"""What is done to the guest at one libvirtd. Each function blocks, looks before it acts, and may be
repeated; they run in the threads of `connection`.

Nothing here ends a guest that runs or may have run: each act names the states it is for. In any
other it does nothing and answers with what it saw; an empty answer means: it is done.
"""

from typing import Final

from godwit.model.ids import InstanceUuid
from godwit.model.steering import TransferLimits
from godwit.virt.libvirt.abi import (
    MIGRATION_OUT,
    SPEED_UNLIMITED,
    UNDEFINE_LEFTOVERS,
    Domain,
    DomainXml,
    Libvirt,
    Paused,
    Shutoff,
    State,
    Trouble,
)
from godwit.virt.libvirt.connection import or_none
from godwit.virt.libvirt.reads import find_domain, job_operation, read_transfer
from godwit.virt.libvirt.sighting import NEVER_RUNS_THERE, SENT, Reading, state_name

NO_JOB: Final = frozenset({int(Trouble.OPERATION_INVALID)})
ALREADY_SO: Final = frozenset({int(Trouble.OPERATION_INVALID)})
HALVES: Final = (Paused.MIGRATION, Paused.STARTING_UP)


def set_autostart(libvirt: Libvirt, uuid: InstanceUuid, *, on: bool) -> None:
    """Set or clear autostart; nothing happens where there is no persistent definition."""
    domain = find_domain(libvirt, uuid)
    if domain is not None:
        _set_autostart(domain, on=on)


def abort_job(libvirt: Libvirt, uuid: InstanceUuid) -> bool:
    """Ask the guest's migration out of here to stop; any other job of its is left alone. False:
    there is none.
    """
    domain = find_domain(libvirt, uuid)
    if domain is None or job_operation(domain) != MIGRATION_OUT:
        return False
    return or_none(domain.abortJob, also=NO_JOB) is not None


def limit_transfer(libvirt: Libvirt, uuid: InstanceUuid, limits: TransferLimits) -> None:
    """Hold the guest's transfer, running or to come, within `limits`."""
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return
    if limits.bandwidth_mib_per_s is not None:
        domain.migrateSetMaxSpeed(limits.bandwidth_mib_per_s or SPEED_UNLIMITED)
    if limits.max_downtime_ms is not None:
        domain.migrateSetMaxDowntime(limits.max_downtime_ms)


def start_post_copy(libvirt: Libvirt, uuid: InstanceUuid) -> None:
    """Let the guest run at the destination before its memory is there."""
    libvirt.lookupByUUIDString(uuid).migrateStartPostCopy()


def resume_arrived(libvirt: Libvirt, uuid: InstanceUuid) -> str:
    """Resume the whole guest that waits for us; one that runs is left alone."""
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return "absent"
    state, reason = domain.state()[:2]
    if state == State.RUNNING:
        return ""
    if (state, reason) != (State.PAUSED, Paused.USER):
        return state_name(state, reason)
    domain.resume()
    return ""


def resume_either(libvirt: Libvirt, uuid: InstanceUuid) -> str:
    """Resume an arrived guest or a source's handed-over half, never half a guest; one that runs is
    left alone. May wait for the guest's QEMU.
    """
    reading = read_transfer(libvirt, uuid)
    if reading is None or not _is_handed_over(reading):
        return resume_arrived(libvirt, uuid)
    libvirt.lookupByUUIDString(uuid).resume()
    return ""


def end_handed_over(libvirt: Libvirt, uuid: InstanceUuid) -> str:
    """End the source's half that was sent completely, and forget it. May wait for its QEMU."""
    reading = read_transfer(libvirt, uuid)
    domain = find_domain(libvirt, uuid)
    if reading is None or domain is None:
        return ""
    return end_as_read(domain, reading)


def end_as_read(domain: Domain, reading: Reading) -> str:
    """The same, of a domain that was read a moment ago."""
    if reading.state == State.SHUTOFF:
        if reading.reason not in (Shutoff.MIGRATED, Shutoff.DESTROYED):
            return reading.account
    elif _is_handed_over(reading) and reading.qemu_status == SENT:
        or_none(domain.destroy, also=ALREADY_SO)
    else:
        return reading.account
    _forget(domain)
    return ""


def forget_left(libvirt: Libvirt, uuid: InstanceUuid) -> str:
    """Forget the definition of a guest that has left; it must be shut off."""
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return ""
    state, reason = domain.state()[:2]
    if state != State.SHUTOFF:
        return state_name(state, reason)
    _forget(domain)
    return ""


def remove_half(libvirt: Libvirt, uuid: InstanceUuid, *, arrives_paused: bool) -> str:
    """Remove what has arrived here and never ran. Called by `rollback` alone, which knows.

    Half a guest always; a whole one that is paused or shut off only where every guest arrives
    paused (`arrives_paused`), because there it cannot have run without us. One that has shut itself
    down has run.
    """
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return ""
    state, reason = domain.state()[:2]
    whole_and_waiting = arrives_paused and (state, reason) == (State.PAUSED, Paused.USER)
    if state == State.PAUSED and (reason in HALVES or whole_and_waiting):
        or_none(domain.destroy, also=ALREADY_SO)
    elif not (arrives_paused and state == State.SHUTOFF and reason != Shutoff.SHUTDOWN):
        return state_name(state, reason)
    _forget(domain)
    return ""


def make_permanent(
    libvirt: Libvirt, uuid: InstanceUuid, *, persistent: bool, autostart: bool
) -> str:
    """Give the arrived guest the definition and the autostart flag it had."""
    domain = find_domain(libvirt, uuid)
    if domain is None:
        return "absent"
    if persistent and not domain.isPersistent():
        text = domain.XMLDesc(DomainXml.INACTIVE | DomainXml.SECURE | DomainXml.MIGRATABLE)
        domain = libvirt.defineXML(text)
    _set_autostart(domain, on=autostart)
    return ""


def remove_guest(libvirt: Libvirt, uuid: InstanceUuid) -> None:
    """Stop and forget a guest of our own, whatever it does; its disks stay."""
    domain = find_domain(libvirt, uuid)
    if domain is not None:
        or_none(domain.destroy, also=ALREADY_SO)
        _forget(domain)


def _set_autostart(domain: Domain, *, on: bool) -> None:
    if domain.isPersistent() and bool(domain.autostart()) != on:
        domain.setAutostart(1 if on else 0)


def _is_handed_over(reading: Reading) -> bool:
    """The source's half after the switch: no job, and its own QEMU says how the sending ended."""
    return (
        (reading.state, reading.reason) == (State.PAUSED, Paused.MIGRATION)
        and reading.job == 0
        and reading.qemu_status in (SENT, *NEVER_RUNS_THERE)
    )


def _forget(domain: Domain) -> None:
    """A transient domain is gone by itself: then there is nothing to undefine."""
    or_none(lambda: domain.undefineFlags(UNDEFINE_LEFTOVERS), also=ALREADY_SO)
