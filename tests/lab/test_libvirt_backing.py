"""Guests that rest on parts of their host: huge pages, a network device, a folder. Each moves where
both ends have the part, and is refused with its code where the destination cannot give it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.libvirt_moves import Move, a_move, run

from godwit.lab.guest import GuestSpec
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.reasons import Code

PAGES = Path("/proc/sys/vm/nr_hugepages")
"""Of the box: hosts of a lab share its kernel, and so its pages."""
PAGE_MIB = 2
ON_HUGE_PAGES = GuestSpec(
    "paged", memory_mib=32, elements=("<memoryBacking><hugepages/></memoryBacking>",)
)
LINK = "up0"
ON_A_LINK = GuestSpec(
    "linked",
    devices=(
        f"<interface type='direct'><mac address='52:54:00:4c:69:6e'/><source dev='{LINK}'"
        " mode='bridge'/><model type='virtio'/></interface>",
    ),
)
WITH_A_FOLDER = GuestSpec(
    "shares",
    elements=("<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",),
    devices=(
        "<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv/shared'/>"
        "<target dir='shared'/></filesystem>",
    ),
)


def test_a_guest_on_huge_pages_moves_where_there_are_enough_of_them(lab: Lab) -> None:
    needed = ON_HUGE_PAGES.memory_mib // PAGE_MIB

    async def test() -> None:
        async with a_move(lab, ON_HUGE_PAGES) as move:
            reserve(needed + 1)
            assert await move.refusals() == [Code.HUGE_PAGES_SHORT]
            reserve(2 * needed + 1)
            await moved(move)

    with huge_pages(lab.hosts[:2], needed + 1):
        run(test())


def test_a_guest_on_a_network_device_moves_where_there_is_one_of_that_name(lab: Lab) -> None:
    here, there = lab.hosts[:2]

    async def test() -> None:
        async with a_move(lab, ON_A_LINK) as move:
            assert await move.refusals() == [Code.LINK_MISSING]
            # The kernel names a tap by its number, for all networks of the box.
            for number in range(8):
                make_link(there, f"spare{number}")
            make_link(there, LINK)
            await moved(move)

    try:
        make_link(here, LINK)
        run(test())
    finally:
        for host in (here, there):
            for name in (LINK, *(f"spare{number}" for number in range(8))):
                host.run("sh", "-c", f"ip link delete {name} 2>/dev/null || true")


def test_a_guest_that_shares_a_folder_with_its_host_stays(lab: Lab) -> None:
    async def test() -> None:
        async with a_move(lab, WITH_A_FOLDER) as move:
            # QEMU says so, too, in words that name no folder.
            assert await move.refusals() == [Code.HOST_FOLDER_SHARED, Code.MIGRATION_BLOCKED]
            move.assert_ran_once()

    run(test())


async def moved(move: Move) -> None:
    """All of the move."""
    await move.prepare()
    assert (await move.transfer_and_let_run()).error == ""
    await move.finish()
    await move.wait_for_beat(move.there)
    move.assert_ran_once()


def make_link(host: LabHost, name: str) -> None:
    """A network device that leads nowhere."""
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    host.run("ip", "link", "set", name, "up")


def reserve(pages: int) -> None:
    """So many huge pages, used ones among them."""
    PAGES.write_text(str(pages))
    assert int(PAGES.read_text()) == pages


@contextmanager
def huge_pages(hosts: tuple[LabHost, ...], pages: int) -> Iterator[None]:
    """Some are reserved, and the hosts' libvirtds have found out where to take them from."""
    before = int(PAGES.read_text())
    try:
        reserve(pages)
        for host in hosts:
            host.run("mount", "--mkdir", "-t", "hugetlbfs", "hugetlbfs", "/dev/hugepages")
            host.stop_libvirtd()
            host.start_libvirtd()
        yield
    finally:
        for host in hosts:
            host.run("umount", "--lazy", "/dev/hugepages")
        PAGES.write_text(str(before))
