"""All simulated hypervisors of one process, their guests, their faults, and the invariants.

The fleet is the truth; drivers act on it, tests read it. Nothing here waits except a call that was
made to hang.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from godwit.model.errors import HypervisorError, Unreachable
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest, PowerState
from godwit.model.reasons import Code, Reason, reason
from godwit.runtime.settings import SimulatedHostSettings
from godwit.virt.simulated.copying import QUIET, Writes
from godwit.virt.simulated.faults import Fault, FaultKind, TransferFault
from godwit.virt.simulated.half import WHOLE, Half, HalfState, Stream


@dataclass
class _Host:
    """One hypervisor. Changed only by the fleet."""

    settings: SimulatedHostSettings
    halves: dict[InstanceUuid, Half] = field(default_factory=dict)
    prepared: set[InstanceUuid] = field(default_factory=set)
    """Guests that room was made for and not yet given back."""
    files: set[str] = field(default_factory=set)
    """On a storage of its own."""
    refusals: tuple[Reason, ...] = ()
    powered: bool = True
    reachable: bool = True
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedFleet:
    """Every simulated host. One per process; all drivers of that process share it."""

    def __init__(self, hosts: Mapping[HostName, SimulatedHostSettings]) -> None:
        self._hosts = {name: _Host(settings) for name, settings in hosts.items()}
        self._latest: dict[InstanceUuid, int] = {}
        self._been_at: defaultdict[InstanceUuid, set[HostName]] = defaultdict(set)
        """Where a guest is or has been: it need be looked for nowhere else."""
        self._violations: list[str] = []
        self._writes: dict[InstanceUuid, Writes] = {}
        self._faults: dict[tuple[HostName, str], Fault] = {}
        self._transfer_faults: dict[InstanceUuid, TransferFault] = {}
        self.migration_network_is_cut = False
        """No post-copy flows, and none can be resumed."""
        self._calls: defaultdict[tuple[HostName, str], int] = defaultdict(int)

    # --- what is true -----------------------------------------------------------------------------

    def hosts(self) -> tuple[HostName, ...]:
        """The names of all hosts, sorted."""
        return tuple(sorted(self._hosts))

    def settings(self, host: HostName) -> SimulatedHostSettings:
        """What the settings file says of `host`."""
        return self._hosts[host].settings

    def half(self, host: HostName, uuid: InstanceUuid) -> Half | None:
        """What `host` holds of the guest."""
        return self._hosts[host].halves.get(uuid)

    def halves(self, host: HostName) -> tuple[Half, ...]:
        """Everything that `host` holds, sorted by uuid."""
        halves = self._hosts[host].halves
        return tuple(halves[uuid] for uuid in sorted(halves))

    def running_at(self, uuid: InstanceUuid) -> tuple[HostName, ...]:
        """The hosts on which the guest runs now: one, if all is well."""
        return tuple(
            host
            for host in sorted(self._been_at[uuid])
            if (half := self.half(host, uuid)) is not None and half.state is HalfState.RUNNING
        )

    def violations(self) -> tuple[str, ...]:
        """Each time a guest ran twice, ran from old memory or was ended by us. Must be empty."""
        return tuple(self._violations)

    def calls(self, host: HostName, call: str) -> int:
        """How often a driver's method was called at `host`."""
        return self._calls[host, call]

    def snapshot(self) -> Mapping[HostName, object]:
        """All halves and all room made, comparable: equal before and after what left no trace."""
        return {
            name: (dict(host.halves), frozenset(host.prepared))
            for name, host in self._hosts.items()
        }

    # --- how it changes ---------------------------------------------------------------------------

    def add_guest(self, host: HostName, guest: Guest) -> None:
        """A guest that is there from now on, running, or paused if its power state says so."""
        paused = guest.power_state is PowerState.PAUSED
        self.put(host, Half(guest, HalfState.PAUSED if paused else HalfState.RUNNING))

    def put(self, host: HostName, half: Half) -> None:
        """`host` now holds `half` of that guest. Each beginning to run counts one beat."""
        uuid = half.guest.uuid
        before = self.half(host, uuid)
        was_whole = self._is_whole(uuid)
        if half.state is HalfState.RUNNING and (
            before is None or before.state is not HalfState.RUNNING
        ):
            half = replace(half, beat=half.beat + 1)
            self._count(host, uuid, half.beat)
        self._hosts[host].halves[uuid] = half
        self._been_at[uuid].add(host)
        self._look_whether_ended(uuid, was_whole=was_whole)
        self._hosts[host].changed.set()

    def remove(self, host: HostName, uuid: InstanceUuid) -> None:
        """`host` holds nothing of that guest any more. Harmless if it never did."""
        was_whole = self._is_whole(uuid)
        self._hosts[host].halves.pop(uuid, None)
        self._look_whether_ended(uuid, was_whole=was_whole)
        self._hosts[host].changed.set()

    def destroy(self, host: HostName, uuid: InstanceUuid) -> None:
        """Remove a guest on its owner's word: no violation."""
        self._latest.pop(uuid, None)
        self._hosts[host].halves.pop(uuid, None)
        self._hosts[host].changed.set()

    def set_writes(self, uuid: InstanceUuid, writes: Writes) -> None:
        """From now on the guest writes to its memory like this."""
        self._writes[uuid] = writes

    def writes(self, uuid: InstanceUuid) -> Writes:
        """How the guest writes to its memory; a new one does not."""
        return self._writes.get(uuid, QUIET)

    def set_stream(self, uuid: InstanceUuid, stream: Stream | None) -> None:
        """How the two halves of a post-copy hang together from now on."""
        for name in self.hosts():
            half = self.half(name, uuid)
            if half is not None and half.stream is not None:
                self._hosts[name].halves[uuid] = replace(half, stream=stream)
                self._hosts[name].changed.set()

    def prepare(self, host: HostName, uuid: InstanceUuid) -> None:
        """Room is made at `host`."""
        self._hosts[host].prepared.add(uuid)

    def is_prepared(self, host: HostName, uuid: InstanceUuid) -> bool:
        """Is room made at `host`?"""
        return uuid in self._hosts[host].prepared

    def give_room_back(self, host: HostName, uuid: InstanceUuid) -> None:
        """The room at `host` is given back or has become the guest's own."""
        self._hosts[host].prepared.discard(uuid)

    def add_file(self, host: HostName, path: str) -> None:
        """There is a file on a storage of `host`'s own."""
        self._hosts[host].files.add(path)

    def files(self, host: HostName) -> Set[str]:
        """What is on `host`'s own storage, used or not."""
        return self._hosts[host].files

    async def next_change(self, host: HostName) -> None:
        """Returns when something at `host` has changed since the last return."""
        changed = self._hosts[host].changed
        await changed.wait()
        changed.clear()

    def _count(self, host: HostName, uuid: InstanceUuid, beat: int) -> None:
        others = [each for each in self.running_at(uuid) if each != host]
        if others:
            self._violations.append(f"{uuid} began to run on {host} while it ran on {others[0]}")
        elif beat <= self._latest.get(uuid, 0):
            self._violations.append(f"{uuid} began to run on {host} from memory it had left behind")
        self._latest[uuid] = max(beat, self._latest.get(uuid, 0))

    def _is_whole(self, uuid: InstanceUuid) -> bool:
        """Is the guest's newest memory anywhere?"""
        halves = [half for host in self._been_at[uuid] if (half := self.half(host, uuid))]
        newest = self._latest.get(uuid, 0)
        rest_is_there = any(half.state is HalfState.POST_COPY for half in halves)
        return any(
            half.state in WHOLE and half.beat == newest and (half.stream is None or rest_is_there)
            for half in halves
        )

    def _look_whether_ended(self, uuid: InstanceUuid, *, was_whole: bool) -> None:
        if was_whole and not self._is_whole(uuid):
            self._violations.append(f"{uuid} was ended: its newest memory is nowhere any more")

    # --- what goes wrong --------------------------------------------------------------------------

    def inject(self, fault: Fault) -> None:
        """The next calls meet `fault`. It replaces one set before for the same call."""
        self._faults[fault.host, fault.call] = fault

    def heal(self) -> None:
        """No faults from now on; all hosts are reachable and powered."""
        self.migration_network_is_cut = False
        self._faults.clear()
        self._transfer_faults.clear()
        for name in self.hosts():
            self.reconnect(name)
            self.power_on(name)

    def break_transfer(self, uuid: InstanceUuid, fault: TransferFault) -> None:
        """The next transfer of that guest meets `fault`."""
        self._transfer_faults[uuid] = fault

    def take_transfer_fault(self, uuid: InstanceUuid) -> TransferFault | None:
        """The fault that awaits this guest's transfer, if any; it strikes once."""
        return self._transfer_faults.pop(uuid, None)

    def refuse(self, host: HostName, *refusals: Reason) -> None:
        """From now on `host` refuses every guest for these reasons (none: it takes them again)."""
        self._hosts[host].refusals = refusals

    def refusals(self, host: HostName) -> tuple[Reason, ...]:
        """Why `host` refuses every guest."""
        return self._hosts[host].refusals

    def disconnect(self, host: HostName) -> None:
        """The management network to `host` is cut: its guests run on."""
        self._hosts[host].reachable = False

    def reconnect(self, host: HostName) -> None:
        """The management network to `host` is back."""
        self._hosts[host].reachable = True

    def power_off(self, host: HostName) -> None:
        """The power fails: what ran there is off, what was arriving there is gone."""
        self._hosts[host].powered = False
        for half in self.halves(host):
            self.set_stream(half.guest.uuid, Stream.BROKEN)
        for half in self.halves(host):
            if half.state in {HalfState.RECEIVING, HalfState.ARRIVED}:
                del self._hosts[host].halves[half.guest.uuid]
            elif half.state is not HalfState.MIGRATED:
                off = replace(half, state=HalfState.OFF, job=False, stream=None)
                self._hosts[host].halves[half.guest.uuid] = off

    def power_off_guest(self, host: HostName, uuid: InstanceUuid) -> None:
        """The guest shuts itself off: nobody ended it."""
        half = self._hosts[host].halves[uuid]
        self._hosts[host].halves[uuid] = replace(half, state=HalfState.OFF, job=False)
        self._hosts[host].changed.set()

    def power_on(self, host: HostName) -> None:
        """The power is back. Guests stay off: nothing is started from disk."""
        self._hosts[host].powered = True

    def is_up(self, host: HostName) -> bool:
        """Has it power?"""
        return self._hosts[host].powered

    @asynccontextmanager
    async def calling(self, host: HostName, call: str) -> AsyncIterator[None]:
        """One call to `host`'s hypervisor, with whatever fault awaits it."""
        self._calls[host, call] += 1
        fault = self._take_fault(host, call)
        kind = fault.kind if fault else None
        if not (self._hosts[host].reachable and self.is_up(host)):
            raise _unreachable(host, "no route to host")
        if fault and kind is FaultKind.HANGS:
            await asyncio.sleep(fault.hang_s)
        if kind in {FaultKind.HANGS, FaultKind.UNREACHABLE}:
            raise _unreachable(host, f"{call} was not answered")
        if kind is FaultKind.FAILS:
            raise _failed(host, call)
        yield
        if fault and kind is FaultKind.HANGS_AFTER_ACTING:
            await asyncio.sleep(fault.hang_s)
            raise _unreachable(host, f"the answer to {call} was lost")
        if kind is FaultKind.FAILS_AFTER_ACTING:
            raise _failed(host, call)

    def _take_fault(self, host: HostName, call: str) -> Fault | None:
        fault = self._faults.pop((host, call), None)
        if fault is not None and fault.times > 1:
            self._faults[host, call] = replace(fault, times=fault.times - 1)
        return fault


def _unreachable(host: HostName, problem: str) -> Unreachable:
    words = f"{host} does not answer: {problem}"
    return Unreachable(reason(Code.HYPERVISOR_UNAVAILABLE, host=host, problem=words))


def _failed(host: HostName, call: str) -> HypervisorError:
    problem = "simulated fault"
    return HypervisorError(reason(Code.HYPERVISOR_ERROR, host=host, doing=call, problem=problem))
