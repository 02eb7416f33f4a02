"""The audit: read what is recorded, ask every host what it shows, say where they disagree, and mend
what is safe to mend. `disagreements` decides; here is what asks and acts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from msgspec.structs import replace

from godwit.conductor.alarms import alarm
from godwit.conductor.disagreements import disagreements, lasting
from godwit.conductor.roll_call import Response, ask_each
from godwit.conductor.world import World
from godwit.model.audit import RECORD, Action, Audit, Disagreement, Evidence, Stock
from godwit.model.host import Host, HostReport
from godwit.model.ids import HostName, InstanceUuid
from godwit.rpc.compute import TakeStock
from godwit.rpc.conductor import AskAudit
from godwit.runtime.clock import iso

AGAIN_S: Final = 3.0
"""So long after the first look is the second: what was under way between two hosts has arrived."""
LOOKS_MAX: Final = 4
"""While the record is written between them: an alarm is not missed for the report that tells it."""

Take = Callable[[HostReport], Awaitable[None]]
"""Puts a host's report on record."""

log = structlog.get_logger()


async def audit(world: World, ask: AskAudit, take: Take) -> Audit:
    """What two looks agree on, the worst first; with `repair`, what could be mended is. Of hosts
    that do not answer it is said that they were not judged.
    """
    hosts = await world.queries.hosts()
    looked = await _look(world, hosts)
    found: tuple[Disagreement, ...] = ()
    for _ in range(LOOKS_MAX - 1):
        if not looked.seen:
            break
        await asyncio.sleep(AGAIN_S)
        before, looked = looked, await _look(world, hosts)
        found = lasting(before.found, looked.found)
        if len(found) == looked.seen:
            break
    stocks = looked.stocks
    if ask.repair:
        await _take_reports(found, looked, take)
        found = await _repaired(world, ask, found)
    for each in found:
        if each.is_of_a_guest:
            uuid = InstanceUuid(each.subject)
            await alarm(world, uuid, each.kind, each.evidence)
    return Audit(
        disagreements=found,
        silent=_unheard(stocks, without_power=False),
        without_power=_unheard(stocks, without_power=True),
        repairs=await world.queries.repairs(),
        servers=looked.servers,
        hosts=len(stocks),
        looked_at=iso(world.clock.now_s()),
    )


def _unheard(stocks: Sequence[Stock], *, without_power: bool) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(by=stock.host, said=stock.trouble, at=stock.seen_at)
        for stock in stocks
        if not stock.answered and stock.without_power is without_power
    )


@dataclass(frozen=True)
class _Look:
    """What was found by one look at record and hosts."""

    began_s: float
    """By the event loop's clock."""
    stocks: tuple[Stock, ...]
    servers: int
    found: tuple[Disagreement, ...]
    seen: int
    """So many were seen; more than were found, if the record was written meanwhile."""


async def _look(world: World, hosts: Sequence[Host]) -> _Look:
    """The record is read before the hosts are asked, and again after: what they show of a story
    that begins or ends meanwhile is on record in one of the two.
    """
    before = await world.queries.ledger(at_s=world.clock.now_s())
    began_s = asyncio.get_running_loop().time()
    stocks = await _stocks(world, hosts)
    first = second = disagreements(before, stocks)
    if first:
        after = await world.queries.ledger(at_s=world.clock.now_s())
        second = disagreements(after, stocks)
    seen = max(len(first), len(second))
    return _Look(began_s, stocks, len(before.servers), lasting(first, second), seen)


async def _stocks(world: World, hosts: Sequence[Host]) -> tuple[Stock, ...]:
    names = [host.name for host in hosts]
    responses = await ask_each(world, names, lambda compute: compute.take_stock(TakeStock()))
    return tuple(_stock_of(host, response) for host, response in responses.items())


def _stock_of(host: HostName, response: Response[Stock]) -> Stock:
    down = response.without_power
    silent = Stock(host=host, trouble=response.words, without_power=down)
    return replace(response.answer or silent, seen_at=response.at)


async def _take_reports(found: Sequence[Disagreement], looked: _Look, take: Take) -> None:
    """What the hosts show becomes the record by the same way as any report: discovery decides
    whether it may. To take one may last, so each says of itself how old it is by then.
    """
    for report in _reports(found, looked.stocks):
        look_s = asyncio.get_running_loop().time() - looked.began_s
        await take(replace(report, look_s=look_s))


async def _repaired(
    world: World, ask: AskAudit, found: Sequence[Disagreement]
) -> tuple[Disagreement, ...]:
    """Each with whether it was mended."""
    return tuple([replace(each, repaired=await _is_mended(world, ask, each)) for each in found])


def _reports(found: Sequence[Disagreement], stocks: Sequence[Stock]) -> list[HostReport]:
    """Of the hosts that those disagreements rest on: the ones without the guest first."""
    following = [each for each in found if each.action is Action.FOLLOW_THE_GUEST]
    there = {each.host for each in following}
    concerned = there | {seen.by for each in following for seen in each.evidence}
    reports = [
        HostReport(
            host=stock.host,
            facts=stock.facts,
            guests=tuple(guest for guest in stock.guests if not guest.arriving),
        )
        for stock in stocks
        if stock.answered and stock.host in concerned
    ]
    return sorted(reports, key=lambda report: (report.host in there, report.host))


async def _is_mended(world: World, ask: AskAudit, each: Disagreement) -> bool:
    if each.action is Action.NOTHING:
        return False
    if each.action is Action.FOLLOW_THE_GUEST:
        instance = await world.queries.instance(InstanceUuid(each.subject))
        written = [seen.at for seen in each.evidence if seen.by == RECORD]
        if instance is None or instance.updated_at in written:
            return False
    mended = await world.store.repair(each, by=ask.asked.initiator)
    log.warning(
        "repaired" if mended else "not repaired: it has changed meanwhile",
        kind=each.kind,
        action=each.action,
        subject=each.subject,
        host=each.host,
        by=ask.asked.initiator,
        evidence=[f"{seen.by}: {seen.said} ({seen.at})" for seen in each.evidence],
    )
    return mended
