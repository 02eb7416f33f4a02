"""Guests of every kind move between real hosts through the whole system, and back at once."""

from __future__ import annotations

from tests.lab.asking import now_s
from tests.lab.whole import CALL_TIMEOUT_S, Site, guests, local_disk, shared_disk

from godwit.cli.exits import Exit
from godwit.lab.guest import DiskPlace, GuestSpec, domain_state

pytest_plugins = ["tests.lab.serve_fixtures"]

GAP_MAX_S = 2.5
CALMER_TRIES = 4
"""A busy box lets any guest stand still for a while, and any move take longer: now and then."""
FROZEN_MAY_COST_S = CALL_TIMEOUT_S - 1.0
"""Whoever waited for the frozen host would wait for at least one call to time out."""


def test_a_guest_with_a_shared_disk_moves_and_can_move_back_at_once(site: Site) -> None:
    there_and_back(site, GuestSpec("calm", disks=(shared_disk("calm"),), autostart=True))


def test_a_guest_with_a_local_disk_moves_and_can_move_back_at_once(site: Site) -> None:
    there_and_back(site, GuestSpec("ledger", disks=(local_disk("ledger"),), autostart=True))


def test_a_guest_that_writes_its_memory_moves_and_can_move_back_at_once(site: Site) -> None:
    busy = GuestSpec("busy", memory_mib=32, working_set_mib=16, dirty_pages_per_s=1500)
    there_and_back(site, busy)


def there_and_back(site: Site, spec: GuestSpec) -> None:
    """Move the guest, and back the moment the first move has ended; nothing may be left behind."""
    with guests(site, a=(spec,)) as beats:
        began_s = now_s()
        typed = site.plane.typed("migrate", spec.name, "--to", "host-b", "--reason", "test")
        assert typed.returncode == Exit.MOVED, typed.stdout + typed.stderr
        assert typed.stdout.splitlines()[-1].startswith(f"completed  {spec.name}  host-a → host-b")
        back = site.begin(spec.name, "host-a")
        assert site.ended(back).status == "completed"
        beats.wait(spec.name, "host-a")
        assert beats.hosts_of(spec.name) == ["host-a", "host-b", "host-a"]
        gaps_s = [beats.longest_gap_s(spec.name, began_s)]
        while gaps_s[-1] >= GAP_MAX_S and len(gaps_s) < CALMER_TRIES:
            began_s = now_s()
            for name in ("host-b", "host-a"):
                site.moved(spec.name, name)
                beats.wait(spec.name, name)
            gaps_s.append(beats.longest_gap_s(spec.name, began_s))
        assert gaps_s[-1] < GAP_MAX_S, gaps_s
        site.assert_at_rest({spec: "host-a"})
        statistics = site.migration(back).statistics
        assert statistics is not None
        copied = [disk for disk in spec.disks if disk.place is DiskPlace.LOCAL]
        assert (statistics.disk_bytes or 0) >= sum(disk.size_mib * 2**20 for disk in copied)


def test_a_paused_guest_arrives_paused_and_goes_on_where_it_stood(site: Site) -> None:
    spec = GuestSpec("asleep")
    with guests(site, a=(spec,)) as beats:
        site.host("host-a").run("virsh", "-q", "suspend", spec.name)
        site.until("the pause to be known", lambda: is_paused(site, spec.name))
        quiet_s = now_s()
        site.moved(spec.name, "host-b")
        assert domain_state(site.host("host-b"), spec.name) == "paused (user)"
        assert beats.beats(spec.name, quiet_s) == []
        site.assert_at_rest({spec: "host-b"})
        site.host("host-b").run("virsh", "-q", "resume", spec.name)
        beats.wait(spec.name, "host-b")


def test_a_frozen_host_does_not_slow_down_a_move_between_the_other_two(site: Site) -> None:
    spec = GuestSpec("quick")
    with guests(site, a=(spec,)):
        costs_s = [FROZEN_MAY_COST_S]
        while costs_s[-1] >= FROZEN_MAY_COST_S and len(costs_s) <= CALMER_TRIES:
            undisturbed_s = seconds_to_move(site, spec.name, "host-b")
            site.host("host-c").freeze_libvirtd()
            costs_s.append(seconds_to_move(site, spec.name, "host-a") - undisturbed_s)
            site.host("host-c").thaw_libvirtd()
        assert costs_s[-1] < FROZEN_MAY_COST_S, costs_s
        site.assert_at_rest({spec: "host-a"})


def seconds_to_move(site: Site, name: str, to: str) -> float:
    """Move the guest; how long that took."""
    began_s = now_s()
    site.moved(name, to)
    return now_s() - began_s


def is_paused(site: Site, name: str) -> bool:
    """Does the record say so?"""
    server = site.server(name)
    return server is not None and server.status == "PAUSED"
