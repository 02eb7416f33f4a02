"""One simulated process: it can be killed, and it can stand still for a while.

What a process does to others goes through `passing`: a dead process does nothing any more, one that
stands still does it later, as after a SIGSTOP or a long pause of its machine.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from godwit.sim.journal import Journal


class Process:
    """One life of one process. `place` is where it stands in the network."""

    def __init__(self, name: str, place: str, *, tasks: asyncio.TaskGroup, journal: Journal):
        """Nothing runs yet. `tasks` outlives every process."""
        self.name = name
        self.place = place
        self.alive = True
        self._tasks = tasks
        self._journal = journal
        self._running: dict[asyncio.Task[Any], None] = {}
        self._still_until_s = 0.0

    def create_task(
        self, work: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> asyncio.Task[Any]:
        """Do this until it ends or the process dies."""
        task = self._tasks.create_task(work, name=name)
        if self.alive:
            self._running[task] = None
            task.add_done_callback(lambda done: self._running.pop(done, None))
        else:
            task.cancel()
        return task

    async def passing(self) -> None:
        """Before anything leaves the process, and after anything has come in."""
        still_s = self._still_until_s - asyncio.get_running_loop().time()
        if self.alive and still_s > 0:
            await asyncio.sleep(still_s)
        if not self.alive:
            raise asyncio.CancelledError

    def stand_still(self, for_s: float) -> None:
        """It neither says nor hears anything for so long, and does not notice."""
        self._journal.note(f"{self.name} stands still for {for_s:.1f} s")
        self._still_until_s = asyncio.get_running_loop().time() + for_s

    def begin_again(self) -> None:
        """Its next life."""
        self.alive = True

    def kill(self) -> None:
        """As `kill -9`: nothing it held in memory is left."""
        if self.alive:
            self._journal.note(f"{self.name} dies")
            self.alive = False
            for task in list(self._running):
                task.cancel()
