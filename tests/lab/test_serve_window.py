"""The answer to the switch is lost for real: no guest ever runs twice, and the story ends."""

from __future__ import annotations

from dataclasses import replace

from tests.lab.last_requests import last_requests
from tests.lab.whole import (
    CRAWLING,
    RUSHING,
    Site,
    endless,
    guests,
    set_pace,
    shared_disk,
    small_disk,
)

from godwit.lab.guest import domain_state
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]

NOTICED_S = 4.5
"""The source gives a destination up that has said nothing for 5 s."""


def test_guests_whose_switch_was_never_confirmed_run_on_at_the_source_alone(site: Site) -> None:
    """libvirt by itself would run both at both hosts; the disk of the one would have two histories.

    The destination's libvirtd stands still when everything is sent, receives the last request, and
    its answer is lost.
    """
    calm = replace(endless("calm", shared_disk("calm"), set_mib=4), autostart=True)
    ledger = endless("ledger", small_disk("ledger"), set_mib=4)
    here, there = site.host("host-a"), site.host("host-b")
    with guests(site, a=(calm, ledger)) as beats:
        set_pace(here, CRAWLING, calm.name, ledger.name)
        moves = [site.begin(spec.name, "host-b") for spec in (calm, ledger)]
        for uuid in moves:
            site.until_copying(uuid, sent_mib=1)
        lose_the_answer(site, here, there, calm.name, ledger.name)
        for spec in (calm, ledger):
            beats.wait(spec.name, "host-a")
            assert domain_state(there, spec.name) == "paused (user)"
        there.uncut("management")
        for migration in [site.ended(uuid) for uuid in moves]:
            assert (migration.status, migration.outcome) == ("failed", "failed")
            assert migration.reason is not None
            assert migration.reason.code == "source-took-the-guest-back"
        assert beats.hosts_of(calm.name) == beats.hosts_of(ledger.name) == ["host-a"]
        site.assert_at_rest({calm: "host-a", ledger: "host-a"})


def lose_the_answer(site: Site, here: LabHost, there: LabHost, *names: str) -> None:
    """Both guests are sent and stand still; the destination hears that, and nobody hears it."""
    there.freeze_libvirtd()
    set_pace(here, RUSHING, *names)
    site.until(
        "both guests to be switched",
        lambda: last_requests(here, there) == len(names),
        timeout_s=NOTICED_S,
        poll_s=0.02,
    )
    there.cut("management", silent=True)
    there.thaw_libvirtd()
