"""One network of a host fails while the other is whole: the move ends with a clear reason or
completes, its guest stays or arrives, and nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.serve_records import Migration
from tests.lab.whole import CRAWLING, Site, endless, guests, roomy, set_pace

from godwit.lab.guest import GuestSpec
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]

NOBODY_THERE = {"hypervisor-unavailable", "compute-service-unavailable", "no-answer"}
PACE_OF_ASKING = "/proc/sys/net/ipv4/neigh/mig0/retrans_time_ms"
BAD_WAYS = {"transfer-failed", "transfer-stalled"}


def test_without_a_migration_network_a_move_fails_or_stops_and_its_guest_stays(site: Site) -> None:
    """Of one destination it is away before the move begins, of the other it falls silent in it."""
    one, two = GuestSpec("one"), endless("two")
    with guests(site, a=(one, two)) as beats, asking_quickly(site.host("host-a")):
        site.host("host-b").cut("migration")
        # Else it is only noticed when the address that was learnt has grown old: longer than a
        # copy may stall. Not before the cut, for host-b may be asking for ours at this moment.
        site.host("host-a").run("ip", "neigh", "flush", "all")
        set_pace(site.host("host-a"), CRAWLING, two.name)
        moves = [site.begin(spec.name, to) for spec, to in ((two, "host-c"), (one, "host-b"))]
        site.until_copying(moves[0], sent_mib=1)
        site.host("host-c").cut("migration", silent=True)
        stalled, failed = [site.ended(uuid) for uuid in moves]
        assert code_of(site, stalled) == "transfer-stalled"
        assert code_of(site, failed) == "transfer-failed"
        assert failed.reason is not None
        assert "unable to connect to server" in failed.reason.words
        for spec in (one, two):
            assert beats.hosts_of(spec.name) == ["host-a"]
        site.assert_at_rest({one: "host-a", two: "host-a"})
        for name in ("host-b", "host-c"):
            site.host(name).uncut("migration")
        site.moved(one.name, "host-b")
        site.assert_at_rest({one: "host-b", two: "host-a"})


def test_without_a_management_network_a_copy_ends_and_its_guest_stays(site: Site) -> None:
    """Of one guest the destination falls silent in the copy, of another the source. A third is not
    begun.
    """
    one, two, three = endless("one"), endless("two"), GuestSpec("three")
    with guests(site, a=(one, three), c=(two,)) as beats:
        set_pace(site.host("host-a"), CRAWLING, one.name)
        set_pace(site.host("host-c"), CRAWLING, two.name)
        moves = [site.begin(one.name, "host-b"), site.begin(two.name, "host-a")]
        for uuid in moves:
            site.until_copying(uuid, sent_mib=1)
        for name in ("host-b", "host-c"):
            site.host(name).cut("management", silent=True)
        refused = site.ended(site.begin(three.name, "host-b"))
        codes = {code_of(site, refused), *(why.code for why in refused.refusals)}
        assert codes & NOBODY_THERE, site.story(refused)
        kept = site.ended(moves[0])
        assert code_of(site, kept) == "transfer-failed"
        site.until("host-b to owe its half", lambda: len(site.hosts()["host-b"].debts) > 0)
        for name in ("host-b", "host-c"):
            site.host(name).uncut("management")
        assert code_of(site, site.ended(moves[1])) in {"transfer-failed", *NOBODY_THERE}
        for spec, name in ((one, "host-a"), (two, "host-c"), (three, "host-a")):
            assert beats.hosts_of(spec.name) == [name]
        site.assert_at_rest({one: "host-a", two: "host-c", three: "host-a"})


def test_a_move_to_a_host_that_is_slow_and_loses_packets_completes_or_says_why(site: Site) -> None:
    """50 ms there and back, and 5 % of the packets in each direction, on both its networks."""
    spec = roomy("patient", set_mib=4)
    with guests(site, a=(spec,)) as beats:
        slow = site.host("host-b")
        for network in ("management", "migration"):
            slow.delay(network, delay_ms=25, loss_percent=5)
        migration = site.ended(site.begin(spec.name, "host-b"))
        for network in ("management", "migration"):
            slow.delay(network)
        moved = migration.status == "completed"
        if not moved:
            assert code_of(site, migration) in {*BAD_WAYS, "no-valid-host", *NOBODY_THERE}
        assert beats.hosts_of(spec.name) == (["host-a", "host-b"] if moved else ["host-a"])
        site.assert_at_rest({spec: "host-b" if moved else "host-a"})


@contextmanager
def asking_quickly(host: LabHost) -> Iterator[None]:
    """Who has an address is asked three times, as ever, but in one second instead of three: on a
    busy box these would come close to the five that a copy may stall.
    """
    before = host.run("cat", PACE_OF_ASKING).stdout.strip()
    host.run("sh", "-c", f"echo 300 > {PACE_OF_ASKING}")
    try:
        yield
    finally:
        host.run("sh", "-c", f"echo {before} > {PACE_OF_ASKING}")


def code_of(site: Site, migration: Migration) -> str:
    """Why it failed."""
    assert migration.status == "failed", site.story(migration)
    assert migration.reason is not None
    return migration.reason.code
