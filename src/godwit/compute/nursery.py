"""Where transfer processes are born: forked from a small process that has loaded all they need.

To start Python and to load the driver takes each move 0.3 s of two cores; a fork takes 5 ms. The
nursery holds no lock and opens no connection; when its parent goes, it goes, and those it has
forked live on. Used by `process_transfers`; its other end is `transfer_process`.
"""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

COMMAND: Final = (sys.executable, "-m", "godwit.compute.transfer_process")
"""With the number of the socket behind it. Not by way of the command line's verbs: importing all of
them would cost memory."""
ANSWER_S: Final = 10.0
"""So long a fork may take, the nursery's own start included."""
END_S: Final = 5.0


class Nursery:
    """One per server process. Blocking, quick; for one thread at a time."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None

    def start(self) -> None:
        """Start it, unless it runs; does not wait until it is ready."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._door, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.settimeout(ANSWER_S)
        with far:
            self._process = subprocess.Popen(
                [*COMMAND, str(far.fileno())],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def fork(self, folder: Path, lock: int) -> int:
        """The pid of a new process for the transfer of this folder, whose lock is handed to it.

        Raises `OSError` if no answer came. Then a process may have been forked or not: whether one
        lives says the lock alone, which the nursery has let go of when this returns.
        """
        try:
            return self._asked(folder, lock)
        except (BrokenPipeError, ConnectionResetError):
            # It ended before it took the letter: had it read it, there would be an end of file.
            return self._asked(folder, lock)

    def _asked(self, folder: Path, lock: int) -> int:
        self.start()
        door = self._door
        if door is None:
            raise AssertionError("the nursery was started")
        try:
            socket.send_fds(door, [os.fsencode(folder)], [lock])
            answer = door.recv(32)
        except OSError:
            self._end_now()  # what it has not taken out of the socket goes with it
            raise
        if not answer:
            self._end_now()
            raise ChildProcessError(f"no process was forked for {folder.name}")
        return int(answer)

    def close(self) -> None:
        """Let it end. What it has forked lives on."""
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._process is not None:
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._end_now()
            self._process = None

    def _end_now(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
