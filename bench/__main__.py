"""Entry of `make bench`: measures, prints a table, writes `build/bench.json`.

`python -m bench control-plane`, `cluster` or `lab` measures one third and writes no file;
`python -m bench agents` measures only that part of the lab's third.
"""

import sys

from bench.cluster import cluster_figures
from bench.control_plane import control_plane_figures
from bench.figures import RESULT, table, write
from bench.lab import agent_figures, lab_figures

THIRDS = {
    "control-plane": control_plane_figures,
    "cluster": cluster_figures,
    "lab": lab_figures,
}
PARTS = {"agents": agent_figures}


def main(*asked: str) -> int:
    """Measure. Exit code 0 also if a target is missed: the table says so."""
    parts = [{**THIRDS, **PARTS}[name] for name in asked] or list(THIRDS.values())
    figures = [figure for part in parts for figure in part()]
    print(*table(figures), sep="\n")
    if not asked:
        write(figures)
        print(f"written to {RESULT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
