"""How a move is brought to a moment, and held there: by freezing whoever must answer next.

Each function returns what proves, on the hosts, that the moment was met; `Missed` if it was not.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Final

from demo.cluster import BUS_PORT
from tests.kills.cells import Kind, Moment, Target
from tests.kills.scene import DESTINATION, SOURCE, Scene
from tests.lab.last_requests import last_requests
from tests.lab.whole import CRAWLING, RUSHING, set_pace

from godwit.cli.transport import Unanswered
from godwit.lab.errors import LabError
from godwit.lab.guest import domain_state
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.processes import freeze, state_of, tcp_connections, thaw

CALLED_LIMIT_S: Final = 30.0
ON_ITS_WAY_MS: Final = 400.0
SWITCH_LIMIT_S: Final = 4.5
PACE_BEFORE_SWITCH: Final = 4
FAR_BEYOND: Final = 1
"""MiB that are across when the copy is taken to be in its middle."""
SLOW: Final = "16mbit"
PERMITTED: Final = {"godwit:steering": {"permit_post_copy": True}}


class Missed(Exception):
    """The moment went by, or did not come: the cell was not run."""


class Held:
    """A move that is held at a moment."""

    def __init__(self, scene: Scene, beats: Heartbeats) -> None:
        self._scene = scene
        self._beats = beats
        self._frozen: set[Target] = set()
        self._crawls = False
        self._slowed = False
        self.proof = ""

    def enter(self, moment: Moment, kind: Kind) -> None:
        """Begin the move and hold it there. Raises `Missed`."""
        try:
            self.proof = ENTER[moment](self, kind)
        except (LabError, AssertionError, Unanswered) as error:
            raise Missed(f"{moment}: {error}".splitlines()[0]) from error

    def release(self) -> None:
        """What held it lets go, but for what the cell itself has hit."""
        scene = self._scene
        for target in sorted(self._frozen - scene.hit):
            thaw(scene.pids_of(target))
        self._frozen = set()
        here = scene.host(SOURCE)
        if self._crawls and not scene.hit & NEEDED_FOR_PACE and here.is_on:
            self._crawls = False
            words = ("virsh", "-q", "migrate-setspeed", scene.guest, str(RUSHING))
            here.run(*words, check=False)
        if self._slowed and here.is_on:
            self._slowed = False
            here.slow("migration", None)

    # --- the moments ------------------------------------------------------------------------------

    def checking(self, _kind: Kind) -> str:
        """The destination has answered its check; the source's agent has not heard of its own."""
        self._freeze(Target.AGENT_SOURCE)
        self._begin()
        return self._called(Target.AGENT_SOURCE, "find_destination")

    def preparing(self, kind: Kind) -> str:
        """The destination's agent has not heard that it is to prepare."""
        self.checking(kind)
        self._freeze(Target.AGENT_DESTINATION)
        self._thaw(Target.AGENT_SOURCE)
        return self._called(Target.AGENT_DESTINATION, "pre_live_migration")

    def copying(self, _kind: Kind) -> str:
        """Some memory is across, by the words of the source's libvirt."""
        self._crawl(CRAWLING)
        self._begin()
        return self._until_copying()

    def switching(self, _kind: Kind) -> str:
        """The destination's libvirtd stands still just before everything is sent."""
        self._crawl(PACE_BEFORE_SWITCH)
        self._begin()
        self._until_copying()
        scene, here = self._scene, self._scene.host(SOURCE)
        self._freeze(Target.LIBVIRTD_DESTINATION)
        set_pace(here, RUSHING, scene.guest)
        self._crawls = False
        there = scene.host(DESTINATION)
        scene.until(
            "the last request after the switch at the source",
            lambda: last_requests(here, there) > 0,
            timeout_s=SWITCH_LIMIT_S,
            poll_s=0.02,
        )
        state = domain_state(here, scene.guest)
        still = all(state_of(pid) == "T" for pid in scene.pids_of(Target.LIBVIRTD_DESTINATION))
        if state != "paused (migrating)" or not still:
            raise Missed(f"switching: the source is {state}, libvirtd there stands still: {still}")
        return f"{SOURCE}: {state}; libvirtd at {DESTINATION} stands still"

    def switched(self, kind: Kind) -> str:
        """The guest beats at the destination, and the source's agent cannot say so."""
        self.copying(kind)
        self._freeze(Target.AGENT_SOURCE)
        beat = self._arrive()
        return f"{beat}; the agent at {SOURCE} stands still"

    def cleaning(self, kind: Kind) -> str:
        """The new host is on record, both ends are asked to tidy, and the source's agent cannot.

        What the destination is told and answers takes so long that the source's agent can be
        stopped in between: both are asked where the guest is just before.
        """
        self.switched(kind)
        scene, there = self._scene, self._scene.host(DESTINATION)
        there.delay("management", delay_ms=ON_ITS_WAY_MS)
        try:
            self._thaw(Target.AGENT_SOURCE)
            self._until_step("post_live_migration_at_destination")
            self._freeze(Target.AGENT_SOURCE)
        finally:
            there.delay("management")
        steps = [name for name, _ in scene.steps(scene.migration_uuid)]
        if "finish" in steps:
            raise Missed("cleaning: all is tidied already")
        state = domain_state(there, scene.guest)
        return f"{DESTINATION}: {state}; the agent at {SOURCE} stands still in {steps[-1]}"

    def post_copy(self, _kind: Kind) -> str:
        """It runs there, and the rest of its memory is on its way."""
        scene, here = self._scene, self._scene.host(SOURCE)
        here.slow("migration", SLOW)
        self._slowed = True
        self._begin(**PERMITTED)
        scene.until(
            "the post-copy to run",
            lambda: domain_state(here, scene.guest) == "paused (post-copy)",
            timeout_s=120.0,
            poll_s=0.05,
        )
        beat = self._beats.wait(scene.guest, DESTINATION)
        state = domain_state(here, scene.guest)
        if state != "paused (post-copy)":
            raise Missed(f"post-copy: the source is {state}")
        return f"{SOURCE}: {state}; beat {beat.sequence} at {DESTINATION}"

    # --- what they are made of --------------------------------------------------------------------

    def _begin(self, **wish: object) -> None:
        scene = self._scene
        scene.migration_uuid = scene.begin(scene.guest, DESTINATION, **wish)

    def _crawl(self, mib_per_s: int) -> None:
        set_pace(self._scene.host(SOURCE), mib_per_s, self._scene.guest)
        self._crawls = True

    def _freeze(self, target: Target) -> None:
        freeze(self._scene.pids_of(target), what=target)
        self._frozen.add(target)

    def _thaw(self, target: Target) -> None:
        thaw(self._scene.pids_of(target))
        self._frozen.discard(target)

    def _until_copying(self) -> str:
        scene, here = self._scene, self._scene.host(SOURCE)
        said: list[str] = []

        def part_is_across() -> bool:
            said.append(facts_of(here.run("virsh", "domjobinfo", scene.guest, check=False)))
            return across_mib(said[-1]) > FAR_BEYOND

        scene.until("memory to be copied", part_is_across, timeout_s=120.0, poll_s=0.05)
        return f"{SOURCE}: {across_mib(said[-1]):.1f} MiB across, the job runs"

    def _arrive(self) -> str:
        set_pace(self._scene.host(SOURCE), RUSHING, self._scene.guest)
        self._crawls = False
        beat = self._beats.wait(self._scene.guest, DESTINATION, timeout_s=120.0)
        return f"beat {beat.sequence} at {DESTINATION}"

    def _until_step(self, step: str) -> None:
        scene = self._scene

        def has_begun() -> bool:
            return (step, "began") in scene.steps(scene.migration_uuid)

        scene.until(f"{step} to begin", has_begun, timeout_s=CALLED_LIMIT_S * 2, poll_s=0.01)

    def _called(self, agent: Target, step: str) -> str:
        """The story is in this step, and the agent, which stands still, has letters unread."""
        scene = self._scene

        def is_called() -> bool:
            begun = [name for name, what in scene.steps(scene.migration_uuid) if what == "began"]
            return begun[-1:] == [step] and unread_bytes(scene.pids_of(agent)) > 0

        try:
            scene.until(f"{agent} to be called in {step}", is_called, timeout_s=CALLED_LIMIT_S)
        except AssertionError as error:
            last = scene.steps(scene.migration_uuid)[-3:]
            unread = unread_bytes(scene.pids_of(agent))
            raise Missed(f"{agent} has {unread} bytes unread in {last}, not {step}") from error
        unread = unread_bytes(scene.pids_of(agent))
        return f"{agent} stands still with {unread} bytes unread: {step}"


