"""One transfer, from opening the connections to its result: the heart of the transfer process.

For a real hypervisor it runs in a process of its own (`compute/transfer_process.py`), for a
simulated one as a task of its host (`compute/transfers.py`); the steps are the same. It makes the
long call once, has it steered (`compute/helm.py`), and lets the guest run at the destination on
proof that the source cannot run again. It never decides where the guest is.
"""

import asyncio
from dataclasses import dataclass

import structlog
from msgspec.structs import replace as change

from godwit.compute.convergence import Policy
from godwit.compute.helm import Helm
from godwit.compute.post_copy import see_through
from godwit.compute.transfer_folder import MARK_OF_END, Mark, Sign, SteadyFolder, TransferFolder
from godwit.model.errors import GodwitError, Unreachable
from godwit.model.migrate_data import Guard, LiveMigrateData
from godwit.model.progress import Progress, Statistics, TransferPhase
from godwit.model.steering import UNSTEERED, Steering
from godwit.rpc.compute import TransferResult
from godwit.virt.driver import TransferDriver, TransferOutcome
from godwit.virt.registry import TransferOrder

BEAT_S = 0.5
"""How often a sign of life is given, also while the hypervisor does not answer."""
LET_RUN_ATTEMPTS = 5
LET_RUN_PAUSE_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Terms:
    """Under which terms the guest travels."""

    policy: Policy
    """What convergence is decided by."""
    was_paused: bool = False

    @property
    def waits_for_us(self) -> bool:
        """The guest arrives paused although its operator has not paused it."""
        return self.policy.guard is Guard.PAUSED and not self.was_paused


def agreed_terms(
    agreed: LiveMigrateData, *, stall_timeout_s: float, steering: Steering = UNSTEERED
) -> Terms:
    """The terms of a move that both ends have agreed on like this."""
    policy = Policy(
        stall_timeout_s=stall_timeout_s,
        guard=agreed.guard,
        hold_back=agreed.hold_back,
        steering=steering,
    )
    return Terms(policy, was_paused=agreed.was_paused)


def terms_of(order: TransferOrder) -> Terms:
    """The terms that a transfer process was started under."""
    return agreed_terms(
        order.migrate_data, stall_timeout_s=order.stall_timeout_s, steering=order.steering
    )


async def run_transfer(folder: TransferFolder, driver: TransferDriver, terms: Terms) -> None:
    """Make the transfer and leave its result in `folder`. Expected trouble becomes the result's
    `error`; connections are given back in any case. Once it has begun, trouble with the folder does
    not stop it: then its marks or its result may be missing.
    """
    steady = SteadyFolder(folder)
    pulse = _Pulse(steady)
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(pulse.beat(), name="sign of life")
        result = await _result(_Move(folder, driver, terms, pulse))
        beating.cancel()
    steady.end(result)


async def _result(move: "_Move") -> TransferResult:
    try:
        return await move.make()
    except GodwitError as error:
        log.warning("transfer failed", code=error.reason.code, words=error.reason.words)
        return TransferResult(error=str(error), reason=error.reason)
    finally:
        await move.close()


class _Pulse:
    """The sign of life, and the newest sample."""

    def __init__(self, folder: SteadyFolder) -> None:
        self._folder = folder
        self._sign = Sign()

    async def beat(self) -> None:
        """Give a sign of life for ever."""
        while True:
            self._show(self._sign.sequence, self._sign.progress)
            await asyncio.sleep(BEAT_S)

    def tell(self, progress: Progress) -> None:
        """A sample. One that says nothing new is no news."""
        newest = self._sign.progress
        if newest is not None and newest.phase is TransferPhase.ARRIVED:
            return
        if progress != newest:
            self._show(self._sign.sequence + 1, progress)

    def arrived(self) -> None:
        """The last news: samples that come later are older."""
        newest = self._sign.progress or Progress()
        self.tell(change(newest, phase=TransferPhase.ARRIVED))

    def _show(self, sequence: int, progress: Progress | None) -> None:
        self._sign = Sign(beat=self._sign.beat + 1, sequence=sequence, progress=progress)
        self._folder.show(self._sign)


