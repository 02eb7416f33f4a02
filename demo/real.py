"""The story on real hosts: who can go where, three moves, and a fourth through a kill -9."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from demo.control_plane import Console, ControlPlane
from godwit.lab.control_plane import settings_for
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec, create_disk, start_guest
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.lab import Lab

CALM = GuestSpec("calm", disks=(GuestDisk("calm.qcow2", DiskPlace.SHARED),))
LEDGER = GuestSpec("ledger", disks=(GuestDisk("ledger.qcow2", DiskPlace.LOCAL, size_mib=64),))
BUSY = GuestSpec("busy", memory_mib=96, working_set_mib=64, dirty_pages_per_s=400)
WITHOUT_A_POOL = "host-c"
"""Its pool for local disks is stopped: a real reason why `ledger` cannot go there."""

SLOW = "100mbit"
"""The migration network of the fourth act, so that there is a middle to be killed in."""
KILL_MAY_COST_S = 0.5
QUIET_AFTER_COPY_S = 3.0
WAIT_LIMIT_S = 60.0


@dataclass(frozen=True)
class Silence:
    """The longest silence of a guest's heartbeat in a move."""

    longest_s: float
    own_s: float
    """Less what guests that stayed were silent for meanwhile: this machine may stand still, too."""
    where: str
    """Between which beats the longest was, for people."""


@dataclass(frozen=True)
class Row:
    """One move, as the closing table shows it."""

    guest: str
    road: str
    total_s: float
    downtime_ms: int
    silence: Silence
    violations: tuple[str, ...]


def real_story(lab: Lab, folder: Path) -> int:
    """Tell it; 0 only if all ended well and every guest ran on exactly one host throughout."""
    with ExitStack() as stack:
        beats = stack.enter_context(Heartbeats(lab, [CALM.name, LEDGER.name, BUSY.name]))
        say("on host-a: calm (shared disk), ledger (local disk), busy (dirties memory)")
        start_guests(lab, beats)
        plane = ControlPlane(folder, settings_for(lab))
        stack.callback(plane.stop)
        plane.start()
        until(
            "all three guests are known as servers",
            lambda: len(plane.ask("server", "list")["servers"]) >= 3,
        )
        plane.godwit("server", "list")

        say("host-c has no pool for local disks: $ godwit migrate ledger --check")
        refused = check_shows_a_refusal(plane)
        rows = [
            moved(plane, beats, CALM.name, "host-c"),
            moved(plane, beats, LEDGER.name, "host-b"),
        ]
        lab.host("host-a").slow("migration", SLOW)
        lab.host("host-b").slow("migration", SLOW)
        undisturbed = moved(plane, beats, BUSY.name, "host-b")
        killed = moved_through_a_kill(plane, beats, BUSY.name, "host-a")
        rows += [undisturbed, killed]
        return verdict(rows, refused=refused, undisturbed=undisturbed, killed=killed)


def start_guests(lab: Lab, beats: Heartbeats) -> None:
    """All three run at host-a and beat; one host has no place for a copy of a local disk."""
    lab.host(WITHOUT_A_POOL).run("virsh", "-q", "pool-destroy", "local")
    for spec in (CALM, LEDGER, BUSY):
        for disk in spec.disks:
            create_disk(lab.host("host-a"), disk)
        start_guest(lab.host("host-a"), spec)
        beats.wait(spec.name, "host-a")


def check_shows_a_refusal(plane: Console) -> bool:
    """Show the table; true if some host refused, with a reason."""
    plane.godwit("migrate", LEDGER.name, "--check")
    verdicts = plane.ask("migrate", LEDGER.name, "--check")
    codes = {each["code"] for each in verdicts["verdicts"]["refusals"]}
    return codes > {"unable-to-migrate-to-self"}


def moved(plane: Console, beats: Heartbeats, guest: str, to: str) -> Row:
    """Move one guest while everybody watches."""
    say(f"$ godwit migrate {guest} --to {to}")
    began_s = time.monotonic()
    code = plane.godwit("migrate", guest, "--to", to, "--reason", "make demo")
    if code != 0:
        raise RuntimeError(
            f"godwit migrate {guest} ended with exit code {code}\n{plane.last_words()}"
        )
    beats.wait(guest, to)
    return row_of(plane, beats, guest, silence_of(beats, guest, began_s))


def silence_of(beats: Heartbeats, guest: str, began_s: float) -> Silence:
    """How long it was silent at a time, from then until now."""
    gap = beats.longest_gap(guest, began_s)
    if gap is None:
        raise RuntimeError(f"{guest} does not beat")
    place = f"at {gap.before.host}"
    if gap.after.host != gap.before.host:
        place = f"at the switch from {gap.before.host} to {gap.after.host}"
    where = f"{place}, {gap.before.seen_s - began_s:.1f} s after the move was asked for"
    return Silence(gap.length_s, beats.longest_own_gap_s(guest, began_s), where)


