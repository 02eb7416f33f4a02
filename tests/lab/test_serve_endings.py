"""Guests that end in the middle of their copy: the story says how, and nothing is left behind. One
that only begins anew arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.lab.whole import (
    CRAWLING,
    RUSHING,
    Site,
    endless,
    is_known,
    set_pace,
    small_disk,
    start,
)

from godwit.lab.guest import GuestDisk, GuestSpec, type_line
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]


def shut_itself_down(host: LabHost, name: str) -> None:
    type_line(host, name, "q")


def crash(host: LabHost, name: str) -> None:
    host.kill_qemu(name)


def destroy(host: LabHost, name: str) -> None:
    host.run("virsh", "-q", "destroy", name)


def delete(host: LabHost, name: str) -> None:
    host.run("virsh", "-q", f"destroy {name}; undefine {name}")


def begin_anew(host: LabHost, name: str) -> None:
    type_line(host, name, "b")


@dataclass(frozen=True)
class Case:
    """A guest, where it goes, and what becomes of it on the way."""

    spec: GuestSpec
    source: str
    destination: str
    end: Callable[[LabHost, str], None]
    words: str = ""


def lasting(name: str, *disks: GuestDisk) -> GuestSpec:
    """A guest whose copy has no end of its own."""
    return replace(endless(name, *disks), autostart=True)


ENDING = (
    Case(lasting("wiped", small_disk("wiped")), "host-b", "host-a", delete, "no longer there"),
    Case(lasting("shot"), "host-b", "host-a", destroy, "somebody has destroyed it"),
    Case(lasting("tired"), "host-a", "host-b", shut_itself_down, "it has shut itself down"),
    Case(lasting("ill", small_disk("ill")), "host-a", "host-b", crash, "it has crashed"),
)
ANEW = Case(lasting("anew"), "host-c", "host-a", begin_anew)


def test_a_guest_that_ends_in_its_copy_ends_the_story_and_one_that_resets_does_not(
    site: Site,
) -> None:
    cases = (*ENDING, ANEW)
    with Heartbeats(site.lab, [case.spec.name for case in cases]) as beats:
        for case in cases:
            start(site.host(case.source), (case.spec,))
        for case in cases:
            site.until(f"{case.spec.name} to be known", is_known(site, case.spec))
            set_pace(site.host(case.source), CRAWLING, case.spec.name)
        moves = [site.begin(case.spec.name, case.destination) for case in ENDING]
        for case, uuid in zip(ENDING, moves, strict=True):
            site.until_copying(uuid, sent_mib=1)
            case.end(site.host(case.source), case.spec.name)
        for case, uuid in zip(ENDING, moves, strict=True):
            assert_told(site, case, uuid)
        arrives_anew(site, beats)
        wiped = ENDING[0].spec
        site.until("the deleted one to be forgotten", lambda: site.forgets(str(wiped.uuid)))
        assert (site.host("host-b").local / "wiped.qcow2").exists()
        assert not (site.host("host-a").local / "wiped.qcow2").exists()
        site.assert_at_rest({case.spec: case.source for case in ENDING[1:]} | {ANEW.spec: "host-a"})


def arrives_anew(site: Site, beats: Heartbeats) -> None:
    """The guest resets in the middle of its copy, and is moved all the same."""
    host, name = site.host(ANEW.source), ANEW.spec.name
    uuid = site.begin(name, ANEW.destination)
    site.until_copying(uuid, sent_mib=1)
    ANEW.end(host, name)
    set_pace(host, RUSHING, name)
    migration = site.ended(uuid)
    assert migration.status == "completed", site.story(migration)
    beats.wait(name, ANEW.destination)
    (problem,) = beats.check_ran_once(name)
    assert problem.startswith("went back: ")


def assert_told(site: Site, case: Case, uuid: str) -> None:
    """The story ended with the guest, and the record says what became of it."""
    migration = site.ended(uuid)
    assert migration.status == "failed", site.story(migration)
    assert migration.reason is not None
    assert migration.reason.code == ("guest-ended" if case.end is crash else "guest-stopped")
    assert case.words in migration.reason.words
    assert status(site, case.spec) == ("UNKNOWN" if case.end is delete else "SHUTOFF")


def status(site: Site, spec: GuestSpec) -> str:
    """The server's status on record."""
    server = site.server(spec.name)
    assert server is not None
    return server.status
