"""A process of the lab that dies by itself is told apart from one that was killed, and replaced."""

from __future__ import annotations

import os
import signal

from godwit.lab import deaths
from godwit.lab.guest import GuestSpec, domain_state, start_guest
from godwit.lab.lab import Lab
from godwit.lab.processes import run, wait_until
from godwit.lab.restore import switch_on

LIMIT_S = 60.0


def test_a_libvirtd_that_crashed_is_named_with_its_last_words_and_started_again(lab: Lab) -> None:
    killed, crashed = lab.hosts[:2]
    before = deaths.mark(lab)
    killed.kill_libvirtd()
    killed.start_libvirtd()
    assert deaths.deaths_since(lab, before) == []
    assert crashed.libvirtd_pid is not None
    os.kill(crashed.libvirtd_pid, signal.SIGABRT)
    wait_until(
        lambda: deaths.deaths_since(lab, before) != [], what="it to be told", timeout_s=LIMIT_S
    )
    told = deaths.deaths_since(lab, before)
    assert told[0] == f"{crashed.name}: libvirtd died by itself: SIGABRT"
    assert [line for line in told if line.startswith("---")] == [
        f"--- the end of libvirtd.out of {crashed.name}",
        f"--- the end of libvirtd.log of {crashed.name}",
    ]
    switch_on(lab)
    assert run(["virsh", "-c", crashed.uri, "hostname"]).stdout.strip() == crashed.name


def test_a_qemu_that_crashed_is_named_and_one_that_was_killed_is_not(lab: Lab) -> None:
    host = lab.hosts[0]
    before = deaths.mark(lab)
    for name in ("killed", "crashed"):
        start_guest(host, GuestSpec(name))
    host.kill_qemu("killed")
    (pid,) = host.qemu_pids("crashed")
    os.kill(pid, signal.SIGKILL)
    for name in ("killed", "crashed"):
        wait_until(
            lambda name=name: domain_state(host, name) == "shut off (crashed)",  # type: ignore[misc]
            what=f"{name} to be missed",
            timeout_s=LIMIT_S,
        )
    told = [line for line in deaths.deaths_since(lab, before) if line.startswith(host.name)]
    assert told == [f"{host.name}: the QEMU of crashed died by itself"]
