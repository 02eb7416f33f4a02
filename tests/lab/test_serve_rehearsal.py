"""`--check --rehearse` on real hosts: it proves what the checks can only ask about, never touches
the guest, and leaves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.whole import Site, guests, local_disk, shared_disk

from godwit.cli.exits import Exit
from godwit.lab.certificates import Authority, expire, issue, lay_out_pki
from godwit.lab.guest import GuestSpec, known_guests
from godwit.lab.host import LabHost

pytest_plugins = ["tests.lab.serve_fixtures"]

LEFT_BEHIND = "godwit-rehearsal-1500000000-0123abcd"


def test_a_rehearsal_proves_what_checks_cannot_see_and_leaves_nothing(site: Site) -> None:
    spec = GuestSpec("wanted", disks=(shared_disk("wanted-1"), local_disk("wanted-2")))
    here, there = site.host("host-a"), site.host("host-b")
    with guests(site, a=(spec,)):
        leave_a_twin_behind(here)
        well = rehearsed(site, spec)
        assert well == {"host-b": (True, ""), "host-c": (True, "")}
        assert [known_guests(host) for host in site.lab.hosts] == [[spec.name], [], []]
        with an_expired_certificate_for_qemu(site, there):
            failed = rehearsed(site, spec)
        assert failed["host-c"] == (True, "")
        code, words = failed["host-b"][1].split(": ", 1)
        assert code == "rehearsal-failed"
        assert "has expired" in words
        assert [known_guests(host) for host in site.lab.hosts] == [[spec.name], [], []]
        assert {server.name for server in site.servers()} == {spec.name}
        site.assert_at_rest({spec: here.name})


def test_a_cut_network_and_a_missing_kernel_refuse_their_hosts(site: Site) -> None:
    spec = GuestSpec("wanted")
    cut_off, without = site.host("host-b"), site.host("host-c")
    with guests(site, a=(spec,)):
        # Else it is only noticed when the addresses that were learnt have grown old.
        site.host("host-a").run("ip", "neigh", "flush", "all")
        cut_off.cut("migration")
        without.run("mount", "-t", "tmpfs", "none", "/srv/shared")
        try:
            assert site.plane.typed("migrate", spec.name, "--check").returncode == Exit.MOVED
            typed = site.plane.typed("migrate", spec.name, "--check", "--rehearse")
        finally:
            cut_off.uncut("migration")
            without.run("umount", "/srv/shared")
        assert typed.returncode == Exit.REFUSED, typed.stdout
        assert typed.stdout.count("no   rehearsal-failed: ") == 2, typed.stdout
        assert "/srv/shared/godwit-guest.elf" in typed.stdout
        assert [known_guests(host) for host in site.lab.hosts] == [[spec.name], [], []]
        site.assert_at_rest({spec: "host-a"})


def rehearsed(site: Site, spec: GuestSpec) -> dict[str, tuple[bool, str]]:
    """For each host but the guest's own: did it rehearse, or with which words did it refuse?"""
    typed = site.plane.typed("migrate", spec.name, "--check", "--rehearse", "--json")
    verdicts = json.loads(typed.stdout)["verdicts"]
    refused = {
        host: (False, f"{why['code']}: {why['words']}")
        for why in verdicts["refusals"]
        for host in why["hosts"]
        if host != "host-a"
    }
    return refused | {each["host"]: (each["rehearsed"], "") for each in verdicts["willing"]}


def leave_a_twin_behind(host: LabHost) -> None:
    """As a control plane does that dies while its twin travels."""
    text = f"""
    <domain type='qemu'><name>{LEFT_BEHIND}</name><memory unit='MiB'>16</memory>
    <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os></domain>
    """
    host.run("virsh", "-q", "create", "/dev/stdin", "--paused", stdin_text=text)
    assert LEFT_BEHIND in known_guests(host)


@contextmanager
def an_expired_certificate_for_qemu(site: Site, host: LabHost) -> Iterator[None]:
    """What its QEMUs show has expired; its libvirtd, which has read its own long ago, is well."""
    folder = host.layout.folder
    ours, old = Authority(site.lab.base / "authority"), folder / "old"
    issue(ours, old, name=host.name, alternatives=[f"IP:{host.migration_address}"])
    expire(ours, old, at=datetime(2020, 1, 1, tzinfo=UTC))
    show(host, old)
    try:
        yield
    finally:
        show(host, folder / "certificate")


def show(host: LabHost, certificate: Path) -> None:
    """Lay a certificate out on the host."""
    lay_out_pki(certificate, host.layout.folder / "etc/pki")
