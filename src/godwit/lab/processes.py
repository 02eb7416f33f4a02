"""Runs the small programs the lab is made of (ip, openssl, nsenter ...) and waits for conditions,
always with a limit.

Also the one place that reads /proc: which processes a host has, and whether one is still there.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from godwit.lab.errors import LabCommandFailed, LabError

RUN_TIMEOUT_S: Final = 60.0
FREEZE_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.005

CLEAN_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""What programs of a lab host see; the caller's proxies and locales must not leak in."""


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = RUN_TIMEOUT_S,
    check: bool = True,
    stdin_text: str = "",
    environment: Mapping[str, str] = CLEAN_ENVIRONMENT,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output.

    LabCommandFailed when it takes longer than `timeout_s` (it is killed then), when it is not there
    or, with `check`, when it ends with an error.
    """
    try:
        result = subprocess.run(
            list(argv),
            input=stdin_text,
            text=True,
            errors="replace",
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=dict(environment),
        )
    except subprocess.TimeoutExpired as expired:
        raise LabCommandFailed(f"no end after {timeout_s:g} s: {shlex.join(argv)}") from expired
    except FileNotFoundError as missing:
        raise LabCommandFailed(f"not installed: {argv[0]}") from missing
    if check and result.returncode != 0:
        said = (result.stderr or result.stdout).strip()[-2000:]
        raise LabCommandFailed(f"exit code {result.returncode}: {shlex.join(argv)}\n{said}")
    return result


def wait_until(condition: Callable[[], bool], *, what: str, timeout_s: float) -> None:
    """Return as soon as the condition holds; LabError naming `what` if that takes too long."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(POLL_S)


def freeze(pids: Sequence[int], *, what: str) -> None:
    """Make processes stand still, and return when they do; LabError if there are none."""
    if not pids:
        raise LabError(f"there is no {what}")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(
        lambda: all(state_of(pid) in {"T", ""} for pid in pids),
        what=f"{what} to stand still",
        timeout_s=FREEZE_TIMEOUT_S,
    )


def thaw(pids: Sequence[int]) -> None:
    """Let processes go on; harmless to those that were not frozen, or are gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    """Is there such a process, other than a dead one nobody has reaped yet?"""
    return state_of(pid) not in {"", "Z", "X"}


def state_of(pid: int) -> str:
    """The kernel's letter (R, S, T for stopped, Z for dead); empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def is_namespace_init(pid: int) -> bool:
    """Is this a living PID 1 of a namespace below ours, not a number that was given out again?"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next(
        (line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), []
    )
    return len(numbers) > 1 and numbers[-1] == "1" and is_alive(pid)


def pids_in_namespace_of(init_pid: int) -> list[int]:
    """All processes in the PID namespace of `init_pid`, by the numbers we see, lowest first."""
    namespace = _pid_namespace(init_pid)
    if not namespace:
        return []
    return [pid for pid in _all_pids() if _pid_namespace(pid) == namespace]


def pids_ending_in(words: list[str]) -> list[int]:
    """All living processes whose command line ends in these words, lowest first."""
    found = (pid for pid in _all_pids() if arguments_of(pid)[-len(words) :] == words)
    return [pid for pid in found if is_alive(pid)]


def children_of(pid: int) -> list[int]:
    """The children of a process with one thread, oldest first; empty if it is gone."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def program_of(pid: int) -> str:
    """The first 15 letters of the program's name; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def arguments_of(pid: int) -> list[str]:
    """The command line of a process; empty if it is gone or dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def listens_on_tcp(pid: int, port: int) -> bool:
    """Does anything listen on this TCP port where `pid` is? Works for a host that is cut off."""
    try:
        table = Path(f"/proc/{pid}/net/tcp").read_text()
    except OSError:
        return False
    rows = (line.split() for line in table.splitlines()[1:])
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


class TcpConnection(NamedTuple):
    """One IPv4 connection, and what has come through it that nobody has read yet."""

    port: int
    peer_address: str
    peer_port: int
    unread_bytes: int


def tcp_connections(pid: int) -> list[TcpConnection]:
    """The TCP connections where `pid` is; none if it is gone."""
    try:
        table = Path(f"/proc/{pid}/net/tcp").read_text()
    except OSError:
        return []
    rows = (line.split() for line in table.splitlines()[1:])
    return [_connection(row) for row in rows if row[3] == "01"]


def _connection(row: list[str]) -> TcpConnection:
    (_, port), (address, peer_port) = row[1].split(":"), row[2].split(":")
    peer = ".".join(str(octet) for octet in reversed(bytes.fromhex(address)))
    unread = row[4].partition(":")[2]
    return TcpConnection(int(port, 16), peer, int(peer_port, 16), int(unread, 16))


def _all_pids() -> list[int]:
    return sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
