"""What the destination does in a move. Called by the manager alone, behind its fence."""

from godwit.rpc.compute import (
    CheckAnswer,
    CheckDestination,
    EndRehearsal,
    Move,
    Nothing,
    PreparedAtDestination,
    RehearseArrival,
    RollBack,
)
from godwit.virt.driver import ComputeDriver


async def check_can_live_migrate(driver: ComputeDriver, ask: CheckDestination) -> CheckAnswer:
    """Could the guest run here? Leaves nothing behind."""
    checked = await driver.check_can_live_migrate_destination(ask.spec)
    return CheckAnswer(refusals=checked.refusals, migrate_data=checked.migrate_data)


async def rehearse_arrival(driver: ComputeDriver, ask: RehearseArrival) -> Nothing:
    """Start a twin in the guest's place, and end it."""
    await driver.rehearse_arrival(ask.definition, ask.twin)
    return Nothing()


async def end_rehearsal(driver: ComputeDriver, ask: EndRehearsal) -> Nothing:
    """Remove a twin that has arrived. Harmless if there is none."""
    await driver.end_rehearsal(ask.twin)
    return Nothing()


async def pre_live_migration(driver: ComputeDriver, ask: Move) -> PreparedAtDestination:
    """Make room for the guest."""
    prepared = await driver.pre_live_migration(ask.instance, ask.migrate_data)
    return PreparedAtDestination(migrate_data=prepared)


async def rollback_live_migration(driver: ComputeDriver, ask: RollBack) -> Nothing:
    """Give the room back, with a half that never ran. Harmless if there is neither."""
    await driver.rollback_live_migration_at_destination(
        ask.instance, ask.migrate_data, may_have_run=ask.may_have_run
    )
    return Nothing()


async def let_run(driver: ComputeDriver, ask: Move) -> Nothing:
    """Resume the guest that waits here; the caller holds the proof that the source is gone."""
    await driver.let_run(ask.instance, ask.migrate_data)
    return Nothing()


async def post_live_migration(driver: ComputeDriver, ask: Move) -> Nothing:
    """Make the guest permanent here."""
    await driver.post_live_migration_at_destination(ask.instance, ask.migrate_data)
    return Nothing()
