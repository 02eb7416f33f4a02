"""What a lab host promises: its own libvirtd behind mutual TLS, power cord and disks."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from godwit.lab.certificates import issue, make_authority
from godwit.lab.errors import LabError
from godwit.lab.guest import GuestSpec, domain_state, known_guests, running_guests, start_guest
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.lab.layout import LOCAL_FOLDER, POOLS, SHARED_FOLDER, TLS_PORT
from godwit.lab.processes import is_alive, pids_in_namespace_of, run, state_of, wait_until
from godwit.lab.restore import restore

REFUSED_WITHIN_S = 60.0


def active_pools(host: LabHost) -> dict[str, str]:
    """The folder of each of the host's active pools."""
    names = host.run("virsh", "-q", "pool-list", "--name").stdout.split()
    texts = {name: host.run("virsh", "-q", "pool-dumpxml", name).stdout for name in names}
    return {
        name: ElementTree.fromstring(text).findtext("target/path", "")
        for name, text in texts.items()
    }


def test_every_host_answers_the_control_plane_and_says_who_it_is(lab: Lab) -> None:
    names = [run(["virsh", "-c", host.uri, "hostname"]).stdout.strip() for host in lab.hosts]
    assert names == [host.name for host in lab.hosts]


def test_libvirt_can_tell_the_hosts_apart(lab: Lab) -> None:
    facts = [run(["virsh", "-c", host.uri, "capabilities"]).stdout for host in lab.hosts]
    assert all(
        f"<uuid>{h.layout.uuid}</uuid>" in text for h, text in zip(lab.hosts, facts, strict=True)
    )


def test_hosts_reach_each_other_by_name_and_certificate(lab: Lab) -> None:
    first, second, _ = lab.hosts[:3]
    assert first.run("virsh", "-c", second.peer_uri, "hostname").stdout.strip() == second.name


