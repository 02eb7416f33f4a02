"""The lab as an object: `Lab.here()` for whoever stands inside one, `bring_up` for the keeper that
makes it.

A `Lab` holds no state of its own but folder names: everything it says it reads from the kernel or
the lab's folder, so that the tests, the demo and the command line may all hold one of the same lab.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from godwit.lab import capabilities, network, settings
from godwit.lab.certificates import control_plane_folder, lay_out_pki, make_all_certificates
from godwit.lab.errors import LabUsageError
from godwit.lab.host import LabHost
from godwit.lab.layout import LAB_VARIABLE, base_folder, host_layouts
from godwit.lab.settings import LabSettings


@dataclass(frozen=True)
class Lab:
    """One lab, seen from where its control plane stands."""

    base: Path
    settings: LabSettings
    hosts: tuple[LabHost, ...]

    @classmethod
    def here(cls) -> Lab:
        """The lab this process stands in; LabUsageError if it stands in none."""
        base = os.environ.get(LAB_VARIABLE, "")
        if not base or not (Path(base) / settings.FILE_NAME).exists():
            raise LabUsageError(
                "this process does not stand in a lab",
                remedy="start it with: godwit lab run -- CMD; in a lab that is up: lab exec -- CMD",
            )
        return cls.at(Path(base))

    @classmethod
    def at(cls, base: Path) -> Lab:
        """The lab whose files are in `base`."""
        made_with = settings.read(base)
        layouts = host_layouts(base, made_with.hosts)
        return cls(base, made_with, tuple(LabHost(layout, made_with, base) for layout in layouts))

    @property
    def name(self) -> str:
        """What `--name` said."""
        return self.settings.name

    @property
    def shared(self) -> Path:
        """The folder every host sees as /srv/shared."""
        return self.base / "shared"

    @property
    def pkipath(self) -> Path:
        """The control plane's client certificate, in a folder as libvirt's `pkipath` wants it."""
        return control_plane_folder(self.base)

    def host(self, name: str) -> LabHost:
        """The host of this name; LabUsageError naming those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabUsageError(
            f"there is no host {name!r} in lab {self.name!r}",
            remedy="its hosts are " + ", ".join(host.name for host in self.hosts),
        )


def bring_up(made_with: LabSettings, say: Callable[[str], None]) -> Lab:
    """Make a lab in the sandbox this process is PID 1 of; return when every libvirtd listens.

    Called once, by the keeper, which has mounted the lab's folder. Nothing is undone on failure:
    the keeper ends then, and everything with it.
    """
    started = time.monotonic()
    base = base_folder(made_with.name)
    layouts = host_layouts(base, made_with.hosts)
    (base / "shared").mkdir(exist_ok=True)
    make_all_certificates(base, layouts)
    lay_out_pki(control_plane_folder(base), Path("/etc/pki"))
    network.make_switches()
    settings.write(base, made_with)
    lab = Lab.at(base)
    seeded = [capabilities.seed(layout) for layout in layouts]
    if not all(seeded):
        say("asking QEMU what it can do (once on this box, takes some seconds)")
    first, *others = lab.hosts
    with ThreadPoolExecutor(max_workers=len(lab.hosts)) as workers:
        list(workers.map(LabHost.power_on, lab.hosts))
    if first.ask_what_qemu_can_do():
        for other in others:
            capabilities.seed(other.layout)
    say(f"{len(lab.hosts)} hosts up in {time.monotonic() - started:.1f} s")
    return lab
