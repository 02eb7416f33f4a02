"""The source's QEMU as a process of this machine: whose it is, and what its death proves."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("libvirt")

from godwit.model.ids import HostName, InstanceUuid
from godwit.runtime.settings import LibvirtHostSettings
from godwit.virt.libvirt.abi import (
    SUSPENDED_MIGRATED,
    Event,
    Paused,
    Running,
    State,
    Stopped,
)
from godwit.virt.libvirt.connection import Connection
from godwit.virt.libvirt.deathwatch import Deathwatch, is_here, qemu_of
from godwit.virt.libvirt.sighting import Reading
from godwit.virt.libvirt.source_events import Heard, after, died_when_all_was_sent

UUID = InstanceUuid("11111111-2222-4333-8444-555555555555")
ANOTHER = InstanceUuid("11111111-2222-4333-8444-666666666666")
HERE = "qemu:///system"

STOPPED_SHUTDOWN, SUSPENDED_IOERROR = 1, 2
SWITCHED: Final = (Event.SUSPENDED, SUSPENDED_MIGRATED)
LEFT: Final = (Event.STOPPED, Stopped.MIGRATED)
ENDED: Final = (Event.STOPPED, STOPPED_SHUTDOWN)
RESUMED: Final = (Event.RESUMED, 0)
STARTED: Final = (Event.STARTED, 0)
READY: Final = Reading(State.PAUSED, Paused.USER)


@contextmanager
def process_of(uuid: InstanceUuid) -> Iterator[subprocess.Popen[bytes]]:
    """A process with such a command line, which has begun; it ends when its input does."""
    command = ["sh", "-c", "echo; read line", "qemu", "-name", "guest=vm1", "-uuid", uuid]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def noted(folder: Path, text: str) -> Path:
    (folder / "vm1.pid").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        (HERE, True),
        ("qemu+unix:///system", True),
        ("qemu:///session", False),
        ("qemu+unix:///system?socket=/run/of/another/machine", False),
        ("qemu+tls://host-a/system", False),
        ("qemu+ssh://root@host-a/system", False),
        ("test:///default", False),
    ],
)
def test_only_the_systems_own_libvirtd_has_its_guests_on_this_machine(uri: str, here: bool) -> None:
    assert is_here(uri) is here


def test_a_qemu_is_known_by_its_pid_file_and_its_command_line(tmp_path: Path) -> None:
    with process_of(UUID) as process:
        handle = qemu_of(UUID, "vm1", pid_files=noted(tmp_path, f"{process.pid}\n"))
        assert handle is not None
        os.close(handle)


def test_a_process_that_is_another_guests_is_not_watched(tmp_path: Path) -> None:
    """As where the number was given to another, or belongs to another PID namespace."""
    with process_of(ANOTHER) as process:
        assert qemu_of(UUID, "vm1", pid_files=noted(tmp_path, f"{process.pid}")) is None


def test_a_process_that_is_dead_already_is_not_watched(tmp_path: Path) -> None:
    with process_of(UUID) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert qemu_of(UUID, "vm1", pid_files=noted(tmp_path, f"{process.pid}")) is None


@pytest.mark.parametrize("text", ["", "none", "0", "-1", "9" * 30])
def test_a_pid_file_that_names_no_process_is_not_followed(tmp_path: Path, text: str) -> None:
    assert qemu_of(UUID, "vm1", pid_files=noted(tmp_path, text)) is None


def test_without_a_pid_file_nothing_is_watched(tmp_path: Path) -> None:
    assert qemu_of(UUID, "vm1", pid_files=tmp_path) is None


class WatchOf(Deathwatch):
    """Over this process instead of a QEMU."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(HERE)
        self._watch(os.pidfd_open(process.pid))


def test_the_death_is_seen_at_once_and_stays_seen() -> None:
    async def test() -> None:
        with process_of(UUID) as process:
            watch = WatchOf(process)
            process.kill()
            assert await watch.sees_it_die()
            assert await watch.sees_it_die()
            watch.close()

    asyncio.run(test())


def test_a_source_that_is_reached_over_the_network_is_never_seen_to_die() -> None:
    async def test() -> None:
        watch = Deathwatch("qemu+tls://host-a/system")
        source = Connection(HostName("host-a"), LibvirtHostSettings(uri="test:///default"))
        await watch.begin(source, UUID)
        assert not await watch.sees_it_die()
        watch.close()
        await source.close()

    asyncio.run(test())


def heard(*events: tuple[Event, int]) -> Heard:
    so_far = Heard()
    for event, detail in events:
        so_far = after(so_far, event, detail)
    return so_far


@pytest.mark.parametrize(
    ("events", "proven"),
    [
        ((SWITCHED,), True),
        ((SWITCHED, LEFT), True),
        ((RESUMED, SWITCHED), True),
        ((), False),
        ((LEFT,), False),
        (((Event.SUSPENDED, SUSPENDED_IOERROR),), False),
        ((SWITCHED, RESUMED), False),
        ((SWITCHED, RESUMED, SWITCHED), False),
        ((SWITCHED, ENDED), False),
        ((ENDED, STARTED, SWITCHED), False),
        ((SWITCHED, STARTED), False),
    ],
    ids=[
        "switched",
        "switched and left",
        "resumed by its operator before the switch",
        "it died in the copy",
        "left unseen",
        "stopped by its disk",
        "taken back",
        "taken back, told by two connections",
        "ended in the window",
        "the QEMU that died was another one",
        "started again",
    ],
)
def test_a_dead_source_proves_something_only_if_it_never_ran_after_the_switch(
    events: tuple[tuple[Event, int], ...], proven: bool
) -> None:
    assert died_when_all_was_sent(heard(*events), READY, deaf=False) is proven


@pytest.mark.parametrize(
    "there",
    [
        None,
        Reading(State.PAUSED, Paused.MIGRATION),
        Reading(State.PAUSED, Paused.STARTING_UP),
        Reading(State.PAUSED, Paused.IOERROR),
        Reading(State.RUNNING, Running.MIGRATED),
    ],
    ids=["absent", "half a guest", "not begun", "it has run", "it runs"],
)
def test_whatever_has_not_all_of_the_guest_is_not_let_run(there: Reading | None) -> None:
    assert not died_when_all_was_sent(heard(SWITCHED), there, deaf=False)


def test_a_connection_that_broke_may_have_kept_a_taking_back_from_us() -> None:
    assert not died_when_all_was_sent(heard(SWITCHED), READY, deaf=True)
