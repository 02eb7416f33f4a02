"""One simulated move: what the transfer process asks of the two simulated hypervisors."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace as change
from typing import Any, Protocol

from msgspec.structs import asdict, replace

from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.migrate_data import Guard, SimulatedLiveMigrateData
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.model.reasons import Code, reason
from godwit.model.sighting import DestinationWord, SourceWord
from godwit.model.steering import UNSTEERED, Steering, TransferLimits
from godwit.virt.driver import TransferEvidence, TransferOutcome
from godwit.virt.simulated import post_copy
from godwit.virt.simulated.copying import Copying, Terms, begun, copied
from godwit.virt.simulated.driver import let_run
from godwit.virt.simulated.faults import TransferFault
from godwit.virt.simulated.fleet import SimulatedFleet
from godwit.virt.simulated.half import CopyOutcome, Half, HalfState, Stream
from godwit.virt.simulated.sighting import destination_sighting, source_sighting

STEP_S = 0.25
"""How often a copy looks whether a host has lost its power."""

HELD_BACK_MIB_PER_S = 1
DOWNTIME_MS = 300
"""The pause that is allowed where nobody has set one, as QEMU has it."""

T = TransferFault
_BREAKS = frozenset({T.FAILS_MID_COPY, T.HALF_LEFT_OVER, T.STALLS, T.GUEST_ENDS})
"""Faults that strike in the middle of the copy; all others strike at the switch."""


_PHASES = {
    None: TransferPhase.COPYING_MEMORY,
    Stream.FLOWS: TransferPhase.POST_COPY,
    Stream.BROKEN: TransferPhase.POST_COPY_BROKEN,
}


class Jobs(Protocol):
    """Where a hypervisor's own work is begun: a `TaskGroup`, or what stands for one."""

    def create_task(
        self, work: Coroutine[Any, Any, TransferOutcome], /, *, name: str | None = None
    ) -> asyncio.Task[TransferOutcome]:
        """Begin with this."""
        ...


