"""The sandbox: one process that everything of a lab hangs on, seen from outside.

`run_in_lab` is for a lab that lives as long as one command; `start`, `find`, `enter` and `end` are
for a lab in the background. Whatever kills the sandbox's outer process, SIGKILL too, the kernel
then kills all in its PID namespace; networks, mounts and files, which exist inside it and in memory
alone, go with the last process.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NoReturn

from godwit.lab import settings
from godwit.lab.errors import LabError, LabUsageError
from godwit.lab.keeper import EXIT_INTERRUPTED, READY
from godwit.lab.layout import LAB_VARIABLE, base_folder
from godwit.lab.processes import children_of
from godwit.lab.settings import LabSettings
from godwit.lab.state_file import Note, StateFile, forget, noted_names, read_note

NAMESPACES: Final = ("--mount", "--net", "--pid", "--ipc", "--uts")
PR_SET_PDEATHSIG: Final = 1
INTERRUPTED_GRACE_S: Final = 20.0
END_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class BackgroundLab:
    """A lab in the background: the sandbox's outer process and its PID 1, by the box's numbers."""

    settings: LabSettings
    outer_pid: int
    keeper_pid: int


def run_in_lab(made_with: LabSettings, command: Sequence[str]) -> int:
    """Make a lab, run the command in it, end the lab, return the command's exit code.

    The lab ends with the command, on Ctrl-C (the command has 20 s for an orderly end, a second
    Ctrl-C cuts that short), with this process and with the one that started it, however they die.
    Nothing of it is left when this returns.
    """
    _die_with(os.getppid())()
    # Safe although it runs Python between fork and exec: this process has one thread.
    process = subprocess.Popen(
        _sandbox_command(made_with, command),
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509
    )
    try:
        return _wait_for_the_end(process)
    finally:
        if process.poll() is None:
            _kill_sandbox(process.pid)
            process.wait()


def start(made_with: LabSettings, say: Callable[[str], None]) -> BackgroundLab:
    """Make a lab in the background; return when it is up. LabError if that cannot be."""
    state = StateFile.take(made_with.name)
    process = subprocess.Popen(
        _sandbox_command(made_with, []),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[state.descriptor],
        start_new_session=True,
        text=True,
    )
    try:
        _relay_until_ready(process.stderr, say)
        state.write(Note(process.pid, made_with))
    except BaseException:
        _kill_sandbox(process.pid)
        process.wait()
        state.discard()
        raise
    state.release()
    return BackgroundLab(made_with, process.pid, _child_of(process.pid))


def find(name: str) -> BackgroundLab:
    """The background lab of this name; LabUsageError if there is none."""
    note = read_note(name)
    keeper_pid = _child_of(note.outer_pid) if note else 0
    if note is None or not keeper_pid:
        raise LabUsageError(
            f"there is no lab {name!r}", remedy=f"start one with `godwit lab up --name {name}`"
        )
    return BackgroundLab(note.settings, note.outer_pid, keeper_pid)


def names() -> list[str]:
    """The names of all labs that are up in the background; removes the notes of those that died."""
    return [name for name in noted_names() if read_note(name) is not None]


def enter(lab: BackgroundLab, argv: Sequence[str]) -> NoReturn:
    """Become `argv`, standing where the lab's control plane would stand, in the same folder."""
    os.environ[LAB_VARIABLE] = str(base_folder(lab.settings.name))
    namespaces = ["-m", "-n", "-p", "-i", "-u", f"--wdns={Path.cwd()}"]
    os.execvp("nsenter", ["nsenter", "-t", str(lab.keeper_pid), *namespaces, *argv])


def end(lab: BackgroundLab) -> None:
    """Kill the lab and return when all of it is gone."""
    _kill_sandbox(lab.outer_pid)
    forget(lab.settings.name)


def _wait_for_the_end(process: subprocess.Popen[bytes]) -> int:
    try:
        try:
            return _exit_code(process.wait())
        except KeyboardInterrupt:  # The command had its Ctrl-C by itself.
            return _exit_code(process.wait(timeout=INTERRUPTED_GRACE_S))
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        return EXIT_INTERRUPTED


def _sandbox_command(made_with: LabSettings, command: Sequence[str]) -> list[str]:
    unshare = ["unshare", *NAMESPACES, "--fork", "--mount-proc", "--kill-child"]
    keeper = [sys.executable, "-P", "-m", "godwit.lab.keeper", settings.encode(made_with)]
    return [*unshare, *keeper, *command]


def _die_with(parent_pid: int) -> Callable[[], None]:
    """Something to call in a child: ask the kernel to be killed when that parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # It died before we asked.
            os._exit(EXIT_INTERRUPTED)

    return ask


def _relay_until_ready(output: IO[str] | None, say: Callable[[str], None]) -> None:
    """Pass the keeper's lines on until it says that the lab is up; LabError if it just ends."""
    errors: list[str] = []
    for line in output or ():
        said = line.rstrip().removeprefix("lab: ")
        if said == READY:
            return
        if said.startswith("error: ") or errors:
            errors.append(said.removeprefix("error: "))
        else:
            say(said)
    raise LabError("the lab did not come up: " + ("\n".join(errors) or "its keeper died"))


def _kill_sandbox(outer_pid: int) -> None:
    """Kill the outer process and wait until its PID 1, which goes last, is gone; repeatable."""
    keeper_pid = _child_of(outer_pid)
    try:
        keeper = os.pidfd_open(keeper_pid) if keeper_pid else None
    except ProcessLookupError:
        keeper = None
    with suppress(ProcessLookupError):
        os.kill(outer_pid, signal.SIGKILL)
    if keeper is not None:
        gone, _, _ = select.select([keeper], [], [], END_TIMEOUT_S)
        os.close(keeper)
        if not gone:
            raise LabError(f"the lab's PID 1 ({keeper_pid}) did not end within {END_TIMEOUT_S:g} s")


def _child_of(pid: int) -> int:
    """The only child of the outer process; 0 if it has none (yet, or any more)."""
    return next(iter(children_of(pid)), 0)


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code
