"""Where a guest is, asked of real hypervisors: at one host, at one that is silent, at two."""

from __future__ import annotations

from tests.lab.whole import Site, guests, is_known, start

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec, remove_guest, running_guests

pytest_plugins = ["tests.lab.serve_fixtures"]


def test_a_guest_is_found_where_it_runs_and_a_silent_host_is_named(site: Site) -> None:
    spec = GuestSpec("sought")
    with guests(site, a=(spec,)):
        said = site.plane.typed("server", "whereis", spec.name)
        assert said.returncode == 0, said.stdout + said.stderr
        first, *rest = said.stdout.splitlines()
        assert first == "sought: it is at host-a, as recorded"
        assert [line.split()[:2] for line in rest] == [
            ["host-a", "runs"],
            ["host-b", "not"],
            ["host-c", "not"],
        ]
        site.host("host-a").freeze_libvirtd()
        said = site.plane.typed("server", "whereis", spec.name)
        assert said.returncode == Exit.PERSON_NEEDED, said.stdout + said.stderr
        [silent] = [line for line in said.stdout.splitlines() if "does not answer" in line]
        assert silent.split()[0] == "host-a"
        site.host("host-a").thaw_libvirtd()


def test_a_guest_that_somebody_starts_twice_is_an_alarm_and_left_alone(site: Site) -> None:
    spec = GuestSpec("doubled")
    start(site.host("host-a"), (spec,))
    site.until("it to be known", is_known(site, spec))
    start(site.host("host-b"), (spec,))
    said = site.plane.typed("server", "whereis", spec.name)
    assert said.returncode == Exit.PERSON_NEEDED, said.stdout + said.stderr
    assert said.stdout.startswith("doubled: ALARM: it runs at host-a, host-b")
    for name in ("host-a", "host-b"):
        assert running_guests(site.host(name)) == [spec.name]
    remove_guest(site.host("host-b"), spec.name)
    said = site.plane.typed("server", "whereis", spec.name)
    assert said.returncode == 0, said.stdout + said.stderr