def moved_through_a_kill(plane: ControlPlane, beats: Heartbeats, guest: str, to: str) -> Row:
    """Move it, kill the control plane mid-copy, start it again when the guest has arrived."""
    say(f"$ godwit migrate {guest} --to {to} --no-wait, then kill -9 of godwit serve mid-copy")
    began_s = time.monotonic()
    uuid = plane.ask("migrate", guest, "--to", to, "--no-wait")["migration"]["uuid"]
    until("memory is being copied", lambda: is_copying(plane, uuid))
    plane.kill()
    print("godwit serve is dead; the transfer process goes on")
    beats.wait(guest, to, timeout_s=WAIT_LIMIT_S)
    print(f"{guest} beats at {to}; nobody is in charge for another {QUIET_AFTER_COPY_S:.0f} s")
    time.sleep(QUIET_AFTER_COPY_S)
    silence = silence_of(beats, guest, began_s)
    plane.start()
    print("godwit serve is back")
    until("the story has ended", lambda: is_final(plane, uuid))
    plane.godwit("migration", "show", uuid)
    return row_of(plane, beats, guest, silence)


def is_copying(plane: Console, uuid: str) -> bool:
    """Some memory is across, some is not."""
    progress = plane.ask("migration", "show", uuid)["migration"]["progress"] or {}
    return progress.get("phase") == "copying-memory" and progress["memory_processed_bytes"] > 2**20


def is_final(plane: Console, uuid: str) -> bool:
    """The migration has ended, one way or another."""
    status = plane.ask("migration", "show", uuid)["migration"]["status"]
    return status in {"completed", "failed", "cancelled"}


def row_of(plane: Console, beats: Heartbeats, guest: str, silence: Silence) -> Row:
    """What the record and the heartbeat say of the guest's latest migration."""
    migration = plane.ask("migration", "list", "--server", guest)["migrations"][0]
    statistics = migration["statistics"] or {}
    violations = list(beats.check_ran_once(guest))
    last = beats.last(guest)
    if migration["status"] != "completed" or last is None or last.host != migration["destination"]:
        violations.append(f"recorded as {migration['status']} at {migration['destination']}")
    return Row(
        guest=guest,
        road=f"{migration['source']} → {migration['destination']}",
        total_s=(statistics.get("total_ms") or 0) / 1000,
        downtime_ms=statistics.get("downtime_ms") or 0,
        silence=silence,
        violations=tuple(violations),
    )


def verdict(
    rows: list[Row], *, refused: bool, undisturbed: Row, killed: Row, through: str = "the kill -9"
) -> int:
    """Print the closing table and what did not hold; 0 if all of it held."""
    say("what happened, measured from outside by each guest's heartbeat")
    print(
        f"{'guest':8} {'road':18} {'transfer':>8} {'downtime':>9} {'longest gap':>12}"
        "  ran on one host"
    )
    for row in rows:
        once = "no" if row.violations else "yes"
        print(
            f"{row.guest:8} {row.road:18} {row.total_s:6.1f} s {row.downtime_ms:6d} ms "
            f"{row.silence.longest_s * 1000:9.0f} ms  {once}"
        )
    for row in rows:
        if row.silence.longest_s > row.silence.own_s:
            print(
                f"{row.guest}, {row.road}: but for a time in which guests that stayed were silent, "
                f"too, {row.silence.own_s * 1000:.0f} ms: this machine stood still"
            )
    broken = [f"{row.guest}: {violation}" for row in rows for violation in row.violations]
    if not refused:
        broken.append("no host refused ledger")
    if killed.silence.own_s > undisturbed.silence.own_s + KILL_MAY_COST_S:
        broken.append(f"{through} was felt by the guest: silent {killed.silence.where}")
    for line in broken:
        print(f"DID NOT HOLD: {line}")
    if not broken:
        print(f"\nevery guest ran on exactly one host throughout, also through {through}")
    return 1 if broken else 0


def until(what: str, is_so: Callable[[], bool]) -> None:
    """Wait for something to become true; RuntimeError if it does not within a minute."""
    give_up_at = time.monotonic() + WAIT_LIMIT_S
    while not is_so():
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"not within {WAIT_LIMIT_S:.0f} s: {what}")
        time.sleep(0.2)


def say(line: str) -> None:
    """A headline."""
    print(f"\n=== {line}", flush=True)
