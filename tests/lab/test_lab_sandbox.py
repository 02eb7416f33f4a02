"""What the sandbox promises: whatever ends a lab, nothing is left, and it can be found again.

Each test starts small labs of its own, inside the lab it stands in.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from godwit.lab.lab import Lab
from godwit.lab.processes import arguments_of, children_of, is_alive, state_of, wait_until

GODWIT_LAB = [sys.executable, "-m", "godwit.lab"]
END_TIMEOUT_S = 60.0
TEMPORARY = Path("/run/temporary")
"""In this lab's own /run: the box's folder for such files is everybody's, and never at rest."""


def lab_command(*words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """`godwit lab ...` as typed by someone who does not stand in a lab."""
    return subprocess.run(
        [*GODWIT_LAB, *words],
        env=outside(),
        text=True,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )


def start_lab(*command: str) -> subprocess.Popen[bytes]:
    """`godwit lab run --hosts 1 -- COMMAND`, not waited for."""
    words = ["run", "--hosts", "1", "--", *command]
    return subprocess.Popen([*GODWIT_LAB, *words], env=outside())


def outside() -> dict[str, str]:
    """The environment of someone who does not stand in a lab."""
    TEMPORARY.mkdir(exist_ok=True)
    here = {name: value for name, value in os.environ.items() if name != "GODWIT_LAB"}
    return {**here, "TMPDIR": str(TEMPORARY)}


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(below for child in children_of(pid) for below in descendants(child))]


def things_on_this_box() -> dict[str, object]:
    """All that a lab could leave behind, apart from processes."""
    TEMPORARY.mkdir(exist_ok=True)
    return {
        "links": sorted(os.listdir("/sys/class/net")),
        "mounts": Path("/proc/self/mounts").read_text(),
        "labs": sorted(os.listdir("/run/godwit-lab")),
        "temporary files": os.listdir(TEMPORARY),
        "network namespaces": Path("/run/netns").exists() and os.listdir("/run/netns"),
    }


@pytest.fixture
def running(lab: Lab, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A small lab of its own that is up and busy."""
    ready = tmp_path / "ready"
    process = start_lab("sh", "-c", f"touch {ready}; sleep 600")
    wait_until(ready.exists, what="the small lab", timeout_s=120.0)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["godwit lab run", "unshare", "PID 1"])
def test_killing_any_process_a_lab_hangs_on_leaves_nothing(
    running: subprocess.Popen[bytes], depth: int
) -> None:
    before = things_on_this_box()
    processes = descendants(running.pid)
    assert any("libvirtd" in arguments_of(pid) for pid in processes)
    os.kill(processes[depth], signal.SIGKILL)
    wait_until(
        lambda: not any(is_alive(pid) for pid in processes),
        what="every process to be gone",
        timeout_s=END_TIMEOUT_S,
    )
    assert things_on_this_box() == before


def test_a_lab_ends_with_whoever_started_it(lab: Lab, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    words = f"{' '.join(GODWIT_LAB)} run --hosts 1 -- sh -c 'touch {ready}; sleep 600'; true"
    with subprocess.Popen(["sh", "-c", words]) as caller:
        wait_until(ready.exists, what="the small lab", timeout_s=120.0)
        processes = descendants(caller.pid)
        caller.kill()
    wait_until(
        lambda: not any(is_alive(pid) for pid in processes),
        what="every process to be gone",
        timeout_s=END_TIMEOUT_S,
    )


def test_a_command_that_is_interrupted_may_end_its_own_way(lab: Lab, tmp_path: Path) -> None:
    ready, orderly = tmp_path / "ready", tmp_path / "orderly"
    script = f"trap 'touch {orderly}; exit 5' INT; touch {ready}; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [*GODWIT_LAB, "run", "--hosts", "1", "--", "sh", "-c", script], start_new_session=True
    )
    wait_until(ready.exists, what="the small lab", timeout_s=120.0)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=END_TIMEOUT_S) == 5
    assert orderly.exists()


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -TERM $$", 143)])
def test_the_exit_code_of_a_lab_is_that_of_its_command(lab: Lab, command: str, code: int) -> None:
    assert lab_command("run", "--hosts", "1", "--", "sh", "-c", command).returncode == code


def test_a_command_that_is_not_there_is_told_so(lab: Lab) -> None:
    result = lab_command("run", "--hosts", "1", "--", "no-such-command")
    assert result.returncode == 127
    assert "cannot run no-such-command" in result.stderr


def test_a_background_lab_is_found_used_and_removed(lab: Lab) -> None:
    assert lab_command("up", "--name", "second", "--hosts", "2").returncode == 0
    try:
        again = lab_command("up", "--name", "second")
        assert again.returncode == 2
        assert "lab 'second' is up already" in again.stderr
        lab_command("power", "host-b", "off", "--name", "second")
        lab_command("cut", "host-a", "--network", "guests", "--name", "second")
        lab_command("freeze", "host-a", "--name", "second")
        hosts = json.loads(lab_command("status", "--json", "--name", "second").stdout)["hosts"]
        assert [host["is_on"] for host in hosts] == [True, False]
        assert (hosts[0]["cut"], hosts[0]["libvirtd"]) == (["guests"], "frozen")
        said = lab_command("exec", "--name", "second", "host-a", "--", "hostname").stdout
        assert said == "host-a\n"
    finally:
        assert lab_command("down", "--name", "second").returncode == 0
    assert lab_command("status", "--name", "second").returncode == 2
    assert lab_command("down", "--name", "second").returncode == 2
    assert lab_command("down", "--name", "second", "--if-up").returncode == 0


def test_a_lab_whose_hosts_were_all_off_still_reaps_orphans(lab: Lab) -> None:
    assert lab_command("up", "--name", "idle", "--hosts", "1").returncode == 0
    try:
        lab_command("power", "host-a", "off", "--name", "idle")
        lab_command("power", "host-a", "on", "--name", "idle")
        lab_command("power", "host-a", "off", "--name", "idle")
        listed = ["exec", "--name", "idle", "--", "ps", "-e", "-o", "stat="]
        wait_until(
            lambda: "Z" not in lab_command(*listed).stdout, what="no zombies", timeout_s=60.0
        )
    finally:
        lab_command("down", "--name", "idle")


def test_a_background_lab_that_was_killed_is_not_found_and_can_be_started_again(lab: Lab) -> None:
    before = things_on_this_box()
    assert lab_command("up", "--name", "short", "--hosts", "1").returncode == 0
    note = json.loads(Path("/run/godwit-lab/short.json").read_text())
    processes = descendants(note["outer_pid"])
    os.kill(note["outer_pid"], signal.SIGKILL)
    wait_until(
        lambda: all(state_of(pid) == "" for pid in processes),
        what="every process to be gone",
        timeout_s=END_TIMEOUT_S,
    )
    gone = lab_command("status", "--name", "short")
    assert (gone.returncode, "there is no lab 'short'" in gone.stderr) == (2, True)
    assert things_on_this_box() == before
    assert lab_command("up", "--name", "short", "--hosts", "1").returncode == 0
    assert lab_command("down", "--name", "short").returncode == 0
