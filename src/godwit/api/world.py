"""The world of the API: what its resources may use. Made once by `app.make_app`, found through the
request.
"""

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request

from godwit.model.host import Host
from godwit.rpc.conductor import ComputeTaskApi
from godwit.runtime.clock import Clock
from godwit.runtime.settings import Settings
from godwit.servicegroup import is_up, silent_s
from godwit.store.queries import Queries


@dataclass(frozen=True)
class World:
    """The conductor changes, the queries read; `stopping` ends every long poll at once."""

    conductor: ComputeTaskApi
    queries: Queries
    settings: Settings
    clock: Clock
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def is_up(self, host: Host) -> bool:
        """Does the host report in time, and has it power?"""
        if host.confirmed_down is not None:
            return False
        down_after_s = self.settings.hosts_defaults.down_after_s
        return is_up(host, now_s=self.clock.now_s(), down_after_s=down_after_s)

    def silent_s(self, host: Host) -> float | None:
        """How long the host has not reported; None if it never did."""
        return round(silent_s(host, now_s=self.clock.now_s()), 1) if host.heard_at_s else None


def world_of(request: Request) -> World:
    """The record of the application that serves this request."""
    found = request.app.state.world
    if not isinstance(found, World):
        raise TypeError("make_app has not set the world")
    return found
