"""What an audit finds of real hosts: guests that run twice or nowhere, and disks that were left. It
is said wherever people look, and nothing is done about it.
"""

from __future__ import annotations

from typing import Any

from tests.lab.whole import Site, is_known, local_disk, start

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec, create_disk, remove_guest, running_guests, start_guest

pytest_plugins = ["tests.lab.serve_fixtures"]

OVER_WITHIN_S = 60.0


def test_a_guest_that_runs_twice_alarms_wherever_people_look_and_is_left_alone(site: Site) -> None:
    """Started by hand at a second host, with a disk of its own there: both write."""
    spec = GuestSpec("doubled", disks=(local_disk("doubled"),))
    here, there = site.host("host-a"), site.host("host-b")
    start(here, (spec,))
    site.until("it to be known", is_known(site, spec), timeout_s=15.0)
    start(there, (spec,))
    for how in ((), ("--repair",)):
        said = site.plane.typed("audit", *how)
        assert said.returncode == Exit.PERSON_NEEDED, said.stdout + said.stderr
        assert "ALARM: runs-twice: doubled at host-a" in said.stdout
        rows = [line.split() for line in said.stdout.splitlines()]
        assert ["host-a", "runs"] in [row[:2] for row in rows]
        assert ["host-b", "runs"] in [row[:2] for row in rows]
    assert_it_alarms(site, spec, "runs-twice")
    refused = site.plane.typed("migrate", spec.name)
    assert refused.returncode == Exit.REFUSED, refused.stdout + refused.stderr
    assert "an alarm is on record" in refused.stderr
    for host in (here, there):
        assert running_guests(host) == [spec.name]
        assert (host.local / "doubled.qcow2").exists()
    remove_guest(there, spec.name)
    (there.local / "doubled.qcow2").unlink()
    site.until("the alarm to be over", lambda: not alarms(site, spec), timeout_s=OVER_WITHIN_S)
    assert site.plane.typed("audit").returncode == 0
    site.assert_at_rest({spec: here.name})


def test_a_guest_that_is_nowhere_alarms_and_is_not_started(site: Site) -> None:
    spec = GuestSpec("vanished", disks=(local_disk("vanished"),))
    here = site.host("host-a")
    start(here, (spec,))
    site.until("it to be known", is_known(site, spec), timeout_s=15.0)
    remove_guest(here, spec.name)
    for how in ((), ("--repair",)):
        said = site.plane.typed("audit", *how)
        assert said.returncode == Exit.PERSON_NEEDED, said.stdout + said.stderr
        assert "ALARM: nowhere: vanished at host-a" in said.stdout
    assert_it_alarms(site, spec, "nowhere")
    assert [running_guests(host) for host in site.lab.hosts] == [[], [], []]
    assert (here.local / "vanished.qcow2").exists()
    start_guest(here, spec)  # as a person would, who knows where its newest disk is
    site.until("the alarm to be over", lambda: not alarms(site, spec), timeout_s=OVER_WITHIN_S)
    site.until("it to be known", is_known(site, spec), timeout_s=15.0)
    site.assert_at_rest({spec: here.name})


def test_a_disk_that_was_left_at_another_host_is_named_and_not_removed(site: Site) -> None:
    disk = local_disk("owner")
    spec = GuestSpec("owner", disks=(disk,))
    here, there = site.host("host-a"), site.host("host-b")
    start(here, (spec,))
    site.until("it to be known", is_known(site, spec), timeout_s=15.0)
    create_disk(there, disk)
    create_disk(there, local_disk("somebody-elses"))
    said = site.plane.typed("audit", "--repair")
    assert said.returncode == Exit.PERSON_NEEDED, said.stdout + said.stderr
    found = [line for line in said.stdout.splitlines() if not line.startswith(" ")]
    assert found[0] == "disk-left: owner at host-b"
    assert len(found) == 2, said.stdout
    assert disk.path in said.stdout
    assert (there.local / disk.name).exists()
    (there.local / disk.name).unlink()
    assert site.plane.typed("audit").returncode == 0
    site.assert_at_rest({spec: here.name})


def alarms(site: Site, spec: GuestSpec) -> list[dict[str, Any]]:
    """What a monitoring system reads of this guest; one of the test before may be told of still."""
    known = site.read("/godwit/v1/alarms", list[dict[str, Any]])
    return [each for each in known if each.get("instance_uuid") == str(spec.uuid)]


def assert_it_alarms(site: Site, spec: GuestSpec, kind: str) -> None:
    """In the API, in both lists of the client, and in the log."""
    [alarm] = alarms(site, spec)
    assert alarm["kind"] == kind
    assert alarm["evidence"]
    assert f"ALARM: {kind}" in site.plane.typed("server", "list").stdout
    assert "ALARM" in site.plane.typed("server", "show", spec.name).stdout
    log = (site.plane.folder / "serve.log").read_text()
    assert any("critical" in line and kind in line for line in log.splitlines())
