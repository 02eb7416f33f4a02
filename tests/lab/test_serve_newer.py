"""Hosts of different versions behind one Godwit: what really moves between them, and what does not.

Only after `godwit lab fetch`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.whole import Site, guests, local_disk, shared_disk

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec
from godwit.lab.layout import Software

pytest_plugins = ["tests.lab.serve_fixtures"]

OLDER, NEWER = "host-a", "host-b"


@pytest.fixture
def mixed(site: Site) -> Iterator[Site]:
    """`host-b` has a newer libvirt and QEMU than the others, and the record says so."""
    site.host(NEWER).change_software(Software.NEWER)
    site.until("the newer host to be heard", lambda: version(site, NEWER) > version(site, OLDER))
    yield site
    site.host(NEWER).change_software(Software.STOCK)
    site.until("its old self to be heard", lambda: version(site, NEWER) == version(site, OLDER))


def version(site: Site, host: str) -> int:
    """The QEMU of a host, as Godwit has it on record; 0 while it does not answer."""
    seen = site.hosts()[host]
    if seen.facts is None or seen.trouble:
        return 0
    return int(seen.facts["hypervisor_version"])


def test_between_versions_the_machine_and_the_cpu_decide(mixed: Site) -> None:
    pinned = GuestSpec("pinned", disks=(shared_disk("pinned"), local_disk("pinned-too")))
    machine = GuestSpec("too-new", machine="pc")
    known = GuestSpec("feature", cpu_features=("rdpid",))
    unknown = GuestSpec("stranger", cpu_features=("cmpccxadd",))
    changing = GuestSpec("changing", cpu="maximum")  # libvirt would move it, as another CPU
    forgotten = GuestSpec("forgotten", cpu="host-model")  # pcommit is gone from newer QEMUs
    born_newer = (machine, known, unknown, changing)
    with guests(mixed, a=(pinned, forgotten), b=born_newer) as beats:
        mixed.moved(pinned.name, NEWER)
        mixed.moved(pinned.name, OLDER)
        assert beats.hosts_of(pinned.name) == [OLDER, NEWER, OLDER]
        refused(mixed, machine, "machine-type-unsupported", "pc-i440fx-10.0")
        refused(mixed, known, "invalid-cpu-info", "rdpid")
        refused(mixed, unknown, "invalid-cpu-info", "cmpccxadd")
        refused(mixed, changing, "invalid-cpu-info", "7.2")
        refused(mixed, forgotten, "invalid-cpu-info", "pcommit", to=NEWER)
        places = dict.fromkeys(born_newer, NEWER)
        mixed.assert_at_rest({pinned: OLDER, forgotten: OLDER, **places})


def refused(site: Site, spec: GuestSpec, code: str, named: str, to: str = OLDER) -> None:
    """Both the dry run and the move are refused by that host, with what is missing."""
    for options in (("--check",), ()):
        typed = site.plane.typed("migrate", spec.name, "--to", to, *options)
        said = typed.stdout + typed.stderr
        assert typed.returncode == Exit.REFUSED, said
        assert code in said
        assert named in said