class _Move:
    """The steps of one transfer."""

    def __init__(
        self, folder: TransferFolder, driver: TransferDriver, terms: Terms, pulse: _Pulse
    ) -> None:
        self._folder = folder
        self._steady = SteadyFolder(folder)
        self._driver = driver
        self._terms = terms
        self._pulse = pulse
        self._helm = Helm(self._steady, driver, terms.policy, pulse.tell)

    async def make(self) -> TransferResult:
        """All of it, in order."""
        await self._driver.open()
        if not self._is_unwanted():
            await self._driver.clear_autostart()
            await self._helm.set_first_limits()
        if self._is_unwanted():
            return TransferResult(error="stopped before it began", aborted=True)
        # The mark comes first: if we die between these two lines, the move may have begun. So it
        # does not begin where it cannot be set.
        self._folder.set(Mark.BEGAN)
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(self._call(), name="transfer call")
            steering = tasks.create_task(self._helm.steer(call), name="steering")
            arrival = tasks.create_task(self._tell_of_arrival(), name="arrival")
            ran = await self._dies_before(call) and await self._let_run_at_death()
            outcome = await call
            arrival.cancel()
            # First of all: neither a slow sample nor a search for reasons keeps the guest waiting.
            ran = ran or await self._let_run_on_proof()
            if outcome.error and not ran:
                outcome = await self._explained(outcome)
        stopped = steering.result()
        return TransferResult(
            error=outcome.error,
            reason=stopped.why or outcome.reason,
            aborted=stopped.aborted,
            statistics=None if outcome.error else await self._statistics(),
            ran_at_destination=ran,
        )

    async def _tell_of_arrival(self) -> None:
        """The hypervisors take some time to agree that it is over: the next transfer need not wait
        for that. Trouble with it is none of the move's.
        """
        try:
            await self._driver.arrived()
        except GodwitError as error:
            log.warning("the arrival was not heard", words=error.reason.words)
        else:
            self._pulse.arrived()

    async def _explained(self, outcome: TransferOutcome) -> TransferOutcome:
        try:
            outcome = await self._driver.explained(outcome)
        except GodwitError as error:
            log.warning("the error was not explained", words=error.reason.words)
        if outcome.guest_ended:
            self._steady.set(MARK_OF_END[outcome.guest_ended])
        return outcome

    async def _statistics(self) -> Statistics | None:
        try:
            return await self._driver.statistics()
        except GodwitError as error:
            log.warning("no final figures to be had", words=error.reason.words)
            return None

    async def close(self) -> None:
        """Give the connections back; trouble with that is only logged."""
        try:
            await self._driver.close()
        except GodwitError as error:
            log.warning("connections were not closed", words=error.reason.words)

    def _is_unwanted(self) -> bool:
        return self._folder.has(Mark.ABORT) or self._folder.has(Mark.CLOSED)

    async def _call(self) -> TransferOutcome:
        """The long call. An error says nothing about where the guest is: it becomes a claim."""
        try:
            outcome = await self._driver.transfer()
        except GodwitError as error:
            outcome = TransferOutcome(error=str(error), reason=error.reason)
        if self._terms.policy.guard is not Guard.POSTCOPY:
            return outcome
        return await see_through(self._driver, outcome)

    async def _dies_before(self, call: asyncio.Task[TransferOutcome]) -> bool:
        """Is the source seen to die, all of the guest being there, while the call is still out?"""
        if not self._terms.waits_for_us:
            return False
        async with asyncio.TaskGroup() as tasks:
            death = tasks.create_task(self._sees_source_die(), name="watch over the source")
            await asyncio.wait({call, death}, return_when=asyncio.FIRST_COMPLETED)
            death.cancel()
        return not death.cancelled() and death.result()

    async def _sees_source_die(self) -> bool:
        try:
            return await self._driver.sees_source_die()
        except GodwitError as error:
            log.warning("the source's death is not to be seen", words=error.reason.words)
            return False

    async def _let_run_at_death(self) -> bool:
        """What fails here is tried again after the call's return."""
        try:
            ran = await self._let_run_as_proven()
        except GodwitError as error:
            log.warning("the guest was not let run", words=error.reason.words)
            return False
        log.info("the guest was let run at the death of its source")
        return ran

    async def _let_run_on_proof(self) -> bool:
        """Let the guest run at the destination, if the source is proven gone. True if it was.

        Without proof, or if the destination cannot be reached, whoever sights both ends decides.
        """
        for attempt in range(1, LET_RUN_ATTEMPTS + 1):
            try:
                return await self._let_run_once()
            except Unreachable as error:
                log.warning("no answer at the switch", attempt=attempt, words=error.reason.words)
                await asyncio.sleep(LET_RUN_PAUSE_S)
            except GodwitError as error:
                log.warning("the guest was not let run", words=error.reason.words)
                break
        return False

    async def _let_run_once(self) -> bool:
        return await self._driver.source_is_gone() and await self._let_run_as_proven()

    async def _let_run_as_proven(self) -> bool:
        """The proof is noted before the guest runs, and forced to disk after: the guest waits for
        no disk. If we die between, the note stays. If the host's power fails between, a transient
        guest that is absent at the source and runs at the destination is found there all the same.
        """
        self._steady.note(Mark.STOPPED_AS_MIGRATED)
        try:
            if self._terms.waits_for_us:
                await self._driver.let_run_at_destination()
        finally:
            self._steady.set(Mark.STOPPED_AS_MIGRATED)
        return self._terms.waits_for_us
