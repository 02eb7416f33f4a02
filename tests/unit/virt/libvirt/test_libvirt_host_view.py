"""A host is read whole every few seconds at most, unless somebody wants to know it as it is now."""

import asyncio
from dataclasses import replace

from godwit.sim.loop import run
from godwit.virt.libvirt.host_view import KEPT_S, HostView
from godwit.virt.libvirt.reads import HostLook
from godwit.virt.libvirt.xml import Capabilities

LOOK_S = 0.1
EMPTY = HostLook(
    node="a",
    hypervisor_type="QEMU",
    hypervisor_version=7_002_000,
    library_version=9_000_000,
    vcpus=1,
    memory_mib=1024,
    free_memory_mib=1024,
    capabilities=Capabilities("x86_64", cpu_model="", machine_types=(), virtualisation="qemu"),
    pools=(),
    networks=(),
)


class Host:
    """Each look at it finds one more MiB."""

    def __init__(self) -> None:
        self.looks = 0
        self.losses = 0

    async def look(self) -> HostLook:
        self.looks += 1
        seen = replace(EMPTY, free_memory_mib=self.looks)
        await asyncio.sleep(LOOK_S)
        return seen

    def view(self) -> HostView:
        return HostView(self.look, lambda: self.losses)


def test_all_checks_of_a_few_seconds_share_a_look_or_the_one_after_it() -> None:
    host = Host()

    async def main() -> None:
        view = host.view()
        await asyncio.gather(*(view.lately() for _ in range(8)))
        await asyncio.sleep(KEPT_S - 3 * LOOK_S)
        await view.lately()

    run(main())
    assert host.looks == 2


def test_a_whole_look_is_made_again_once_it_is_old_and_for_whoever_asks_for_now() -> None:
    host = Host()

    async def main() -> None:
        view = host.view()
        assert (await view.lately()).free_memory_mib == 1
        assert (await view.now()).free_memory_mib == 2
        assert (await view.lately()).free_memory_mib == 2
        await asyncio.sleep(KEPT_S)
        assert (await view.lately()).free_memory_mib == 3

    run(main())


def test_what_was_read_of_a_libvirtd_that_has_been_away_since_counts_no_more() -> None:
    host = Host()

    async def main() -> None:
        view = host.view()
        await view.lately()
        host.losses += 1
        assert (await view.lately()).free_memory_mib == 2

    run(main())


def test_what_was_read_while_a_libvirtd_was_lost_is_not_kept() -> None:
    host = Host()

    async def main() -> None:
        view = host.view()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(view.lately())
            await asyncio.sleep(LOOK_S / 2)
            host.losses += 1
        await view.lately()

    run(main())
    assert host.looks == 2
