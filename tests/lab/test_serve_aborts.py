"""A move is called off: in every phase it ends as cancelled, or truthfully as completed."""

from __future__ import annotations

from dataclasses import replace

from tests.lab.whole import ONE_AT_A_TIME, Site, endless, guests, local_disk, roomy, slowed

from godwit.cli.exits import Exit

pytest_plugins = ["tests.lab.serve_fixtures"]


def test_a_queued_move_and_a_copy_are_cancelled_when_asked(site: Site) -> None:
    one, two = replace(endless("one"), autostart=True), roomy("two", local_disk("two"))
    with guests(site, a=(one, two)), slowed(site, "10mbit", "a"):
        copied = site.copying(one.name, ONE_AT_A_TIME)
        queued = site.begin(two.name, ONE_AT_A_TIME)
        assert site.until_status(queued, "queued") == "queued"
        for uuid in (queued, copied):
            asked = site.plane.typed("migration", "abort", uuid, "--reason", "test")
            assert asked.returncode == 0, asked.stderr
            watched = site.plane.typed("migration", "show", uuid, "--watch")
            assert watched.returncode == Exit.CANCELLED, watched.stdout
            migration = site.migration(uuid)
            assert migration.status == "cancelled"
            assert migration.reason is not None
            assert migration.reason.code == "cancelled-by-request"
        site.assert_at_rest({one: "host-a", two: "host-a"})


def test_a_move_is_cancelled_before_anything_is_sent(site: Site) -> None:
    spec = replace(endless("early", local_disk("early")), autostart=True)
    with guests(site, a=(spec,)), slowed(site, "10mbit", "a"):
        for moment in ("accepted", "preparing"):
            uuid = site.begin(spec.name, "host-b")
            site.until_status(uuid, moment, "running")
            answer = site.send("POST", f"/godwit/v1/migrations/{uuid}/abort", {"reason": "test"})
            assert answer.status == 202, answer
            assert site.ended(uuid).status == "cancelled"
            site.assert_at_rest({spec: "host-a"})


def test_an_abort_after_the_switch_is_refused_and_the_move_completes(site: Site) -> None:
    spec = roomy("late", set_mib=4)
    with guests(site, a=(spec,)):
        uuid = site.begin(spec.name, "host-b")
        site.until_status(uuid, "post-migrating")
        answer = site.send("POST", f"/godwit/v1/migrations/{uuid}/abort", {"reason": "test"})
        assert answer.status == 409, answer
        assert b"migration-not-abortable" in answer.body
        assert site.ended(uuid).status == "completed"
        site.assert_at_rest({spec: "host-b"})
