"""The libvirt definition of a lab guest follows from its specification alone."""

from __future__ import annotations

import uuid
from xml.etree import ElementTree

import pytest

from godwit.lab.errors import LabUsageError
from godwit.lab.guest import DiskPlace, GuestDisk, GuestProgram, GuestSpec, domain_xml

DISKS = (
    GuestDisk("one.qcow2", DiskPlace.SHARED),
    GuestDisk("two.raw", DiskPlace.LOCAL, format="raw"),
)


def definition(spec: GuestSpec) -> ElementTree.Element:
    program = GuestProgram("/srv/shared/program", spec.command_line)
    return ElementTree.fromstring(domain_xml(spec, program))


def test_a_guest_is_told_its_name_rate_and_working_set_at_its_start() -> None:
    spec = GuestSpec("vm1", dirty_pages_per_s=100, working_set_mib=8, disks=DISKS, disk_write_ms=40)
    words = (definition(spec).findtext("os/cmdline") or "").split()
    assert words == ["name=vm1", "heartbeat=20", "rate=100", "set=8", "disk=40"]


def test_a_guest_without_a_disk_writes_to_none() -> None:
    assert (definition(GuestSpec("vm1")).findtext("os/cmdline") or "").endswith("disk=0")


def test_the_machine_is_pinned_so_that_an_older_host_takes_the_guest() -> None:
    machine = definition(GuestSpec("vm1")).find("os/type")
    assert machine is not None
    assert machine.get("machine") == "pc-i440fx-7.2"


def test_disks_appear_in_order_where_the_guest_looks_for_them() -> None:
    disks = definition(GuestSpec("vm1", disks=DISKS)).findall("devices/disk")
    found = [(disk.find("source"), disk.find("target"), disk.find("driver")) for disk in disks]
    words = [
        (source.get("file"), target.get("dev"), target.get("bus"), driver.get("type"))
        for source, target, driver in found
        if source is not None and target is not None and driver is not None
    ]
    assert words == [
        ("/srv/shared/one.qcow2", "hda", "ide", "qcow2"),
        ("/srv/local/two.raw", "hdb", "ide", "raw"),
    ]


@pytest.mark.parametrize("nic", [True, False])
def test_a_network_card_is_there_if_it_is_wanted(nic: bool) -> None:
    cards = definition(GuestSpec("vm1", nic=nic)).findall("devices/interface")
    assert len(cards) == nic


def test_the_heartbeat_file_has_the_same_name_on_every_host_and_is_never_overwritten() -> None:
    source = definition(GuestSpec("vm1")).find("devices/serial/source")
    assert source is not None
    assert (source.get("path"), source.get("append")) == ("/var/log/libvirt/vm1.serial", "on")


def test_the_uuid_follows_from_the_name_unless_it_is_given() -> None:
    given = uuid.UUID(int=7)
    assert GuestSpec("vm1").uuid == GuestSpec("vm1", memory_mib=99).uuid
    assert GuestSpec("vm1").uuid != GuestSpec("vm2").uuid
    assert GuestSpec("vm1", given_uuid=given).uuid == given


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "é", "x" * 64])
def test_a_name_that_is_not_one_plain_word_is_refused(name: str) -> None:
    with pytest.raises(LabUsageError, match="cannot be the name"):
        GuestSpec(name)


def test_two_guests_never_share_a_network_address() -> None:
    addresses = {GuestSpec(f"vm{number}").mac_address for number in range(100)}
    assert len(addresses) == 100
