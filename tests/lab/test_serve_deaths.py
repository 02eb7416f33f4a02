"""`kill -9` of `godwit serve` at every moment of a move: the guest does not feel it, and the next
start finishes or undoes the story.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.lab.asking import now_s
from tests.lab.whole import (
    CRAWLING,
    RUSHING,
    Site,
    guests,
    local_disk,
    roomy,
    set_pace,
    slowed,
)

from godwit.lab.heartbeat import Heartbeats

pytest_plugins = ["tests.lab.serve_fixtures"]

KILL_MAY_COST_S = 3.0
"""On a busy box; whoever waits for a control plane waits for ever."""
NOBODY_IN_CHARGE_S = 3.0
MOMENTS = {
    "accepted": ("completed",),
    "running": ("completed", "failed"),
    "post-migrating": ("completed",),
}
"""When it is killed, and how the story may end after that."""


def test_a_guest_runs_at_the_destination_although_nobody_was_there_when_its_copy_ended(
    site: Site,
) -> None:
    spec = replace(roomy("busy", set_mib=12), dirty_pages_per_s=200)
    with guests(site, a=(spec,)) as beats, slowed(site, "60mbit", "a", "b"):
        undisturbed_s = [undisturbed_gap_s(site, beats, spec.name, "host-b")]
        began_s = now_s()
        set_pace(site.host("host-b"), CRAWLING, spec.name)
        uuid = site.copying(spec.name, "host-a")
        site.plane.kill()
        set_pace(site.host("host-b"), RUSHING, spec.name)
        beats.wait(spec.name, "host-a")
        time.sleep(NOBODY_IN_CHARGE_S)
        assert not site.plane.is_running
        killed_s = beats.longest_gap_s(spec.name, began_s)
        site.plane.start()
        assert site.ended(uuid).status == "completed"
        undisturbed_s.append(undisturbed_gap_s(site, beats, spec.name, "host-b"))
        assert killed_s <= max(undisturbed_s) + KILL_MAY_COST_S
        site.assert_at_rest({spec: "host-b"})


def undisturbed_gap_s(site: Site, beats: Heartbeats, name: str, to: str) -> float:
    """The longest gap of the heartbeat over a move that nobody disturbs."""
    began_s = now_s()
    site.moved(name, to)
    beats.wait(name, to)
    return beats.longest_gap_s(name, began_s)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_story_that_was_cut_off_is_finished_or_undone_by_the_next_start(
    site: Site, moment: str
) -> None:
    spec = replace(roomy("cut", local_disk("cut"), set_mib=8), autostart=True)
    with guests(site, a=(spec,)) as beats:
        uuid = site.begin(spec.name, "host-b")
        if moment != "accepted":
            site.until_status(uuid, moment)
        site.plane.kill()
        site.plane.start()
        migration = site.ended(uuid)
        assert migration.status in MOMENTS[moment], site.story(migration)
        place = "host-b" if migration.status == "completed" else "host-a"
        beats.wait(spec.name, place)
        site.assert_at_rest({spec: place})
