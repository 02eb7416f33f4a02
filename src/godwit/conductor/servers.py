"""Servers of our own: made, deleted, forgotten. Called by the manager.

Small on purpose: enough to have something to move. A server is claimed before it is made, and a
claim that leads to nothing is given back.
"""

from typing import Final

import structlog
from msgspec.structs import replace

from godwit.conductor.alarms import refuse_if_alarmed
from godwit.conductor.groups import group_of
from godwit.conductor.requests import known_server
from godwit.conductor.tasks.checks import considered, no_valid_host
from godwit.conductor.tasks.find_destination import described, needs_at
from godwit.conductor.world import World
from godwit.model.audit import Mismatch
from godwit.model.errors import BadRequest, Conflict, GodwitError
from godwit.model.host import HostFacts
from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Guest, Instance, PowerState, TaskState, VmState
from godwit.model.reasons import Code, reason
from godwit.model.refusals import by_themselves, grouped
from godwit.model.rehearsal import is_twin
from godwit.model.request_spec import RequestSpec
from godwit.rpc.compute import Destroyed, DestroyGuest, SpawnGuest
from godwit.rpc.conductor import CreateServer, ForServer
from godwit.runtime.clock import iso
from godwit.runtime.ids import new_uuid
from godwit.runtime.settings import FlavorSettings, ImageSettings
from godwit.scheduler.filters import PLACING
from godwit.scheduler.select import select_destinations

NAME_BYTES_MAX: Final = 200
"""libvirt makes file names of it, each with something added."""

log = structlog.get_logger()


async def create(world: World, ask: CreateServer) -> Instance:
    """The server as made, running on the best host, or on the named one.

    Raises `BadRequest` (name, flavor, image, host), `Refused` (no-valid-host), `Conflict` (the name
    is taken), or what the host said; what was made, the record and the claim are gone then, or go
    when the host answers again.
    """
    _check_name(ask.name)
    flavor, image = _flavor(world, ask.flavor), _image(world, ask.image)
    instance = _new_instance(world, ask, flavor)
    host, spec = await _place(world, instance, ask)
    instance = replace(instance, host=host.name, node=host.node)
    group = await group_of(world, instance)
    world.being_made.add(instance.uuid)
    await world.store.create_instance(instance, needs_at(spec, host, group))
    try:
        await world.compute(host.name).spawn_guest(
            SpawnGuest(
                instance=instance,
                image_path=image.path,
                disk_mib=flavor.disk_mib,
                kernel=image.kernel,
                command_line=image.command_line,
            )
        )
    except GodwitError:
        await _unmake(world, instance)
        raise
    await world.store.finish_instance(instance.uuid, _as_made(instance))
    return await known_server(world, instance.uuid)


async def delete(world: World, ask: ForServer) -> Destroyed:
    """Guest, its own disk and the record are gone; the answer names the disks that were left.

    Raises `NotFound`, or `Conflict` (discovered, in a task, or runs twice).

    If the host does not answer the server stays `deleting`, and `delete` may be asked again.
    """
    instance = await known_server(world, ask.instance_uuid)
    if instance.discovered:
        raise Conflict(reason(Code.SERVER_DISCOVERED, server=instance.name))
    await refuse_if_alarmed(world, instance, Mismatch.RUNS_TWICE)
    if instance.task_state is not TaskState.DELETING:
        instance = await world.store.begin_delete(instance.uuid)
    ask_host = DestroyGuest(instance_uuid=instance.uuid)
    destroyed = await world.compute(instance.host).destroy_guest(ask_host)
    await world.store.remove_instance(instance.uuid)
    return destroyed


