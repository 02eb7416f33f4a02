"""Where only a person can know, the story waits for one, says what to type, and obeys."""

from __future__ import annotations

from tests.lab.whole import CRAWLING, RUSHING, Site, endless, guests, set_pace

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec, known_guests
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]


def test_a_guest_seen_running_at_both_ends_waits_for_a_person_who_is_obeyed(site: Site) -> None:
    spec = endless("torn")
    here, there = site.host("host-a"), site.host("host-b")
    with guests(site, a=(spec,)):
        set_pace(here, CRAWLING, spec.name)
        uuid = site.copying(spec.name, there.name)
        site.plane.kill()
        here.run("virsh", "-q", "domjobabort", spec.name)
        site.until("its other half to be gone", lambda: spec.name not in known_guests(there))
        start_another_under_its_uuid(there, spec)
        site.plane.start()
        watched = site.plane.typed("migration", "show", uuid, "--watch")
        assert watched.returncode == Exit.PERSON_NEEDED, watched.stdout
        assert "two-guests" in watched.stdout
        assert "godwit migration resolve" in watched.stdout
        assert "--at host-a" in watched.stdout
        aborted = site.plane.typed("migration", "abort", uuid)
        assert aborted.returncode == Exit.REFUSED
        assert "waits for a person" in aborted.stderr
        there.run("virsh", "-q", "destroy", str(spec.uuid))
        why = ("--reason", "the other one was a trial of mine")
        resolved = site.plane.typed("migration", "resolve", uuid, "--at", "host-a", *why)
        assert resolved.returncode == 0, resolved.stderr
        ended = site.ended(uuid)
        assert ended.status == "failed", site.story(ended)
        assert ended.reason is not None
        assert ended.reason.code == "resolved-by-a-person"
        assert "a trial of mine" in ended.reason.words
        site.assert_at_rest({spec: here.name})
        set_pace(here, RUSHING, spec.name)
        site.moved(spec.name, there.name)
        site.assert_at_rest({spec: there.name})


def start_another_under_its_uuid(host: LabHost, spec: GuestSpec) -> None:
    """What an operator does who starts the guest again by hand; it runs nothing, so it beats not.

    Whether the guest itself ever ran twice is for its heartbeat to say.
    """
    text = f"""
    <domain type='qemu'><name>{spec.name}</name><uuid>{spec.uuid}</uuid>
    <memory unit='MiB'>16</memory>
    <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os></domain>
    """
    host.run("virsh", "-q", "create", "/dev/stdin", stdin_text=text)
