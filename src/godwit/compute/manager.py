"""The index of what a compute manager answers: one short method per call of `rpc.compute`.

One manager per host. Looks go straight to the driver; acts pass the fence; what each end does, in
order, is in `compute/source.py` and `compute/destination.py`.
"""

from godwit.compute import destination, sighting, source, stock
from godwit.compute.fence import Deed, Fence
from godwit.compute.transfers import Transfers
from godwit.model.audit import Stock
from godwit.model.ids import HostName
from godwit.model.sighting import DestinationSighting, SourceSighting
from godwit.rpc.compute import (
    CheckAnswer,
    CheckDestination,
    CheckSource,
    Departed,
    Destroyed,
    DestroyGuest,
    EndRehearsal,
    FollowTransfer,
    ForTransfer,
    GuestHere,
    LookForGuest,
    Move,
    Nothing,
    PreparedAtDestination,
    RehearseArrival,
    RehearseDeparture,
    RollBack,
    SpawnGuest,
    StartTransfer,
    SteerTransfer,
    TakeStock,
    TransferNews,
)
from godwit.virt.driver import ComputeDriver, NewGuest


class ComputeManager:
    """A `ComputeRpc` that acts on one host. What each call guarantees stands there."""

    def __init__(
        self, host: HostName, *, driver: ComputeDriver, transfers: Transfers, fence: Fence
    ) -> None:
        self.host = host
        self.driver = driver
        self._transfers = transfers
        self._fence = fence

    # --- looks ------------------------------------------------------------------------------------

    async def look_for_guest(self, ask: LookForGuest) -> GuestHere:
        """See `ComputeRpc`."""
        return await sighting.look_for_guest(self.driver, ask)

    async def take_stock(self, ask: TakeStock) -> Stock:
        """See `ComputeRpc`."""
        return await stock.take_stock(self.host, self.driver, self._transfers)

    async def check_can_live_migrate_destination(self, ask: CheckDestination) -> CheckAnswer:
        """See `ComputeRpc`."""
        return await destination.check_can_live_migrate(self.driver, ask)

    async def check_can_live_migrate_source(self, ask: CheckSource) -> CheckAnswer:
        """See `ComputeRpc`."""
        return await source.check_can_live_migrate(self.driver, ask)

    async def sight_source(self, ask: Move) -> SourceSighting:
        """See `ComputeRpc`."""
        return await sighting.sight_source(self.driver, self._transfers, ask)

    async def sight_destination(self, ask: Move) -> DestinationSighting:
        """See `ComputeRpc`."""
        return await sighting.sight_destination(self.driver, ask)

    async def follow_transfer(self, ask: FollowTransfer) -> TransferNews:
        """See `ComputeRpc`."""
        return await self._transfers.follow(ask.migration_uuid, ask.after_sequence)

    # --- acts at the destination ------------------------------------------------------------------

    async def pre_live_migration(self, ask: Move) -> PreparedAtDestination:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.PRE_LIVE_MIGRATION):
            return await destination.pre_live_migration(self.driver, ask)

    async def rollback_live_migration_at_destination(self, ask: RollBack) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.ROLLBACK_AT_DESTINATION) as is_wanted:
            if is_wanted:
                await destination.rollback_live_migration(self.driver, ask)
        return Nothing()

    async def let_run_at_destination(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.LET_RUN_AT_DESTINATION):
            return await destination.let_run(self.driver, ask)

    async def post_live_migration_at_destination(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.POST_AT_DESTINATION) as is_wanted:
            if is_wanted:
                await destination.post_live_migration(self.driver, ask)
        return Nothing()

    # --- acts at the source -----------------------------------------------------------------------

    async def live_migration(self, ask: StartTransfer) -> TransferNews:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.LIVE_MIGRATION):
            return await source.live_migration(self._transfers, ask)

    async def abort_live_migration(self, ask: ForTransfer) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.ABORT):
            return await source.abort_live_migration(self._transfers, ask)

    async def steer_transfer(self, ask: SteerTransfer) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.STEER):
            return await source.steer_transfer(self._transfers, ask)

    async def watch_transfer(self, ask: ForTransfer) -> TransferNews:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.WATCH):
            return await source.watch_transfer(self._transfers, ask)

    async def close_transfer(self, ask: ForTransfer) -> TransferNews:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.CLOSE_TRANSFER):
            return await source.close_transfer(self._transfers, ask)

    async def rollback_live_migration_at_source(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.ROLLBACK_AT_SOURCE) as is_wanted:
            if is_wanted:
                await source.rollback_live_migration(self.driver, self._transfers, ask)
        return Nothing()

    async def let_run_at_source(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.LET_RUN_AT_SOURCE):
            return await source.let_run(self.driver, self._transfers, ask)

    async def resume_post_copy(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.RESUME_POST_COPY):
            return await source.resume_post_copy(self.driver, self._transfers, ask)

    async def end_source(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.END_SOURCE):
            return await source.end_source(self.driver, self._transfers, ask)

    async def post_live_migration_at_source(self, ask: Move) -> Nothing:
        """See `ComputeRpc`."""
        async with self._fence.acting(ask.act, Deed.POST_AT_SOURCE) as is_wanted:
            if is_wanted:
                await source.post_live_migration(self.driver, self._transfers, ask)
        return Nothing()

    # --- rehearsals -------------------------------------------------------------------------------

    async def rehearse_departure(self, ask: RehearseDeparture) -> Departed:
        """See `ComputeRpc`."""
        return await source.rehearse_departure(self.driver, ask)

    async def rehearse_arrival(self, ask: RehearseArrival) -> Nothing:
        """See `ComputeRpc`."""
        return await destination.rehearse_arrival(self.driver, ask)

    async def end_rehearsal(self, ask: EndRehearsal) -> Nothing:
        """See `ComputeRpc`."""
        return await destination.end_rehearsal(self.driver, ask)

    # --- guests of our own ------------------------------------------------------------------------

    async def spawn_guest(self, ask: SpawnGuest) -> Nothing:
        """See `ComputeRpc`."""
        guest = NewGuest(
            instance=ask.instance,
            image_path=ask.image_path,
            disk_mib=ask.disk_mib,
            kernel=ask.kernel,
            command_line=ask.command_line,
        )
        await self.driver.spawn(guest)
        return Nothing()

    async def destroy_guest(self, ask: DestroyGuest) -> Destroyed:
        """See `ComputeRpc`."""
        left = await self.driver.destroy(ask.instance_uuid, half_made=ask.half_made)
        return Destroyed(left=left)

    async def tidy(self) -> None:
        """Let go of what was over here a week ago. Called now and then by the reporter."""
        await self._transfers.forget_old()
        await self._fence.forget_old()

    async def close(self) -> None:
        """Give the driver's connections back. Transfers under way go on."""
        await self.driver.close()
