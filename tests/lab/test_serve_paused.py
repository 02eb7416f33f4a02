"""Guests that their operator has paused: they stay so at either end, whatever goes wrong."""

from __future__ import annotations

from dataclasses import replace

from tests.lab.whole import RUSHING, Site, guests, roomy, set_pace, small_disk

from godwit.lab.guest import GuestSpec, domain_state

pytest_plugins = ["tests.lab.serve_fixtures"]

PAUSED = "paused (user)"
SLOWEST = 1
"""MiB per second: such a guest writes nothing, so its copy cannot be made endless."""


def test_paused_guests_stay_paused_when_moves_are_stopped_fail_and_succeed(site: Site) -> None:
    """The move of a persistent one is called off; while a transient one moves, libvirtd dies."""
    lasting = replace(roomy("lasting", small_disk("lasting")), autostart=True)
    passing = replace(roomy("passing"), persistent=False)
    here, there, names = site.host("host-a"), site.host("host-b"), (lasting.name, passing.name)
    with guests(site, a=(lasting, passing)) as beats:
        for spec in (lasting, passing):
            here.run("virsh", "-q", "suspend", spec.name)
            set_pace(here, SLOWEST, spec.name)
        site.until("the pauses to be known", lambda: both_paused(site, lasting, passing))
        call_off(site, lasting.name)
        uuid = site.begin(passing.name, "host-b")
        site.until_copying(uuid, sent_mib=0)
        here.kill_libvirtd()
        here.start_libvirtd()
        failed = site.ended(uuid)
        assert failed.status == "failed", site.story(failed)
        assert [domain_state(here, name) for name in names] == [PAUSED, PAUSED]
        site.assert_at_rest({lasting: "host-a", passing: "host-a"})
        set_pace(here, RUSHING, *names)
        again = [site.begin(name, "host-b") for name in names]
        assert [site.ended(uuid).status for uuid in again] == ["completed", "completed"]
        assert [domain_state(there, name) for name in names] == [PAUSED, PAUSED]
        site.assert_at_rest({lasting: "host-b", passing: "host-b"})
        for name in names:
            there.run("virsh", "-q", "resume", name)
            beats.wait(name, "host-b")


def call_off(site: Site, name: str) -> None:
    """Begin to move the guest, and abort it in the middle of its copy."""
    uuid = site.begin(name, "host-b")
    site.until_copying(uuid, sent_mib=0)
    called_off = site.plane.typed("migration", "abort", uuid)
    assert called_off.returncode == 0, called_off.stderr
    assert site.ended(uuid).status == "cancelled"


def both_paused(site: Site, *specs: GuestSpec) -> bool:
    """Does the record say so?"""
    servers = [site.server(spec.name) for spec in specs]
    return all(server is not None and server.status == "PAUSED" for server in servers)
