"""How a transfer goes and what it has cost, read from libvirt in a thread. Used by `migration`."""

from msgspec.structs import replace

from godwit.model.ids import InstanceUuid
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.virt.libvirt import reads
from godwit.virt.libvirt.abi import Libvirt
from godwit.virt.libvirt.progress import in_post_copy, progress_of, statistics_of


def sampled(libvirt: Libvirt, uuid: InstanceUuid, before: Progress) -> Progress | None:
    """The job as it is now, `before` being the newest sample; None where none runs."""
    domain = reads.find_domain(libvirt, uuid)
    if domain is None:
        return None
    state, reason = domain.state()[:2]
    phase = in_post_copy(state, reason)
    if phase is TransferPhase.POST_COPY_BROKEN:
        # Questions about a broken stream stand in the way of its resumption.
        return replace(before, phase=phase)
    stats, limit = reads.job_stats(domain), reads.bandwidth_limit(domain)
    sample = progress_of(stats, limit_bytes_per_s=limit) if stats is not None else None
    return sample if sample is None or phase is None else replace(sample, phase=phase)


def final_figures(libvirt: Libvirt, uuid: InstanceUuid) -> Statistics | None:
    """What the transfer has cost, as the destination keeps it; None where it does not."""
    domain = reads.find_domain(libvirt, uuid)
    stats = reads.completed_stats(domain) if domain is not None else None
    return statistics_of(stats) if stats is not None else None
