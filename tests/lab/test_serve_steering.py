"""A guest that writes faster than is sent: given up with the numbers, steered, forced; and aborts
at any moment. Its own figures and its heartbeat are the witnesses.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

from tests.lab.serve_records import Migration
from tests.lab.whole import (
    Site,
    endless,
    guests,
    kill_transfer_process,
    local_disk,
    roomy,
    slowed,
    small_disk,
)

from godwit.cli.exits import Exit

pytest_plugins = ["tests.lab.serve_fixtures"]

LINK = "40mbit"
"""Some 4.7 MiB/s."""
OUTRUNNING = replace(roomy("busy", set_mib=8), dirty_pages_per_s=24_000)
"""Writes faster than the link even on a crowded box, where 18 MiB/s were seen: some 1.7 s would be
needed at the switch.
"""
STALL_TIMEOUT_S = 5.0
"""As `whole.SETTINGS` has it."""
SHORT = {"godwit:steering": {"max_downtime_ms": 200, "bandwidth_mib_per_s": 500}}
SECOND_ROUND_MIB = 10
"""When so much is sent, the first round is over and the guest has written all of its set anew."""
GAP_MAX_S = 12.0
"""Twice what was allowed: it is held to by reckoning, and the box may be busy."""
ABORTS = 3


def stuck(site: Site, uuid: str) -> Migration:
    """The migration once its rounds are seen to gain nothing."""

    def gains_nothing() -> bool:
        progress = site.migration(uuid).progress
        return progress is not None and not progress.converging

    site.until(f"migration {uuid} to gain nothing", gains_nothing)
    return site.migration(uuid)


def own_limits(site: Site, host: str) -> str:
    """What libvirt and QEMU hold the guest's moves to, as it stays with the guest: its pace, and
    its pause in ms.
    """
    asked = f"migrate-getspeed {OUTRUNNING.name}; migrate-getmaxdowntime {OUTRUNNING.name}"
    return site.host(host).run("virsh", "-q", asked).stdout


def test_a_guest_that_outruns_the_link_is_given_up_steered_and_forced(site: Site) -> None:
    with guests(site, a=(OUTRUNNING,)) as beats, slowed(site, LINK, "a", "b", "c"):
        before = own_limits(site, "host-a")
        uuid = site.begin(OUTRUNNING.name, "host-b", **SHORT)
        progress = stuck(site, uuid).progress
        assert progress is not None
        assert progress.expected_downtime_ms is not None
        assert progress.allowed_downtime_ms is not None
        assert progress.expected_downtime_ms > progress.allowed_downtime_ms
        ended = site.ended(uuid)
        assert (ended.status, ended.direction) == ("failed", "ended"), site.story(ended)
        assert ended.reason is not None
        assert ended.reason.code == "memory-not-converging"
        assert own_limits(site, "host-a") == before
        site.assert_at_rest({OUTRUNNING: "host-a"})

        # The same guest, and a longer pause allowed while it runs.
        uuid = site.begin(OUTRUNNING.name, "host-b", **SHORT)
        site.until_copying(uuid, sent_mib=SECOND_ROUND_MIB)
        done = site.plane.typed("migration", "set", uuid, "--max-downtime", "6000")
        assert done.returncode == 0, done.stderr
        ended = site.ended(uuid)
        assert ended.status == "completed", site.story(ended)
        assert beats.longest_gap_s(OUTRUNNING.name) < GAP_MAX_S
        site.assert_at_rest({OUTRUNNING: "host-b"})

        # And forced: the answer says how.
        uuid = site.begin(OUTRUNNING.name, "host-c", **SHORT)
        site.until_copying(uuid, sent_mib=SECOND_ROUND_MIB)
        done = site.plane.typed("migration", "force-complete", uuid)
        assert done.returncode == 0, done.stderr
        assert "by a pause of about" in done.stdout
        ended = site.ended(uuid)
        assert ended.status == "completed", site.story(ended)
        late = site.plane.typed("migration", "force-complete", uuid)
        assert late.returncode == Exit.REFUSED
        site.assert_at_rest({OUTRUNNING: "host-c"})


def test_auto_converge_slows_the_guest_down_until_it_fits(site: Site) -> None:
    with guests(site, a=(OUTRUNNING,)), slowed(site, LINK, "a"):
        wish = {"auto_converge": True, "parallel_connections": 2}
        uuid = site.begin(OUTRUNNING.name, "host-b", **{"godwit:steering": wish})
        site.until(
            "the guest to be slowed down",
            lambda: bool((seen := site.migration(uuid).progress) and seen.throttle_percent),
        )
        ended = site.ended(uuid)
        assert ended.status == "completed", site.story(ended)
        site.assert_at_rest({OUTRUNNING: "host-b"})


def test_one_aborts_and_one_forces_in_the_same_moment(site: Site) -> None:
    with guests(site, a=(OUTRUNNING,)), slowed(site, LINK, "a"):
        uuid = site.begin(OUTRUNNING.name, "host-b", **SHORT)
        site.until_copying(uuid, sent_mib=SECOND_ROUND_MIB)
        paths = [f"/godwit/v1/migrations/{uuid}/{what}" for what in ("abort", "force-complete")]
        with ThreadPoolExecutor(len(paths)) as both:
            aborted, forced = both.map(lambda path: site.send("POST", path, {"reason": "t"}), paths)
        ended = site.ended(uuid)
        assert aborted.status in {202, 409}
        assert forced.status in {202, 409}
        if ended.status == "completed":
            assert forced.status == 202
            site.assert_at_rest({OUTRUNNING: "host-b"})
        else:
            assert (ended.status, aborted.status) == ("cancelled", 202), site.story(ended)
            site.assert_at_rest({OUTRUNNING: "host-a"})


def test_a_disk_held_to_a_pace_is_not_taken_for_stalled_and_memory_may_go_faster(
    site: Site,
) -> None:
    """libvirt shows a small disk as sent at once, and then nothing until its pace is kept."""
    disk = replace(local_disk("paced"), size_mib=8)
    spec = roomy("paced", disk, set_mib=4)
    with guests(site, a=(spec,)):
        uuid = site.begin(spec.name, "host-b", **{"godwit:steering": {"bandwidth_mib_per_s": 1}})
        site.until(
            f"disks of migration {uuid} to be copied",
            lambda: bool((p := site.migration(uuid).progress) and p.phase == "copying-disks"),
        )
        done = site.plane.typed("migration", "set", uuid, "--bandwidth", "0")
        assert done.returncode == 0, done.stderr
        ended = site.ended(uuid)
        assert ended.status == "completed", site.story(ended)
        assert ended.statistics is not None
        assert ended.statistics.total_ms is not None
        assert ended.statistics.total_ms > 1_000 * STALL_TIMEOUT_S
        site.assert_at_rest({spec: "host-b"})


def test_a_copy_that_lost_its_process_is_stopped_when_it_stalls(site: Site) -> None:
    spec = endless("orphan")
    with guests(site, a=(spec,)), slowed(site, "20mbit", "a"):
        uuid = site.copying(spec.name, "host-b")
        kill_transfer_process(site, uuid)
        site.host("host-b").cut("migration")
        ended = site.ended(uuid)
        assert ended.status == "failed", site.story(ended)
        assert ended.reason is not None
        assert ended.reason.code == "transfer-stalled"
        site.host("host-b").uncut("migration")
        site.assert_at_rest({spec: "host-a"})


def test_aborts_at_any_moment_leave_one_guest_and_nothing_behind(site: Site) -> None:
    seed = int(os.environ.get("GODWIT_SEED", "0")) or int.from_bytes(os.urandom(4))
    print(f"seed {seed} (GODWIT_SEED)")
    chance = Random(seed)
    spec = roomy("called-off", small_disk("called-off"), set_mib=4)
    with guests(site, a=(spec,)):
        place = "host-a"
        for _ in range(ABORTS):
            to = "host-b" if place == "host-a" else "host-a"
            uuid = site.begin(spec.name, to)
            time.sleep(chance.uniform(0.0, 2.5))
            site.send("POST", f"/godwit/v1/migrations/{uuid}/abort", {"reason": "test"})
            ended = site.ended(uuid)
            assert ended.status in {"cancelled", "completed"}, site.story(ended)
            place = to if ended.status == "completed" else place
            site.assert_at_rest({spec: place})
