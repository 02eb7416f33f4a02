"""Plays one cell on a scene: a guest, the moment, the acts, and what must be so when all is over.

The guest's heartbeat decides where it ran, when, and whether it ran once; the record is compared
with that, never the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec
from tests.kills.cells import Act, Cell, Kind, Place, Verb
from tests.kills.moments import Held, Missed, facts_of
from tests.kills.results import Outcome, Result
from tests.kills.scene import DESTINATION, SOURCE, Scene
from tests.lab.asking import now_s
from tests.lab.serve_records import Migration
from tests.lab.whole import RUSHING, is_known, roomy, set_pace, shared_disk, small_disk, start

from godwit.cli.transport import Unanswered
from godwit.lab.errors import LabError
from godwit.lab.guest import GuestSpec, domain_state
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.restore import restore
from godwit.runtime.clock import SystemClock, iso

STORY_LIMIT_S = 420.0
"""A broken post-copy is tried for some minutes before a person is asked."""
KNOWN_LIMIT_S = 120.0
RESTORES = 3
UNDISTURBED_MAX = 4
EVIDENCE_LINES = 16
RETRIES = "/proc/sys/net/ipv4/tcp_retries2"


@dataclass(frozen=True)
class Limits:
    """What a fault may cost, in seconds. The defaults are what we promise."""

    felt_s: float = 0.5
    """More silence than of an undisturbed move. Whoever waits for a time-out waits longer."""
    takeover_s: float = 10.0


PROMISED = Limits()
SHARED_BOX = Limits(felt_s=2.0, takeover_s=30.0)
"""Where two labs share two cores, any guest and any process stands still for as long."""


class Player:
    """Plays cells, one after another, on one scene."""

    def __init__(self, scene: Scene, limits: Limits = PROMISED) -> None:
        self._scene = scene
        self._limits = limits
        self._count = 0

    def warm_up(self) -> None:
        """Move a guest there and back: the first move between two new hosts takes its time."""
        scene, spec = self._scene, self._spec(Kind.PLAIN)
        start(scene.host(SOURCE), (spec,))
        scene.until(f"{spec.name} to be known", is_known(scene, spec), timeout_s=KNOWN_LIMIT_S)
        for name in (DESTINATION, SOURCE):
            scene.moved(spec.name, name)
        restored(scene)

    def play(self, cell: Cell) -> Result:
        """What came of it. The lab is as it was found; the cluster may not have got over it."""
        began_s = now_s()
        result = Result(cell.name, Outcome.MISSED, at=iso(SystemClock().now_s()))
        try:
            result = self._play(cell, result)
        except Missed as missed:
            result = msgspec.structs.replace(result, problems=(str(missed),))
        except (AssertionError, LabError, OSError, RuntimeError, Unanswered) as error:
            problem = f"{type(error).__name__}: {error}"[:2000]
            result = msgspec.structs.replace(
                result, outcome=Outcome.FAILED, problems=(problem,), migration=self._uuid()
            )
        try:
            if result.outcome is Outcome.FAILED:
                result = msgspec.structs.replace(result, evidence=self._evidence())
        finally:
            self._scene.give_everything_back()
            restored(self._scene)
        return msgspec.structs.replace(result, took_s=round(now_s() - began_s, 1))

    def _evidence(self) -> tuple[str, ...]:
        """The end of the timeline, and the guest at both hosts; as far as that can be had."""
        scene, said = self._scene, list[str]()
        for name in (SOURCE, DESTINATION):
            with suppress(LabError):
                said.append(f"{name}: {domain_state(scene.host(name), scene.guest)}")
        with suppress(OSError, AssertionError, Unanswered, KeyError):
            for entry in scene.timeline(self._uuid())[-EVIDENCE_LINES:]:
                said.append(" ".join(str(entry[key]) for key in ("at", "step", "what", "words")))
        return tuple(said)

    def _uuid(self) -> str:
        return self._scene.migration_uuid

    def _play(self, cell: Cell, result: Result) -> Result:
        scene = self._scene
        spec = self._spec(cell.kind)
        scene.new_guest(spec.name)
        scene.make_sure_all_run()
        scene.until("no server to be known", scene.forgets_all, timeout_s=KNOWN_LIMIT_S)
        with Heartbeats(scene.lab, [spec.name]) as beats, soon_noticed(scene, cell.kind):
            start(scene.host(SOURCE), (spec,))
            beats.wait(spec.name, SOURCE)
            scene.until(f"{spec.name} to be known", is_known(scene, spec), timeout_s=KNOWN_LIMIT_S)
            held, began_s = Held(scene, beats), now_s()
            try:
                held.enter(cell.moment, cell.kind)
                hit_at = iso(SystemClock().now_s())
                self._do(cell.acts, held)
            finally:
                held.release()
            result = msgspec.structs.replace(
                result, proof=held.proof, outcome=Outcome.FAILED, migration=scene.migration_uuid
            )
            return self._judge(cell, spec, beats, result, began_s, hit_at)

    def _spec(self, kind: Kind) -> GuestSpec:
        self._count += 1
        name = f"g{self._count}"
        match kind:
            case Kind.PLAIN:
                return roomy(name)
            case Kind.SHARED:
                return roomy(name, shared_disk(name))
            case Kind.LOCAL:
                return roomy(name, small_disk(name))
            case Kind.POST_COPY:
                return roomy(name, set_mib=40)

    def _do(self, acts: tuple[Act, ...], held: Held) -> None:
        scene = self._scene
        for act in acts:
            time.sleep(act.after_s)
            if act.verb is Verb.RELEASE:
                held.release()
            elif act.verb is Verb.ABORT:
                path = f"/godwit/v1/migrations/{scene.migration_uuid}/abort"
                scene.send("POST", path, {"reason": "table of faults"})
            elif act.on is not None:
                scene.act(act.verb, act.on)
        scene.give_everything_back()

    # --- what must be so --------------------------------------------------------------------------

    def _judge(
        self,
        cell: Cell,
        spec: GuestSpec,
        beats: Heartbeats,
        result: Result,
        began_s: float,
        hit_at: str,
    ) -> Result:
        scene = self._scene
        scene.make_sure_all_run()
        migration = self._settled(result.migration, Place.PERSON in cell.expected.places)
        place = place_of(migration)
        gap_s = beats.longest_gap_s(spec.name, began_s)
        problems = [] if place in cell.expected.places else [f"the story ended as {migration}"]
        problems += beats.check_ran_once(spec.name)
        takeover_s = self._takeover_s(result.migration, hit_at)
        if cell.takes_over and (takeover_s is None or takeover_s > self._limits.takeover_s):
            problems.append(f"taken over after {takeover_s} s")
        if place is Place.ENDED:
            self._nothing_held(spec)
        again_s: float | None = None
        if place in (Place.THERE, Place.HERE):
            enough_s = 0.0 if cell.expected.gap_max_s else gap_s - self._limits.felt_s
            again_s = self._again(spec, beats, place, enough_s)
            problems += beats.check_ran_once(spec.name)
            limit_s = cell.expected.gap_max_s or again_s + self._limits.felt_s
            if gap_s > limit_s:
                problems.append(f"silent for {gap_s:.2f} s, at most {limit_s:.2f} s are right")
        return msgspec.structs.replace(
            result,
            outcome=Outcome.FAILED if problems else Outcome.PASSED,
            problems=tuple(problems),
            place=place,
            code=migration.reason.code if migration.reason else "",
            gap_s=round(gap_s, 3),
            undisturbed_s=round(again_s, 3) if again_s is not None else None,
            takeover_s=takeover_s,
        )

    def _settled(self, uuid: str, may_ask: bool) -> Migration:
        """The migration once its story has ended; where that is right, once a person is
        asked.
        """
        scene = self._scene

        def is_over() -> bool:
            try:
                migration = scene.migration(uuid)
            except (OSError, AssertionError, Unanswered):
                return False
            asked = may_ask and migration.outcome == "person-needed"
            return migration.direction == "ended" or asked

        with suppress(AssertionError):  # then what it says by now is told
            scene.until(f"migration {uuid} to end", is_over, timeout_s=STORY_LIMIT_S, poll_s=0.2)
        return scene.migration(uuid)

    def _again(self, spec: GuestSpec, beats: Heartbeats, place: Place, enough_s: float) -> float:
        """Nothing is left over, and it moves again at once; its longest silence over such a move.

        A busy box lets a guest stand still now and then: if the silence is shorter than `enough_s`,
        some more moves are looked at.
        """
        scene = self._scene
        here, there = (SOURCE, DESTINATION) if place is Place.HERE else (DESTINATION, SOURCE)
        beats.wait(spec.name, here)
        scene.assert_at_rest({spec: here})
        no_job(scene, spec.name, here)
        set_pace(scene.host(here), RUSHING, spec.name)
        longest_s = 0.0
        for _ in range(UNDISTURBED_MAX):
            began_s = now_s()
            scene.moved(spec.name, there)
            beats.wait(spec.name, there)
            scene.assert_at_rest({spec: there})
            longest_s = max(longest_s, beats.longest_gap_s(spec.name, began_s))
            if longest_s >= enough_s:
                break
            here, there = there, here
        return longest_s

    def _nothing_held(self, spec: GuestSpec) -> None:
        """Of a guest that has ended: no debt, no slot, no task."""
        scene = self._scene
        scene.until("nothing to be owed", scene.owes_nothing)
        server = scene.server(spec.name)
        assert server is not None
        assert server.task_state is None, server
        assert not any(host.usage.transfers for host in scene.hosts().values())

    def _takeover_s(self, uuid: str, hit_at: str) -> float | None:
        """How long after the fault another conductor went on; None if none did."""
        taken = [
            entry["at"] for entry in self._scene.timeline(uuid) if entry["what"] == "taken-over"
        ]
        if not taken:
            return None
        since = datetime.fromisoformat(taken[0]) - datetime.fromisoformat(hit_at)
        return round(since.total_seconds(), 1)


def place_of(migration: Migration) -> Place:
    """Where the guest is by the record. `assert_at_rest` holds that against the hosts."""
    if migration.outcome == "moved-and-ended" or (
        migration.reason is not None and migration.reason.code in ("guest-ended", "guest-stopped")
    ):
        return Place.ENDED
    if migration.outcome == "person-needed":
        return Place.PERSON
    return Place.THERE if migration.status == "completed" else Place.HERE


def restored(scene: Scene) -> None:
    """The lab is as it was found; a busy box may need more than one attempt. LabError at last."""
    for _ in range(RESTORES - 1):
        with suppress(LabError):
            return restore(scene.lab)
    return restore(scene.lab)


def no_job(scene: Scene, guest: str, name: str) -> None:
    """libvirt has no job for it, and QEMU copies no disk; AssertionError otherwise."""
    host = scene.host(name)
    said = facts_of(host.run("virsh", "domjobinfo", guest))
    assert "Job type: None" in said, said


@contextmanager
def soon_noticed(scene: Scene, kind: Kind) -> Iterator[None]:
    """For a post-copy: both hosts give a connection up after a second without an answer."""
    hosts = [scene.host(name) for name in (SOURCE, DESTINATION)] if kind is Kind.POST_COPY else []
    before = [host.run("cat", RETRIES).stdout.strip() for host in hosts]
    for host in hosts:
        host.run("sh", "-c", f"echo 2 > {RETRIES}")
    try:
        yield
    finally:
        for host, value in zip(hosts, before, strict=True):
            if host.is_on:
                host.run("sh", "-c", f"echo {value} > {RETRIES}")
