"""Inside the lab: a guest moved by agents on its hosts, and by `virsh` in turn. The figures go to
the file named on the command line.

The processes are those of `docs/operating/deploy.md`. The guest's disk is of its host alone: both
copy it.
"""

import json
import sys
import time
from pathlib import Path

from demo.cluster import Cluster
from tests import postgres_server

from bench.pairs import gap_of, guest_of, pairs_of
from bench.real_hosts import RealHosts, run, virsh_migrate
from godwit.lab.guest import DiskPlace, GuestDisk, create_disk
from godwit.lab.lab import Lab

DISK = GuestDisk("agents.qcow2", DiskPlace.LOCAL, size_mib=4)
ROUNDS = 8


class AgentHosts(RealHosts):
    """The lab, and a cluster that moves its guests."""

    def virsh(self, guest: str, source: str, to: str) -> float:
        """See `RealHosts`. The disk is made before and removed after, as Godwit does it."""
        began_s = time.monotonic()
        here, there = self.lab.host(source), self.lab.host(to)
        create_disk(there, DISK)
        run(virsh_migrate(guest, here, there, "--copy-storage-all"))
        (here.local / DISK.name).unlink()
        return time.monotonic() - began_s


def main(answer: str) -> int:
    """0 once all is measured."""
    lab = Lab.here()
    folder = lab.base / "bench-agents"
    folder.mkdir()
    with postgres_server.running() as postgres:
        cluster = Cluster(lab, folder, postgres)
        try:
            cluster.start()
            Path(answer).write_text(json.dumps(outage(AgentHosts(lab, cluster))))
        finally:
            cluster.stop()
    return 0


def outage(hosts: AgentHosts) -> dict[str, float]:
    """How much longer a guest is silent than with virsh, under the guard `paused`."""
    print("real hosts: a guest with a disk of its host's, by agents and by virsh", flush=True)
    moves = pairs_of(hosts, guest_of("agents", DISK), rounds=ROUNDS)
    return {
        "agent_outage_extra_ms": moves.outage_extra_ms,
        "agent_outage_ms": 1000 * gap_of(moves.godwit),
        "agent_virsh_outage_ms": 1000 * gap_of(moves.virsh),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