async def forget(world: World, ask: ForServer) -> None:
    """The record is gone and the guest is left alone. Raises `NotFound`, or `Conflict` (made by
    Godwit and not missing, or migrating).
    """
    instance = await known_server(world, ask.instance_uuid)
    if instance.task_state is TaskState.SPAWNING:
        said = reason(Code.SERVER_BEING_MADE, server=instance.name, host=instance.host)
        raise Conflict(said)
    if not instance.discovered and instance.vm_state is not VmState.MISSING:
        raise Conflict(reason(Code.SERVER_STILL_THERE, server=instance.name))
    await world.store.remove_instance(instance.uuid)


async def _place(
    world: World, instance: Instance, ask: CreateServer
) -> tuple[HostFacts, RequestSpec]:
    """The best host for a new guest, and the question it answered."""
    states = await world.hosts.now()
    if ask.host is not None and ask.host not in {state.name for state in states}:
        raise BadRequest(reason(Code.HOST_UNKNOWN, name=ask.host))
    anywhere = next((state.facts for state in states if state.facts is not None), None)
    if anywhere is None:
        raise no_valid_host(())
    group = await group_of(world, instance)
    spec = RequestSpec(
        instance=replace(instance, group=group.name),
        source=anywhere,  # a new guest comes from nowhere: no filter of PLACING looks at it
        requested_host=ask.host,
        group_policy=group.policy,
        group_hosts=group.hosts,
    )
    selection = select_destinations(spec, states, filters=PLACING)
    if not selection.hosts:
        raise no_valid_host(grouped(by_themselves(considered(selection.refusals))))
    return described(states, selection.hosts[0]), spec


async def _unmake(world: World, instance: Instance) -> None:
    """Undo of a spawn that failed: what is left of the guest, then record and claim.

    A host that does not answer now keeps what it has, and the record stays: the host's reports have
    it settled, as that of an earlier life (`reports`).
    """
    ask_host = DestroyGuest(instance_uuid=instance.uuid, half_made=True)
    try:
        await world.compute(instance.host).destroy_guest(ask_host)
    except GodwitError as error:
        log.warning("half-made server left", server=instance.uuid, words=error.reason.words)
        world.being_made.discard(instance.uuid)
        return
    await world.store.finish_instance(instance.uuid, None)


def _check_name(name: str) -> None:
    """Only what every hypervisor takes for a name. Raises `BadRequest`."""
    fits = 0 < len(name.encode()) <= NAME_BYTES_MAX and name.isprintable()
    plain = name == name.strip() and name[:1] not in ("-", "<") and name not in (".", "..")
    if not fits or not plain or "/" in name or is_twin(name):
        raise BadRequest(
            reason(
                Code.INVALID_INPUT,
                field="name",
                problem=f"{name!r} is not allowed",
                expected=f"allowed: printable characters without '/', at most {NAME_BYTES_MAX} "
                "bytes, not beginning with '-', '<' or a space, not '.', '..' or the name of a "
                "rehearsal's twin",
            )
        )


def _new_instance(world: World, ask: CreateServer, flavor: FlavorSettings) -> Instance:
    now = iso(world.clock.now_s())
    return Instance(
        uuid=InstanceUuid(new_uuid()),
        name=ask.name,
        host=HostName(""),  # known once it is placed
        node="",
        vm_state=VmState.BUILDING,
        power_state=PowerState.NOSTATE,
        task_state=TaskState.SPAWNING,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        discovered=False,
        flavor=ask.flavor,
        image=ask.image,
        created_at=now,
        updated_at=now,
    )


def _as_made(instance: Instance) -> Guest:
    """What was asked for; the host's next report says what it really is."""
    return Guest(
        uuid=instance.uuid,
        name=instance.name,
        power_state=PowerState.RUNNING,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
    )


def _flavor(world: World, name: str) -> FlavorSettings:
    if name not in world.settings.flavors:
        raise BadRequest(reason(Code.FLAVOR_UNKNOWN, flavor=name))
    return world.settings.flavors[name]


def _image(world: World, name: str) -> ImageSettings:
    if name not in world.settings.images:
        raise BadRequest(reason(Code.IMAGE_UNKNOWN, image=name))
    return world.settings.images[name]
