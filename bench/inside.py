"""Inside the lab: measure everything and write it to the file named on the command line."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import SubprocessError

from demo.control_plane import ControlPlane

from bench.evacuation import evacuations
from bench.memory import pss_mib
from bench.pairs import gap_of, guest_of, pairs_of, wall_of
from bench.real_hosts import RealHosts, serving
from godwit.lab.errors import LabError
from godwit.lab.lab import Lab

IDLE_S = 12.0
"""At rest, two rounds of reports at least."""


def main(answer: str) -> int:
    """Each part's figures are written as soon as they are known. A part that fails says so, and
    the others are measured all the same.
    """
    lab = Lab.here()
    found: dict[str, float] = {}
    for name, relies_on_locks, parts in (
        ("bench", False, (idle, pairs, eight)),
        ("bench-locks", True, (pairs_with_locks,)),
    ):
        plane = serving(lab, lab.base / name, relies_on_locks=relies_on_locks)
        plane.start()
        try:
            for part in parts:
                found |= figures_of(part, RealHosts(lab, plane))
                Path(answer).write_text(json.dumps(found))
        finally:
            plane.stop()
    return 0


def figures_of(part: Callable[[RealHosts], dict[str, float]], hosts: RealHosts) -> dict[str, float]:
    """What the part has measured; nothing if it fails."""
    try:
        return part(hosts)
    except (RuntimeError, LabError, OSError, SubprocessError) as error:
        print(f"failed: {part.__name__}: {error}", file=sys.stderr, flush=True)
        return {}


def idle(hosts: RealHosts) -> dict[str, float]:
    """Memory at rest."""
    print(f"real hosts: {len(hosts.lab.hosts)} of them, at rest", flush=True)
    hosts.settle(IDLE_S)
    if not isinstance(hosts.plane, ControlPlane):
        raise TypeError("this is the memory of one process and of what it starts")
    return {"idle_pss_mib": pss_mib(hosts.plane.pid)}


def pairs(hosts: RealHosts) -> dict[str, float]:
    """The ratios, and what they are made of."""
    print("real hosts: one guest, by godwit and by virsh in turn", flush=True)
    moves = pairs_of(hosts, guest_of("pair"), rounds=8)
    return {
        "virsh_wall_ratio": moves.wall_ratio,
        "safe_outage_extra_ms": moves.outage_extra_ms,
        "godwit_wall_ms": 1000 * wall_of(moves.godwit),
        "virsh_wall_ms": 1000 * wall_of(moves.virsh),
        "godwit_outage_ms": 1000 * gap_of(moves.godwit),
        "virsh_outage_ms": 1000 * gap_of(moves.virsh),
    }


def pairs_with_locks(hosts: RealHosts) -> dict[str, float]:
    """The silence where the operator relies on the storage's locks, as virsh always does."""
    print("real hosts: the same on storage that fences", flush=True)
    return {"virsh_outage_ratio": pairs_of(hosts, guest_of("fenced"), rounds=4).outage_ratio}


def eight(hosts: RealHosts) -> dict[str, float]:
    """Many at once."""
    print("real hosts: eight guests off one host, there and back", flush=True)
    return evacuations(hosts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
