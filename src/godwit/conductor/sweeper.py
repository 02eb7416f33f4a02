"""A conductor as a process holds it: its answers (`manager`) and the sweeper that tells stories,
wired to each other. Made by `service`.
"""

import asyncio
from dataclasses import replace

from godwit.conductor.alarms import look_again_for_ever
from godwit.conductor.manager import ComputeTaskManager
from godwit.conductor.reconciler import reconcile_for_ever
from godwit.conductor.tasks.facts import LiveMigrationFacts
from godwit.conductor.tasks.live_migrate import LIVE_MIGRATION
from godwit.conductor.world import World
from godwit.saga.course import Pace
from godwit.saga.executor import Executor
from godwit.saga.recovery import Sweeper
from godwit.saga.step import Saga


class Conductor:
    """One conductor. `manager` answers at once; stories are told while `run` runs."""

    def __init__(
        self,
        world: World,
        *,
        owner: str,
        alone: bool,
        saga: Saga[World, LiveMigrationFacts] = LIVE_MIGRATION,
    ) -> None:
        """`owner`: a new name for each life of a process. `alone`: no other process can be alive,
        so every story of an earlier life is taken up at once, and every server that one was
        making is settled. `saga`: the table that is told, with eyes on it where somebody watches.
        """
        heard = replace(world, notice=self.notice)
        executor = Executor(
            log=world.store,
            saga=saga,
            world=heard,
            clock=world.clock,
            owner=owner,
            pace=Pace(lease_s=world.settings.migration.lease_s),
        )
        self._sweeper: Sweeper[World, LiveMigrationFacts] = Sweeper(executor, alone=alone)
        self._world = heard
        self._owner = owner
        self.manager = ComputeTaskManager(heard, alone=alone)

    def notice(self, uuid: str) -> None:
        """Have this story told now."""
        self._sweeper.notice(uuid)

    async def run(self) -> None:
        """Tell every story that is due, look after the alarms, and audit in turn with the other
        conductors, until `stop`.
        """
        audits = reconcile_for_ever(self._world, self.manager.audit, owner=self._owner)
        async with asyncio.TaskGroup() as tasks:
            beside = (
                tasks.create_task(look_again_for_ever(self._world), name="alarms"),
                tasks.create_task(audits, name="audits"),
            )
            await self._sweeper.run()
            for task in beside:
                task.cancel()

    def stop(self) -> None:
        """Let `run` end; what is under way is handed over to whoever comes next."""
        self._sweeper.stop()
