"""What the source does in a move. Called by the manager alone, behind its fence.

Whatever touches the guest here asks first that its transfer has ended: while the transfer process
lives, the guest is its business.
"""

from godwit.compute.transfer_folder import Mark
from godwit.compute.transfers import Transfers
from godwit.model.errors import Conflict
from godwit.model.reasons import Code, reason
from godwit.rpc.compute import (
    CheckAnswer,
    CheckSource,
    Departed,
    ForTransfer,
    Move,
    Nothing,
    RehearseDeparture,
    StartTransfer,
    SteerTransfer,
    TransferNews,
)
from godwit.virt.driver import ComputeDriver


async def check_can_live_migrate(driver: ComputeDriver, ask: CheckSource) -> CheckAnswer:
    """May the guest leave for that destination? Leaves nothing behind."""
    checked = await driver.check_can_live_migrate_source(
        ask.spec, ask.destination, ask.migrate_data
    )
    return CheckAnswer(refusals=checked.refusals, migrate_data=checked.migrate_data)


async def rehearse_departure(driver: ComputeDriver, ask: RehearseDeparture) -> Departed:
    """Send a twin in the guest's place. The guest is not touched."""
    definition = await driver.rehearse_departure(ask.instance, ask.migrate_data, ask.twin)
    return Departed(definition=definition)


async def live_migration(transfers: Transfers, ask: StartTransfer) -> TransferNews:
    """Start the transfer, or attach to the one that was started."""
    return await transfers.start(ask)


async def abort_live_migration(transfers: Transfers, ask: ForTransfer) -> Nothing:
    """Ask the transfer to stop; one that has not begun never will."""
    await transfers.abort(ask.act.migration_uuid)
    return Nothing()


async def steer_transfer(transfers: Transfers, ask: SteerTransfer) -> Nothing:
    """Let the transfer be steered otherwise; one that has ended does not mind."""
    await transfers.steer(ask.act.migration_uuid, ask.steering)
    return Nothing()


async def watch_transfer(transfers: Transfers, ask: ForTransfer) -> TransferNews:
    """Look at a transfer that has lost its process, and do what the process would have done."""
    return await transfers.watch(ask.act.migration_uuid)


async def close_transfer(transfers: Transfers, ask: ForTransfer) -> TransferNews:
    """Let nothing begin any more; `ended` says whether that is so now."""
    return await transfers.close(ask.act.migration_uuid)


async def rollback_live_migration(
    driver: ComputeDriver, transfers: Transfers, ask: Move
) -> Nothing:
    """The guest stays: put back what the transfer took. Nothing is transferred from now on."""
    await _ensure_closed(transfers, ask)
    await driver.rollback_live_migration_at_source(ask.instance, ask.migrate_data)
    await transfers.set(ask.act.migration_uuid, Mark.OVER)
    return Nothing()


async def let_run(driver: ComputeDriver, transfers: Transfers, ask: Move) -> Nothing:
    """Resume the guest here; the caller holds the proof that the destination cannot run."""
    await _ensure_closed(transfers, ask)
    await driver.let_run(ask.instance, ask.migrate_data)
    return Nothing()


async def resume_post_copy(driver: ComputeDriver, transfers: Transfers, ask: Move) -> Nothing:
    """Let a post-copy go on whose transfer process is gone."""
    await _ensure_closed(transfers, ask)
    await driver.resume_post_copy(ask.instance, ask.migrate_data)
    return Nothing()


async def end_source(driver: ComputeDriver, transfers: Transfers, ask: Move) -> Nothing:
    """End the half that was handed over. On record first: an absence later is then our own act."""
    await _ensure_closed(transfers, ask)
    await transfers.set(ask.act.migration_uuid, Mark.ENDED_BY_US)
    await driver.end_source(ask.instance, ask.migrate_data)
    return Nothing()


async def post_live_migration(driver: ComputeDriver, transfers: Transfers, ask: Move) -> Nothing:
    """Forget the guest, which runs elsewhere."""
    await _ensure_closed(transfers, ask)
    await driver.post_live_migration_at_source(ask.instance, ask.migrate_data)
    await transfers.set(ask.act.migration_uuid, Mark.OVER)
    return Nothing()


async def _ensure_closed(transfers: Transfers, ask: Move) -> None:
    """Raises `Conflict` (instance-busy) while the transfer process lives."""
    news = await transfers.close(ask.act.migration_uuid)
    if not news.ended:
        raise Conflict(
            reason(Code.INSTANCE_BUSY, server=ask.instance.name, task="being transferred")
        )
