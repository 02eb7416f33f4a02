"""Let a fault of the plan strike: one small function per kind."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from godwit.model.errors import GodwitError
from godwit.model.ids import HostName, RequestId
from godwit.model.migration import FINAL, Migration
from godwit.model.steering import SteeringWish
from godwit.rpc.conductor import (
    AbortMigration,
    Asked,
    ConfirmPower,
    ForceComplete,
    LiveMigrate,
    SetHostEnabled,
)
from godwit.sim.bus import Weather
from godwit.sim.faults import CONFIRMED_AFTER_S, Ask, Fault, Kind
from godwit.sim.machine import Machine
from godwit.sim.shelf import OF_GUEST, Moment, Ordeal
from godwit.sim.world import PEOPLE, Seat, World, uuid_of
from godwit.virt.simulated import faults as of_hypervisor
from godwit.virt.simulated.half import HalfState

ASKED: Final = Asked(initiator="simulation", request_id=RequestId("req-sim"))
STORM: Final = Weather(loss=0.2, twice=0.2, late=0.1, delay_s=2.0)
DRAIN_S: Final = 3.0
GRACE_S: Final = 6.0
MEETS_S: Final = 0.7
DEATHS_S: Final = 40.0
"""An ordeal that has not come by then is called off."""


async def ask_for(world: World, ask: Ask) -> None:
    """Somebody asks for this move, and may hear that it cannot be."""
    wish = SteeringWish(permit_post_copy=ask.post_copy, auto_converge=ask.auto_converge)
    guest = uuid_of(ask.guest)
    request = LiveMigrate(asked=ASKED, instance_uuid=guest, host=ask.to, steering=wish)
    try:
        await world.api.live_migrate_instance(request)
    except GodwitError as error:
        world.journal.note(f"people hear: {error.reason.code}")


async def strike(world: World, fault: Fault) -> None:
    """Let it happen, and be over after its time."""
    world.journal.note(f"strikes: {fault}")
    await STRIKES[fault.kind](world, fault)


def _seat(world: World, fault: Fault) -> Seat:
    return world.seats[fault.where]


def _machine(world: World, fault: Fault) -> Machine:
    return world.machines[HostName(fault.where)]


async def _conductor_dies(world: World, fault: Fault) -> None:
    process = _seat(world, fault).process
    if process is not None:
        process.kill()
    await asyncio.sleep(fault.for_s)
    world.begin_conductor(_seat(world, fault))


async def _conductor_stops(world: World, fault: Fault) -> None:
    """It hands its stories over, and its process ends soon after."""
    seat = _seat(world, fault)
    process = seat.process
    if process is None or seat.conductor is None or not process.alive:
        return
    if seat.exchange is not None:
        await seat.exchange.stop_answering(within_s=DRAIN_S)
    seat.conductor.stop()
    await asyncio.sleep(GRACE_S)
    process.kill()
    await asyncio.sleep(fault.for_s)
    world.begin_conductor(seat)


async def _conductor_dies_at_record(world: World, fault: Fault) -> None:
    seat = _seat(world, fault)
    if seat.shelf is not None:
        seat.shelf.ordeal = Ordeal(Moment(fault.detail), fault.count)
    await asyncio.sleep(DEATHS_S)
    if seat.shelf is not None:
        seat.shelf.ordeal = None
    world.begin_conductor(seat)


async def _conductor_stands_still_at_record(world: World, fault: Fault) -> None:
    seat = _seat(world, fault)
    if seat.shelf is not None:
        seat.shelf.ordeal = Ordeal(Moment(fault.detail), fault.count, fault.for_s)
    await asyncio.sleep(DEATHS_S)
    if seat.shelf is not None:
        seat.shelf.ordeal = None


async def _conductor_stands_still(world: World, fault: Fault) -> None:
    process = _seat(world, fault).process
    if process is not None:
        process.stand_still(fault.for_s)


async def _clock_jumps(world: World, fault: Fault) -> None:
    _seat(world, fault).clock.set_by_s += fault.count


async def _agent_dies(world: World, fault: Fault) -> None:
    machine = _machine(world, fault)
    machine.kill_agent()
    await asyncio.sleep(fault.for_s)
    machine.start_agent()


async def _agent_dies_at_act(world: World, fault: Fault) -> None:
    machine = _machine(world, fault)
    if machine.agent is not None:
        machine.agent.ordeal = Ordeal(Moment(fault.detail), fault.count)
    await asyncio.sleep(DEATHS_S)
    if machine.agent is not None:
        machine.agent.ordeal = None
    machine.start_agent()


async def _hosts_clock_jumps(world: World, fault: Fault) -> None:
    _machine(world, fault).clock.set_by_s += fault.count


async def _agent_stands_still(world: World, fault: Fault) -> None:
    agent = _machine(world, fault).agent
    if agent is not None:
        agent.process.stand_still(fault.for_s)


async def _store_refuses(world: World, fault: Fault) -> None:
    trouble = _seat(world, fault).trouble if fault.where else world.trouble
    trouble.refuses_until_s = asyncio.get_running_loop().time() + max(30.0, fault.for_s)


async def _store_loses_answers(world: World, fault: Fault) -> None:
    trouble = _seat(world, fault).trouble
    trouble.answers_lost = 0.3
    await asyncio.sleep(fault.for_s)
    trouble.answers_lost = 0.0


async def _link_is_cut(world: World, fault: Fault) -> None:
    others = [*world.seats, PEOPLE] if fault.other == "everybody" else [fault.other]
    for other in others:
        world.bus.cut(fault.where, other)
    await asyncio.sleep(fault.for_s)
    for other in others:
        world.bus.mend(fault.where, other)


async def _bus_goes_down(world: World, fault: Fault) -> None:
    world.bus.go_down()
    await asyncio.sleep(fault.for_s)
    world.bus.come_back()


async def _storm(world: World, fault: Fault) -> None:
    world.bus.weather = STORM
    await asyncio.sleep(fault.for_s)
    world.bus.weather = world.plan.weather


async def _call_goes_wrong(world: World, fault: Fault) -> None:
    world.fleet.inject(
        of_hypervisor.Fault(
            host=HostName(fault.where),
            call=fault.other,
            kind=of_hypervisor.FaultKind(fault.detail),
            times=fault.count,
            hang_s=fault.for_s,
        )
    )


async def _hypervisor_unreachable(world: World, fault: Fault) -> None:
    world.fleet.disconnect(HostName(fault.where))
    await asyncio.sleep(fault.for_s)
    world.fleet.reconnect(HostName(fault.where))


async def _transfer_goes_wrong(world: World, fault: Fault) -> None:
    how = of_hypervisor.TransferFault(fault.detail)
    world.fleet.break_transfer(uuid_of(int(fault.where)), how)


async def _transfer_process_dies(world: World, fault: Fault) -> None:
    """The one that moves this guest now, or the next that does so soon."""
    until_s = asyncio.get_running_loop().time() + DEATHS_S
    while asyncio.get_running_loop().time() < until_s:
        for machine in world.machines.values():
            if machine.transfers.kill(uuid_of(int(fault.where))):
                world.journal.note(f"the transfer process at {machine.host} dies")
                return
        await asyncio.sleep(MEETS_S)


async def _migration_network_is_cut(world: World, fault: Fault) -> None:
    world.fleet.migration_network_is_cut = True
    await asyncio.sleep(fault.for_s)
    world.fleet.migration_network_is_cut = False


async def _host_dies(world: World, fault: Fault) -> None:
    machine = _machine(world, fault)
    machine.power_off()
    await asyncio.sleep(fault.for_s)
    machine.power_on()


async def _host_is_confirmed_down(world: World, fault: Fault) -> None:
    """By somebody who has looked: a host that has power again by then is not."""
    machine = _machine(world, fault)
    machine.power_off()
    await asyncio.sleep(CONFIRMED_AFTER_S)
    if not world.fleet.is_up(machine.host):
        ask = ConfirmPower(asked=ASKED, host=machine.host, is_down=True)
        await _asked(world, world.api.confirm_power(ask))
    await asyncio.sleep(fault.for_s - CONFIRMED_AFTER_S)
    machine.power_on()


async def _guest_ends(world: World, fault: Fault) -> None:
    guest = uuid_of(int(fault.where))
    for host in world.fleet.hosts():
        half = world.fleet.half(host, guest)
        if half is not None and half.state is HalfState.RUNNING and half.stream is None:
            world.journal.note(f"guest {fault.where} shuts itself off at {host}")
            world.fleet.power_off_guest(host, guest)


async def _abort(world: World, fault: Fault) -> None:
    for migration in await _moves_of(world, int(fault.where)):
        ask = AbortMigration(asked=ASKED, migration_uuid=migration.uuid)
        await _asked(world, world.api.abort_live_migration(ask))


async def _force(world: World, fault: Fault) -> None:
    for migration in await _moves_of(world, int(fault.where)):
        ask = ForceComplete(asked=ASKED, migration_uuid=migration.uuid)
        await _asked(world, world.api.force_complete_live_migration(ask))


async def _disable(world: World, fault: Fault) -> None:
    ask = SetHostEnabled(asked=ASKED, host=HostName(fault.where), enabled=False)
    await _asked(world, world.api.set_host_enabled(ask))


async def enable_all(world: World) -> None:
    """Every host takes guests again."""
    for host in world.machines:
        ask = SetHostEnabled(asked=ASKED, host=host, enabled=True)
        await _asked(world, world.api.set_host_enabled(ask))


async def confirm_all_up(world: World) -> None:
    """Every host takes part again."""
    for host in world.machines:
        ask = ConfirmPower(asked=ASKED, host=host, is_down=False)
        await _asked(world, world.api.confirm_power(ask))


async def _moves_of(world: World, number: int) -> list[Migration]:
    found = await world.store.queries.read(lambda c: OF_GUEST.all(c, guest=uuid_of(number)))
    return [migration for migration in found if migration.status not in FINAL]


async def _asked(world: World, request: Awaitable[object]) -> None:
    """People may be refused, or hear nothing."""
    try:
        await request
    except GodwitError as error:
        world.journal.note(f"people hear: {error.reason.code}")


STRIKES: Final[Mapping[Kind, Callable[[World, Fault], Awaitable[None]]]] = {
    Kind.CONDUCTOR_DIES: _conductor_dies,
    Kind.CONDUCTOR_STOPS: _conductor_stops,
    Kind.CONDUCTOR_DIES_AT_RECORD: _conductor_dies_at_record,
    Kind.CONDUCTOR_STANDS_STILL: _conductor_stands_still,
    Kind.CONDUCTOR_STANDS_STILL_AT_RECORD: _conductor_stands_still_at_record,
    Kind.CONDUCTOR_CLOCK_JUMPS: _clock_jumps,
    Kind.AGENT_DIES: _agent_dies,
    Kind.AGENT_DIES_AT_ACT: _agent_dies_at_act,
    Kind.AGENT_STANDS_STILL: _agent_stands_still,
    Kind.AGENT_CLOCK_JUMPS: _hosts_clock_jumps,
    Kind.STORE_REFUSES: _store_refuses,
    Kind.STORE_REFUSES_ONE: _store_refuses,
    Kind.STORE_LOSES_ANSWERS: _store_loses_answers,
    Kind.LINK_IS_CUT: _link_is_cut,
    Kind.BUS_GOES_DOWN: _bus_goes_down,
    Kind.WEATHER: _storm,
    Kind.HYPERVISOR_CALL: _call_goes_wrong,
    Kind.HYPERVISOR_UNREACHABLE: _hypervisor_unreachable,
    Kind.TRANSFER: _transfer_goes_wrong,
    Kind.TRANSFER_PROCESS_DIES: _transfer_process_dies,
    Kind.MIGRATION_NETWORK_CUT: _migration_network_is_cut,
    Kind.HOST_DIES: _host_dies,
    Kind.HOST_IS_CONFIRMED_DOWN: _host_is_confirmed_down,
    Kind.GUEST_ENDS: _guest_ends,
    Kind.ABORT: _abort,
    Kind.FORCE: _force,
    Kind.DISABLE: _disable,
}