def test_a_client_whose_certificate_another_authority_signed_is_refused(
    lab: Lab, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    issue(make_authority(tmp_path / "authority"), stranger, name="stranger", alternatives=[])
    (stranger / "cacert.pem").write_bytes((lab.pkipath / "cacert.pem").read_bytes())
    uri = f"{lab.hosts[0].peer_uri}?pkipath={stranger}"
    refused = run(["virsh", "-c", uri, "hostname"], check=False, timeout_s=REFUSED_WITHIN_S)
    assert refused.returncode == 1


def test_a_host_whose_certificate_another_authority_signed_is_not_believed(
    lab: Lab, tmp_path: Path
) -> None:
    make_authority(tmp_path / "authority")
    for name in ("clientcert.pem", "clientkey.pem"):
        (tmp_path / name).write_bytes((lab.pkipath / name).read_bytes())
    (tmp_path / "cacert.pem").write_bytes((tmp_path / "authority/cacert.pem").read_bytes())
    uri = f"{lab.hosts[0].peer_uri}?pkipath={tmp_path}"
    refused = run(["virsh", "-c", uri, "hostname"], check=False, timeout_s=REFUSED_WITHIN_S)
    assert refused.returncode == 1


def test_all_hosts_see_the_shared_folder_and_only_one_its_local_one(lab: Lab) -> None:
    first, second, _ = lab.hosts[:3]
    first.run("touch", "/srv/shared/for-all", "/srv/local/for-one")
    assert second.run("ls", "/srv/shared").stdout.split()[0] == "for-all"
    assert second.run("ls", "/srv/local").stdout == ""
    assert [(lab.shared / "for-all").exists(), (first.local / "for-one").exists()] == [True, True]


def test_a_host_has_a_pool_on_each_folder_for_disks_whatever_is_killed(lab: Lab) -> None:
    host = lab.hosts[0]
    assert active_pools(host) == POOLS
    host.kill_libvirtd()
    host.start_libvirtd()
    assert active_pools(host) == POOLS
    host.power_off()
    host.power_on()
    assert active_pools(host) == POOLS


def test_a_pool_that_was_removed_stays_away_until_the_lab_is_restored(lab: Lab) -> None:
    host = lab.hosts[0]
    host.run("virsh", "-q", "pool-destroy local; pool-undefine local")
    host.run("virsh", "-q", "pool-create-as", "strange", "dir", "--target", LOCAL_FOLDER)
    host.power_off()
    host.power_on()
    assert active_pools(host) == {"shared": SHARED_FOLDER}
    restore(lab)
    assert active_pools(host) == POOLS


def test_a_host_does_not_see_the_keys_of_the_others(lab: Lab) -> None:
    assert lab.hosts[0].run("test", "-e", str(lab.base), check=False).returncode == 1


def test_a_power_cut_ends_every_process_of_the_host_at_once(lab: Lab) -> None:
    host = lab.hosts[0]
    start_guest(host, GuestSpec("vm1"))
    assert host.init_pid is not None
    processes = pids_in_namespace_of(host.init_pid)
    host.power_off()
    assert [pid for pid in processes if is_alive(pid)] == []
    with pytest.raises(LabError, match="host-a is switched off"):
        host.run("true")


@pytest.mark.parametrize("silent", [True, False])
def test_peers_hear_of_a_power_cut_only_if_it_is_not_silent(lab: Lab, silent: bool) -> None:
    host = lab.hosts[0]
    with socket.create_connection((host.management_address, TLS_PORT), timeout=60.0) as peer:
        peer.settimeout(0.3)
        host.power_off(silent=silent)
        heard = True
        try:
            peer.recv(1)
        except TimeoutError:
            heard = False
        except ConnectionResetError:
            pass
    assert heard is not silent


def test_a_host_gives_up_unanswered_connections_within_seconds(lab: Lab) -> None:
    host = lab.hosts[0]
    assert host.run("cat", "/proc/sys/net/ipv4/tcp_retries2").stdout == "5\n"


def test_a_host_switched_on_again_knows_its_guests_but_runs_none(lab: Lab) -> None:
    host = lab.hosts[0]
    start_guest(host, GuestSpec("vm1"))
    host.power_off()
    host.power_on()
    assert (known_guests(host), running_guests(host)) == (["vm1"], [])


def test_a_host_that_boots_starts_the_guests_marked_for_it(lab: Lab) -> None:
    host = lab.hosts[0]
    start_guest(host, GuestSpec("vm1", autostart=True))
    host.power_off()
    host.power_on()
    wait_until(lambda: running_guests(host) == ["vm1"], what="vm1 to start", timeout_s=60.0)


def test_a_host_whose_init_was_killed_can_be_switched_on_again(lab: Lab) -> None:
    host = lab.hosts[0]
    pid = host.init_pid
    assert pid is not None
    run(["kill", "-9", str(pid)])
    wait_until(lambda: not host.is_on, what="host-a to die", timeout_s=60.0)
    host.power_on()
    assert run(["virsh", "-c", host.uri, "hostname"]).stdout.strip() == host.name


def test_a_guest_beats_on_while_its_libvirtd_is_killed_and_started(lab: Lab) -> None:
    host = lab.hosts[0]
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(host, GuestSpec("vm1"))
        heartbeats.wait("vm1", host.name)
        host.kill_libvirtd(signal.SIGKILL)
        assert host.libvirtd_pid is None
        heartbeats.wait("vm1", host.name)
        host.start_libvirtd()
        assert domain_state(host, "vm1").startswith("running")
        assert heartbeats.check_ran_once("vm1") == []


def test_a_frozen_libvirtd_answers_nobody_until_it_is_thawed(lab: Lab) -> None:
    host = lab.hosts[0]
    host.freeze_libvirtd()
    assert host.libvirtd_pid is not None
    assert state_of(host.libvirtd_pid) == "T"
    with pytest.raises(LabError, match="no end after"):
        run(["virsh", "-c", host.uri, "hostname"], timeout_s=0.5)
    host.thaw_libvirtd()
    assert run(["virsh", "-c", host.uri, "hostname"]).stdout.strip() == host.name


def test_a_frozen_guest_is_silent_and_goes_on_where_it_was(lab: Lab) -> None:
    host = lab.hosts[0]
    with Heartbeats(lab, ["vm1"]) as heartbeats:
        start_guest(host, GuestSpec("vm1"))
        heartbeats.wait("vm1", host.name)
        host.freeze_qemu("vm1")
        # What was written before may be read only now.
        wait_until(lambda: is_silent(heartbeats), what="vm1 to be silent", timeout_s=60.0)
        host.thaw_qemu("vm1")
        heartbeats.wait("vm1", host.name)
        assert heartbeats.check_ran_once("vm1") == []


def is_silent(heartbeats: Heartbeats) -> bool:
    """Does no beat come for a while?"""
    with suppress(LabError):
        heartbeats.wait("vm1", timeout_s=0.3)
        return False
    return True


def test_orphans_on_a_host_are_reaped(lab: Lab) -> None:
    host = lab.hosts[0]
    assert host.init_pid is not None
    orphan = int(host.run("sh", "-c", "sleep 0.1 >&- 2>&- & echo $!").stdout)
    wait_until(
        lambda: host.run("test", "-e", f"/proc/{orphan}", check=False).returncode == 1,
        what="the orphan to be reaped",
        timeout_s=60.0,
    )
