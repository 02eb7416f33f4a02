"""A host that loses its power in the middle of a move, and the person who says so."""

from __future__ import annotations

from tests.lab.whole import CRAWLING, RUSHING, Site, endless, guests, is_known, set_pace, start

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec, running_guests

pytest_plugins = ["tests.lab.serve_fixtures"]

SAID = ("--reason", "the plug is out")


def test_a_move_from_a_host_that_lost_its_power_ends_once_a_person_says_so(site: Site) -> None:
    """And the host takes no part, even with power, until the person says that it may."""
    stranded, other = endless("stranded"), GuestSpec("other")
    here, there = site.host("host-a"), site.host("host-b")
    start(here, (stranded,))
    with guests(site, b=(other,)):
        site.until("it to be known", is_known(site, stranded))
        set_pace(here, CRAWLING, stranded.name)
        uuid = site.copying(stranded.name, there.name)
        refused = site.plane.typed("host", "confirm-down", here.name, *SAID)
        assert refused.returncode == Exit.REFUSED, refused.stdout
        assert "host-a still answers" in refused.stderr
        here.power_off()
        site.until("the statement to be taken", lambda: says_that_it_is_down(site, here.name))
        ended = site.ended(uuid)
        assert ended.status == "failed", site.story(ended)
        assert ended.reason is not None
        assert ended.reason.code == "guest-ended", site.story(ended)
        assert "lost its power" in ended.reason.words
        server = site.server(stranded.name)
        assert server is not None
        assert (server.host, server.status, server.task_state) == (here.name, "SHUTOFF", None)
        assert running_guests(there) == [other.name]

        here.power_on()
        site.until("its libvirtd to answer", lambda: running_guests(here) == [])
        assert_it_alarms_and_takes_no_part(site, here.name, other.name)
        assert site.plane.typed("host", "confirm-up", here.name).returncode == 0
        site.until("it to take part", lambda: site.hosts()[here.name].up)
        assert site.plane.typed("audit").returncode == 0
        here.run("virsh", "-q", "start", stranded.name)
        site.until("it to run again", is_known(site, stranded))
        set_pace(here, RUSHING, stranded.name)
        site.moved(stranded.name, there.name)
        site.assert_at_rest({stranded: there.name, other: there.name})


def assert_it_alarms_and_takes_no_part(site: Site, host: str, guest: str) -> None:
    """It has power again, and nobody has said so."""
    site.until("it to be heard", lambda: "ALARM" in site.plane.typed("host", "list").stdout)
    shown = site.plane.typed("host", "show", host).stdout
    assert "confirmed down" in shown
    assert "the plug is out" in shown
    sent = site.plane.typed("migrate", guest, "--to", host)
    assert sent.returncode == Exit.REFUSED
    assert "host-heard-again" in sent.stderr + sent.stdout
    audited = site.plane.typed("audit")
    assert audited.returncode == Exit.PERSON_NEEDED, audited.stdout
    assert f"ALARM: host-heard-again: {host}" in audited.stdout


def says_that_it_is_down(site: Site, host: str) -> bool:
    return site.plane.typed("host", "confirm-down", host, *SAID).returncode == 0
