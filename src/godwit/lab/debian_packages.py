"""Fetches Debian packages and unpacks them into a folder, without installing anything on the box.

Uses apt with lists and a cache of its own, so that the box's apt is not touched. Called by
`software` (newer libvirt and QEMU) and `linux_guest` (a kernel), outside any lab: inside there is
no way to the internet.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from godwit.lab.cache import cache_folder
from godwit.lab.errors import LabError
from godwit.lab.processes import run

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
FETCH_TIMEOUT_S: Final = 600.0
MIRROR_QUESTION: Final = (
    "apt-get",
    "indextargets",
    "--format",
    "$(REPO_URI)",
    "Created-By: Packages",
)


def fetch_unpacked(name: str, packages: Sequence[str], *, backports: bool) -> Path:
    """A cache folder with these packages, and what they need beyond this box's own, unpacked.

    Fetched if it is not there yet; it appears whole or not at all. LabCommandFailed if the mirror
    cannot be reached or a package is not there.
    """
    place = cache_folder() / name
    if place.is_dir():
        return place
    codename = _codename()
    suites = [codename, f"{codename}-updates", *([f"{codename}-backports"] if backports else [])]
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f".{name}.") as work:
        apt = _private_apt(Path(work) / "apt", suites)
        run([*apt, "update"], timeout_s=FETCH_TIMEOUT_S)
        wanted = ["--target-release", suites[-1]] if backports else []
        download = ["install", "--yes", "--reinstall", "--no-install-recommends", "--download-only"]
        run([*apt, *download, *wanted, *packages], timeout_s=FETCH_TIMEOUT_S)
        unpacked = Path(work) / "unpacked"
        for package in sorted((Path(work) / "apt/cache/archives").glob("*.deb")):
            run(["dpkg-deb", "--extract", str(package), str(unpacked)])
        unpacked.chmod(0o755)
        if not place.is_dir():  # Someone else may have fetched the same meanwhile.
            unpacked.rename(place)
    return place


def sources_text(mirror: str, suites: Sequence[str]) -> str:
    """The sources.list of the private apt. Pure."""
    return "".join(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in suites)


def _private_apt(folder: Path, suites: Sequence[str]) -> list[str]:
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "sources.list").write_text(sources_text(_mirror(), suites))
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", "-qq", *(f"--option={name}={value}" for name, value in options.items())]


def _mirror() -> str:
    """The mirror this box takes Debian itself from."""
    uris = run([*MIRROR_QUESTION, f"Codename: {_codename()}"]).stdout.split()
    if not uris:
        raise LabError("apt on this box knows no Debian mirror", remedy="run apt-get update")
    return uris[0]


def _codename() -> str:
    text = Path("/etc/os-release").read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    codename = lines.get("VERSION_CODENAME", "").strip('"')
    if not codename:
        raise LabError("this is no Debian release: /etc/os-release has no VERSION_CODENAME")
    return codename
