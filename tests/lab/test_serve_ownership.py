"""Whose guests are moved: what the settings of a host say, and what a guest says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.control_plane import ControlPlane
from tests.lab.whole import SETTINGS, Site, guests

from godwit.cli.exits import Exit
from godwit.lab.control_plane import settings_for
from godwit.lab.guest import GuestSpec

pytest_plugins = ["tests.lab.serve_fixtures"]

TAG = ("urn:godwit:guest", "--key", "godwit", "--set", "<managed/>", "--live", "--config")
"""As docs/operating/serve.md has it."""
NOVA = ("http://openstack.org/xmlns/libvirt/nova/1.1", "--key", "nova", "--set", "<instance/>")
STRICT = '[hosts.host-a]\nmanage = "tagged"\nnested = "refuse"\n'


@pytest.fixture
def strict(site: Site, tmp_path: Path) -> Iterator[ControlPlane]:
    """A second Godwit, which may move only tagged guests off `host-a`, and none with nesting."""
    hosts = settings_for(site.lab).replace("[hosts.host-a]\n", STRICT)
    plane = ControlPlane(tmp_path, SETTINGS + hosts)
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()


def test_only_guests_that_are_godwits_to_move_are_moved(site: Site, strict: ControlPlane) -> None:
    mine, stranger, novas = GuestSpec("mine"), GuestSpec("stranger"), GuestSpec("novas")
    nested = GuestSpec("nested", cpu_features=("svm",))
    with guests(site, a=(mine, stranger, novas, nested)):
        for spec in (mine, novas, nested):
            site.host("host-a").run("virsh", "-q", "metadata", spec.name, *TAG)
        site.host("host-a").run("virsh", "-q", "metadata", novas.name, *NOVA, "--live", "--config")
        site.until(
            "the tags to be seen",
            lambda: (
                whose(strict)
                == {
                    "mine": ["godwit"],
                    "stranger": [],
                    "novas": ["nova", "godwit"],
                    "nested": ["godwit"],
                }
            ),
        )
        assert "nova, godwit" in strict.typed("server", "list").stdout
        refused(strict, stranger, "not-tagged", f"virsh metadata {stranger.name}")
        refused(strict, novas, "other-manager", "managed by nova")
        refused(strict, nested, "nested-virtualisation", "svm")
        for host in ("host-b", "host-a"):
            typed = strict.typed("migrate", mine.name, "--to", host)
            assert typed.returncode == Exit.MOVED, typed.stdout + typed.stderr
            tag = site.host(host).run("virsh", "-q", "metadata", mine.name, TAG[0])
            assert "managed" in tag.stdout
        site.moved(nested.name, "host-b")
        # The other Godwit may have seen it there, and has to see that it is back.
        site.until("it to be back on record", lambda: host_on_record(site, mine) == "host-a")
        site.assert_at_rest({mine: "host-a", stranger: "host-a", novas: "host-a", nested: "host-b"})


def host_on_record(site: Site, spec: GuestSpec) -> str:
    """Where the usual Godwit has it."""
    server = site.server(spec.name)
    assert server is not None
    return server.host


def whose(plane: ControlPlane) -> dict[str, list[str]]:
    """Who manages each server, as the API has it."""
    servers = plane.ask("server", "list")["servers"]
    return {server["name"]: server["godwit"]["managed_by"] for server in servers}


def refused(plane: ControlPlane, spec: GuestSpec, code: str, words: str) -> None:
    """Both the dry run, with the code, and the move."""
    checked = plane.typed("migrate", spec.name, "--to", "host-b", "--check")
    assert checked.returncode == Exit.REFUSED, checked.stderr
    assert code in checked.stdout
    assert words in checked.stdout
    typed = plane.typed("migrate", spec.name, "--to", "host-b")
    assert typed.returncode == Exit.REFUSED, typed.stdout
    assert words in typed.stdout + typed.stderr