def facts_of(done: subprocess.CompletedProcess[str]) -> str:
    """What virsh said, with its columns pushed together."""
    return "\n".join(" ".join(line.split()) for line in done.stdout.splitlines())


def across_mib(said: str) -> float:
    """How much memory is across, by `virsh domjobinfo`."""
    for line in said.splitlines():
        if line.startswith("Memory processed: "):
            number, unit = line.removeprefix("Memory processed: ").split()
            return float(number) * MIB_OF[unit]
    return 0.0


def unread_bytes(pids: list[int]) -> int:
    """What the bus has sent these processes and they have not read: as the kernel counts it."""
    return max((_unread_bytes(pid) for pid in pids), default=0)


def _unread_bytes(pid: int) -> int:
    return sum(each.unread_bytes for each in tcp_connections(pid) if each.peer_port == BUS_PORT)


MIB_OF: Final = {"B": 2**-20, "KiB": 2**-10, "MiB": 1.0, "GiB": 1024.0}
NEEDED_FOR_PACE: Final = frozenset({Target.LIBVIRTD_SOURCE, Target.QEMU_SOURCE, Target.HOST_SOURCE})

ENTER: Final[dict[Moment, Callable[[Held, Kind], str]]] = {
    Moment.CHECKING: Held.checking,
    Moment.PREPARING: Held.preparing,
    Moment.COPYING: Held.copying,
    Moment.SWITCHING: Held.switching,
    Moment.SWITCHED: Held.switched,
    Moment.CLEANING: Held.cleaning,
    Moment.POST_COPY: Held.post_copy,
}
