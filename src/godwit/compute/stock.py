"""Everything that one host shows now, for an audit."""

import structlog

from godwit.compute.transfers import Transfers
from godwit.model.audit import Stock
from godwit.model.errors import GodwitError
from godwit.model.ids import HostName
from godwit.virt.driver import ComputeDriver

log = structlog.get_logger()


async def take_stock(host: HostName, driver: ComputeDriver, transfers: Transfers) -> Stock:
    """All of it. Raises what a look at the guests raises: then nothing is known."""
    facts, guests = await driver.host_facts(), await driver.guests()
    return Stock(
        host=host,
        facts=facts,
        guests=guests,
        spare_files=await _spare_files(driver),
        transfers=await transfers.living(),
    )


async def _spare_files(driver: ComputeDriver) -> tuple[str, ...]:
    """None, where a storage does not answer: what its guests do matters more."""
    try:
        return await driver.spare_files()
    except GodwitError as error:
        log.warning("files not listed", words=error.reason.words)
        return ()
