"""What cannot be done is refused with a reason and a remedy, and the guest is not touched."""

from __future__ import annotations

import uuid

import msgspec
from tests.lab import certificates as shown
from tests.lab.whole import Site, guests, local_disk, roomy, shared_disk

from godwit.cli.exits import Exit
from godwit.lab.certificates import issue, lay_out_pki, make_authority
from godwit.lab.guest import GuestSpec, define_guest
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]

MOVE = {"os-migrateLive": {"host": None, "block_migration": "auto"}}


def test_requests_that_make_no_sense_are_refused_at_once(site: Site) -> None:
    spec, shut_off = GuestSpec("wanted"), GuestSpec("shut-off")
    with guests(site, a=(spec,)):
        define_guest(site.host("host-a"), shut_off)
        site.until("the other guest to be known", lambda: site.server("shut-off") is not None)
        answers = {
            "shut off": site.ask_to_move(shut_off.name, "host-b"),
            "to itself": site.ask_to_move(spec.name, "host-a"),
            "unknown host": site.ask_to_move(spec.name, "host-z"),
            "unknown server": site.send(
                "POST", f"/v2.1/servers/{uuid.uuid5(spec.uuid, 'x')}/action", MOVE
            ),
        }
        assert {
            what: (answer.status, reason_of(answer.body)) for what, answer in answers.items()
        } == {
            "shut off": (409, "instance-invalid-state"),
            "to itself": (400, "unable-to-migrate-to-self"),
            "unknown host": (400, "host-unknown"),
            "unknown server": (404, "server-unknown"),
        }
        site.assert_at_rest({spec: "host-a", shut_off: "host-a"})


def test_a_disabled_host_takes_no_guest_until_it_is_enabled(site: Site) -> None:
    spec = GuestSpec("wanted")
    with guests(site, a=(spec,)):
        assert (
            site.plane.typed("host", "disable", "host-b", "--reason", "new disks").returncode == 0
        )
        refused(site, spec, "compute-service-disabled", "new disks", "--to", "host-b")
        assert site.plane.typed("host", "enable", "host-b").returncode == 0
        site.moved(spec.name, "host-b")
        site.assert_at_rest({spec: "host-b"})


def test_a_taken_name_and_a_missing_bridge_are_found_before_anything_is_done(site: Site) -> None:
    spec = GuestSpec("wanted")
    namesake = GuestSpec("wanted", given_uuid=uuid.uuid5(spec.uuid, "namesake"))
    with guests(site, a=(spec,)):
        define_guest(site.host("host-b"), namesake)
        site.host("host-c").run("ip", "link", "set", "brvm", "name", "brelse")
        try:
            checked = site.plane.typed("migrate", str(spec.uuid), "--check")
            assert checked.returncode == Exit.REFUSED, checked.stdout
            assert "name-taken" in checked.stdout
            assert "bridge-missing" in checked.stdout
            refused(site, spec, "name-taken", "rename or remove")
            assert {w.code for w in site.newest(spec.name).refusals} >= {
                "name-taken",
                "bridge-missing",
            }
        finally:
            site.host("host-c").run("ip", "link", "set", "brelse", "name", "brvm")
        site.host("host-b").run("virsh", "-q", "undefine", "wanted")
        site.until("the namesake to be forgotten", lambda: site.forgets(str(namesake.uuid)))
        site.assert_at_rest({spec: "host-a"})


def test_a_disk_that_the_destination_does_not_see_is_refused(site: Site) -> None:
    local, shared = (
        GuestSpec("local", disks=(local_disk("local"),)),
        GuestSpec("shared", disks=(shared_disk("shared"),)),
    )
    there = site.host("host-b")
    with guests(site, a=(local, shared)):
        refused(site, local, "invalid-shared-storage", "--block", "--to", "host-b", "--shared")
        there.run("mount", "-t", "tmpfs", "none", "/srv/shared")
        try:
            refused(site, shared, "disk-unreachable", "/srv/shared", "--to", "host-b")
        finally:
            there.run("umount", "/srv/shared")
        site.assert_at_rest({local: "host-a", shared: "host-a"})


def test_a_strangers_certificate_at_the_destination_stops_the_move_and_is_named(site: Site) -> None:
    spec = roomy("secret", local_disk("secret"), set_mib=4)
    there = site.host("host-b")
    with guests(site, a=(spec,)):
        with_a_strangers_certificate(there)
        try:
            typed = site.plane.typed("migrate", spec.name, "--to", "host-b")
        finally:
            lay_out_pki(there.layout.folder / "certificate", there.layout.folder / "etc/pki")
        assert typed.returncode == Exit.FAILED, typed.stdout
        assert "certificate" in typed.stdout.lower(), typed.stdout
        site.assert_at_rest({spec: "host-a"})


def with_a_strangers_certificate(host: LabHost) -> None:
    """From now on the host shows a certificate that another authority has signed."""
    folder = host.layout.folder
    stranger = make_authority(folder / "stranger-authority")
    issue(stranger, folder / "stranger", name=host.name, alternatives=[])
    lay_out_pki(folder / "stranger", folder / "etc/pki")


def test_a_certificate_without_the_hosts_name_is_found_by_the_check_and_named(site: Site) -> None:
    spec = GuestSpec("wanted")
    there = site.host("host-b")
    with guests(site, a=(spec,)):
        with shown.by_address_alone(site.lab, there):
            checked = site.plane.typed("migrate", spec.name, "--to", there.name, "--check")
            assert checked.returncode == Exit.REFUSED, checked.stdout
            assert "tls-unusable" in checked.stdout, checked.stdout
            assert "made out to other, 10.98.0.2, not to host-b" in checked.stdout
            remedy = "virt-admin server-update-tls"
            refused(site, spec, "tls-unusable", remedy, "--to", there.name)
        site.assert_at_rest({spec: "host-a"})
        site.moved(spec.name, there.name)
        site.assert_at_rest({spec: there.name})


def refused(site: Site, spec: GuestSpec, code: str, words: str, *options: str) -> None:
    """`godwit migrate` is refused with this code, for a person to read with these words."""
    typed = site.plane.typed("migrate", str(spec.uuid), *options)
    said = typed.stdout + typed.stderr
    assert typed.returncode == Exit.REFUSED, said
    assert code in said
    assert words in said


def reason_of(body: bytes) -> str:
    """The stable code in an error answer."""
    (fault,) = msgspec.json.decode(body).values()
    return str(fault["reason"])
