"""Entry of `make demo`: tells the story inside a lab made for it, or on hosts in memory."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.control_plane import ControlPlane


def main() -> int:
    """Exit code 0 only if everything shown held."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="hosts in memory, no kill -9")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.simulated and not asked.inside:
        lab = [sys.executable, "-m", "godwit.lab", "run", "--hosts", "3", "--"]
        inside = [sys.executable, "-m", "demo", "--inside"]
        return subprocess.run([*lab, *inside], check=False).returncode
    with tempfile.TemporaryDirectory(prefix="godwit-demo-") as name:
        return tell(Path(name), simulated=asked.simulated)


def tell(folder: Path, *, simulated: bool) -> int:
    """Tell the story with all its files in `folder`."""
    if simulated:
        from demo.simulated import SETTINGS, simulated_story

        return simulated_story(ControlPlane(folder, SETTINGS))
    from demo.real import real_story

    return real_story(folder)


if __name__ == "__main__":
    sys.exit(main())
