"""`kill -9` of `godwit serve` while it makes a server: nothing is left of it, or all of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.whole import IMAGE, Site

from godwit.lab.guest import create_disk, known_guests
from godwit.lab.guest_program import PLACE_ON_HOSTS, install_guest_program
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]

CREATE = ("server", "create", "own", "--flavor", "tiny", "--image", "tiny", "--host", "host-b")


def test_a_creation_that_is_cut_short_leaves_nothing_or_the_server_and_can_be_repeated(
    site: Site,
) -> None:
    host = site.host("host-b")
    a_full_image(host)
    kill_while_creating(site, lambda: bool(its_disks(site)))
    site.until("it to be gone or whole", lambda: site.server("own") is None or is_active(site))
    if is_active(site):  # killed late, by a busy machine
        assert site.plane.typed("server", "delete", "own").returncode == 0
    assert (known_guests(host), host.qemu_pids(), its_disks(site)) == ([], [], [])
    assert site.claimed(host.name) == (0, 0, 0)

    kill_while_creating(site, lambda: bool(host.qemu_pids()))
    site.until("it to be whole", lambda: is_active(site))
    assert (known_guests(host), len(its_disks(site))) == (["own"], 1)
    assert site.plane.typed("server", "delete", "own").returncode == 0
    assert (known_guests(host), host.qemu_pids(), its_disks(site)) == ([], [], [])


def a_full_image(host: LabHost) -> None:
    """To copy it takes long enough to be met in the middle of it."""
    install_guest_program(host.shared)
    create_disk(host, IMAGE)
    host.run("qemu-io", "-c", f"write -P 0x5a 0 {IMAGE.size_mib}M", IMAGE.path)


def kill_while_creating(site: Site, has_come: Callable[[], bool]) -> None:
    """Ask for the server, kill the control plane at that moment, and start it again."""
    with ThreadPoolExecutor(1) as typing:
        creation = typing.submit(site.plane.typed, *CREATE)
        site.until("it to be half made", has_come, poll_s=0.005)
        site.plane.kill()
        creation.result()  # An error, unless a busy machine has killed it late.
    site.plane.start()


def its_disks(site: Site) -> list[str]:
    """The files in the shared folder, but for those that stood there before."""
    before = {Path(IMAGE.path).name, Path(PLACE_ON_HOSTS).name}
    return [file.name for file in site.lab.shared.iterdir() if file.name not in before]


def is_active(site: Site) -> bool:
    """Does the record say so?"""
    server = site.server("own")
    return server is not None and server.status == "ACTIVE"
