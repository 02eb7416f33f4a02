"""What a step's do gives to be written along with its record, each in few statements: on a server
every one is a way there and back. Called by `sql` in transactions.
"""

from typing import Final

from godwit.model.ids import MigrationUuid
from godwit.model.instance import vm_state_of
from godwit.model.migration import FINAL, IllegalTransition, MigrationStatus, advance
from godwit.saga.log import Recorded, Story
from godwit.store import claims, moves, servers, slots, stories
from godwit.store.interface import Ending, HoldSource, MigrationChanges, NewHost
from godwit.store.statements import Connection

S = MigrationStatus

ARRIVING: Final = (S.RUNNING, S.POST_MIGRATING)
"""A guest may have moved before anybody could write `running`."""


def record(
    connection: Connection, story: Story, happened: stories.Happening, *, at: str
) -> Recorded:
    """See `SagaLog.record`. The record's own fence holds for what is written along, too."""
    if _gives_slots_back(happened.along):
        slots.LOCK.hold(connection)
    recorded = stories.record(connection, story, happened, at=at)
    if happened.along is None or recorded.abort is not None:
        return recorded
    uuid = MigrationUuid(story.uuid)
    match happened.along:
        case MigrationChanges() as changes:
            moves.write_changes(connection, uuid, changes, at)
        case HoldSource():
            _hold_source(connection, uuid)
        case NewHost() as arrival:
            return Recorded(woken=_arrive(connection, uuid, arrival, at))
        case Ending() as ending:
            return Recorded(woken=_end(connection, uuid, ending, at))
        case unknown:
            raise AssertionError(f"{unknown!r} cannot be written along with a record")
    return recorded


def _hold_source(connection: Connection, uuid: MigrationUuid) -> None:
    if claims.hold_source(connection, uuid):
        return
    move = moves.standing(connection, uuid)
    if not claims.has(connection, uuid, move.source_compute):
        instance = servers.get(connection, move.instance_uuid)
        claims.put(connection, uuid, move.source_compute, claims.share_of(instance))


def _arrive(
    connection: Connection, uuid: MigrationUuid, arrival: NewHost, at: str
) -> tuple[str, ...]:
    given: dict[str, object] = {
        "dest_compute": arrival.host,
        "dest_node": arrival.node,
        "person_needed": False,
    }
    if arrival.statistics is not None:
        given["statistics"] = arrival.statistics
    if not moves.go_on(connection, uuid, *ARRIVING, **given, updated_at=at):
        move = moves.standing(connection, uuid)
        raise IllegalTransition(f"migration {uuid}: {move.status} -> {ARRIVING[-1]}")
    moved: dict[str, object] = {"host": arrival.host, "node": arrival.node, "updated_at": at}
    if arrival.end is not None and (state := arrival.end.power_state) is not None:
        moved |= {"power_state": state, "vm_state": vm_state_of(state)}
    _change_server(connection, uuid, **moved)
    claims.only_at_home(connection, uuid)
    return slots.give_back(connection, uuid)


def _end(connection: Connection, uuid: MigrationUuid, ending: Ending, at: str) -> tuple[str, ...]:
    if ending.status not in FINAL:
        raise AssertionError(f"migration {uuid} cannot end as {ending.status}")
    said: dict[str, object] = {"reason": ending.reason, "person_needed": False, "updated_at": at}
    if not moves.go_on(connection, uuid, ending.status, **said):
        advance(moves.get(connection, uuid), ending.status)
        return ()
    _change_server(connection, uuid, task_state=None, updated_at=at)
    claims.only_at_home(connection, uuid)
    if ending.end is not None:
        server = moves.get(connection, uuid).instance_uuid
        servers.record_end(connection, server, ending.end, at=at)
    return slots.give_back(connection, uuid) if _gives_slots_back(ending) else ()


def _gives_slots_back(along: object) -> bool:
    """A move that is completed has none any more: they went with the record of the new host."""
    completed = isinstance(along, Ending) and along.status is S.COMPLETED
    return isinstance(along, NewHost | Ending) and not completed


def _change_server(connection: Connection, uuid: MigrationUuid, **given: object) -> None:
    """Raises `NotFound`."""
    if not servers.change_of(connection, uuid, **given):
        servers.get(connection, moves.get(connection, uuid).instance_uuid)
