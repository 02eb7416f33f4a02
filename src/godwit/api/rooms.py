"""What every resource may use: one record, made by `app.make_app`, found through the request."""

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request

from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.store.queries import Queries


@dataclass(frozen=True)
class Rooms:
    """The conductor changes, the queries read; `stopping` ends every long poll at once."""

    conductor: ComputeTaskApi
    queries: Queries
    settings: Settings
    clock: Clock
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def rooms(request: Request) -> Rooms:
    """The record of the application that serves this request."""
    found = request.app.state.rooms
    if not isinstance(found, Rooms):
        raise TypeError("make_app has not set the rooms")
    return found


def link(request: Request, path: str) -> str:
    """`path` as a full address, as the client reached us."""
    return str(request.base_url).rstrip("/") + path
