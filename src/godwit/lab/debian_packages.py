"""Fetches Debian packages and unpacks them into a folder, without installing anything on the box.

Uses apt with lists and a cache of its own, so that the box's apt is not touched. Called by
`software` (newer libvirt and QEMU) and `linux_guest` (a kernel), outside any lab: inside there is
no way to the internet.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class PackageSet:
    """Some packages that are of use together, from the box's own release or from its backports."""

    name: str
    packages: tuple[str, ...]
    backports: bool = False

    @property
    def place(self) -> Path:
        """The cache folder they are unpacked into: another one for another choice of packages."""
        choice = hashlib.sha256(" ".join(self.packages).encode()).hexdigest()[:8]
        return cache_folder() / f"{self.name}-{choice}"


def unpacked(wanted: PackageSet) -> Path | None:
    """Where the packages are, if they were fetched."""
    return wanted.place if wanted.place.is_dir() else None


def fetch(wanted: PackageSet) -> None:
    """Fetch the packages, and what they need beyond this box's own, unless that was done before.

    Their folder appears whole or not at all. LabCommandFailed if the mirror cannot be reached or a
    package is not there.
    """
    place = wanted.place
    if place.is_dir():
        return
    codename = _codename()
    suites = [codename, f"{codename}-updates"]
    if wanted.backports:
        suites.append(f"{codename}-backports")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f".{place.name}.") as work:
        apt = _private_apt(Path(work) / "apt", suites)
        run([*apt, "update"], timeout_s=FETCH_TIMEOUT_S)
        release = ["--target-release", suites[-1]] if wanted.backports else []
        download = ["install", "--yes", "--reinstall", "--no-install-recommends", "--download-only"]
        run([*apt, *download, *release, *wanted.packages], timeout_s=FETCH_TIMEOUT_S)
        contents = Path(work) / "contents"
        for package in sorted((Path(work) / "apt/cache/archives").glob("*.deb")):
            run(["dpkg-deb", "--extract", str(package), str(contents)])
        contents.chmod(0o755)
        if not place.is_dir():  # Someone else may have fetched the same meanwhile.
            contents.rename(place)


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
