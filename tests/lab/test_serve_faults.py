"""libvirtd, QEMU or a whole host fails before, during and after a move: the guest is safe, the
story ends truthfully, nothing is left behind.
"""

from __future__ import annotations

import time
from dataclasses import replace

from tests.lab.serve_records import Migration
from tests.lab.whole import (
    CRAWLING,
    RUSHING,
    Site,
    endless,
    guests,
    local_disk,
    roomy,
    set_pace,
    small_disk,
)

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec

pytest_plugins = ["tests.lab.serve_fixtures"]

NO_HOST_THERE = {"hypervisor-unavailable", "compute-service-unavailable", "no-answer"}


def test_destinations_that_do_not_answer_refuse_and_say_so(site: Site) -> None:
    spec = GuestSpec("waits", autostart=True)
    with guests(site, a=(spec,)):
        site.host("host-b").freeze_libvirtd()
        site.host("host-c").kill_libvirtd()
        typed = site.plane.typed("migrate", spec.name)
        assert typed.returncode == Exit.REFUSED, typed.stdout + typed.stderr
        newest = site.newest(spec.name)
        assert (newest.status, newest.outcome) == ("failed", "refused")
        assert {host for why in newest.refusals for host in why.hosts} == {"host-b", "host-c"}
        assert {why.code for why in newest.refusals} <= NO_HOST_THERE
        site.host("host-b").thaw_libvirtd()
        site.host("host-c").start_libvirtd()
        site.assert_at_rest({spec: "host-a"})


def test_sources_that_do_not_answer_keep_their_guests(site: Site) -> None:
    one, two = GuestSpec("one"), GuestSpec("two")
    with guests(site, a=(one,), b=(two,)) as beats:
        site.host("host-a").kill_libvirtd()
        site.host("host-b").freeze_libvirtd()
        for migration in [site.ended(site.begin(spec.name, "host-c")) for spec in (one, two)]:
            assert migration.status == "failed", site.story(migration)
            assert migration.outcome in ("refused", "failed")
            assert migration.reason is not None
            codes = {migration.reason.code, *(why.code for why in migration.refusals)}
            assert codes & NO_HOST_THERE, site.story(migration)
        for spec in (one, two):
            beats.wait(spec.name)
        site.host("host-a").start_libvirtd()
        site.host("host-b").thaw_libvirtd()
        site.assert_at_rest({one: "host-a", two: "host-b"})


def test_a_guest_whose_sources_libvirtd_dies_in_the_copy_stays_there(site: Site) -> None:
    spec = replace(endless("stays"), autostart=True)
    with guests(site, a=(spec,)):
        set_pace(site.host("host-a"), CRAWLING, spec.name)
        uuid = site.copying(spec.name, "host-b")
        site.host("host-a").kill_libvirtd()
        time.sleep(1.0)  # long enough for everybody to notice
        site.host("host-a").start_libvirtd()
        assert_failed(site, site.ended(uuid))
        site.assert_at_rest({spec: "host-a"})


def test_a_source_whose_libvirtd_stood_still_in_the_copy_finishes_it(site: Site) -> None:
    spec = roomy("patient")
    here = site.host("host-a")
    with guests(site, a=(spec,)):
        set_pace(here, CRAWLING, spec.name)
        uuid = site.copying(spec.name, "host-b")
        here.freeze_libvirtd()
        time.sleep(1.5)  # less than its peer's patience
        here.thaw_libvirtd()
        set_pace(here, RUSHING, spec.name)
        migration = site.ended(uuid)
        assert migration.status == "completed", site.story(migration)
        site.assert_at_rest({spec: "host-b"})


def test_guests_whose_destinations_died_in_the_copy_stay_and_can_move_again(site: Site) -> None:
    """At the one its libvirtd is killed, at the other the guest's own QEMU."""
    one, two = endless("one"), replace(endless("two", small_disk("two")), autostart=True)
    here = site.host("host-a")
    with guests(site, a=(one, two)):
        moves = both_copying(site, one, two)
        site.host("host-b").kill_libvirtd()
        site.host("host-c").kill_qemu(two.name)
        time.sleep(1.0)  # long enough for everybody to notice
        site.host("host-b").start_libvirtd()
        for uuid in moves:
            assert_failed(site, site.ended(uuid))
        site.assert_at_rest({one: "host-a", two: "host-a"})
        site.until("host-b to be heard", lambda: not site.hosts()["host-b"].trouble)
        set_pace(here, RUSHING, one.name, two.name)
        again = [site.begin(one.name, "host-b"), site.begin(two.name, "host-c")]
        assert [site.ended(uuid).status for uuid in again] == ["completed", "completed"]
        site.assert_at_rest({one: "host-b", two: "host-c"})


def test_guests_whose_destinations_fell_silent_in_the_copy_stay(site: Site) -> None:
    """One is switched off and says nothing more, of the other the libvirtd stands still."""
    one, two = endless("one"), endless("two")
    with guests(site, a=(one, two)):
        moves = both_copying(site, one, two)
        site.host("host-b").freeze_libvirtd()
        site.host("host-c").power_off()
        assert_failed(site, site.ended(moves[0]))
        site.host("host-b").thaw_libvirtd()
        assert_failed(site, site.ended(moves[1]))
        assert len(site.hosts()["host-c"].debts) > 0
        site.host("host-c").power_on()
        site.assert_at_rest({one: "host-a", two: "host-a"})


def test_a_source_that_fails_after_the_switch_is_tidied_when_it_is_back(site: Site) -> None:
    spec = replace(roomy("gone", local_disk("gone"), set_mib=8), autostart=True)
    with guests(site, a=(spec,)) as beats:
        uuid = site.begin(spec.name, "host-b")
        beats.wait(spec.name, "host-b")
        site.host("host-a").freeze_libvirtd()
        time.sleep(1.0)
        site.host("host-a").kill_libvirtd()
        site.host("host-a").start_libvirtd()
        assert site.ended(uuid).status == "completed"
        site.assert_at_rest({spec: "host-b"})


def both_copying(site: Site, one: GuestSpec, two: GuestSpec) -> list[str]:
    """Both are on their way, the one to host-b, the other to host-c, and take their time."""
    set_pace(site.host("host-a"), CRAWLING, one.name, two.name)
    moves = [site.begin(one.name, "host-b"), site.begin(two.name, "host-c")]
    for uuid in moves:
        site.until_copying(uuid, sent_mib=1)
    return moves


def assert_failed(site: Site, migration: Migration) -> None:
    """It failed with a reason, and the record says that the guest is safe at the source."""
    assert (migration.status, migration.outcome) == ("failed", "failed"), site.story(migration)
    assert migration.reason is not None
