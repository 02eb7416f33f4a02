"""The disk that holds Godwit's state is really full while a guest moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lab.whole import CRAWLING, RUSHING, Site, guests, roomy, set_pace

from godwit.lab.processes import run

pytest_plugins = ["tests.lab.serve_fixtures"]

SIZE = "4m"
TAKEN_UP_SOON = "lease_s = 5.0\n"
"""A story that could not be written down is left alone until its lease is over."""
PIECE = bytes(4096)


def test_a_guest_runs_and_its_story_goes_on_when_the_full_state_disk_has_room(
    site: Site, tmp_path: Path
) -> None:
    """All of it is sent, and it runs at its destination, while nothing can be written down."""
    spec = roomy("patient")
    here = site.host("host-a")
    with a_small_state_disk(site, tmp_path), guests(site, a=(spec,)) as beats:
        set_pace(here, CRAWLING, spec.name)
        uuid = site.begin(spec.name, "host-b")
        site.until_copying(uuid, sent_mib=1)
        with no_room_left(site):
            beats.wait(spec.name, here.name)
            set_pace(here, RUSHING, spec.name)
            site.until("it to be noticed", lambda: "is full" in log_of(site))
            beats.wait(spec.name, "host-b")
        migration = site.ended(uuid)
        assert migration.status == "completed", site.story(migration)
        assert beats.hosts_of(spec.name) == ["host-a", "host-b"]
        site.assert_at_rest({spec: "host-b"})


@contextmanager
def a_small_state_disk(site: Site, folder: Path) -> Iterator[None]:
    """Another control plane, whose record is on a disk of its own, in place of the usual one."""
    usual, state = site.plane, folder / "state"
    usual.stop()
    site.plane = site.plane_in(folder, migration=TAKEN_UP_SOON)
    state.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(state)])
    try:
        site.make_ready()
        yield
    finally:
        site.plane.stop()
        site.plane = usual
        run(["umount", str(state)])


@contextmanager
def no_room_left(site: Site) -> Iterator[None]:
    """Not one more page fits on it."""
    filler = site.plane.folder / "state/filler"
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(filler).free:  # What is written down meanwhile takes and gives.
            with suppress(OSError):
                file.write(PIECE)
    try:
        yield
    finally:
        filler.unlink()


def log_of(site: Site) -> str:
    """All that the control plane has said."""
    return (site.plane.folder / "serve.log").read_text(errors="replace")
