"""What a destination says of the files that a guest would bring, asked of libvirt's test host."""

from collections.abc import Iterator
from dataclasses import replace

import libvirt
import pytest

from godwit.model.ids import HostName, InstanceUuid
from godwit.model.instance import Instance, PowerState, VmState
from godwit.virt.libvirt import reads
from godwit.virt.libvirt.check_reads import look_at_destination
from godwit.virt.libvirt.checks import DestinationLook
from godwit.virt.libvirt.reads import HostLook
from godwit.virt.libvirt.xml import Capabilities

GUEST = Instance(
    uuid=InstanceUuid("00000000-0000-0000-0000-000000000001"),
    name="guest-1",
    host=HostName("host-a"),
    node="a",
    vm_state=VmState.ACTIVE,
    power_state=PowerState.RUNNING,
    vcpus=1,
    memory_mib=64,
)
THERE, ABSENT = "/default-pool/there.img", "/default-pool/absent.img"
OFF = "/srv/off/disk.img"
ELSEWHERE = "/nowhere/disk.img"
POOL_OFF = "<pool type='dir'><name>off</name><target><path>/srv/off</path></target></pool>"
VOLUME = "<volume><name>there.img</name><capacity>1048576</capacity></volume>"
NO_HOST = HostLook(
    node="b",
    hypervisor_type="TEST",
    hypervisor_version=2,
    library_version=9_000_000,
    vcpus=1,
    memory_mib=1024,
    free_memory_mib=1024,
    capabilities=Capabilities("i686", cpu_model="", machine_types=(), virtualisation="qemu"),
    pools=(),
    networks=None,
)


@pytest.fixture
def host() -> Iterator[libvirt.virConnect]:
    """The hypervisor. It lives as long as this process: what a test does to it is undone."""
    connection = libvirt.open("test:///default")
    pool = connection.storagePoolLookupByName("default-pool")
    pool.createXML(VOLUME)
    off = connection.storagePoolDefineXML(POOL_OFF)
    yield connection
    for volume in pool.listAllVolumes():
        volume.delete()
    if off.isActive():
        off.destroy()
    off.undefine()
    connection.close()


def looked(host: libvirt.virConnect, before: HostLook) -> tuple[HostLook, DestinationLook]:
    return look_at_destination(host, GUEST, before, [THERE, ABSENT, OFF, ELSEWHERE])


def test_files_are_looked_for_in_every_folder_that_has_an_active_pool(
    host: libvirt.virConnect,
) -> None:
    before = replace(NO_HOST, pools=reads.active_pools(host))
    after, look = looked(host, before)
    assert look.files == {THERE: True, ABSENT: False}
    assert after.pools == reads.active_pools(host)


def test_a_pool_that_has_been_stopped_since_the_look_at_the_host_is_none(
    host: libvirt.virConnect,
) -> None:
    off = host.storagePoolLookupByName("off")
    off.create()
    before = replace(NO_HOST, pools=reads.active_pools(host))
    assert looked(host, before)[1].files == {THERE: True, ABSENT: False, OFF: False}
    off.destroy()
    after, look = looked(host, before)
    assert look.files == {THERE: True, ABSENT: False}
    assert after.pools == reads.active_pools(host)


def test_what_is_free_is_as_of_now_not_as_of_the_look_at_the_host(
    host: libvirt.virConnect,
) -> None:
    pools = reads.active_pools(host)
    older = tuple(replace(pool, free_bytes=1, capacity_bytes=1) for pool in pools)
    after, _ = looked(host, replace(NO_HOST, pools=older))
    assert after.pools == pools


def test_a_network_is_there_while_it_is_active_and_a_card_of_the_host_is_none(
    host: libvirt.virConnect,
) -> None:
    assert [reads.has_network(host, name) for name in ("default", "eth1", "none")] == [
        True,
        False,
        False,
    ]
    network = host.networkLookupByName("default")
    network.destroy()
    try:
        assert not reads.has_network(host, "default")
    finally:
        network.create()
