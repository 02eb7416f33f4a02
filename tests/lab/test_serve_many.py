"""One command empties a host of real guests; the one that cannot go hinders nobody."""

from __future__ import annotations

from tests.lab.whole import Site, guests, local_disk, shared_disk

from godwit.cli.exits import Exit
from godwit.lab.guest import GuestSpec, define_guest, remove_guest

pytest_plugins = ["tests.lab.serve_fixtures"]


def test_a_host_is_emptied_by_one_command_and_who_cannot_go_hinders_nobody(site: Site) -> None:
    """Every guest runs on exactly one host all the time; `guests` has that checked."""
    leaving = (
        *(GuestSpec(f"leaver-{n}", disks=(shared_disk(f"leaver-{n}"),)) for n in range(3)),
        GuestSpec("carrier", disks=(local_disk("carrier"),)),
    )
    host, off = site.host("host-a"), GuestSpec("off")
    with guests(site, a=leaving) as beats:
        define_guest(host, off)
        site.until("the guest that is off to be known", lambda: site.server(off.name) is not None)
        checked = site.plane.typed("migrate", "--from", "host-a", "--check")
        assert checked.returncode == Exit.REFUSED, checked
        assert "instance-invalid-state" in checked.stdout
        assert {server.host for server in site.servers()} == {"host-a"}

        words = ("--from", "host-a", "--to", "host-b", "--reason", "new fan")
        emptied = site.plane.typed("migrate", *words)
        assert emptied.returncode == Exit.REFUSED, emptied
        assert "moving 4 of 5; left where they are: off" in emptied.stdout
        assert "4 moved, 1 refused of 5" in emptied.stdout
        for spec in leaving:
            beats.wait(spec.name, "host-b")
            assert beats.hosts_of(spec.name) == ["host-a", "host-b"]
        remove_guest(host, off.name)
        left = site.server(off.name)
        assert left is not None
        assert site.forgets(left.id) is False
        site.assert_at_rest(dict.fromkeys(leaving, "host-b"))
