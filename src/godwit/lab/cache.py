"""Where the lab keeps what is slow to make and the same every time: the guest's program, QEMU's
probed capabilities.

A folder on the box, outside all labs, and safe to delete at any time. What appears in it appears
whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import godwit


def cache_folder() -> Path:
    """`build/lab` of the repository, else in the user's own cache folder; made if missing."""
    repository = Path(godwit.__file__).resolve().parents[2]
    if (repository / "pyproject.toml").exists():
        folder = repository / "build/lab"
    else:
        user_cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        folder = Path(user_cache) / "godwit/lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def put_file(made: Path, place: Path) -> None:
    """Copy a file into its place in one step: who looks sees the old or the new one, whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    os.close(handle)
    shutil.copyfile(made, name)
    Path(name).chmod(0o644)
    Path(name).replace(place)


def put_folder_files(made: Path, place: Path) -> None:
    """Copy the plain files of a folder into another one, each in one step."""
    for file in sorted(made.iterdir()):
        if file.is_file():
            put_file(file, place / file.name)
