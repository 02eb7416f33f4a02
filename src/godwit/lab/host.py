"""One lab host: switch it on and off, stop and start its libvirtd, cut its cables, run something.

A host is a set of namespaces around its own PID 1, which is the power cord: when it is killed,
libvirtd and every guest of the host die with it. All calls block, all have a limit, and all are for
processes that stand in the lab (see `Lab.here`).
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from godwit.lab import boot, capabilities, delays, network
from godwit.lab.certificates import control_plane_folder
from godwit.lab.errors import LabError
from godwit.lab.layout import (
    BEGAN,
    ENDED,
    KILLED,
    LIBVIRTD,
    TLS_PORT,
    HostLayout,
    Network,
    Software,
)
from godwit.lab.processes import (
    CLEAN_ENVIRONMENT,
    RUN_TIMEOUT_S,
    arguments_of,
    freeze,
    is_alive,
    is_namespace_init,
    listens_on_tcp,
    pids_in_namespace_of,
    program_of,
    run,
    thaw,
    wait_until,
)
from godwit.lab.settings import LabSettings
from godwit.lab.software import check_is_there

START_TIMEOUT_S: Final = 60.0
DEATH_TIMEOUT_S: Final = 30.0
# A libvirtd told to end waits for the migrations it is running (14 s were seen).
STOP_TIMEOUT_S: Final = 60.0
PROBE_TIMEOUT_S: Final = 60.0
KEEPING: Final = f"echo '{BEGAN}'; libvirtd --listen -p /run/libvirtd.pid; echo \"{ENDED}$?\""


@dataclass(frozen=True)
class LabHost:
    """A handle to one host; holds no state of its own, so any number of them may exist."""

    layout: HostLayout
    settings: LabSettings
    base: Path

    @property
    def name(self) -> str:
        """`host-a` to `host-h`; also resolves to the management address inside the lab."""
        return self.layout.name

    @property
    def management_address(self) -> str:
        """Where libvirtd answers."""
        return self.layout.management_address

    @property
    def migration_address(self) -> str:
        """Where guests' memory and disks arrive."""
        return self.layout.migration_address

    @property
    def peer_uri(self) -> str:
        """How another host's libvirtd reaches this one, with that host's own certificate."""
        return f"qemu+tls://{self.management_address}/system"

    @property
    def uri(self) -> str:
        """How the control plane reaches this host's libvirtd, with its own certificate."""
        return f"{self.peer_uri}?pkipath={control_plane_folder(self.base)}"

    @property
    def shared(self) -> Path:
        """The host's /srv/shared, as seen from where the control plane stands."""
        return self.base / "shared"

    @property
    def local(self) -> Path:
        """The host's /srv/local, as seen from where the control plane stands."""
        return self.layout.folder / "srv/local"

    @property
    def log_folder(self) -> Path:
        """The host's /var/log/libvirt, as seen from where the control plane stands."""
        return self.layout.folder / "var/log/libvirt"

    @property
    def libvirtd_log(self) -> Path:
        """What libvirtd logs."""
        return self.log_folder / "libvirtd.log"

    @property
    def diary(self) -> Path:
        """What libvirtd prints, its beginnings and ends, and whom the lab has killed."""
        return self.layout.folder / "libvirtd.out"

    # --- commands on the host ---

    def run(
        self, *argv: str, timeout_s: float = RUN_TIMEOUT_S, check: bool = True, stdin_text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the host to its end.

        LabCommandFailed when it takes longer than `timeout_s` or, with `check`, ends with an error;
        LabError if the host is off.
        """
        return run(self.inside(*argv), timeout_s=timeout_s, check=check, stdin_text=stdin_text)

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` on the host; LabError if the host is off."""
        pid = self._require_init_pid()
        return ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "--wd=/", *argv]

    # --- power ---

    @property
    def is_on(self) -> bool:
        """Is the power on?"""
        return self.init_pid is not None

    @property
    def init_pid(self) -> int | None:
        """PID 1 of the host, by the number it has in the sandbox; None when the power is off."""
        try:
            pid = int(self.layout.init_pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_namespace_init(pid) else None

    def power_on(self) -> None:
        """Switch the host on and wait until its libvirtd listens; nothing happens if it is on.

        All its networks are connected again, at full speed; disks and definitions are as they were.
        """
        if not self.is_on:
            boot.boot(self.layout, self.settings, self.shared)
            self.start_libvirtd()

    def power_off(self, *, silent: bool = True) -> None:
        """Cut the power: every process of the host dies at once; nothing happens if it is off.

        As with a real power cut its peers hear nothing and find out by their own time limits. With
        `silent=False` the kernel closes the connections first, so that peers notice at once.
        """
        pid = self.init_pid
        if pid is None:
            return
        if silent:
            network.unplug(self.layout)
        os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: not is_alive(pid), what=f"{self.name} to lose power", timeout_s=DEATH_TIMEOUT_S
        )
        self.layout.init_pid_file.unlink(missing_ok=True)
        network.unplug(self.layout)

    # --- software ---

    @property
    def software(self) -> Software:
        """The libvirt and QEMU this host has."""
        return self.layout.software

    def change_software(self, software: Software) -> None:
        """Switch the host off, give it another libvirt and QEMU, switch it on.

        Guests running on it end. LabError, with the host as it was, if `godwit lab fetch` has not
        fetched the software.
        """
        check_is_there(software)
        self.power_off(silent=False)
        self.layout.software_file.write_text(software)
        capabilities.seed(self.layout)
        self.power_on()
        self.ask_what_qemu_can_do()

    def ask_what_qemu_can_do(self) -> bool:
        """Let libvirt ask QEMU, or its first real call takes 2 s longer; True if that was new."""
        question = ("virsh", "-q", "capabilities")
        return capabilities.learn(
            self.layout, lambda: self.run(*question, timeout_s=PROBE_TIMEOUT_S)
        )

    # --- libvirtd and QEMU ---

    @property
    def libvirtd_pid(self) -> int | None:
        """libvirtd's process, by the number it has in the sandbox; None if it does not run."""
        return next(iter(self._pids_of("libvirtd")), None)

    def start_libvirtd(self) -> None:
        """Start libvirtd and wait until it listens; nothing happens if it runs."""
        if self.libvirtd_pid is None:
            self._launch_libvirtd()
        init_pid = self._require_init_pid()

        def listens_or_died() -> bool:
            return listens_on_tcp(init_pid, TLS_PORT) or not self._keepers_of_libvirtd()

        what = f"libvirtd of {self.name} to listen"
        wait_until(listens_or_died, what=what, timeout_s=START_TIMEOUT_S)
        if self.libvirtd_pid is None:
            said = self.diary.read_text(errors="replace")[-2000:]
            raise LabError(f"libvirtd of {self.name} ended at once\n{said}")

    def kill_libvirtd(self, signal_number: int = signal.SIGKILL) -> None:
        """Send libvirtd a signal; if it is KILL or TERM, wait for the end. Guests go on running."""
        pid = self.libvirtd_pid
        if pid is None:
            return
        if signal_number == signal.SIGKILL:
            self._write_down(f"{KILLED}{LIBVIRTD}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)
        if signal_number in (signal.SIGKILL, signal.SIGTERM):
            limit_s = STOP_TIMEOUT_S if signal_number == signal.SIGTERM else DEATH_TIMEOUT_S
            what = f"libvirtd of {self.name} to end"
            wait_until(lambda: not self._keepers_of_libvirtd(), what=what, timeout_s=limit_s)

    def stop_libvirtd(self) -> None:
        """Ask libvirtd to end and wait until it has; it finishes its running migrations first."""
        self.kill_libvirtd(signal.SIGTERM)

    def freeze_libvirtd(self) -> None:
        """Make libvirtd stand still without ending it (SIGSTOP); returns when it does."""
        freeze(self._pids_of("libvirtd"), what=f"libvirtd of {self.name}")

    def thaw_libvirtd(self) -> None:
        """Let libvirtd go on (SIGCONT); harmless if it was not frozen."""
        thaw(self._pids_of("libvirtd"))

    def kill_qemu(self, guest: str) -> None:
        """Kill the QEMU of a guest; LabError if there is none."""
        pids = self.qemu_pids(guest)
        if not pids:
            raise LabError(f"there is no QEMU of {guest} on {self.name}")
        self._write_down(f"{KILLED}{guest}")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_all_qemus(self) -> None:
        """Kill every QEMU of the host, if there are any."""
        for guest in {guest_of(arguments_of(pid)) for pid in self.qemu_pids()} - {None}:
            with suppress(LabError):  # It has ended since.
                self.kill_qemu(str(guest))

    def freeze_qemu(self, guest: str) -> None:
        """Make the QEMU of a guest stand still; returns when it does. LabError if there is none."""
        freeze(self.qemu_pids(guest), what=f"QEMU of {guest} on {self.name}")

    def thaw_qemu(self, guest: str) -> None:
        """Let the QEMU of a guest go on; harmless if it was not frozen."""
        thaw(self.qemu_pids(guest))

    def qemu_pids(self, guest: str | None = None) -> list[int]:
        """The QEMU processes of one guest or of all, by the numbers they have in the sandbox."""
        found = self._pids_of("qemu-system-x86")
        if guest is None:
            return found
        return [pid for pid in found if guest_of(arguments_of(pid)) == guest]

    # --- networks ---

    def cut(self, cable: Network | str, *, silent: bool = False) -> None:
        """Cut one network of this host; silent: a black hole that looks connected at both ends."""
        self._require_init_pid()
        network.cut(self.layout, Network(cable), silent=silent)

    def uncut(self, cable: Network | str) -> None:
        """Mend a network, however it was cut; harmless if it was not."""
        self._require_init_pid()
        network.uncut(self.layout, Network(cable))

    def slow(self, cable: Network | str, rate: str | None) -> None:
        """Limit a network of this host in both directions ("50mbit"); None takes the limit away."""
        network.slow(self.layout, self._require_init_pid(), Network(cable), rate)

    def delay(
        self, cable: Network | str, *, delay_ms: float = 0.0, loss_percent: float = 0.0
    ) -> None:
        """Hold each packet of a network back so long, both ways, and lose so many; 0 and 0: none.

        Not for the guests' network, whose packets pass the host below its firewall.
        """
        init_pid = self._require_init_pid()
        if delay_ms or loss_percent:
            delays.delay(
                self.layout, init_pid, Network(cable), delay_ms=delay_ms, loss_percent=loss_percent
            )
        else:
            delays.end_delay(init_pid, Network(cable))

    # --- details ---

    def _launch_libvirtd(self) -> None:
        # A nsenter that waits would stop together with a frozen libvirtd and never reap it: hence
        # setsid, and a shell that tells how it ended.
        what = f"the end of the last libvirtd of {self.name} to be told"
        wait_until(lambda: not self._keepers_of_libvirtd(), what=what, timeout_s=DEATH_TIMEOUT_S)
        with self.diary.open("ab") as log:
            subprocess.run(
                self.inside("setsid", "-f", "sh", "-c", KEEPING),
                env=CLEAN_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=RUN_TIMEOUT_S,
            )

    def _keepers_of_libvirtd(self) -> list[int]:
        """The shell that waits for libvirtd, or what becomes it."""
        init = self.init_pid
        pids = pids_in_namespace_of(init) if init is not None else []
        return [pid for pid in pids if KEEPING in arguments_of(pid) and is_alive(pid)]

    def _write_down(self, line: str) -> None:
        with self.diary.open("a") as diary:
            diary.write(f"{line}\n")

    def _require_init_pid(self) -> int:
        pid = self.init_pid
        if pid is None:
            remedy = f"godwit lab power {self.name} on"
            raise LabError(f"{self.name} is switched off", remedy=remedy)
        return pid

    def _pids_of(self, program: str) -> list[int]:
        init = self.init_pid
        pids = pids_in_namespace_of(init) if init is not None else []
        return [pid for pid in pids if program_of(pid) == program and is_alive(pid)]


def guest_of(arguments: list[str]) -> str | None:
    """The guest a QEMU command line is for: `-name guest=NAME,debug-threads=on`. Pure."""
    named = next((word for word in arguments if word.startswith("guest=")), "")
    return named.removeprefix("guest=").split(",")[0] or None
