"""Everything that one host shows now, for an audit."""

from godwit.model.audit import Stock
from godwit.model.ids import HostName
from godwit.virt.driver import ComputeDriver


async def take_stock(host: HostName, driver: ComputeDriver) -> Stock:
    """All of it. Raises what a look raises: then nothing is known."""
    # TODO(robustness): files that no guest uses, and transfers that live. The decision is there
    # (`disk-left`, `transfer-left`); no driver lists its files yet.
    facts, guests = await driver.host_facts(), await driver.guests()
    return Stock(host=host, facts=facts, guests=guests)
