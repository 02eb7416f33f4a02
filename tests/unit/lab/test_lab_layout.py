"""Names, addresses and texts of a lab: all follow from a host's place, none collide."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from godwit.lab import boot_files, network, settings
from godwit.lab.certificates import request_text
from godwit.lab.errors import LabUsageError
from godwit.lab.keeper import etc_additions
from godwit.lab.layout import HOSTS_MAX, POOLS, Network, Software, check_lab_name, host_layouts
from godwit.lab.settings import LabSettings

HOSTS = host_layouts(Path("/lab"), HOSTS_MAX)
DEVICE_NAME_MAX = 15


def test_hosts_are_named_a_to_h() -> None:
    assert [host.name[-1] for host in HOSTS] == list("abcdefgh")


@pytest.mark.parametrize("hosts", [-1, 0, 9, 100])
def test_a_lab_of_too_few_or_too_many_hosts_is_refused_with_the_allowed_numbers(hosts: int) -> None:
    with pytest.raises(LabUsageError, match="1 to 8 hosts") as refused:
        LabSettings(hosts=hosts).check()
    assert "1 to 8" in refused.value.remedy


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "é", "x" * 33])
def test_a_lab_name_that_is_no_safe_file_name_is_refused(name: str) -> None:
    with pytest.raises(LabUsageError):
        check_lab_name(name)


def test_addresses_uuids_cards_and_ports_are_all_different() -> None:
    ports = {host.switch_port(cable) for host in HOSTS for cable in Network}
    cards = {host.mac_address(cable) for host in HOSTS for cable in Network}
    addresses = {host.management_address for host in HOSTS}
    addresses |= {host.migration_address for host in HOSTS}
    assert [len(ports), len(cards), len(addresses)] == [24, 24, 16]
    assert len({host.uuid for host in HOSTS}) == HOSTS_MAX


def test_device_names_fit_into_what_linux_allows() -> None:
    names = [host.switch_port(cable) for host in HOSTS for cable in Network]
    names += [name for cable in Network for name in (cable.bridge, cable.device)]
    assert max(map(len, names)) <= DEVICE_NAME_MAX


def test_settings_survive_their_way_through_the_command_line() -> None:
    chosen = LabSettings(name="x", hosts=5, keepalive_interval_s=7, keepalive_count=9)
    assert settings.decode(settings.encode(chosen)) == chosen


def test_libvirtd_listens_with_tls_on_the_management_address_and_without_never() -> None:
    lines = boot_files.libvirtd_conf(HOSTS[0], LabSettings()).splitlines()
    wanted = ["listen_tls = 1", "listen_tcp = 0", 'listen_addr = "10.98.0.1"']
    assert [line for line in wanted if line in lines] == wanted


def test_both_configurations_carry_the_chosen_keepalive() -> None:
    chosen = LabSettings(keepalive_interval_s=7, keepalive_count=9)
    for text in (
        boot_files.libvirtd_conf(HOSTS[0], chosen),
        boot_files.qemu_conf(HOSTS[0], chosen),
    ):
        assert "keepalive_interval = 7\nkeepalive_count = 9\n" in text


def test_migrations_arrive_on_the_migration_address() -> None:
    assert 'migration_host = "10.98.1.2"' in boot_files.qemu_conf(HOSTS[1], LabSettings())


def test_a_host_hides_the_labs_keys_only_after_it_has_taken_its_own() -> None:
    lines = boot_files.init_script(HOSTS[0], Path("/lab/shared")).splitlines()
    assert lines.index("mount --bind etc/pki /etc/pki") < lines.index(
        "mount -t tmpfs -o mode=755 tmpfs /run"
    )


def test_the_control_plane_has_an_address_on_the_management_network_alone() -> None:
    addresses = [line for line in network.switches_batch().splitlines() if "address" in line]
    assert addresses == ["address add 10.98.0.254/24 dev br-mgmt"]


def test_every_host_is_plugged_into_every_network() -> None:
    text = network.cables_batch(HOSTS[2], 4711)
    assert text.count("netns 4711") == len(Network)
    assert all(f"master {cable.bridge} up" in text for cable in Network)


def test_cables_that_are_cut_black_or_slowed_are_told_apart_from_those_that_are_whole() -> None:
    ports = """[{"ifname":"host-a-mgmt","state":"forwarding"},
                {"ifname":"host-a-mig","state":"disabled"},{"ifname":"host-a-vm"}]"""
    queues = """[{"kind":"noqueue","dev":"lo","options":{}},
                 {"kind":"tbf","dev":"host-a-mgmt","options":{"rate":1000}}]"""
    states = network.cable_states(HOSTS[:2], ports, queues)
    assert states == {
        ("host-a", Network.MANAGEMENT): network.CableState(False, 1000),
        ("host-a", Network.MIGRATION): network.CableState(True, None),
        ("host-a", Network.GUESTS): network.CableState(True, None),
    }


@pytest.mark.parametrize("rate", ["50", "fast", "-1mbit", "0mbit", "50 mbit", "50mbit; reboot"])
def test_a_rate_tc_would_not_understand_is_refused(rate: str) -> None:
    with pytest.raises(LabUsageError, match="is not a rate"):
        network.check_rate(rate)


def test_a_certificate_request_carries_its_name_and_extensions() -> None:
    text = request_text("host-a", ["keyUsage=digitalSignature"])
    assert "CN = host-a\n" in text
    assert text.endswith("[extensions]\nkeyUsage=digitalSignature\n")


def test_the_sandbox_knows_the_hosts_by_name_and_has_the_user_libvirtd_insists_on() -> None:
    additions = etc_additions(HOSTS[:2])
    assert additions["hosts"] == ["10.98.0.1 host-a", "10.98.0.2 host-b"]
    assert additions["passwd"][0].startswith("libvirt-qemu:")


def test_a_host_has_the_boxs_own_software_until_another_is_chosen(tmp_path: Path) -> None:
    host = host_layouts(tmp_path, 1)[0]
    before = host.software
    host.folder.mkdir(parents=True)
    host.software_file.write_text(Software.NEWER)
    assert [before, host.software] == [Software.STOCK, Software.NEWER]


def test_newer_software_is_laid_over_usr_before_anything_else_is_mounted() -> None:
    lines = boot_files.init_script(HOSTS[0], Path("/lab/shared"), Path("/newer")).splitlines()
    mounts = [line for line in lines if line.startswith("mount")]
    assert mounts[0] == "mount -t overlay overlay -o lowerdir=/newer/usr:/usr /usr"
    assert all("overlay" not in line for line in mounts[1:])


def test_a_host_with_the_boxs_own_software_has_no_overlay() -> None:
    assert "overlay" not in boot_files.init_script(HOSTS[0], Path("/lab/shared"))


@pytest.mark.parametrize(("name", "folder"), POOLS.items())
def test_each_pool_of_each_host_is_one_of_its_own_on_its_folder(name: str, folder: str) -> None:
    pools = [ElementTree.fromstring(boot_files.pool_xml(host, name)) for host in HOSTS]
    assert {pool.findtext("target/path") for pool in pools} == {folder}
    assert len({pool.findtext("uuid") for pool in pools}) == HOSTS_MAX
