"""A simulated post-copy: the guest runs at the destination, the source still holds half its memory.

Called by both drivers. Nothing here waits.
"""

from dataclasses import replace

from godwit.model.ids import HostName, InstanceUuid
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.half import CopyOutcome, HalfState, Stream


def begin(
    fleet: SimulatedFleet, source: HostName, destination: HostName, uuid: InstanceUuid
) -> None:
    """The guest stops at the source and runs on at the destination."""
    sent, received = fleet.half(source, uuid), fleet.half(destination, uuid)
    if sent is None or received is None:
        raise AssertionError(f"{uuid} has no two halves")
    fleet.put(source, replace(sent, state=HalfState.POST_COPY, stream=Stream.FLOWS))
    fleet.put(destination, replace(received, state=HalfState.RUNNING, stream=Stream.FLOWS))


def resume(fleet: SimulatedFleet, source: HostName, uuid: InstanceUuid) -> str:
    """The stream flows again; or why it does not."""
    half = fleet.half(source, uuid)
    if half is None or half.stream is not Stream.BROKEN:
        return "no broken post-copy of that guest"
    if fleet.migration_network_is_cut or not _runs_elsewhere(fleet, source, uuid):
        return "unable to connect to server: no route to host"
    fleet.set_stream(uuid, Stream.FLOWS)
    return ""


def _runs_elsewhere(fleet: SimulatedFleet, source: HostName, uuid: InstanceUuid) -> bool:
    """Is there still somebody to send the rest to?"""
    return any(fleet.is_up(host) for host in fleet.running_at(uuid) if host != source)


def finish(fleet: SimulatedFleet, source: HostName, uuid: InstanceUuid) -> None:
    """Everything is there: the source's half is over."""
    fleet.set_stream(uuid, None)
    half = fleet.half(source, uuid)
    if half is not None:
        left = replace(half, state=HalfState.MIGRATED, job=False, outcome=CopyOutcome.COMPLETED)
        fleet.put(source, left)