class SimulatedTransferDriver:
    """A `TransferDriver` between two hosts of the fleet."""

    def __init__(
        self,
        fleet: SimulatedFleet,
        *,
        source: HostName,
        destination: HostName,
        uuid: InstanceUuid,
        migrate_data: SimulatedLiveMigrateData,
        steering: Steering = UNSTEERED,
    ) -> None:
        self._jobs: Jobs | None = None
        self._fleet = fleet
        self._source = source
        self._destination = destination
        self._uuid = uuid
        self._migrate_data = migrate_data
        self._abort = asyncio.Event()
        self._arrival = asyncio.Event()
        self._in_post_copy = False
        self._steering = steering
        self._limits = TransferLimits()
        self._copying: Copying | None = None
        self._began_s: float | None = None
        self._advanced_s = 0.0
        self._stalled = False

    def leave_jobs_to(self, jobs: Jobs) -> None:
        """What the hypervisor does is run there, and goes on when nobody waits for it."""
        self._jobs = jobs

    async def open(self) -> None:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "open"):
            pass
        async with self._fleet.calling(self._destination, "open"):
            pass

    async def clear_autostart(self) -> None:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "clear_autostart"):
            half = self._fleet.half(self._source, self._uuid)
            if half is not None and half.guest.autostart:
                guest = replace(half.guest, autostart=False)
                self._fleet.put(self._source, change(half, guest=guest))

    async def transfer(self) -> TransferOutcome:
        """See `TransferDriver`. Takes the source's `transfer_s`; with 0 no time at all."""
        async with self._fleet.calling(self._source, "transfer"):
            refusal = self._begin()
            if refusal:
                return TransferOutcome(error=refusal)
            return await self._by_itself(self._job())

    async def arrived(self) -> None:
        """See `TransferDriver`."""
        await self._arrival.wait()

    async def explained(self, outcome: TransferOutcome) -> TransferOutcome:
        """See `TransferDriver`. Here an outcome says all from the beginning."""
        return outcome

    async def progress(self) -> Progress | None:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "progress"):
            half = self._fleet.half(self._source, self._uuid)
            if half is None or not half.job or self._began_s is None:
                return None
            elapsed_s = asyncio.get_running_loop().time() - self._began_s
            self._advance()
            return self._sample(half, elapsed_s)

    async def limit(self, limits: TransferLimits) -> None:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "limit"):
            given = {name: value for name, value in asdict(limits).items() if value is not None}
            self._limits = replace(self._limits, **given)

    async def start_post_copy(self) -> None:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "start_post_copy"):
            half = self._fleet.half(self._source, self._uuid)
            if self._migrate_data.guard is not Guard.POSTCOPY or half is None or not half.job:
                problem = "post-copy can only be started while memory is copied for it"
                doing, host = "start_post_copy", self._source
                raise HypervisorError(
                    reason(Code.HYPERVISOR_ERROR, host=host, doing=doing, problem=problem)
                )
            self._in_post_copy = True

    async def resume_post_copy(self) -> TransferOutcome:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "resume_post_copy"):
            problem = post_copy.resume(self._fleet, self._source, self._uuid)
            if problem:
                return TransferOutcome(error=problem)
            return await self._by_itself(self._send_the_rest())

    async def source_word(self) -> SourceWord:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "source_word"):
            half = self._fleet.half(self._source, self._uuid)
            return source_sighting(half, TransferEvidence(began=True)).word

    async def destination_word(self) -> DestinationWord:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._destination, "destination_word"):
            return destination_sighting(self._fleet.half(self._destination, self._uuid)).word

    async def abort(self) -> bool:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "abort"):
            half = self._fleet.half(self._source, self._uuid)
            if half is None or not half.job or half.stream is not None:
                return False
            self._abort.set()
            return True

    async def source_is_gone(self) -> bool:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._source, "source_is_gone"):
            half = self._fleet.half(self._source, self._uuid)
            return half is not None and half.state is HalfState.MIGRATED

    async def sees_source_die(self) -> bool:
        """See `TransferDriver`. Here the call is back as soon as the source has gone."""
        return False

    async def let_run_at_destination(self) -> None:
        """See `TransferDriver`."""
        async with self._fleet.calling(self._destination, "let_run_at_destination"):
            let_run(self._fleet, self._destination, self._uuid, self._migrate_data)

    async def statistics(self) -> Statistics | None:
        """See `TransferDriver`."""
        half = self._fleet.half(self._destination, self._uuid)
        memory_bytes = half.guest.memory_mib * 2**20 if half else None
        elapsed_s = asyncio.get_running_loop().time() - (self._began_s or 0.0)
        return Statistics(
            total_ms=round(elapsed_s * 1000), downtime_ms=0, memory_bytes=memory_bytes, iterations=1
        )

    async def close(self) -> None:
        """See `TransferDriver`."""

    # --- how a copy goes --------------------------------------------------------------------------

    async def _by_itself(self, work: Coroutine[Any, Any, TransferOutcome]) -> TransferOutcome:
        if self._jobs is None:
            return await work
        job = self._jobs.create_task(work, name=f"job of {self._uuid}")
        return await asyncio.shield(job)

    async def _job(self) -> TransferOutcome:
        fault = self._fleet.take_transfer_fault(self._uuid)
        error = await self._copy(fault)
        if error is not None:
            return error
        if not self._in_post_copy:
            return self._switch(fault)
        post_copy.begin(self._fleet, self._source, self._destination, self._uuid)
        return await self._send_the_rest()

    def _begin(self) -> str:
        """Both halves are there and the job runs; or why not."""
        half = self._fleet.half(self._source, self._uuid)
        if half is None or half.state not in {HalfState.RUNNING, HalfState.PAUSED}:
            return "domain is not running"
        if self._fleet.half(self._destination, self._uuid) is not None:
            return f"the guest exists at {self._destination} already"
        self._began_s = self._advanced_s = asyncio.get_running_loop().time()
        self._copying = begun(half.guest.memory_mib * 2**20)
        self._fleet.put(self._source, change(half, job=True, outcome=None, took_back=False))
        guest = replace(half.guest, persistent=False, autostart=self._migrate_data.autostart)
        arriving = Half(guest, HalfState.RECEIVING, beat=half.beat)
        self._fleet.put(self._destination, arriving)
        return ""

    async def _copy(self, fault: TransferFault | None) -> TransferOutcome | None:
        """Wait until everything is sent. An outcome means: it was not."""
        if fault not in _BREAKS:
            return await self._wait(1.0)
        broken = await self._wait(0.5)
        if broken is not None:
            return broken
        if fault is T.STALLS:
            self._stalled = True
            return await self._wait(1.0)
        if fault is T.GUEST_ENDS:
            self._fleet.power_off_guest(self._source, self._uuid)
            return self._end(CopyOutcome.FAILED, "domain is not running")
        left_over = fault is T.HALF_LEFT_OVER
        return self._end(CopyOutcome.FAILED, "unable to write to socket", left_over=left_over)

    async def _wait(self, part: float) -> TransferOutcome | None:
        """Copy step by step until it is whole, or such a part of the memory is sent."""
        while not self._is_sent(part):
            step_s = min(STEP_S, self._to_go_s(part))
            try:
                async with asyncio.timeout(step_s):
                    await self._abort.wait()
                return self._end(CopyOutcome.CANCELLED, "operation aborted: canceled by client")
            except TimeoutError:
                self._advance()
                if not (self._fleet.is_up(self._source) and self._fleet.is_up(self._destination)):
                    return self._end(CopyOutcome.FAILED, "client socket is closed")
                if self._has_ended():
                    return self._end(CopyOutcome.FAILED, "domain is not running")
        return None

    def _has_ended(self) -> bool:
        """The guest was shut off while it was copied: a copy goes on for no dead QEMU."""
        half = self._fleet.half(self._source, self._uuid)
        return half is None or half.state is HalfState.OFF

    async def _send_the_rest(self) -> TransferOutcome:
        """In post-copy: all of it, until the network or a host fails."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._fleet.settings(self._source).transfer_s
        while loop.time() < until_s:
            await asyncio.sleep(min(STEP_S, until_s - loop.time()))
            if not (self._fleet.is_up(self._source) and self._fleet.is_up(self._destination)):
                return TransferOutcome(error="client socket is closed")
            if self._fleet.migration_network_is_cut:
                self._fleet.set_stream(self._uuid, Stream.BROKEN)
                return TransferOutcome(error="job 'migration in' failed in post-copy phase")
        post_copy.finish(self._fleet, self._source, self._uuid)
        return TransferOutcome()

    def _is_sent(self, part: float) -> bool:
        copying = self._copying
        if self._stalled or (self._migrate_data.hold_back and not self._in_post_copy):
            return False
        if copying is None or copying.is_whole or self._in_post_copy or self._terms is None:
            return True
        return part < 1.0 and copying.sent_bytes >= part * copying.total_bytes - 1

    def _to_go_s(self, part: float) -> float:
        if self._stalled or self._copying is None or self._terms is None:
            return STEP_S
        if self._migrate_data.hold_back:
            return STEP_S
        left = self._copying.remaining_bytes
        if part < 1.0:
            left -= (1.0 - part) * self._copying.total_bytes
        return left / self._terms.rate_bytes_per_s

    def _advance(self) -> None:
        """The copy as it is by now."""
        now_s = asyncio.get_running_loop().time()
        for_s, self._advanced_s = now_s - self._advanced_s, now_s
        if not self._stalled and self._copying is not None and self._terms is not None:
            writes = self._fleet.writes(self._uuid)
            self._copying = copied(self._copying, for_s, self._terms, writes)

    @property
    def _terms(self) -> Terms | None:
        """None: a transfer from here takes no time."""
        transfer_s = self._fleet.settings(self._source).transfer_s
        if transfer_s == 0 or self._copying is None:
            return None
        rate = self._copying.total_bytes / transfer_s
        limits = self._limits
        held_back = HELD_BACK_MIB_PER_S if self._migrate_data.hold_back else 0
        for limit in (limits.bandwidth_mib_per_s, held_back):
            rate = min(rate, limit * 2**20) if limit else rate
        return Terms(
            rate_bytes_per_s=rate,
            downtime_ms=limits.max_downtime_ms or DOWNTIME_MS,
            auto_converge=self._steering.auto_converge,
        )

    def _end(self, outcome: CopyOutcome, error: str, *, left_over: bool = False) -> TransferOutcome:
        """The copy is over and the guest never left."""
        half = self._fleet.half(self._source, self._uuid)
        if half is not None:
            self._fleet.put(self._source, change(half, job=False, outcome=outcome))
        if not left_over:
            self._fleet.remove(self._destination, self._uuid)
        return TransferOutcome(error=error)

    def _switch(self, fault: TransferFault | None) -> TransferOutcome:
        """Everything is sent. The source stops, then the destination is whole, then we are told."""
        sent = self._fleet.half(self._source, self._uuid)
        received = self._fleet.half(self._destination, self._uuid)
        if sent is None or received is None or sent.state is HalfState.OFF:
            return self._end(CopyOutcome.FAILED, "domain is not running")
        stopped = change(
            sent, state=HalfState.HANDED_OVER, job=False, outcome=CopyOutcome.COMPLETED
        )
        self._fleet.put(self._source, stopped)
        if fault is T.HANDED_OVER_TO_NOBODY:
            self._fleet.remove(self._destination, self._uuid)
            return TransferOutcome(error="client socket is closed")
        if fault is T.HANDED_OVER_UNFINISHED:
            return TransferOutcome(error="client socket is closed")
        self._fleet.put(self._destination, change(received, state=HalfState.ARRIVED))
        self._arrival.set()
        if fault is T.HANDED_OVER:
            return TransferOutcome(error="end of file while reading data")
        if fault is T.SOURCE_TAKES_BACK:
            state = HalfState.PAUSED if self._migrate_data.was_paused else HalfState.RUNNING
            self._fleet.put(self._source, change(stopped, state=state, took_back=True))
            return TransferOutcome(error="client socket is closed")
        self._fleet.put(self._source, change(stopped, state=HalfState.MIGRATED))
        if self._migrate_data.guard is not Guard.PAUSED:
            let_run(self._fleet, self._destination, self._uuid, self._migrate_data)
        error = "end of file while reading data" if fault is T.REPLY_LOST else ""
        return TransferOutcome(error=error)

    def _sample(self, half: Half, elapsed_s: float) -> Progress:
        copying, terms = self._copying, self._terms
        if copying is None or terms is None:
            return Progress(phase=_PHASES[half.stream], elapsed_s=elapsed_s, iteration=1)
        rate = 0.0 if self._stalled else terms.rate_bytes_per_s
        dirty = self._fleet.writes(self._uuid).dirtied_bytes(1.0, copying.throttle_percent)
        return Progress(
            phase=_PHASES[half.stream],
            elapsed_s=elapsed_s,
            memory_total_bytes=int(copying.total_bytes),
            memory_processed_bytes=int(copying.sent_bytes),
            memory_remaining_bytes=int(copying.remaining_bytes),
            rate_bytes_per_s=int(rate),
            dirty_rate_bytes_per_s=int(dirty) if copying.iteration > 1 else 0,
            iteration=copying.iteration,
            eta_s=None if self._stalled else copying.remaining_bytes / terms.rate_bytes_per_s,
            expected_downtime_ms=(
                int(copying.pause_ms(terms.rate_bytes_per_s)) if copying.iteration > 1 else None
            ),
            throttle_percent=copying.throttle_percent,
        )
