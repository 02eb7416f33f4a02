"""Opens a connection in a child process first, which can be killed if libvirtd does not answer.

`libvirt.open` waits without a limit, and would hold its thread for good. Called by `connection`, in
a thread.
"""

import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

OPENING: Final = "import sys, libvirt; print(flush=True); libvirt.open(sys.argv[1]).close()"
START_LIMIT_S: Final = 10.0


def can_be_opened(uri: str, limit_s: float) -> bool:
    """False if opening hangs. An error that comes in time is left to the real attempt."""
    return ends_in_time([sys.executable, "-c", OPENING, uri], limit_s)


def ends_in_time(command: Sequence[str], limit_s: float) -> bool:
    """Does the command end, in whatever way, so soon after its first word? Else it is killed.

    How long it takes to begin says how busy this machine is, not whether a host answers.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        select.select([child.stdout], [], [], START_LIMIT_S)  # type: ignore[type-var]  # a pipe
        try:
            child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            return False
        return True
