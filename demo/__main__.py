"""Entry of `make demo`: tells the story inside a lab made for it, or on hosts in memory."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.control_plane import ControlPlane

INTERRUPTED = 130


def main() -> int:
    """Exit code 0 only if everything shown held."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="hosts in memory, no kill -9")
    parser.add_argument(
        "--cluster", action="store_true", help="many processes, and kill -9 of each"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.simulated and not asked.inside:
        lab = [sys.executable, "-m", "godwit.lab", "run", "--hosts", "3", "--"]
        inside = [sys.executable, "-m", "demo", "--inside", *["--cluster"] * asked.cluster]
        return run_to_its_end([*lab, *inside])
    try:
        return on_simulated_hosts() if asked.simulated else on_real_hosts(cluster=asked.cluster)
    except KeyboardInterrupt:
        print("\nthe demo was interrupted; its hosts and guests are gone", file=sys.stderr)
        return INTERRUPTED


def run_to_its_end(command: list[str]) -> int:
    """Run `command` to its end. Ctrl-C reaches it, too: it is given the time to clean up."""
    with subprocess.Popen(command) as lab:
        while True:
            try:
                return lab.wait()
            except KeyboardInterrupt:
                continue


def on_real_hosts(*, cluster: bool) -> int:
    """Tell it inside the lab; all its files are in the lab's folder and go with it."""
    from demo.cluster_story import cluster_story
    from demo.real import real_story
    from godwit.lab.lab import Lab

    lab = Lab.here()
    folder = lab.base / "demo"
    folder.mkdir()
    return cluster_story(lab, folder) if cluster else real_story(lab, folder)


def on_simulated_hosts() -> int:
    """Tell it on hosts in memory."""
    from demo.simulated import SETTINGS, simulated_story

    with tempfile.TemporaryDirectory(prefix="godwit-demo-") as name:
        return simulated_story(ControlPlane(Path(name), SETTINGS))


if __name__ == "__main__":
    sys.exit(main())
