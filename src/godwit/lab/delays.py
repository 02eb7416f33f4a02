"""Packets of one network of a host held back and lost, by a process on that host
(`lab/delay_line.py`) that the firewall asks about each of them. Called by `host`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import Final

from godwit.lab.delay_line import READY
from godwit.lab.errors import LabError
from godwit.lab.layout import HostLayout, Network
from godwit.lab.processes import (
    CLEAN_ENVIRONMENT,
    arguments_of,
    is_alive,
    pids_in_namespace_of,
    run,
    wait_until,
)

MODULE: Final = "godwit.lab.delay_line"
START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 30.0


def delay(
    host: HostLayout, init_pid: int, network: Network, *, delay_ms: float, loss_percent: float
) -> None:
    """Hold every packet back so long, in each direction, and lose so many; what was set before is
    taken away. LabError where there is no iptables.
    """
    if shutil.which("iptables", path=CLEAN_ENVIRONMENT["PATH"]) is None:
        raise LabError("there is no iptables on this box", remedy="apt-get install iptables")
    end_delay(init_pid, network)
    inside = ["nsenter", "-t", str(init_pid), "-m", "-u", "-i", "-n", "-p", "--wd=/"]
    words = [str(_number(network)), str(delay_ms), str(loss_percent)]
    said = host.folder / f"delay-{network.short}.out"
    with said.open("wb") as log:
        subprocess.run(
            [*inside, "setsid", "-f", sys.executable, "-m", MODULE, *words],
            env=CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            timeout=START_TIMEOUT_S,
        )
    wait_until(
        lambda: READY in said.read_text().split(),
        what=f"packets of {host.name} to be held back",
        timeout_s=START_TIMEOUT_S,
    )
    for rule in _rules(network):
        run([*_firewall(init_pid), "-A", *rule])


def end_delay(init_pid: int, network: Network) -> None:
    """Let packets pass again; harmless if they do."""
    lines = delay_lines(init_pid, network)
    for rule in _rules(network) if lines else ():
        run([*_firewall(init_pid), "-D", *rule], check=False)
    for pid in lines:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not any(is_alive(pid) for pid in lines),
        what="packets to pass again",
        timeout_s=END_TIMEOUT_S,
    )


def delay_lines(init_pid: int, network: Network) -> list[int]:
    """The processes of this host that hold packets of that network back."""
    begun = [MODULE, str(_number(network))]
    here = pids_in_namespace_of(init_pid)
    return [pid for pid in here if arguments_of(pid)[2:4] == begun and is_alive(pid)]


def _rules(network: Network) -> list[list[str]]:
    queue = ["-j", "NFQUEUE", "--queue-num", str(_number(network)), "--queue-bypass"]
    return [
        ["INPUT", "-i", network.device, *queue],
        ["OUTPUT", "-o", network.device, *queue],
    ]


def _number(network: Network) -> int:
    return list(Network).index(network) + 1


def _firewall(init_pid: int) -> list[str]:
    return ["nsenter", "-t", str(init_pid), "-n", "iptables", "-w"]
