"""Entry of `make test-faults`: shares the cells out among labs, and prints the matrix at the end.

A cell that was run is not run again: the results file is what is known. `--again` runs those anew
that did not end as expected; for everything anew, name another file or remove it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from tests import postgres_server
from tests.kills import results
from tests.kills.cells import Cell
from tests.kills.play import Player
from tests.kills.results import Outcome, Result
from tests.kills.scene import Scene
from tests.kills.table import CELLS

from godwit.lab.lab import Lab
from godwit.lab.layout import LAB_VARIABLE
from godwit.runtime.clock import SystemClock, iso

FILE: Final = Path("build/kills.jsonl")
TRIES: Final = 3
"""So often a cell whose moment was missed is tried."""
LABS_MAX: Final = 10


def main() -> int:
    """Exit code 0 only if every cell asked for was run and ended as the table says."""
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--cells", default="*", help="a pattern, such as 'conductor/*' or 'w*'")
    parser.add_argument("--labs", type=int, default=1, help="so many labs side by side")
    parser.add_argument("--file", type=Path, default=FILE, help="the results")
    parser.add_argument("--show", action="store_true", help="only print the matrix")
    parser.add_argument("--again", action="store_true", help="what did not end as expected, too")
    parser.add_argument("--share", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.share:
        number, of = map(int, asked.share.split("/"))
        play_share(chosen(asked.cells)[number::of], asked.file)
        return 0
    if not asked.show:
        asked.file.parent.mkdir(parents=True, exist_ok=True)
        if asked.again:
            forget_failed(asked.file, asked.cells)
        run_labs(asked.cells, asked.file, asked.labs)
    known = results.read(asked.file)
    print(results.matrix(known))
    print(f"\nruns that ended as expected, of all runs\n\n{results.points(known)}\n")
    last = results.latest(known)
    broken = [last[cell.name] for cell in chosen(asked.cells) if cell.name in last]
    for result in broken:
        if result.outcome is not Outcome.PASSED:
            print(f"{result.outcome}: {result.cell}: {'; '.join(result.problems)}")
    print(f"\n{results.summary(known)}")
    passed = {name for name, result in last.items() if result.outcome is Outcome.PASSED}
    return 0 if {cell.name for cell in chosen(asked.cells)} <= passed else 1


def forget_failed(file: Path, pattern: str) -> None:
    """Note that the failed ones among these are to be run anew; their lines stay."""
    last = results.latest(results.read(file))
    for cell in chosen(pattern):
        if cell.name in last and last[cell.name].outcome is Outcome.FAILED:
            results.append(file, Result(cell.name, Outcome.AGAIN, iso(SystemClock().now_s())))


def chosen(pattern: str) -> list[Cell]:
    """The cells whose names fit; several patterns are parted by commas."""
    patterns = pattern.split(",")
    return [cell for cell in CELLS if any(fnmatch(cell.name, each) for each in patterns)]


def run_labs(pattern: str, file: Path, labs: int) -> None:
    """Each lab plays every so-manieth cell, in a sandbox of its own; one that breaks is followed by
    another, which goes on where it was.
    """
    command = [sys.executable, "-m", "godwit.lab", "run", "--hosts", "3", "--name"]
    again = [sys.executable, "-m", "tests.kills", "--cells", pattern, "--file", str(file)]

    def run_one(number: int) -> None:
        share = ["--share", f"{number}/{labs}"]
        for _ in range(LABS_MAX):
            lab = [*command, f"kills-{os.getpid()}-{number}", "--", *again, *share]
            if subprocess.run(lab, stdin=subprocess.DEVNULL, check=False).returncode == 0:
                return

    with ThreadPoolExecutor(labs) as workers:
        list(workers.map(run_one, range(labs)))


def play_share(cells: list[Cell], file: Path) -> None:
    """Inside a lab: play what has not been played, each until its moment is met."""
    lab = Lab.here()
    with postgres_server.running() as postgres, ExitStack() as stack:
        scenes = Scenes(lab, Path(os.environ[LAB_VARIABLE]), postgres)
        stack.callback(scenes.stop)
        for cell in cells:
            for _ in range(TRIES):
                if is_known(cell, file):
                    break
                result = scenes.play(cell)
                results.append(file, result)
                told = f"{result.gap_s} s silent" if result.gap_s is not None else ""
                print(
                    f"{result.outcome:6} {result.cell:45} {result.took_s:5.0f} s  {result.place} "
                    f"{told} {'; '.join(result.problems)[:300]}",
                    flush=True,
                )


def is_known(cell: Cell, file: Path) -> bool:
    """Has it been run, by anybody?"""
    last = results.latest(results.read(file)).get(cell.name)
    return last is not None and last.outcome in (Outcome.PASSED, Outcome.FAILED)


class Scenes:
    """A scene that is made anew after a run that it may not have got over."""

    def __init__(self, lab: Lab, base: Path, postgres: postgres_server.PostgresServer) -> None:
        self._lab = lab
        self._base = base
        self._postgres = postgres
        self._count = 0
        self._player: Player | None = None
        self._scene: Scene | None = None

    def play(self, cell: Cell) -> Result:
        """Play it on a scene that is well."""
        if self._player is None:
            self._count += 1
            self._scene = Scene(self._lab, self._base / f"scene-{self._count}", self._postgres)
            self._scene.start()
            self._player = Player(self._scene)
            self._player.warm_up()
        result = self._player.play(cell)
        if result.outcome is not Outcome.PASSED or not result.place or result.place == "person":
            self.stop()
        return result

    def stop(self) -> None:
        """End the cluster; its logs stay until the lab goes."""
        if self._scene is not None:
            self._scene.plane.stop()
        self._scene = self._player = None


if __name__ == "__main__":
    sys.exit(main())
