"""Builds the tiny guest from the C sources in `guest/`, once, and puts it where every host of a lab
sees it.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Final

from godwit.lab.cache import cache_folder, put_file
from godwit.lab.layout import SHARED_FOLDER
from godwit.lab.processes import run

SOURCES: Final = Path(__file__).parent / "guest"
PLACE_ON_HOSTS: Final = f"{SHARED_FOLDER}/godwit-guest.elf"

COMPILE: Final = ("gcc", "-m32", "-Os", "-std=gnu11", "-Wall", "-Wextra")
WITHOUT_SYSTEM: Final = (
    "-ffreestanding",
    "-nostdlib",
    "-static",
    "-fno-pic",
    "-fno-pie",
    "-no-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-mgeneral-regs-only",
)
LINK: Final = ("-s", "-Wl,-N", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments")


def guest_program() -> Path:
    """The built program, from the cache; built again when anything it is made from changed."""
    files = sorted(file for file in SOURCES.iterdir() if file.suffix in {".S", ".c", ".h", ".ld"})
    content = hashlib.sha256(" ".join(_command(Path(), [])).encode())
    for file in files:
        content.update(file.name.encode() + b"\0" + file.read_bytes())
    place = cache_folder() / f"guest-{content.hexdigest()[:16]}.elf"
    if not place.exists():
        _build(files, place)
    return place


def install_guest_program(shared: Path) -> str:
    """Put the program into the lab's shared folder; return its path on the hosts."""
    place = shared / Path(PLACE_ON_HOSTS).name
    if not place.exists():
        put_file(guest_program(), place)
    return PLACE_ON_HOSTS


def _build(files: list[Path], place: Path) -> None:
    sources = [str(file) for file in files if file.suffix in {".S", ".c"}]
    with tempfile.TemporaryDirectory(prefix="godwit-guest-") as folder:
        made = Path(folder) / "guest.elf"
        run(_command(made, sources))
        put_file(made, place)


def _command(made: Path, sources: list[str]) -> list[str]:
    script = f"-Wl,-T,{SOURCES / 'guest.ld'}"
    return [*COMPILE, *WITHOUT_SYSTEM, *LINK, script, "-o", str(made), *sources]
