"""From libvirt's job statistics to `Progress` and `Statistics`. Pure; called by `migration`."""

from collections.abc import Mapping

from msgspec.structs import replace

from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.virt.libvirt.abi import MIGRATION_OUT, JobType, Paused, State

Job = Mapping[str, int]


def progress_of(job: Job, *, limit_bytes_per_s: int = 0) -> Progress | None:
    """A sample of a running migration; `None` if no migration out of here runs."""
    if job.get("type", JobType.NONE) not in (JobType.BOUNDED, JobType.UNBOUNDED):
        return None
    if job.get("operation", MIGRATION_OUT) != MIGRATION_OUT:
        return None
    dirty_bytes_per_s = job.get("memory_dirty_rate", 0) * job.get("memory_page_size", 4096)
    rate = job.get("disk_bps", 0) if _copies_disks(job) else job.get("memory_bps", 0)
    return Progress(
        phase=_phase(job),
        elapsed_s=job.get("time_elapsed", 0) / 1000,
        memory_total_bytes=job.get("memory_total", 0),
        memory_processed_bytes=job.get("memory_processed", 0),
        memory_remaining_bytes=job.get("memory_remaining", 0),
        disk_total_bytes=job.get("disk_total", 0),
        disk_processed_bytes=job.get("disk_processed", 0),
        disk_remaining_bytes=job.get("disk_remaining", 0),
        rate_bytes_per_s=rate,
        dirty_rate_bytes_per_s=dirty_bytes_per_s,
        limit_bytes_per_s=limit_bytes_per_s,
        iteration=job.get("memory_iteration", 0),
        eta_s=_eta_s(job, rate, dirty_bytes_per_s),
        expected_downtime_ms=_expected_downtime_ms(job),
        throttle_percent=job.get("auto_converge_throttle", 0),
    )


def in_post_copy(state: int, reason: int) -> TransferPhase | None:
    """The phase that the source's state alone tells; libvirt's figures do not show it."""
    if state != State.PAUSED:
        return None
    return {
        int(Paused.POSTCOPY): TransferPhase.POST_COPY,
        int(Paused.POSTCOPY_FAILED): TransferPhase.POST_COPY_BROKEN,
    }.get(reason)


def statistics_of(job: Job) -> Statistics | None:
    """The final figures of a completed migration; `None` if `job` is not one."""
    if job.get("type") != JobType.COMPLETED:
        return None
    return Statistics(
        total_ms=job.get("time_elapsed"),
        downtime_ms=job.get("downtime"),
        memory_bytes=job.get("memory_processed"),
        disk_bytes=job.get("disk_processed"),
        iterations=job.get("memory_iteration"),
    )


def with_disks(
    statistics: Statistics | None, disk_bytes: int, *, copied: bool
) -> Statistics | None:
    """The destination's final figures with what the source has sent of disks; not known where disks
    were `copied` and it has not said.
    """
    if statistics is None or not copied:
        return statistics
    return replace(statistics, disk_bytes=max(disk_bytes, statistics.disk_bytes or 0) or None)


def _expected_downtime_ms(job: Job) -> int | None:
    """Until it has seen how fast the guest writes, QEMU shows the limit it began under."""
    has_measured = job.get("memory_iteration", 0) > 1 and job.get("memory_dirty_rate", 0) > 0
    return job.get("downtime") if has_measured else None


def _copies_disks(job: Job) -> bool:
    return job.get("memory_processed", 0) == 0 and job.get("disk_total", 0) > 0


def _phase(job: Job) -> TransferPhase:
    if _copies_disks(job):
        return TransferPhase.COPYING_DISKS
    if job.get("memory_processed", 0) == 0:
        return TransferPhase.PREPARING
    if job.get("memory_remaining", 0) == 0:
        return TransferPhase.SWITCHING
    return TransferPhase.COPYING_MEMORY


def _eta_s(job: Job, rate: int, dirty_bytes_per_s: int) -> float | None:
    """The first pass sends everything once; later ones must outrun what the guest writes."""
    remaining = job.get("memory_remaining", 0) + job.get("disk_remaining", 0)
    effective = rate if job.get("memory_iteration", 0) <= 1 else rate - dirty_bytes_per_s
    if job.get("memory_total", 0) + job.get("disk_total", 0) == 0 or effective <= 0:
        return None
    return remaining / effective
