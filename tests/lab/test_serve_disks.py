"""Guests with disks of every kind: each goes the way its storage says, whatever its path."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.lab.whole import Site, guests, is_known, local_disk, shared_disk

from godwit.cli.exits import Exit
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec, create_disk, start_guest
from godwit.lab.heartbeat import Heartbeats
from godwit.lab.host import LabHost
from godwit.lab.layout import CONTROL_PLANE_ADDRESS
from godwit.lab.processes import listens_on_tcp, wait_until

pytest_plugins = ["tests.lab.serve_fixtures"]

NBD_PORT = 10809
VOLUME = f"""<disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='nbd' name='volume'>
<host name='{CONTROL_PLANE_ADDRESS}' port='{NBD_PORT}'/></source>
<target dev='vda' bus='virtio'/></disk>"""
POOLED = """<disk type='volume' device='disk'><source pool='local' volume='pooled.qcow2'/>
<driver name='qemu' type='qcow2'/><target dev='vdb' bus='virtio'/></disk>"""
MEDIUM = """<disk type='file' device='cdrom'><source file='/srv/shared/medium.qcow2'/>
<driver name='qemu' type='qcow2'/><target dev='sdb' bus='sata'/><readonly/></disk>"""
NO_MEDIUM = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>"
NO_FLOPPY = "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>"
FLOPPY = """<disk type='file' device='floppy'><source file='/srv/local/floppy.img'/>
<driver name='qemu' type='raw'/><target dev='fdb' bus='fdc'/></disk>"""


def test_each_disk_of_a_guest_goes_the_way_its_storage_says(site: Site) -> None:
    here, there = site.host("host-a"), site.host("host-b")
    base = GuestDisk("base.qcow2", DiskPlace.SHARED)
    overlay = replace(local_disk("overlay"), base=base.path)
    floppy = GuestDisk("floppy.img", DiskPlace.LOCAL, size_mib=1, format="raw")
    spec = GuestSpec(
        "mixed",
        disks=(local_disk("mixed"), overlay, shared_disk("seen-by-both")),
        devices=(VOLUME, POOLED, MEDIUM, NO_MEDIUM, NO_FLOPPY, FLOPPY),
    )
    medium = GuestDisk("medium.qcow2", DiskPlace.SHARED)
    for disk in (base, medium, floppy, local_disk("pooled")):
        create_disk(here, disk)
    here.run("virsh", "-q", "pool-refresh", "local")
    write(here, base.path, 0, "0xb0")
    with a_volume(site), guests(site, a=(spec,)) as beats:
        shown = site.plane.typed("server", "show", spec.name).stdout
        assert f"nbd:{CONTROL_PLANE_ADDRESS}:{NBD_PORT}/volume" in shown, shown
        assert "network volume" in shown
        assert f"overlay on {base.path}" in shown
        site.moved(spec.name, "host-b")
        beats.wait(spec.name, "host-b")
        assert backing_of(there, overlay.path) == base.path
        assert reads(there, overlay.path, 0, "0xb0")
        assert not (here.local / "floppy.img").exists()
        assert (there.local / "floppy.img").exists()
        assert {path.name for path in there.local.iterdir()} == {
            "mixed.qcow2",
            "overlay.qcow2",
            "pooled.qcow2",
            "floppy.img",
        }
        assert not (here.local / "pooled.qcow2").exists()
        site.assert_at_rest({spec: "host-b"})
        devices = {each["device_name"]: each for each in mappings(site, spec)}
        assert devices["/dev/vda"]["destination_type"] == "volume"
        assert devices["/dev/hda"]["destination_type"] == "local"
        assert devices["/dev/fdb"]["device_type"] == "floppy"


def test_an_overlay_on_a_base_of_its_host_becomes_whole_and_the_base_stays(site: Site) -> None:
    here, there = site.host("host-a"), site.host("host-b")
    base = GuestDisk("base.qcow2", DiskPlace.LOCAL)
    spec = GuestSpec("flat", disks=(replace(local_disk("flat"), base=base.path),))
    create_disk(here, base)
    write(here, base.path, 8 * 2**20, "0xb0")
    with guests(site, a=(spec,)) as beats:
        typed = site.plane.typed("migrate", spec.name, "--to", "host-b", "--disk-over-commit")
        assert typed.returncode == Exit.MOVED, typed.stdout + typed.stderr
        beats.wait(spec.name, "host-b")
        assert backing_of(there, "/srv/local/flat.qcow2") == ""
        assert reads(there, "/srv/local/flat.qcow2", 8 * 2**20, "0xb0")
        assert (here.local / base.name).exists()
        site.assert_at_rest({spec: "host-b"})


def test_a_copy_that_finds_no_room_leaves_the_guest_and_foreign_files_alone(site: Site) -> None:
    """The disk is compressed: it holds next to nothing, and its copy needs 12 MiB."""
    here, there = site.host("host-a"), site.host("host-b")
    spec = GuestSpec("grows", disks=(local_disk("grows"),), autostart=True)
    path = spec.disks[0].path
    with (
        a_small_disk(there),
        guests(site, a=(GuestSpec("watched"),)),
        Heartbeats(site.lab, [spec.name]) as beats,
    ):
        compressed_disk(here, path)
        start_guest(here, spec)
        site.until("it to be known", is_known(site, spec))
        plain = site.plane.typed("migrate", spec.name, "--to", "host-b")
        assert (plain.returncode, "not-enough-disk" in plain.stdout) == (Exit.REFUSED, True)
        over = ("migrate", spec.name, "--to", "host-b", "--disk-over-commit")
        full = site.plane.typed(*over)
        assert full.returncode == Exit.FAILED, full.stdout + full.stderr
        newest = site.newest(spec.name)
        assert newest.reason is not None
        assert (newest.reason.code, newest.reason.host) == ("disk-full", "host-b")
        assert there.run("ls", "-A", "/srv/local").stdout == ""
        there.run("qemu-img", "create", "-q", "-f", "qcow2", path, "3M")
        before = there.run("sha256sum", path).stdout
        taken = site.plane.typed(*over)
        assert "disk-exists" in taken.stdout, taken.stdout
        assert there.run("sha256sum", path).stdout == before
        beats.wait(spec.name, "host-a")
        assert beats.check_ran_once(spec.name) == []


@contextmanager
def a_small_disk(host: LabHost) -> Iterator[None]:
    """A local storage of 8 MiB."""
    host.run("mount", "-t", "tmpfs", "-o", "size=8m", "none", "/srv/local")
    try:
        yield
    finally:
        host.run("umount", "--lazy", "/srv/local")


def compressed_disk(host: LabHost, path: str) -> None:
    """An image of 16 MiB, 12 of them written, all in a few clusters."""
    host.run("qemu-img", "create", "-q", "-f", "raw", "/run/plain.raw", "16M")
    host.run("qemu-io", "-f", "raw", "-c", "write -P 0x5a 4M 12M", "/run/plain.raw")
    host.run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "/run/plain.raw", path)
    host.run("rm", "/run/plain.raw")


@contextmanager
def a_volume(site: Site) -> Iterator[None]:
    """A network volume that every host reaches, for as long as this takes."""
    image = site.lab.base / "volume.raw"
    image.write_bytes(bytes(2**20))
    server = subprocess.Popen(
        ["qemu-nbd", "-t", "-e", "8", "-f", "raw", "-x", "volume", "-p", str(NBD_PORT), str(image)]
    )
    try:
        wait_until(lambda: listens_on_tcp(server.pid, NBD_PORT), what="qemu-nbd", timeout_s=60.0)
        yield
    finally:
        server.terminate()
        server.wait()


def mappings(site: Site, spec: GuestSpec) -> list[dict[str, object]]:
    """The server's disks in Nova's words."""
    detail = site.read(f"/v2.1/servers/{spec.uuid}", dict[str, object])["godwit"]
    assert isinstance(detail, dict)
    assert detail["is_volume_backed"] is False
    found: list[dict[str, object]] = detail["block_device_mapping"]
    return found


def write(host: LabHost, path: str, at: int, pattern: str) -> None:
    """Write 64 KiB of this pattern into an image that no guest has yet."""
    host.run("qemu-io", "-c", f"write -P {pattern} {at} 64k", path)


def reads(host: LabHost, path: str, at: int, pattern: str) -> bool:
    """Does the image, which a guest may have open, hold that pattern there?"""
    said = host.run("qemu-io", "-U", "-r", "-c", f"read -P {pattern} {at} 64k", path)
    return "Pattern verification failed" not in said.stdout


def backing_of(host: LabHost, path: str) -> str:
    """The base that an image names; empty if none."""
    said = host.run("qemu-img", "info", "-U", path).stdout
    lines = [line for line in said.splitlines() if line.startswith("backing file: ")]
    return Path(lines[0].removeprefix("backing file: ")).as_posix() if lines else ""
